"""Parquet files with encoded images in a column, as Hugging Face writes them. Needs pyarrow."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augury.data.decoding import reading, safety
from augury.data.decoding.image_index import ImageIndex
from augury.data.decoding.load_options import LoadOptions
from augury.data.decoding.safety import external
from augury.data.decoding.skipped import others
from augury.data.decoding.split_names import split_prefixes
from augury.data.decoding.temporary_store import open_temporary_store
from augury.data.formats import folder, table
from augury.errors import DataError
from augury.images import LabelledImages

ROWS = 64
"""Rows in memory at once."""
GROUP_LIMIT = 4 * 2**30
"""Most bytes that the pixels of one row group may declare, unpacked."""


@dataclass(frozen=True)
class _File:
    """One opened file: its column names, the class names of columns that hold codes, and its columns of images."""

    path: Path
    reader: Any
    header: list[str]
    names: Mapping[str, list[str]]
    pictures: list[str]


def recognises(path: Path) -> bool:
    """Whether its name ends in .parquet, it begins like such a file, or it is a folder of them."""
    if path.is_dir():
        return bool(_files(path)) and not folder.holds_images(path)
    return path.is_file() and (path.suffix.lower() == ".parquet" or safety.head(path, 4) == b"PAR1")


def read(path: Path, options: LoadOptions) -> LabelledImages:
    """Read one file, or those of a folder (or of its folder data/); names such as train-….parquet give the split.

    The image is the column of bytes, or of {bytes, path}. Paths are used as names only and never opened. Codes of a
    ClassLabel become its names. Raises DataError when a file is damaged or lacks such columns, or as `reading.read`
    does; MissingExtraError without pyarrow.
    """
    paths = _files(path) if path.is_dir() else [path]
    with open_temporary_store(options.cache) as store:
        files = [_opened(file) for file in paths]
        picture, chosen = _chosen(path, files[0], options)
        header = [name for name in files[0].header if name != picture]
        for role, name in chosen.items():
            if name not in header:
                raise DataError(
                    f"{path}: the column '{name}' cannot be the {role}, since it holds the images or is missing; the other columns are: "
                    f"{', '.join(header) or 'none'}"
                )
        columns: dict[str, list[str | None]] = {name: [] for name in header}
        names: list[str] = []
        bad: dict[int, str] = {}
        per_file: list[int] = []
        for file in files:
            if file.header != files[0].header or file.names != files[0].names:
                raise DataError(f"{file.path}: its columns are not those of {files[0].path.name}; keep sets apart")
            before = len(names)
            for row in _rows(file, [picture, *header]):
                raw, name = _image(row[picture], f"{file.path.name} row {len(names) - before}")
                if not isinstance(raw, bytes):
                    bad[len(names)], raw = raw, b""
                store.add(raw)
                names.append(name)
                for column in header:
                    value = _named(row[column], file.names.get(column))
                    if isinstance(value, _Wrong):
                        bad[len(names) - 1], value = value.reason, ""
                    columns[column].append(value)
            per_file.append(len(names) - before)
        fields = table.image_fields(columns, chosen, options, bad, len(names))
        store.ready()
        index = ImageIndex(
            names=names,
            labels=fields.labels,
            fetch=store.fetch,
            classes=tuple(files[0].names.get(chosen.get("label", ""), ())),
            split=fields.split if fields.split is not None else _split(path, paths, per_file),
            groups=fields.groups,
            attributes=fields.attributes,
            bad=fields.bad,
            ignored=others(paths[0].parent, {file.name for file in paths}) if path.is_dir() else Counter(),
            notes={"columns": {"image": picture, **chosen}, **table.noted(fields)},
        )
        return reading.read(path, index, options, "parquet")


def _files(root: Path) -> list[Path]:
    """List the parquet files of a folder, or else of its folder data."""
    for directory in (root, root / "data"):
        try:
            files = sorted(
                entry for entry in directory.iterdir() if entry.suffix.lower() == ".parquet" and entry.is_file()
            )
        except OSError:
            files = []
        if files:
            return files
    return []


def _split(path: Path, paths: Sequence[Path], per_file: Sequence[int]) -> list[int] | None:
    codes = split_prefixes([(file.name,) for file in paths]) if path.is_dir() else None
    return None if codes is None else [code for code, n in zip(codes, per_file, strict=True) for _ in range(n)]


def _opened(path: Path) -> _File:
    arrow = safety.extra("pyarrow", "reading parquet", "hf")
    parquet = safety.extra("pyarrow.parquet", "reading parquet", "hf")
    with external(f"{_plain(path)}: damaged, or not parquet ({{}}); fetch or make it again"):
        reader = parquet.ParquetFile(path, pre_buffer=False, thrift_string_size_limit=2**28)
        schema = reader.schema_arrow
        metadata = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = metadata.get("info", {}).get("features", {})
        names = {
            column: [str(name) for name in feature["names"]]
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and "names" in feature
        }
        for i in range(reader.metadata.num_row_groups):
            size = reader.metadata.row_group(i).total_byte_size
            if size > GROUP_LIMIT:
                raise DataError(
                    f"{path}: row group {i} declares {size:,} bytes, {GROUP_LIMIT:,} at most; write smaller groups"
                )
        pictures = [field.name for field in schema if _is_picture(arrow.types, field.type)]
        return _File(path, reader, [field.name for field in schema], names, pictures)


def _is_picture(types: Any, kind: Any) -> bool:
    if types.is_struct(kind):
        inner = {kind.field(i).name: kind.field(i).type for i in range(kind.num_fields)}
        return "bytes" in inner and _is_picture(types, inner["bytes"])
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _chosen(path: Path, file: _File, options: LoadOptions) -> tuple[str, dict[str, str]]:
    """Return the column of images, and the roles of the others."""
    try:
        table.check_columns(len(file.header))
        chosen = table.roles(file.header, options, needed=())
        named = options.columns.get("image")
        if named is None and len(file.pictures) != 1:
            raise DataError(
                f"{len(file.pictures)} columns hold encoded images, of {', '.join(file.header[:30]) or 'none'}; "
                "there must be one of bytes or {bytes, path}, or choose with columns={'image': '…'}"
            )
        picture = named if named is not None else file.pictures[0]
        if picture not in file.pictures:
            raise DataError(f"the column '{picture}' holds no encoded images; it must be bytes or {{bytes, path}}")
        chosen = {role: name for role, name in chosen.items() if role != "image"}
        if "label" not in chosen and len(file.names) == 1:
            chosen["label"] = next(iter(file.names))
        if options.labelled and ("label" not in chosen or chosen["label"] == picture):
            raise DataError(
                f"no column is the label, there are {', '.join(file.header[:30])}; name it with columns={{'label': '…'}}"
            )
        return picture, chosen
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _rows(file: _File, columns: list[str]) -> Iterator[dict[str, Any]]:
    """Yield every row as plain values.

    Raises DataError when the file is damaged, or its rows unpack to more than `safety.unpacking_limit`.
    """
    limit = safety.unpacking_limit(os.stat(file.path).st_size)  # noqa: PTH116
    total = 0
    with external(f"{_plain(file.path)}: damaged ({{}}); fetch or make it again"):
        for batch in file.reader.iter_batches(batch_size=ROWS, columns=columns, use_threads=False):
            total += batch.nbytes
            if total > limit:
                raise DataError(f"{file.path}: unpacks to more than {limit:,} bytes, as files made to fill disks do")
            yield from batch.to_pylist()


def _image(value: Any, otherwise: str) -> tuple[bytes | str, str]:
    """Return the bytes of a cell, or the reason why there are none; and a name."""
    raw, name = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
    shown = f"{otherwise} ({Path(str(name)).name[:100]})" if name else otherwise
    if isinstance(raw, bytes):
        return raw, shown
    return f"holds no bytes{', but the path of a file, which is not followed' if name else ''}; embed the image", shown


@dataclass(frozen=True)
class _Wrong:
    reason: str


def _named(value: Any, names: list[str] | None) -> str | _Wrong | None:
    """Return a cell as text. A code becomes its name, or blank for -1 (unlabelled)."""
    if names is None or value is None or not isinstance(value, int):
        return safety.word(value)
    if value == -1:
        return ""
    if not 0 <= value < len(names):
        return _Wrong(f"has the code {value}, but {len(names)} names need 0 to {len(names) - 1}; mend its label")
    return names[value]


def _plain(path: Path) -> str:
    """Escape a path for a message that is formatted later."""
    return str(path).replace("{", "{{").replace("}", "}}")
