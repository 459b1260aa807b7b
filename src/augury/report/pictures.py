"""Strips of small images as PNG data URIs, within a byte budget for the whole page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from augury.images import Images

SIDES = (96, 64, 48, 32, 24, 16)
"""Longest sides of a thumbnail in px, tried in this order until the pictures fit the budget."""
GAP = 1 / 16
"""Gap between two images of a strip, as a share of their width."""


@dataclass(frozen=True)
class Strip:
    """Images side by side in one PNG: `count` images of `width` × `height` px; `pixelated` when they are small."""

    uri: str
    alt: str
    count: int
    width: int
    height: int

    @property
    def pixelated(self) -> bool:
        """Whether to enlarge with square pixels instead of blur."""
        return max(self.width, self.height) <= 64


StripInput = tuple[Images, str]
"""Images uint8 [n, C, H, W], n at least 1, and their alternative text."""


def strips(inputs: Sequence[StripInput], budget: int) -> list[Strip]:
    """One strip per input, in the largest size of SIDES at which all data URIs together fit in `budget` bytes.

    Where even the smallest size does not fit, the last strips are left out.
    """
    fitting: list[Strip] = []
    for side in SIDES:
        fitting = _within(_drawn_strips(inputs, side), budget)
        if len(fitting) == len(inputs):
            break
    return fitting


def _within(candidates: Iterator[Strip], budget: int) -> list[Strip]:
    """The first of `candidates` whose data URIs together fit in `budget` bytes."""
    fitting, spent = [], 0
    for strip in candidates:
        spent += len(strip.uri)
        if spent > budget:
            break
        fitting.append(strip)
    return fitting


def _drawn_strips(inputs: Sequence[StripInput], side: int) -> Iterator[Strip]:
    for images, alt in inputs:
        height, width = images.shape[2:]
        scale = min(1.0, side / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        yield Strip(_uri(images, size), alt, len(images), *size)


def _uri(images: Images, size: tuple[int, int]) -> str:
    """One PNG of `images` at `size` (width, height) from left to right, with transparent gaps, as a data URI."""
    from PIL import Image

    mode = "LA" if images.shape[1] == 1 else "RGBA"
    gap = max(1, round(size[0] * GAP))
    sheet = Image.new(mode, (len(images) * (size[0] + gap) - gap, size[1]))
    for index, image in enumerate(np.asarray(images)):
        picture = Image.fromarray(np.ascontiguousarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)))
        if picture.size != size:
            picture = picture.resize(size, Image.Resampling.LANCZOS)
        sheet.paste(picture.convert(mode), (index * (size[0] + gap), 0))
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
