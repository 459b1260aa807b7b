"""TIFF files of any layout, written byte by byte from the specification (TIFF 6.0), without Augury or Pillow."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

SHORT, LONG, TEXT, SIGNED, FLOAT = 3, 4, 2, 9, 11
_CODES = {SHORT: "H", LONG: "I", SIGNED: "i", FLOAT: "f"}
_FORMATS = {"u": 1, "i": 2, "f": 3}


def tiff(
    pixels: np.ndarray,
    *,
    photometric: int = 1,
    order: str = "<",
    extra: Sequence[int] | None = None,
    extra_tags: Mapping[int, tuple[int, Any]] | None = None,
) -> bytes:
    """An uncompressed TIFF of [H, W] or [H, W, bands].

    `photometric` 0 is WhiteIsZero, 1 BlackIsZero, 2 RGB. `extra` are the ExtraSamples; `more` are further tags: number ->
    (type, values).
    """
    height, width = pixels.shape[:2]
    bands = pixels.shape[2] if pixels.ndim == 3 else 1
    raw = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    tags: dict[int, tuple[int, Any]] = {
        256: (LONG, [width]), 257: (LONG, [height]), 258: (SHORT, [pixels.dtype.itemsize * 8] * bands), 259: (SHORT, [1]),
        262: (SHORT, [photometric]), 273: (LONG, [8]), 277: (SHORT, [bands]), 278: (LONG, [height]), 279: (LONG, [len(raw)]),
        339: (SHORT, [_FORMATS[pixels.dtype.kind]] * bands), **(extra_tags or {}),
    }  # fmt: skip
    if extra is not None:
        tags[338] = (SHORT, list(extra))
    offset = 8 + len(raw)
    entries, tail = struct.pack(f"{order}H", len(tags)), b""
    for number in sorted(tags):
        kind, values = tags[number]
        value = values if kind == TEXT else b"".join(struct.pack(order + _CODES[kind], v) for v in values)
        if len(value) > 4:
            tail_at = offset + 2 + 12 * len(tags) + 4 + len(tail)
            tail, value = tail + value, struct.pack(f"{order}I", tail_at)
        entries += struct.pack(f"{order}HHI", number, kind, len(values)) + value.ljust(4, b"\0")
    byte_order = b"II*\0" if order == "<" else b"MM\0*"
    return byte_order + struct.pack(f"{order}I", offset) + raw + entries + struct.pack(f"{order}I", 0) + tail
