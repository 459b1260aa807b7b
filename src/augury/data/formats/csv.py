"""A CSV (or TSV) file with one row per image: path, label, and optionally group, split and attributes."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from augury.data.decoding import reading
from augury.data.decoding.image_index import ImageIndex
from augury.data.decoding.label_encoding import LONGEST, composed
from augury.data.decoding.load_options import LoadOptions
from augury.data.decoding.safety import file_bytes, word
from augury.data.decoding.skipped import UNNAMED
from augury.data.formats import one_hot, table
from augury.errors import DataError, shortened
from augury.images import LabelledImages

LIMIT = 512 * 2**20
"""Most bytes that a table may have."""


def recognises(path: Path) -> bool:
    """Whether its name ends in .csv or .tsv."""
    return path.is_file() and path.suffix.lower() in (".csv", ".tsv")


def read(path: Path, options: LoadOptions) -> LabelledImages:
    """Read the images that a table names, relative to its own folder or `options.root`.

    `options.columns` assigns the columns; otherwise their names do (`table.NAMES`). Raises DataError when the table is
    damaged or lacks such columns, or as `reading.read` does.
    """
    try:
        columns, bad = columns_of(path)
        columns, options, bad = one_hot.joined(columns, options, bad)
        chosen = table.roles(list(columns), options, needed=("image", "label") if options.labelled else ("image",))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    root = path.parent if options.root is None else options.root
    if not root.is_dir():
        raise DataError(f"{path}: --root {root} is no folder; give the one that the table's file names are relative to")
    names = table.with_extensions(root, columns.pop(chosen["image"]))
    paths, bad = table.files(root, names, bad, follow_links=options.follow_links)
    fields = table.image_fields(columns, {k: v for k, v in chosen.items() if k != "image"}, options, bad, len(names))
    if paths and not fields.bad and not any(file.exists() for file in paths):
        raise DataError(
            f"{path}: none of its files is there, such as {root / shortened(names[0] or '')}; --root says where file names begin, and they "
            "need their extension"
        )
    index = ImageIndex(
        names=[shortened(name) if name else f"row {i + 1}" for i, name in enumerate(names)],
        labels=fields.labels,
        fetch=lambda i: file_bytes(paths[i]),
        split=fields.split,
        groups=fields.groups,
        attributes=fields.attributes,
        bad=fields.bad,
        ignored=Counter({UNNAMED: table.unnamed([path for i, path in enumerate(paths) if i not in bad])}),
        notes={"columns": chosen, **table.noted(fields)},
    )
    return reading.read(path, index, options, "csv")


def columns_of(path: Path) -> tuple[dict[str, list[str | None]], dict[int, str]]:
    """Return the columns by name, and why rows (from 0) cannot be used. Raises DataError without the file's name."""
    lines = rows(path)
    header = [composed(name.strip()) for name in next(lines, [])]
    check_header(header)
    columns: dict[str, list[str | None]] = {name: [] for name in header}
    bad: dict[int, str] = {}
    for i, row in enumerate(lines):
        if len(row) != len(header):
            bad[i] = f"row {i + 1} has {len(row)} values for {len(header)} columns"
            row = (row + [""] * len(header))[: len(header)]
        for name, value in zip(header, row, strict=True):
            columns[name].append(word(value))
    if not header or not columns[header[0]]:
        raise DataError("has no rows; write a header (path,label) and then a line per image")
    return columns, bad


def check_header(header: list[str]) -> None:
    """Raise DataError (without the file's name) for too many columns, two of one name, or a name that is too long."""
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise DataError(f"has two columns called '{shortened(twice)}'; give each its own name")
    table.check_columns(len(header))
    for i, name in enumerate(header):
        if len(name) > LONGEST:
            raise DataError(
                f"column {i + 1} has a name of {len(name):,} characters, {LONGEST} at most; the first line must be the "
                "names of the columns"
            )


def rows(path: Path) -> Iterator[list[str]]:
    """Yield the rows that are not empty. Raises DataError when the file is too large, not UTF-8, or not a table."""
    try:
        if path.stat().st_size > LIMIT:
            raise DataError(f"has {path.stat().st_size:,} bytes, but a table may have {LIMIT:,}; divide it")
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline(100_000)
            file.seek(0)
            separator = max(",;\t", key=first.count)
            yield from (row for row in csv.reader(file, delimiter=separator, strict=True) if row)
    except UnicodeDecodeError as error:
        raise DataError(f"is not UTF-8 text (byte {error.start}); save it as CSV UTF-8") from error
    except csv.Error as error:
        raise DataError(f"is not a table ({error}); save it as CSV again") from error
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror}); change its permissions") from error
