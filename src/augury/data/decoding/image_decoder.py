"""Decode one encoded image to uint8 pixels under one colour rule.

The header is checked before anything large is decoded.
"""

from __future__ import annotations

import importlib
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, features

from augury.data.decoding.resize import Fit, Size, fitted
from augury.errors import DataError
from augury.images import Images

AVIF = (".avif", ".avifs")
EXTENSIONS = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif")
    + (".ppm", ".pgm", ".pbm", ".pnm")
    + (AVIF if features.check("avif") else ())
)
PIXEL_LIMIT = 64_000_000
"""An image whose header declares more pixels is refused before decoding."""
_ORIENTATION = 0x0112
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


@dataclass(frozen=True)
class Header:
    """What a file declares about its image.

    Parameters
    ----------
    size
        (height, width) after EXIF rotation.
    mode
        Pillow's mode.
    grey
        Whether the image has no colour.
    animated
        Whether it has several frames.
    rotated
        Whether EXIF rotates it.
    group
        The patient, where the format names one.
    tones
        How brightness is mapped to 0..255, where that is a choice.
    """

    size: Size
    mode: str
    grey: bool
    animated: bool
    rotated: bool
    group: str = ""
    tones: str = ""


@cache
def _formats() -> tuple[str, ...]:
    """The allowed decoders. A file is recognised by its content, and no other plugin (EPS, PSD…) reads it."""
    Image.preinit()
    for plugin in ("TiffImagePlugin", "WebPImagePlugin", "AvifImagePlugin"):
        with suppress(ImportError):  # older versions of Pillow have no AVIF; importing registers a plugin
            importlib.import_module(f"PIL.{plugin}")
    known = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "PPM", "AVIF")
    return tuple(name for name in known if name in Image.OPEN)


def recognises(raw: bytes) -> bool:
    """Whether these bytes begin like an image that can be decoded; for files whose name does not say what they are."""
    if raw[4:12] in (b"ftypavif", b"ftypavis"):
        return bool(EXTENSIONS.intersection(AVIF))
    if raw[:2] == b"BM":  # followed by the length of a header that exists
        return int.from_bytes(raw[14:18], "little") in (12, 40, 52, 56, 64, 108, 124)
    riff = raw[:4] == b"RIFF" and raw[8:12] == b"WEBP"
    return riff or bool(re.match(rb"P[4-6]\s+[\d#]", raw)) or raw.startswith(_SIGNATURES)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Pillow's own bomb warning and other warnings of decoders; the filters are restored afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", module=r"(PIL|pydicom|astropy)\.")
        yield


def header(raw: bytes) -> Header:
    """Check an encoded image by its header alone.

    Raises DataError (without the file's name, which the caller knows) when it is empty, not an image, or above
    PIXEL_LIMIT.
    """
    image = _opened(raw)
    turned = _orientation(image)
    width, height = image.size
    return Header(
        size=(width, height) if turned >= 5 else (height, width),
        mode=image.mode,
        grey=_is_grey(image),
        animated=bool(getattr(image, "is_animated", False)) and image.format != "MPO",
        rotated=turned > 1,
    )


def pixels(raw: bytes, size: Size, fit: Fit, grey: bool) -> Images:
    """Decode an image to uint8 [1 or 3, H, W] of `size`, upright, with transparency put on white.

    Raises DataError (without the file's name) when it is damaged or its brightness range is undefined.
    """
    image = _opened(raw)
    try:
        image.load()
    except Exception as error:  # Pillow's plugins raise anything at all on damaged files
        raise DataError(f"cannot be decoded ({_reason(error)})") from error
    return planes(_flat(image, grey), size, fit)


def planes(image: Image.Image, size: Size, fit: Fit) -> Images:
    """Resize an L or RGB image and return it as uint8 [1 or 3, H, W] of `size`."""
    array = np.asarray(fitted(image, size, fit))
    return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))


def _opened(raw: bytes) -> Image.Image:
    if not raw:
        raise DataError("is empty (0 bytes)")
    try:
        image = Image.open(io.BytesIO(raw), formats=_formats())
    except Image.DecompressionBombError as error:
        match = re.search(r"(\d{6,}) pixels", str(error))
        raise DataError(_too_large(int(match[1]) if match else None)) from error
    except UnidentifiedImageError as error:
        if raw[4:8] == b"ftyp" and raw[8:12] in _HEIC:
            raise DataError("is an HEIC image, which is not read; convert it to JPEG or PNG") from error
        raise DataError(f"is damaged, or not an image of a known kind (it begins with {raw[:12]!r})") from error
    except Exception as error:  # Pillow's plugins raise anything at all on damaged files
        raise DataError(f"has a damaged header ({_reason(error)})") from error
    check_pixels(image.size[0] * image.size[1])
    return image


def check_pixels(count: int) -> None:
    """Raise DataError when an image declares more than PIXEL_LIMIT pixels."""
    if count > PIXEL_LIMIT:
        raise DataError(_too_large(count))


def _too_large(count: int | None) -> str:
    declared = "too many" if count is None else f"{count:,}"
    return f"declares {declared} pixels, but at most {PIXEL_LIMIT:,} are decoded"


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _orientation(image: Image.Image) -> int:
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # Pillow would decode the whole image to answer; `_flat` still applies a late eXIf chunk
    try:
        turned = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF does not make the image unusable
        return 1
    return turned if isinstance(turned, int) and 1 <= turned <= 8 else 1


def _is_grey(image: Image.Image) -> bool:
    if image.mode == "P":
        entries = np.array(image.getpalette("RGB") or [0, 0, 0], np.uint8).reshape(-1, 3)
        return bool((entries == entries[:, :1]).all())
    return image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I")


def _flat(image: Image.Image, grey: bool) -> Image.Image:
    """Convert a loaded image to upright L (`grey`) or RGB, with alpha on white and 16 bits scaled by 1/257."""
    try:
        image = ImageOps.exif_transpose(image)
    except Exception as error:
        if _orientation(image) > 1:
            raise DataError(f"has EXIF data that cannot be applied ({_reason(error)})") from error
    if image.mode == "F":
        raise DataError("has floating-point pixels, whose white is unknown; save it with 8 or 16 bits a channel")
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise DataError(f"has 32-bit pixels from {values.min()} to {values.max()}; save it with 8 or 16 bits")
        image = Image.fromarray(np.round(values / 257).astype(np.uint8))
    elif image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        image = white
    try:
        return image.convert("L" if grey else "RGB")
    except ValueError as error:
        raise DataError(f"has the colour mode {image.mode}, which cannot be turned to RGB; save it as RGB") from error
