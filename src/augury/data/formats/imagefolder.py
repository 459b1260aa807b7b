"""Hugging Face's imagefolder: image files described by a metadata.csv or metadata.jsonl."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from augury.data.decoding import reading
from augury.data.decoding.image_index import ImageIndex
from augury.data.decoding.load_options import LoadOptions
from augury.data.decoding.safety import file_bytes, unique, word
from augury.data.decoding.skipped import UNNAMED, SkippedFiles
from augury.data.decoding.split_names import split_code, split_codes
from augury.data.formats import csv, folder, one_hot, table
from augury.errors import DataError, shortened
from augury.images import LabelledImages

METADATA = ("metadata.csv", "metadata.jsonl")
LABEL_BY_FOLDER = "label (the folder)"
_LINE = 2**20


@dataclass(frozen=True)
class _Sheet:
    """One metadata file: its folder, its columns and its bad rows."""

    folder: Path
    kind: str
    columns: dict[str, list[str | None]]
    bad: dict[int, str]


def recognises(path: Path) -> bool:
    """Whether it is a metadata file, or a folder with one (directly, or in train, validation, test)."""
    return path.name in METADATA if path.is_file() else path.is_dir() and bool(_metadata(path))


def read(path: Path, options: LoadOptions) -> LabelledImages:
    """Read the files that the metadata name in `file_name`, relative to the metadata file.

    Without a label column, the folder of a file is its label. Files that no row names are counted. Raises DataError
    when metadata are damaged or their columns differ, or as `reading.read` does.
    """
    root = path.parent if path.is_file() else path
    sheets = [_sheet(file) for file in _metadata(root)]
    header = list(sheets[0].columns)
    for sheet in sheets[1:]:
        if set(sheet.columns) != set(header):
            odd = min(set(sheet.columns) ^ set(header))
            raise DataError(f"{sheet.folder}: the metadata files differ in the column '{odd}'; give all the same")
    names: list[str | None] = []
    bad: dict[int, str] = {}
    for sheet in sheets:
        within = sheet.folder.relative_to(root).as_posix()
        bad |= {len(names) + i: reason for i, reason in sheet.bad.items()}
        names += [f"{within}/{name}" if within != "." and name else name for name in sheet.columns["file_name"]]
    paths, bad = table.files(root, names, bad, follow_links=options.follow_links)
    columns = {name: [v for sheet in sheets for v in sheet.columns[name]] for name in header if name != "file_name"}
    tops = [(name or "").partition("/")[0] for name in names]
    by_top = split_codes({top for i, top in enumerate(tops) if i not in bad})
    if "split" not in columns and all(top in by_top for i, top in enumerate(tops) if i not in bad):
        columns["split"] = list(tops)
    try:
        folders: list[str | None] = [_folder(name) for name in names]
        columns, options, bad = one_hot.joined(columns, options, bad, search=not any(folders))
        chosen = table.roles(list(columns), options, needed=())
        if "label" not in chosen and (options.labelled or any(folders)):
            columns[LABEL_BY_FOLDER] = folders
            chosen["label"] = LABEL_BY_FOLDER
        chosen.pop("image", None)
    except DataError as error:
        raise DataError(f"{root}: {error}") from error
    fields = table.image_fields(columns, chosen, options, bad, len(names))
    skipped = SkippedFiles()
    present = {"/".join(parts) for parts in folder.walked(root, skipped, options.follow_links)}
    skipped.add(UNNAMED, count=len(present - {path.relative_to(root).as_posix() for path in paths}))
    for sheet in sheets:
        skipped.counts[f".{sheet.kind}"] -= 1  # the metadata themselves
    index = ImageIndex(
        names=[shortened(name) if name else f"row {i + 1}" for i, name in enumerate(names)],
        labels=fields.labels,
        fetch=lambda i: file_bytes(paths[i]),
        split=fields.split,
        groups=fields.groups,
        attributes=fields.attributes,
        bad=fields.bad,
        ignored=skipped.counts,
        notes={"columns": chosen, **table.noted(fields)},
    )
    return reading.read(root, index, options, "imagefolder")


def _folder(name: str | None) -> str:
    pieces = (name or "").replace("\\", "/").split("/")
    return pieces[-2] if len(pieces) > 1 else ""


def _metadata(root: Path) -> list[Path]:
    """List the metadata files of a folder: its own, or else those of its split folders."""
    own = [root / name for name in METADATA if (root / name).is_file()]
    try:
        below = sorted(entry for entry in root.iterdir() if split_code(entry.name) >= 0 and entry.is_dir())
    except OSError:
        return own
    return own or [subfolder / name for subfolder in below for name in METADATA if (subfolder / name).is_file()]


def _sheet(path: Path) -> _Sheet:
    try:
        columns, bad = csv.columns_of(path) if path.suffix == ".csv" else _json_columns(path)
        if "file_name" not in columns:
            raise DataError(f"has no column 'file_name', but {', '.join(columns) or 'none'}; name each image there")
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    return _Sheet(path.parent, path.suffix.removeprefix("."), columns, bad)


def _json_columns(path: Path) -> tuple[dict[str, list[str | None]], dict[int, str]]:
    """Return the columns of a .jsonl (the union of all rows' keys) and its bad rows.

    Raises DataError without the file's name.
    """
    columns: dict[str, list[str | None]] = {}
    bad: dict[int, str] = {}
    n = 0
    for line in _lines(path):
        row = None
        try:
            row = json.loads(line, object_pairs_hook=unique) if len(line) < _LINE else None
        except DataError as error:
            bad[n] = f"row {n + 1} {error}"
        except (ValueError, RecursionError):
            pass
        if not isinstance(row, dict):
            bad.setdefault(n, f"row {n + 1} is not a JSON object of at most {_LINE:,} bytes")
            row = {}
        table.extend(columns, {name: word(value) for name, value in row.items()}, n)
        n += 1
    if not n:
        raise DataError("has no rows; write a JSON object per image")
    return columns, bad


def _lines(path: Path) -> Iterator[str]:
    try:
        if path.stat().st_size > csv.LIMIT:
            raise DataError(f"has {path.stat().st_size:,} bytes, but a table may have {csv.LIMIT:,}; divide it")
        with path.open(encoding="utf-8-sig") as file:
            while line := file.readline(_LINE):
                if line.strip():
                    yield line
    except UnicodeDecodeError as error:
        raise DataError(f"is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror}); change its permissions") from error
