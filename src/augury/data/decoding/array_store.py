"""Raw pixels in a file, all images of one size (idx, CIFAR) -> the cache, a piece at a time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from augury.data.decoding import cache as store
from augury.data.decoding import image_decoder, resize
from augury.data.decoding.load_options import Policy
from augury.data.decoding.resize import Size, resized
from augury.files import digest
from augury.images import Images

PIECE = 512
"""Most images that are in memory at once, …"""
_BYTES = 64 * 2**20
"""… and most bytes, unless one image has more."""
_LAYOUT = 1
"""Raise when the same files would give other pixels."""


def kept(
    files: Sequence[Path],
    shape: tuple[int, int, int, int],
    pieces: Callable[[], Iterable[Images]],
    policy: Policy,
    format: str,
) -> tuple[Images, str, dict[str, Any]]:
    """What `pieces()` yields (uint8 [n, C, H, W], N in all as `shape` says) at the policy's size, memory-mapped.

    `files` are what it is made from. Returns the images, their digest and notes on what was done.
    """
    n, channels, height, width = shape
    goal = resize.target([(height, width)], policy.size)
    content = [digest_of(file) for file in files]
    entry = store.place(policy.cache) / "images" / digest([_LAYOUT, format, content, shape, goal, policy.fit])
    with ThreadPoolExecutor(min(32, os.cpu_count() or 1)) as pool:
        images, about = store.recall(entry) or store.keep(
            entry, (n, channels, *goal), lambda: _fitted(pieces(), goal, policy, pool), {}
        )
    notes: dict[str, Any] = {
        "format": format,
        "pixels": "uint8, as given",
        "colour": "grey" if channels == 1 else "RGB",
        **resize.notes({f"{height}x{width}": n}, goal, policy.fit),
    }
    if "memory" in about:
        notes["cache"] = f"images are held in memory, as they could not be kept: {about['memory']}"
    return images, about["digest"], notes


def _fitted(pieces: Iterable[Images], goal: Size, policy: Policy, pool: ThreadPoolExecutor) -> Iterator[Images]:
    for piece in pieces:
        if piece.shape[2:] == goal:
            yield np.ascontiguousarray(piece)
        else:
            parts = np.array_split(piece, min(len(piece), os.cpu_count() or 1))
            yield np.concatenate(list(pool.map(lambda part: resized(part, goal, policy.fit), parts)))


def digest_of(file: Path) -> str:
    """sha256 of a file's content. Raises OSError."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def piece_of(channels: int, height: int, width: int) -> int:
    """How many images of this shape to read at once."""
    return max(1, min(PIECE, _BYTES // (channels * height * width)))


def check_sides(height: int, width: int) -> None:
    """Raises DataError when images are too large for this to be a set of images."""
    image_decoder.check_pixels(height * width)
