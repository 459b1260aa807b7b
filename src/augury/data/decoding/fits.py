"""FITS astronomical images: scaled between percentiles, then stretched to 8 bits."""

from __future__ import annotations

import gzip
import io
import zlib
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from augury.data.decoding import image_decoder
from augury.data.decoding.image_decoder import Header
from augury.data.decoding.load_options import LoadOptions
from augury.data.decoding.safety import FILE_LIMIT, external, extra, unpacking_limit
from augury.errors import DataError
from augury.images import Images

EXTENSIONS = tuple(name + packed for name in (".fits", ".fit", ".fts") for packed in ("", ".gz", ".fz"))
LOW, HIGH = 0.5, 99.5
"""Percentiles of the finite pixels that become black and white."""
DAMAGED = "is a damaged FITS file ({})"
_START = b"SIMPLE  ="
SOFTENING = 0.1
"""Share of the range below which asinh is nearly linear."""


def recognises(raw: bytes) -> bool:
    """Whether these bytes begin a FITS file, plain or gzipped; an .fz is a plain one that holds packed tiles."""
    if not raw.startswith(b"\x1f\x8b"):
        return raw.startswith(_START)
    with suppress(zlib.error):
        return zlib.decompressobj(31).decompress(raw[:4096], len(_START)) == _START
    return False


def header(raw: bytes, options: LoadOptions) -> Header:
    """Check the file by its headers. Raises DataError (without its name), MissingExtraError without astropy."""
    fits = extra("astropy.io.fits", "reading FITS", "astro")
    with external(DAMAGED), fits.open(io.BytesIO(_plain(raw)), memmap=False, lazy_load_hdus=True) as units:
        shape = _sides(_picture(units))
    return Header(
        size=(shape[-2], shape[-1]),
        mode="FITS",
        grey=len(shape) == 2,
        animated=False,
        rotated=False,
        tones=f"{options.stretch}, percentiles {LOW:g} to {HIGH:g}"
        + (f", softening {SOFTENING:g}" if options.stretch == "asinh" else "")
        + ", the first row at the bottom",
    )


def picture(raw: bytes, options: LoadOptions, grey: bool) -> Image.Image:
    """Decode the first image [H, W] or [3, H, W] of a FITS file to L (`grey`) or RGB in its own size; NaN becomes black.

    Raises DataError (without the file's name) when the file is damaged or has no finite pixel.
    """
    fits = extra("astropy.io.fits", "reading FITS", "astro")
    with (
        external(DAMAGED),
        np.errstate(all="ignore"),
        fits.open(io.BytesIO(_plain(raw)), memmap=False, lazy_load_hdus=True) as units,
    ):
        unit = _picture(units)
        values = np.asarray(unit.data, np.float64).reshape(_sides(unit))
    shown = stretched(values, options.stretch)[..., ::-1, :]
    flat = np.ascontiguousarray(shown if shown.ndim == 2 else shown.transpose(1, 2, 0))
    return Image.fromarray(flat).convert("L" if grey else "RGB")


def _plain(raw: bytes) -> bytes:
    """Unpack a gzipped file. Raises DataError when it is damaged or its content exceeds the limit of an image."""
    if not raw.startswith(b"\x1f\x8b"):
        return raw
    limit = min(unpacking_limit(len(raw)), FILE_LIMIT)
    with external("is a damaged gzip file ({})"), gzip.open(io.BytesIO(raw)) as file:
        plain = file.read(limit + 1)
    if len(plain) > limit:
        raise DataError(f"unpacks to more than {limit:,} bytes; save it unpacked if you trust it")
    return plain


def stretched(values: npt.NDArray[np.float64], how: str) -> Images:
    """Scale any range to uint8, linearly between percentiles.

    With `how` "asinh", asinh(x / a) / asinh(1 / a) follows (Lupton et al. 2004).
    """
    finite = np.isfinite(values)
    if not finite.any():
        raise DataError("has no pixel that is a number")
    values = values / max(float(np.abs(values[finite]).max()), 1e-30)  # so that no difference overflows
    low, high = np.percentile(values[finite], (LOW, HIGH))
    share = np.clip((np.where(finite, values, low) - low) / max(float(high - low), 1e-30), 0, 1)
    if how == "asinh":
        share = np.arcsinh(share / SOFTENING) / np.arcsinh(1 / SOFTENING)
    return np.asarray(np.rint(share * 255).astype(np.uint8))


def _picture(units: Any) -> Any:
    """Return the first unit with an image. Raises DataError when there is none."""
    for unit in units:
        if unit.is_image and len(unit.shape) >= 2:
            return unit
    raise DataError("holds no picture (tables and spectra only); leave it out")


def _sides(unit: Any) -> tuple[int, ...]:
    """Return (H, W) or (3, H, W), without axes of length 1. Raises DataError for cubes and for too many pixels."""
    shape = tuple(int(side) for side in unit.shape)
    sides = (*(side for side in shape[:-2] if side != 1), *shape[-2:])
    if min(shape) < 1 or len(sides) > 3 or (len(sides) == 3 and sides[0] != 3):
        raise DataError(f"has a picture of shape {list(shape)}; save one plane, or three as colours")
    image_decoder.check_pixels(sides[-2] * sides[-1])
    return sides
