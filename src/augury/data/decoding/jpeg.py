"""Read baseline JPEG files without Pillow's overhead: the header in Python, the pixels with simplejpeg where it is installed.

Only files whose pixels cannot differ from Pillow's are read here. Every other file, and every file on which simplejpeg fails or
warns, is left to Pillow, so that errors, limits and pixels are the same with and without simplejpeg.
"""

from __future__ import annotations

import io
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

_START, _BASELINE, _SCAN, _COMMENT, _JFIF = 0xD8, 0xC0, 0xDA, 0xFE, 0xE0
_TABLES = (0xDB, 0xC4, 0xDD)
"""Quantisation tables, Huffman tables, restart interval."""
_METADATA = (0xE1, 0xE2, 0xED)
"""EXIF and XMP; colour profiles and the index of a multi-picture file; IPTC."""
_SAMPLINGS = {1: (b"\x11",), 3: (b"\x11\x11\x11", b"\x21\x11\x11", b"\x22\x11\x11")}
"""Number of components -> sampling factors (4:4:4, 4:2:2, 4:2:0) that all versions of libjpeg-turbo upsample alike."""
_COMPONENTS = {1: (b"\0", b"\1"), 3: (b"\1\2\3",)}


class Frame(NamedTuple):
    """The frame of a baseline JPEG; `plain` files have no metadata that can change how the image is read."""

    height: int
    width: int
    components: int
    plain: bool


def frame(raw: bytes) -> Frame | None:
    """Parse the header of a baseline JPEG of 8 bits, grey or YCbCr. None for any other file."""
    if raw[:2] != b"\xff\xd8":
        return None
    position, end, found, plain, tables = 2, len(raw) - 4, None, True, set()
    while position < end and raw[position] == 0xFF:
        marker = raw[position + 1]
        length = raw[position + 2] << 8 | raw[position + 3]
        if marker == _SCAN:
            return None if found is None or not tables.issuperset(_TABLES[:2]) else found._replace(plain=plain)
        if marker == _BASELINE:
            if found is not None:
                return None
            found = _baseline(raw[position + 4 : position + 2 + length])
            if found is None:
                return None
        elif marker in _TABLES:
            tables.add(marker)
        elif marker in _METADATA:
            plain = False
        elif marker not in (_JFIF, _COMMENT):
            return None
        position += 2 + length
    return None


def _baseline(segment: bytes) -> Frame | None:
    if len(segment) < 6 or segment[0] != 8:
        return None
    height, width, components = segment[1] << 8 | segment[2], segment[3] << 8 | segment[4], segment[5]
    usual = segment[7::3] in _SAMPLINGS.get(components, ()) and segment[6::3] in _COMPONENTS[components]
    return Frame(height, width, components, True) if usual and height and width else None


def pixels(raw: bytes) -> npt.NDArray[np.uint8] | None:
    """Decode a file with a `frame` to uint8 [H, W, 1 or 3], as Pillow does; None where it must be left to Pillow."""
    module = _simplejpeg()
    if module is None:
        return None
    known = frame(raw)
    return None if known is None else _decoded(module, raw, known.components)


def _decoded(module: ModuleType, raw: bytes, components: int) -> npt.NDArray[np.uint8] | None:
    try:
        array: npt.NDArray[np.uint8] = module.decode_jpeg(raw, "GRAY" if components == 1 else "RGB")
    except (ValueError, RuntimeError, MemoryError):  # also raised for what libjpeg only warns of
        return None
    return array


@cache
def _simplejpeg() -> Any:
    """Return the module where it is installed and decodes a sample of each sampling to Pillow's pixels; None otherwise."""
    try:
        import simplejpeg
    except ImportError:
        return None
    noise = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    sample = Image.fromarray(noise).resize((37, 29), Image.Resampling.BICUBIC)
    for image, subsampling in ((sample.convert("L"), 0), (sample, 0), (sample, 1), (sample, 2)):
        file = io.BytesIO()
        image.save(file, "JPEG", quality=90, subsampling=subsampling)
        known = frame(file.getvalue())
        mine = None if known is None else _decoded(simplejpeg, file.getvalue(), known.components)
        if mine is None or not np.array_equal(mine.squeeze(), np.asarray(Image.open(file))):
            return None
    return simplejpeg
