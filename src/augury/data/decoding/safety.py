"""Checks for untrusted paths, sizes and archives."""

from __future__ import annotations

import bz2
import gzip
import importlib
import lzma
import os
import re
import stat
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import IO, Any, cast

from augury.errors import AuguryError, DataError, MissingExtraError

FILE_LIMIT = 512 * 2**20
"""Most bytes that one encoded image may have."""
FREE, RATIO = 64 * 2**20, 200
"""A packed file may unpack to FREE bytes plus RATIO times its own size."""
_SIMPLE = re.compile(r"\w[\w.+=@-]*(?:/\w[\w.+=@-]*)*", re.ASCII).fullmatch
"""Recognises the usual relative path, to which no rule objects."""
UNPACKING_ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError)


def safe_parts(name: str) -> tuple[str, ...]:
    """Divide a relative path from a table or an archive into its components.

    Raises DataError (without the name) for any other path.
    """
    if _SIMPLE(name):
        return tuple(name.split("/"))
    if "\0" in name or not name.strip():
        raise DataError("is not the name of a file")
    parts = tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))
    if name[:1] in "/\\" or re.match(r"[A-Za-z]:[/\\]", name):
        raise DataError("is an absolute path, which is not followed; write it relative to the folder of images")
    if ".." in parts:
        raise DataError("has '..' in its path, which is not followed; write it relative to the folder of images")
    if not parts:
        raise DataError("is not the name of a file")
    return parts


def is_within(real: str, folders: Sequence[str]) -> bool:
    """Whether a path without links is one of `folders` or lies below one."""
    return any(real == folder or real.startswith(folder.rstrip(os.sep) + os.sep) for folder in folders)


def fence(root: Path, follow_links: Path | None = None) -> Callable[[tuple[str, ...]], Path]:
    """Return a function that maps path components to the path below `root`.

    It raises DataError when links on the way lead out of `root` and `follow_links`.
    """
    realpath = lru_cache(maxsize=4096)(os.path.realpath)
    allowed = [os.path.realpath(folder) for folder in (root, follow_links) if folder is not None]

    def inside(parts: tuple[str, ...]) -> Path:
        path = root.joinpath(*parts)
        real = os.path.join(realpath(path.parent), path.name)  # noqa: PTH118 (a million files; folders are few)
        if os.path.islink(real):  # noqa: PTH114
            real = os.path.realpath(real)
        if not is_within(real, allowed):
            raise DataError(
                "leads outside the folder of images; copy the file into it, or allow links into the folder where it lies with "
                "--follow-links FOLDER (follow_links=)"
            )
        return path

    return inside


def file_bytes(path: Path) -> bytes:
    """Read a regular file of at most FILE_LIMIT bytes. Raises OSError; DataError without the file's name."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise DataError("is not a plain file; put the image itself there")
        check_length(status.st_size)
        return file.read(FILE_LIMIT + 1)


def check_length(count: int) -> None:
    """Raise DataError when an encoded image of `count` bytes exceeds FILE_LIMIT."""
    if count > FILE_LIMIT:
        raise DataError(f"has {count:,} bytes, but an image may have {FILE_LIMIT:,} at most; save it smaller")


def head(path: Path, count: int = 512) -> bytes:
    """Return the first bytes of a regular file, or none when it cannot be read."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(count)
    except OSError:
        return b""


def unpacking_limit(packed: int) -> int:
    """Return how many bytes a packed file of `packed` bytes may unpack to."""
    return FREE + RATIO * packed


def opened(path: Path) -> IO[bytes]:
    """Open a plain, gzip, bzip2 or xz file, recognised by its first bytes, as a stream of its content.

    Raises OSError.
    """
    first = head(path, 6)
    if first[:2] == b"\x1f\x8b":
        return cast(IO[bytes], gzip.open(path, "rb"))
    if first[:3] == b"BZh":
        return bz2.open(path, "rb")
    if first == b"\xfd7zXZ\0":
        return lzma.open(path, "rb")
    return path.open("rb")


def unpacked(path: Path, piece: int = 2**20) -> Iterator[bytes]:
    """Yield the content of `opened` in pieces.

    Raises DataError when the file is damaged or its content exceeds `unpacking_limit`.
    """
    limit, total = unpacking_limit(path.stat().st_size), 0
    try:
        with opened(path) as stream:
            while raw := stream.read(piece):
                total += len(raw)
                if total > limit:
                    raise DataError(
                        f"{path}: unpacks to more than {limit:,} bytes, {RATIO} times its own size, as an archive made "
                        "to fill disks does; unpack it yourself if you trust it"
                    )
                yield raw
    except UNPACKING_ERRORS as error:
        raise DataError(f"{path}: damaged, cannot be unpacked ({error}); fetch or make it again") from error


@contextmanager
def external(complaint: str) -> Iterator[None]:
    """Turn any exception of the block, except Augury's own, into a DataError.

    Other packages raise arbitrary exceptions on damaged files.
    """
    try:
        yield
    except AuguryError:
        raise
    except Exception as error:
        message = " ".join(str(error).split())[:300] or type(error).__name__
        raise DataError(complaint.format(message)) from error


def extra(module: str, purpose: str, name: str) -> ModuleType:
    """Import the optional package `module`. Raises MissingExtraError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingExtraError(
            f"{purpose} needs the package {package}; install it with: pip install 'augury[{name}]'"
        ) from error


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object; the `object_pairs_hook` of `json.loads`.

    Raises DataError (without the file's name) when a key occurs twice. JSON itself would keep the last value.
    """
    entries: dict[str, Any] = {}
    for key, value in pairs:
        if key in entries:
            raise DataError(f"tells '{key[:40]}' twice in one JSON object; keep one")
        entries[key] = value
    return entries


def word(value: Any) -> str | None:
    """Return a scalar from a table or JSON as text: "" for None, and None for lists and other types."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, bool | int | float | str):
        return sys.intern(str(value).strip()) if not isinstance(value, str) or len(value) < 40 else value.strip()
    return None
