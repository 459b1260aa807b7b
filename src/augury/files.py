"""Atomic writes: a reader sees the old file or the new one, never a partial one."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import tokenize
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from augury.errors import RunFolderError, SettingsError

FILE_ENDINGS = frozenset(
    ("npz", "tar", "parquet", "csv", "tsv", "json", "jsonl", "yaml", "yml", "txt", "xlsx", "html", "zip", "gz", "tgz", "bz2", "xz", "zst",
     "7z", "rar", "npy", "h5", "hdf5", "mat", "pt", "pth", "pkl", "arrow", "feather", "safetensors", "png", "jpg", "jpeg", "webp", "tif",
     "tiff")
)  # fmt: skip
"""Endings that a user expects of a file, so that no folder is given such a name."""

MOST_FLUSHED = 200
"""A folder of more files is written to the disk by one call for the whole system."""

DAMAGE = (
    KeyError, TypeError, ValueError, AttributeError, IndexError, EOFError, OverflowError, MemoryError, SyntaxError, tokenize.TokenError
)  # fmt: skip
"""What reading a damaged JSON or NumPy file raises."""


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """Turn errors of reading a damaged or edited file into a RunFolderError with a remedy."""
    try:
        yield
    except DAMAGE as error:
        raise RunFolderError(
            f"{file}: damaged, or written by another version ({type(error).__name__}: {error}); restore it from a copy, or delete it and "
            "run the same command again"
        ) from error


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn errors of the operating system while writing `path` into RunFolderErrors with a remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunFolderError(
                f"{path}: the disk is full; free some space (or choose another folder with -o) and run the same "
                "command again: finished stages are kept"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise RunFolderError(
                f"{path}: no permission to write here; choose another folder with -o or change its owner"
            ) from error
        if error.errno == errno.ENAMETOOLONG:
            raise RunFolderError(f"{str(path)[:80]}…: this name is too long; choose another place with -o") from error
        if isinstance(error, FileNotFoundError):
            raise RunFolderError(
                f"{path}: nothing can be made here, or a file that is needed has been removed ({error.strerror}: "
                f"{error.filename or path}); choose another place with -o"
            ) from error
        if isinstance(error, IsADirectoryError):
            raise RunFolderError(f"{path}: this is a folder; name a file in it, as {path / 'NAME'}") from error
        if isinstance(error, FileExistsError | NotADirectoryError):
            raise RunFolderError(
                f"{path}: a file is in the way of this folder; choose another folder with -o"
            ) from error
        raise


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary sibling of `path` to write to; it is renamed to `path` only when the block ends without an error."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Like `atomic_path` for a folder: an existing one is replaced when the block ends without an error."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
        temporary.chmod(0o755)
        try:
            yield temporary
            _flush(temporary)
            if path.exists():
                old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
                path.replace(old / "old")
                temporary.replace(path)
                shutil.rmtree(old, ignore_errors=True)
            else:
                temporary.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _flush(folder: Path) -> None:
    """Have the system write the files of a folder to the disk, so that a loss of power leaves none of them empty."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    if len(files) > MOST_FLUSHED:
        os.sync()
        return
    for file in files:
        with file.open("rb") as written:
            os.fsync(written.fileno())


def refuse_within(output: Path, data: Path) -> None:
    """Raises RunFolderError when `output` lies in the folder of the data, equals it, or contains it.

    Writing there would change the data, or the output would be read with them the next time.
    """
    output_path, data_path = output.resolve(), data.resolve()
    if (
        output_path == data_path
        or output_path in data_path.parents
        or (data_path.is_dir() and data_path in output_path.parents)
    ):
        raise RunFolderError(
            f"{output}: lies where the data are read from ({data}), which nothing may change; choose another place with -o"
        )


def without_endings(path: Path) -> Path:
    """The path without the endings of a file: e for e.csv.gz."""
    while path.suffix.lower().removeprefix(".") in FILE_ENDINGS:
        path = path.with_suffix("")
    return path


def check_folder_name(path: Path, alternative: str = "") -> None:
    """Raise SettingsError for the path of a new folder that ends as a file does; `alternative` completes the remedy."""
    if (folder := without_endings(path)) != path:
        raise SettingsError(
            f"{path}: this would be a folder, but its name ends as that of a file; choose a name without ending, as -o "
            f"{folder}{alternative}"
        )


def sweep(folder: Path) -> None:
    """Remove files that a killed process left half-written in `folder` (call it only while holding the folder's lock)."""
    for leftover in folder.rglob(".*.part"):
        remove(leftover)


def remove(path: Path) -> None:
    """Remove a file, or a folder with its contents, if it exists."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically. NaN and infinity raise ValueError, as JSON has neither."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object per line, atomically."""
    write_text(path, "".join(json.dumps(row, allow_nan=False, ensure_ascii=False) + "\n" for row in rows))


def append_line(path: Path, row: dict[str, Any]) -> None:
    """Add one JSON object to a file that `read_lines` reads; a process that is killed meanwhile leaves a partial last line."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file written by Augury; a damaged one raises RunFolderError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise RunFolderError(
            f"{path}: cannot be read as JSON ({error}); delete it and run the command again"
        ) from error


def read_lines(path: Path, remedy: str = "restore the file from a copy, or remove this line") -> list[dict[str, Any]]:
    """Read one JSON object per line.

    A damaged last line without its line break is skipped, as a killed process leaves it. Any other damaged line raises
    RunFolderError, which ends in `remedy`, so that no row is lost silently.
    """
    *lines, unfinished = path.read_text(encoding="utf-8").split("\n")
    rows = []
    for number, line in enumerate([*lines, *([unfinished] if unfinished else [])], 1):
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"a {type(row).__name__}")
        except ValueError as error:
            if number > len(lines):
                break
            raise RunFolderError(
                f"{path}: line {number:,} of {len(lines):,} is not a JSON object ({error}); {remedy}"
            ) from error
        rows.append(row)
    return rows


def digest(value: Any) -> str:
    """A hash of any JSON value, 16 hex digits; equal content gives an equal hash."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
