"""Decode once: keep images as a memory-mapped uint8 .npy, in a folder named by the digest of their sources."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from augury.data.decoding.label_encoding import pixel_digest
from augury.errors import AuguryError
from augury.files import atomic_folder, read_json, write_json
from augury.images import IN_MEMORY, Images
from augury.stored import Stored

Chunks = Callable[[], Iterable[Images]]


def place(cache: Path | None) -> Path:
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
        self.path = place(cache) / "known" / name

    def is_set(self) -> bool:
        """Whether the file exists."""
        return self.path.exists()

    def set(self) -> None:
        """Create the file."""
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch()


def recall(entry: Path) -> tuple[Images, dict[str, Any]] | None:
    """Return the images uint8 [N, C, H, W] and the metadata of `entry`, or None when they are absent or damaged.

    The images are memory-mapped, or `Stored` when they exceed IN_MEMORY bytes.
    """
    try:
        metadata = read_json(entry / "about.json")
        images = np.load(entry / "images.npy", mmap_mode="r", allow_pickle=False)
        if (
            images.dtype == np.uint8
            and images.ndim == 4
            and _digest(entry / "images.npy", images) == metadata["digest"]
        ):
            big = images.nbytes > IN_MEMORY
            stored: Any = Stored(entry / "images.npy", images.offset, images.shape) if big else images
            return stored, metadata
    except (AuguryError, OSError, ValueError, KeyError, TypeError, EOFError):
        pass
    return None


def keep(
    entry: Path, shape: tuple[int, int, int, int], chunks: Chunks, metadata: dict[str, Any]
) -> tuple[Images, dict[str, Any]]:
    """Write the images of `chunks()` and `metadata` to `entry`, and return both as `recall` does.

    Chunks are uint8 [n, C, H, W], N in all. Where the folder cannot be written, the images stay in memory, and
    metadata["memory"] gives the reason.
    """
    total = hashlib.sha256()
    try:
        with atomic_folder(entry) as folder:
            with (folder / "images.npy").open("wb") as file:
                header = {"descr": "|u1", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
                for chunk in chunks():
                    file.write(chunk.data)
                    total.update(chunk.data)
            write_json(folder / "about.json", {**metadata, "digest": total.hexdigest()})
    except (OSError, AuguryError) as error:
        other = recall(entry)  # another process may have been quicker
        if other is not None:
            return other
        images = np.concatenate(list(chunks()))
        return images, {**metadata, "digest": pixel_digest(images), "memory": str(error)}
    result = recall(entry)
    if result is None:
        images = np.concatenate(list(chunks()))
        return images, {
            **metadata,
            "digest": pixel_digest(images),
            "memory": f"{entry}: what was written reads differently",
        }
    return result


def _digest(file: Path, images: Images) -> str:
    """Return the `pixel_digest` of a mapped array.

    It is read from the file, so that its pages do not count as this process's memory.
    """
    assert isinstance(images, np.memmap)
    with file.open("rb") as stream:
        stream.seek(images.offset)
        return hashlib.file_digest(stream, "sha256").hexdigest()
