"""Columns of a table of images: image, label, group, split and attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from augury.data.decoding import safety
from augury.data.decoding.label_encoding import SPLIT_NAMES
from augury.data.decoding.load_options import UNGROUPED, LoadOptions
from augury.data.formats.column_names import NAMES, candidates, possible_groups
from augury.errors import DataError, SettingsError

UNUSED = frozenset({"provenance", ""})
"""Columns that become attributes only on request."""
MOST_VALUES = 100
"""A column with more distinct values, or more than half as many as images, becomes an attribute only on request."""
MOST_COLUMNS = 1000


def extend(columns: dict[str, list[str | None]], row: Mapping[str, str | None], n: int) -> None:
    """Append row `n` to columns of `n` values.

    A column that is new, or that the row lacks, is filled with blanks. Raises DataError for too many columns.
    """
    for name, value in row.items():
        if name not in columns:
            check_columns(len(columns) + 1)
            columns[name] = [""] * n
        columns[name].append(value)
    for values in columns.values():
        if len(values) <= n:
            values.append("")


@dataclass(frozen=True)
class ImageFields:
    """The columns of N images as `ImageIndex` holds them; `bad` is why rows cannot be used."""

    labels: list[str]
    split: list[int] | None
    groups: list[str] | None
    attributes: dict[str, list[str]]
    bad: dict[int, str]
    left_out: list[str]
    possible_groups: dict[str, int]


def check_columns(count: int) -> None:
    """Raise DataError when a table has more than MOST_COLUMNS columns."""
    if count > MOST_COLUMNS:
        raise DataError(f"has {count:,} columns, but at most {MOST_COLUMNS:,} are read; keep those that tell something")


def roles(header: Sequence[str], options: LoadOptions, needed: Sequence[str] = ("image", "label")) -> dict[str, str]:
    """Assign a column of `header` to each role, as `options.columns` says or by its name: role -> column.

    Raises DataError (without the file's name) when a needed role has no column or several candidates, SettingsError
    when `options` names a column that does not exist.
    """
    assigned: dict[str, str] = {}
    available = ", ".join(f"'{name}'" for name in header[:30]) or "none"
    for name in (*options.columns.values(), *(options.attributes or ())):
        if name not in header:
            raise SettingsError(f"there is no column '{name}'; the columns are {available}")
    for role in NAMES:
        column = of_role(role, header, options)
        if column is not None:
            assigned[role] = column
        elif role in needed:
            raise DataError(
                f"no column is the {role} (called {', '.join(NAMES[role][:4])} …), there are: {available}; name it with "
                f"columns={{'{role}': '…'}} ({_option(role, '…')})"
            )
    return assigned


def of_role(role: str, header: Sequence[str], options: LoadOptions) -> str | None:
    """Return the column or array of a role (image, label, group or split).

    It is the one that `options` names, or else the one with such a name. Returns None when there is none, or when
    grouping is disabled. Raises DataError when several have such names, SettingsError when `options` names one that
    does not exist.
    """
    if role in options.columns:
        if options.columns[role] not in header:
            available = ", ".join(f"'{name}'" for name in header[:30]) or "none"
            raise SettingsError(f"nothing is called '{options.columns[role]}' to be the {role}; there are {available}")
        return options.columns[role]
    if role == "group" and options.group == UNGROUPED:
        return None
    taken = set(options.columns.values()) | set(options.attributes or ())
    fits = candidates(role, [name for name in header if name not in taken])
    if len(fits) > 1:
        raise DataError(
            f"'{fits[0]}' and '{fits[1]}' could both be the {role}; choose with columns={{'{role}': '{fits[0]}'}} "
            f"({_option(role, fits[0])})"
        )
    return fits[0] if fits else None


def _option(role: str, name: str) -> str:
    """Return the command-line option that assigns this column."""
    return f"--group {name}" if role == "group" else f"--column {role}={name}"


def image_fields(
    columns: Mapping[str, Sequence[str | None]],
    chosen: Mapping[str, str],
    options: LoadOptions,
    bad: Mapping[int, str],
    n: int,
) -> ImageFields:
    """Extract the fields of `n` images from columns of text (None for a value that is neither text nor number).

    Rows in `bad` are not checked. A row without a label, with a blank group or an unknown split becomes bad.
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
    groups = column(
        "group", f"has no '{chosen.get('group')}'; give it one, remove its row, or use no groups (--group none)"
    )
    split_names = column("split", "has no split; write train, validation or test")
    split = None if split_names is None else [SPLIT_NAMES.get(split_name.casefold(), -1) for split_name in split_names]
    for i, code in enumerate(split or ()):
        if code < 0:
            wrong.setdefault(i, f"is in the split '{(split_names or [])[i][:40]}'; write train, validation or test")
    attributes, left_out = {}, []
    others = [name for name in columns if name not in chosen.values()]
    for name in others if options.attributes is None else options.attributes:
        values = [value for i, value in enumerate(columns[name]) if i not in wrong]
        if options.attributes is None and name not in options.binned and not _is_attribute(name, values):
            left_out.append(name)
        else:
            attributes[name] = [value or "" for value in columns[name]]
    possible = {}
    if groups is None and options.group != UNGROUPED:
        unasked = [name for name in others if name not in (options.attributes or ())]
        good = [i for i in range(n) if i not in wrong]
        possible = possible_groups(
            {name: [columns[name][i] for i in good] for name in unasked}, [(labels or [""] * n)[i] for i in good]
        )
    return ImageFields(labels or [""] * n, split, groups, attributes, wrong, left_out, possible)


def _is_attribute(name: str, values: Sequence[str | None]) -> bool:
    distinct = set(values)
    few = len(distinct) <= min(MOST_VALUES, max(1, len(values) // 2))
    return few and None not in distinct and name.strip().casefold() not in UNUSED


def files(
    root: Path, names: Sequence[str | None], bad: Mapping[int, str], rows: str = "row"
) -> tuple[list[Path], dict[int, str]]:
    """Map file names of a table to paths inside `root`, and return why some cannot be used (unsafe, or named twice)."""
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


def noted(fields: ImageFields) -> dict[str, object]:
    """Return the notes about unused columns."""
    notes: dict[str, object] = {"columns_left_out": list(fields.left_out)} if fields.left_out else {}
    return notes | ({"possible_groups": fields.possible_groups} if fields.possible_groups else {})
