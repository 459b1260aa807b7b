"""Copy raw pixels of one size (idx, CIFAR) from files into the cache, one piece at a time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from augury.data.decoding import cache, image_decoder, resize
from augury.data.decoding.load_options import LoadOptions
from augury.data.decoding.resize import Size, previewed, resized
from augury.files import digest
from augury.images import Images

PIECE = 512
"""Most images in memory at once."""
_BYTES = 64 * 2**20
"""Most bytes in memory at once, unless a single image has more."""
_LAYOUT = 2
"""Version of this conversion. Increase it when the same files would give other pixels."""


def cached(
    files: Sequence[Path],
    shape: tuple[int, int, int, int],
    pieces: Callable[[], Iterable[Images]],
    options: LoadOptions,
    format: str,
) -> tuple[cache.Entry, dict[str, Any]]:
    """Resize the images that `pieces()` yields and return them memory-mapped from the cache.

    Parameters
    ----------
    files
        The files that hold the images; their content identifies the cache entry.
    shape
        (N, C, H, W) of all pieces together.
    pieces
        Yields uint8 [n, C, H, W].

    Returns
    -------
    (entry, notes)
        Images uint8 [N, C, h, w] with their previews and digest, and notes on what was done.
    """
    n, channels, height, width = shape
    goal = resize.target([(height, width)], options.size)
    preview = resize.preview_size([(height, width)], goal)
    content = [digest_of(file) for file in files]
    path = cache.cache_folder(options.cache) / "images" / digest([_LAYOUT, format, content, shape, goal, options.fit])
    previews = (n, 1, *preview) if preview else None
    with ThreadPoolExecutor(min(32, os.cpu_count() or 1)) as pool:
        entry = cache.recall(path) or cache.store(
            path, (n, channels, *goal), lambda: _fitted(pieces(), goal, preview, options, pool), {}, previews
        )
    notes: dict[str, Any] = {
        "format": format,
        "pixels": "uint8, as given",
        "colour": "grey" if channels == 1 else "RGB",
        **resize.notes({f"{height}x{width}": n}, goal, options.fit),
    }
    if "memory" in entry.metadata:
        notes["cache"] = f"images are held in memory, as they could not be kept: {entry.metadata['memory']}"
    return entry, notes


def _fitted(
    pieces: Iterable[Images], goal: Size, preview: Size | None, options: LoadOptions, pool: ThreadPoolExecutor
) -> Iterator[cache.Chunk]:
    for piece in pieces:
        parts = np.array_split(piece, min(len(piece), os.cpu_count() or 1))
        images = np.concatenate(list(pool.map(lambda part: resized(part, goal, options.fit), parts)))
        previews = [] if preview is None else pool.map(lambda part: previewed(part, preview, options.fit), parts)
        small = list(previews)
        yield np.ascontiguousarray(images), np.concatenate(small) if small else None


def digest_of(file: Path) -> str:
    """Return the sha256 of a file's content. Raises OSError."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def piece_of(channels: int, height: int, width: int) -> int:
    """Return how many images of this shape to read at once."""
    return max(1, min(PIECE, _BYTES // (channels * height * width)))


def check_sides(height: int, width: int) -> None:
    """Raise DataError when images of this size have too many pixels."""
    image_decoder.check_pixels(height * width)
