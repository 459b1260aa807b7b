"""Columns of a table about images: which is the image, label, group and split, and which are attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from augury.data.decoding import safety
from augury.data.decoding.label_encoding import SPLIT_NAMES
from augury.data.decoding.load_options import UNGROUPED, Policy
from augury.errors import DataError, SettingsError

NAMES: Mapping[str, tuple[str, ...]] = {
    "image": ("path", "file", "file_name", "filename", "file_path", "filepath", "image", "image_path"),
    "label": ("label", "labels", "class", "class_name", "category"),
    "group": tuple(
        name + ending
        for name in ("group", "groups", "patient", "person", "subject", "track")
        for ending in ("", "_id", "id")
    ),
    "split": ("split",),
}
"""What a column may be called, in any case, to be taken for what it is unasked."""
UNUSED = frozenset({"provenance", ""})
"""Columns that are never attributes unless asked for."""
MOST_VALUES = 100
"""A column of more different values, or of more than half as many as there are images, is no attribute unasked."""
MOST_COLUMNS = 1000


def extend(columns: dict[str, list[str | None]], row: Mapping[str, str | None], n: int) -> None:
    """Add row n to columns of n values, blank where it, or an earlier row, says nothing. Raises DataError for too many columns."""
    for name, value in row.items():
        if name not in columns:
            check_columns(len(columns) + 1)
            columns[name] = [""] * n
        columns[name].append(value)
    for values in columns.values():
        if len(values) <= n:
            values.append("")


@dataclass(frozen=True)
class Told:
    """What the columns tell of N images, as `Found` holds it; `bad` is why rows cannot be used."""

    labels: list[str]
    split: list[int] | None
    groups: list[str] | None
    attributes: dict[str, list[str]]
    bad: dict[int, str]
    left_out: list[str]


def check_columns(count: int) -> None:
    """Raises DataError when a table has more than MOST_COLUMNS columns."""
    if count > MOST_COLUMNS:
        raise DataError(f"has {count:,} columns, but at most {MOST_COLUMNS:,} are read; keep those that tell something")


def roles(header: Sequence[str], policy: Policy, needed: Sequence[str] = ("image", "label")) -> dict[str, str]:
    """What each column of `header` is: role -> column, as `policy.columns` says, else by its name.

    Raises DataError (without the file's name) when a needed one is missing or several could be it, SettingsError when
    `policy` names a column that does not exist.
    """
    found: dict[str, str] = {}
    there = ", ".join(f"'{name}'" for name in header[:30]) or "none"
    for name in (*policy.columns.values(), *(policy.attributes or ())):
        if name not in header:
            raise SettingsError(f"there is no column '{name}'; the columns are {there}")
    for role in NAMES:
        column = of_role(role, header, policy)
        if column is not None:
            found[role] = column
        elif role in needed:
            raise DataError(
                f"no column is the {role} (called {', '.join(NAMES[role][:4])} …), there are: {there}; name it with "
                f"columns={{'{role}': '…'}} ({_option(role, '…')})"
            )
    return found


def of_role(role: str, header: Sequence[str], policy: Policy) -> str | None:
    """The column or array that is the image, label, group or split: the one that `policy` names, else the one that is called
    so; None when there is none, or when there is to be no group.

    Raises DataError when several are called so, SettingsError when `policy` names one that does not exist.
    """
    if role in policy.columns:
        if policy.columns[role] not in header:
            there = ", ".join(f"'{name}'" for name in header[:30]) or "none"
            raise SettingsError(f"nothing is called '{policy.columns[role]}' to be the {role}; there are {there}")
        return policy.columns[role]
    if role == "group" and policy.group == UNGROUPED:
        return None
    taken = set(policy.columns.values()) | set(policy.attributes or ())
    fits = [name for name in header if name.strip().casefold() in NAMES[role] and name not in taken]
    if len(fits) > 1:
        raise DataError(
            f"'{fits[0]}' and '{fits[1]}' could both be the {role}; choose with columns={{'{role}': '{fits[0]}'}} "
            f"({_option(role, fits[0])})"
        )
    return fits[0] if fits else None


def _option(role: str, name: str) -> str:
    """How the command line says it."""
    return f"--group {name}" if role == "group" else f"--column {role}={name}"


def told(
    columns: Mapping[str, Sequence[str | None]],
    chosen: Mapping[str, str],
    policy: Policy,
    bad: Mapping[int, str],
    n: int,
) -> Told:
    """Columns of text (None where a value is no text or number) -> what they tell; `bad` rows of the `n` are not looked at.

    A row without label, with a blank group or an unknown split is bad.
    """
    wrong = dict(bad)

    def column(role: str, complaint: str) -> list[str] | None:
        if role not in chosen:
            return None
        values = columns[chosen[role]]
        for i, value in enumerate(values):
            if not value:
                wrong.setdefault(i, complaint)
        return [value or "" for value in values]

    labels = column("label", "has no label; give it one, or remove its row")
    groups = column("group", f"has no '{chosen.get('group')}'; give it one, or remove its row")
    parts = column("split", "has no split; write train, validation or test")
    split = None if parts is None else [SPLIT_NAMES.get(part.casefold(), -1) for part in parts]
    for i, code in enumerate(split or ()):
        if code < 0:
            wrong.setdefault(i, f"is in the split '{(parts or [])[i][:40]}'; write train, validation or test")
    attributes, left_out = {}, []
    others = [name for name in columns if name not in chosen.values()]
    for name in others if policy.attributes is None else policy.attributes:
        values = [value for i, value in enumerate(columns[name]) if i not in wrong]
        if policy.attributes is None and name not in policy.binned and not _is_attribute(name, values):
            left_out.append(name)
        else:
            attributes[name] = [value or "" for value in columns[name]]
    return Told(labels or [""] * n, split, groups, attributes, wrong, left_out)


def _is_attribute(name: str, values: Sequence[str | None]) -> bool:
    distinct = set(values)
    few = len(distinct) <= min(MOST_VALUES, max(1, len(values) // 2))
    return few and None not in distinct and name.strip().casefold() not in UNUSED


def files(
    root: Path, names: Sequence[str | None], bad: Mapping[int, str], rows: str = "row"
) -> tuple[list[Path], dict[int, str]]:
    """File names from a table -> paths inside `root`, and why some cannot be used (unsafe, or named twice)."""
    paths, wrong = [], dict(bad)
    inside = safety.fence(root)
    first: dict[tuple[str, ...], int] = {}
    for i, name in enumerate(names):
        path = root
        if i not in wrong:
            try:
                parts = safety.safe_parts(name or "")
                path = inside(parts)
                if first.setdefault(parts, i) != i:
                    wrong[i] = f"is named twice ({rows}s {first[parts] + 1} and {i + 1}); keep one"
            except DataError as error:
                wrong[i] = str(error)
            except (OSError, ValueError) as error:
                wrong[i] = f"is not the name of a file ({error})"
        paths.append(path)
    return paths, wrong


def noted(left_out: Sequence[str]) -> dict[str, object]:
    """What stands in the notes about columns that are not used."""
    return {"columns_left_out": list(left_out)} if left_out else {}
