"""Decode once: keep images and previews as memory-mapped uint8 .npy, in a folder named by the digest of their sources."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from augury.data.decoding.label_encoding import pixel_digest
from augury.errors import AuguryError
from augury.files import atomic_folder, read_json, write_json
from augury.images import IN_MEMORY, Images
from augury.stored import Stored

Shape = tuple[int, int, int, int]
Chunk = tuple[Images, Images | None]
"""Some images uint8 [n, C, H, W], and their previews uint8 [n, 1, h, w] where the cache entry has previews.

Both are valid until the next chunk is taken.
"""
Chunks = Callable[[], Iterable[Chunk]]


@dataclass(frozen=True)
class Entry:
    """Decoded images uint8 [N, C, H, W], previews uint8 [N, 1, h, w] or None, and metadata."""

    images: Images
    previews: Images | None
    metadata: dict[str, Any]


def cache_folder(cache: Path | None) -> Path:
    """Return the cache folder.

    It is `cache`, else AUGURY_CACHE of the environment, else augury in the user's cache folder.
    """
    if cache is not None:
        return Path(cache)
    if chosen := os.environ.get("AUGURY_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "augury"


class Mark:
    """Empty marker file that records that something was done before; failure to write it is ignored."""

    def __init__(self, cache: Path | None, name: str) -> None:
        self.path = cache_folder(cache) / "known" / name

    def is_set(self) -> bool:
        """Whether the file exists."""
        return self.path.exists()

    def set(self) -> None:
        """Create the file."""
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch()


def recall(entry: Path, *, verify: bool = True) -> Entry | None:
    """Return what is stored in `entry`, or None when it is absent or damaged.

    Images and previews are memory-mapped, or `Stored` when they exceed IN_MEMORY bytes. With `verify`, their digests are
    checked, which reads all of them.
    """
    try:
        metadata = read_json(entry / "about.json")
        has_previews = metadata["previews_digest"] is not None
        images = _mapped(entry / "images.npy", metadata["digest"] if verify else None)
        previews = (
            _mapped(entry / "previews.npy", metadata["previews_digest"] if verify else None) if has_previews else None
        )
        if images is not None and (previews is not None) == has_previews:
            return Entry(images, previews, metadata)
    except (AuguryError, OSError, ValueError, KeyError, TypeError, EOFError):
        pass
    return None


def store(entry: Path, shape: Shape, chunks: Chunks, metadata: dict[str, Any], previews: Shape | None = None) -> Entry:
    """Write the images and previews of `chunks()` and `metadata` to `entry`, and return them as `recall` does.

    `shape` and `previews` are the shapes of all chunks together. Where the folder cannot be written, images and previews
    stay in memory, and metadata["memory"] gives the reason.
    """
    try:
        with atomic_folder(entry) as folder:
            digests = _written(folder, shape, chunks, previews)
            write_json(folder / "about.json", {**metadata, **digests})
    except (OSError, AuguryError) as error:
        other = recall(entry)  # another process may have been quicker
        return other or _in_memory(chunks, metadata, str(error))
    return recall(entry, verify=False) or _in_memory(chunks, metadata, f"{entry}: what was written reads differently")


def _written(folder: Path, shape: Shape, chunks: Chunks, previews: Shape | None) -> dict[str, str | None]:
    """Write images.npy, and previews.npy where they have a shape; return the digests of their pixels."""
    total, small = hashlib.sha256(), hashlib.sha256()
    with ExitStack() as stack:
        file = stack.enter_context(_npy(folder / "images.npy", shape))
        other = stack.enter_context(_npy(folder / "previews.npy", previews)) if previews else None
        for images, pictures in chunks():
            file.write(images.data)
            total.update(images.data)
            if other is not None and pictures is not None:
                other.write(pictures.data)
                small.update(pictures.data)
    return {"digest": total.hexdigest(), "previews_digest": small.hexdigest() if previews else None}


def _npy(path: Path, shape: Shape) -> IO[bytes]:
    """Open a new .npy file of uint8 behind its header."""
    file = path.open("wb")
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file


def _in_memory(chunks: Chunks, metadata: dict[str, Any], reason: str) -> Entry:
    pairs = [(piece.copy(), None if small is None else small.copy()) for piece, small in chunks()]
    images = np.concatenate([piece for piece, _ in pairs])
    previews = [pictures for _, pictures in pairs if pictures is not None]
    metadata = {**metadata, "digest": pixel_digest(images), "previews_digest": None, "memory": reason}
    return Entry(images, np.concatenate(previews) if previews else None, metadata)


def _mapped(path: Path, digest: str | None) -> Any:
    """Return the images of a .npy file, or None when they are not uint8 [N, C, H, W] with this digest, if one is given."""
    images = np.load(path, mmap_mode="r", allow_pickle=False)
    if images.dtype != np.uint8 or images.ndim != 4 or (digest is not None and _digest(path, images) != digest):
        return None
    return Stored(path, images.offset, images.shape) if images.nbytes > IN_MEMORY else images


def _digest(file: Path, images: Images) -> str:
    """Return the `pixel_digest` of a mapped array.

    It is read from the file, so that its pages do not count as this process's memory.
    """
    assert isinstance(images, np.memmap)
    with file.open("rb") as stream:
        stream.seek(images.offset)
        return hashlib.file_digest(stream, "sha256").hexdigest()
