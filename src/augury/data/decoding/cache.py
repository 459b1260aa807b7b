"""Decode once: images kept as a memory-mapped uint8 .npy, in a folder named by what they were made from."""

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
from augury.images import IN_MEMORY, Images, Stored

Chunks = Callable[[], Iterable[Images]]


def place(given: Path | None) -> Path:
    """`given`, else the environment's AUGURY_CACHE, else augury in the user's cache folder."""
    if given is not None:
        return Path(given)
    if chosen := os.environ.get("AUGURY_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "augury"


class Mark:
    """A file of no content that says that something was done before; where it cannot be written, it is not."""

    def __init__(self, cache: Path | None, name: str) -> None:
        self.path = place(cache) / "known" / name

    def is_set(self) -> bool:
        """Whether it is there."""
        return self.path.exists()

    def set(self) -> None:
        """Put it there."""
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch()


def recall(entry: Path) -> tuple[Images, dict[str, Any]] | None:
    """The images uint8 [N, C, H, W] (memory-mapped, or `Stored` when they are many) and facts kept in `entry`; None when absent or damaged."""
    try:
        about = read_json(entry / "about.json")
        images = np.load(entry / "images.npy", mmap_mode="r", allow_pickle=False)
        if images.dtype == np.uint8 and images.ndim == 4 and _digest(entry / "images.npy", images) == about["digest"]:
            big = images.nbytes > IN_MEMORY
            kept: Any = Stored(entry / "images.npy", images.offset, images.shape) if big else images
            return kept, about
    except (AuguryError, OSError, ValueError, KeyError, TypeError, EOFError):
        pass
    return None


def keep(
    entry: Path, shape: tuple[int, int, int, int], chunks: Chunks, about: dict[str, Any]
) -> tuple[Images, dict[str, Any]]:
    """Write what `chunks()` yields (uint8 [n, C, H, W], N in all) and `about` to `entry`; return both as `recall` does.

    Where the folder cannot be written the images stay in memory, and about["memory"] says why.
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
            write_json(folder / "about.json", {**about, "digest": total.hexdigest()})
    except (OSError, AuguryError) as error:
        other = recall(entry)  # another process may have been quicker
        if other is not None:
            return other
        images = np.concatenate(list(chunks()))
        return images, {**about, "digest": pixel_digest(images), "memory": str(error)}
    kept = recall(entry)
    if kept is None:
        images = np.concatenate(list(chunks()))
        return images, {
            **about,
            "digest": pixel_digest(images),
            "memory": f"{entry}: what was written reads differently",
        }
    return kept


def _digest(file: Path, images: Images) -> str:
    """`pixel_digest` of a mapped array, read from its file instead, so that its pages do not count as ours."""
    assert isinstance(images, np.memmap)
    with file.open("rb") as stream:
        stream.seek(images.offset)
        return hashlib.file_digest(stream, "sha256").hexdigest()
