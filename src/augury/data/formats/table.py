"""Columns of a table of images: image, label, group, split and attributes."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from augury.data.decoding import codecs, safety
from augury.data.decoding.label_encoding import LONGEST
from augury.data.decoding.load_options import UNGROUPED, LoadOptions
from augury.data.decoding.split_names import split_codes
from augury.data.formats.column_names import NAMES, candidates, possible_groups
from augury.errors import DataError, SettingsError, shortened

UNUSED = frozenset({"provenance", ""})
"""Columns that become attributes only on request."""
MOST_VALUES = 100
"""A column with more distinct values, or more than half as many as images, becomes an attribute only on request."""
MOST_COLUMNS = 1000
LONGEST_PATH, LONGEST_PART = 1000, 255
"""Most characters of a path, and bytes of each of its parts."""


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
    for name in (*options.columns.values(), *(options.attributes or ())):
        if name not in header:
            raise SettingsError(f"there is no column '{name}'; the columns are {_available(header)}")
    for role in NAMES:
        column = of_role(role, header, options)
        if column is not None:
            assigned[role] = column
        elif role in needed:
            raise no_column(role, header)
    return assigned


def no_column(role: str, header: Sequence[str]) -> DataError:
    """Return the error about a table without a column of this role."""
    return DataError(
        f"no column is the {role} (called {', '.join(NAMES[role][:4])} …), there are: {_available(header)}; name it with "
        f"columns={{'{role}': '…'}} ({_option(role, '…')})"
    )


def _available(header: Sequence[str]) -> str:
    return ", ".join(f"'{shortened(name)}'" for name in header[:30]) or "none"


def of_role(role: str, header: Sequence[str], options: LoadOptions) -> str | None:
    """Return the column or array of a role (image, label, group or split).

    It is the one that `options` names, or else the one with such a name. Returns None when there is none, or when
    grouping is disabled. Raises DataError when several have such names, SettingsError when `options` names one that
    does not exist.
    """
    if role in options.columns:
        if options.columns[role] not in header:
            raise SettingsError(
                f"nothing is called '{options.columns[role]}' to be the {role}; there are {_available(header)}"
            )
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
    return f"--group {quote(name)}" if role == "group" else f"--column {quote(f'{role}={name}')}"


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
    for i, label in enumerate(labels or ()):
        if len(label) > LONGEST:
            wrong.setdefault(i, f"has a label of {len(label):,} characters, but at most {LONGEST} are read")
    groups = column(
        "group", f"has no '{chosen.get('group')}'; give it one, remove its row, or use no groups (--group none)"
    )
    split_names = column("split", "has no split; write train, validation or test")
    by_name = split_codes(set(split_names or ()))
    split = None if split_names is None else [by_name.get(split_name, -1) for split_name in split_names]
    for i, code in enumerate(split or ()):
        if code < 0:
            wrong.setdefault(i, f"is in the split '{(split_names or [])[i][:40]}'; write train, validation or test")
    attributes, left_out = {}, []
    others = [name for name in columns if name not in chosen.values()]
    for name in others if options.attributes is None else options.attributes:
        values = [value for i, value in enumerate(columns[name]) if i not in wrong]
        if options.attributes is None and name not in options.binned and not is_attribute(name, values):
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


def is_attribute(name: str, values: Sequence[str | None]) -> bool:
    """Whether a column of text is an attribute: few values, so not a file name, and no other use."""
    distinct = set(values)
    few = len(distinct) <= min(MOST_VALUES, max(1, len(values) // 2))
    short = all(value is not None and len(value) <= LONGEST for value in distinct)
    return few and short and name.strip().casefold() not in UNUSED


def files(
    root: Path,
    names: Sequence[str | None],
    bad: Mapping[int, str],
    rows: str = "row",
    follow_links: Path | None = None,
) -> tuple[list[Path], dict[int, str]]:
    """Map file names of a table to paths inside `root`, and return why some cannot be used (unsafe, or named twice)."""
    paths, wrong = [], dict(bad)
    inside = safety.fence(root, follow_links)
    first: dict[tuple[str, ...], int] = {}
    for i, name in enumerate(names):
        path = root
        if i not in wrong:
            try:
                _check_length(name or "")
                parts = _spelled(root, safety.safe_parts(name or ""))
                path = inside(parts)
                if first.setdefault(parts, i) != i:
                    wrong[i] = f"is named twice ({rows}s {first[parts] + 1} and {i + 1}); keep one"
            except DataError as error:
                wrong[i] = str(error)
            except (OSError, ValueError) as error:
                wrong[i] = f"is not the name of a file ({error})"
        paths.append(path)
    return paths, wrong


def unnamed(paths: Sequence[Path]) -> int:
    """Count the image files in the folders of `paths` that are none of them."""
    by_folder: dict[Path, set[str]] = {}
    for path in paths:
        by_folder.setdefault(path.parent, set()).add(path.name)
    count = 0
    for folder, names in by_folder.items():
        with suppress(OSError), os.scandir(folder) as entries:
            count += sum(
                codecs.extension(entry.name) in codecs.EXTENSIONS and not entry.name.startswith(".")
                for entry in entries
                if entry.name not in names
            )
    return count


def _spelled(root: Path, parts: tuple[str, ...]) -> tuple[str, ...]:
    """Return a path in the Unicode form in which it exists below `root`: tables and file systems may differ in it."""
    name = "/".join(parts)
    if name.isascii() or root.joinpath(name).exists():
        return parts
    others = (tuple(unicodedata.normalize(form, part) for part in parts) for form in ("NFC", "NFD"))
    return next((other for other in others if root.joinpath(*other).exists()), parts)


def _check_length(name: str) -> None:
    """Raise DataError when a cell is too long to be the path of a file."""
    if len(name) > LONGEST_PATH or any(len(os.fsencode(part)) > LONGEST_PART for part in name.split("/")):
        raise DataError(f"is a text of {len(name):,} characters, too long for the name of a file; name its file")


def with_extensions(root: Path, names: Sequence[str | None]) -> list[str | None]:
    """Add the missing extension to file names such as ISIC_0024306, where one image file of that name lies below `root`."""
    listed: dict[str, dict[str, list[str]]] = {}
    completed: list[str | None] = []
    for name in names:
        folder, slash, stem = (name or "").replace("\\", "/").rpartition("/")
        unsafe = (
            not stem or len(stem) > LONGEST_PATH or ".." in folder.split("/") or folder.startswith("/") or ":" in folder
        )
        if unsafe or stem[stem.rfind(".") :].lower() in codecs.EXTENSIONS:
            completed.append(name)
            continue
        if folder not in listed:
            listed[folder] = _by_stem(root / folder)
        suffixes = listed[folder].get(stem, [])
        completed.append(f"{folder}{slash}{stem}{suffixes[0]}" if len(suffixes) == 1 else name)
    return completed


def _by_stem(folder: Path) -> dict[str, list[str]]:
    """Return the extensions of the image files of a folder by their name without it; "" for a file without one."""
    suffixes: dict[str, list[str]] = {}
    with suppress(OSError, ValueError):  # the reader reports a folder that is not there
        for entry in os.scandir(folder):
            stem, dot, ending = entry.name.rpartition(".")
            if dot and f".{ending}".lower() in codecs.EXTENSIONS:
                suffixes.setdefault(stem, []).append(f".{ending}")
            suffixes.setdefault(entry.name, []).append("")
    return suffixes


def noted(fields: ImageFields) -> dict[str, object]:
    """Return the notes about unused columns."""
    notes: dict[str, object] = {"columns_left_out": list(fields.left_out)} if fields.left_out else {}
    return notes | ({"possible_groups": fields.possible_groups} if fields.possible_groups else {})
