"""Grey images of more than 16 bits, of signed or of floating-point pixels: their values, and the range that is black to white."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin

from augury.data.decoding.pixel_range import Range, to_bytes
from augury.errors import DataError
from augury.images import Images

_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT, _GDAL_NODATA = 258, 262, 339, 42113
_DECLARED = ((340, 341), (280, 281))
"""Tags of the least and greatest value: SMinSampleValue and SMaxSampleValue, or MinSampleValue and MaxSampleValue."""
_INVERTED = "augury: white is zero"
_UNSIGNED, _SIGNED = 1, 2


def open_doubles() -> None:
    """Let Pillow open grey TIFF files of 64-bit floating-point pixels, as images of mode F.

    Pillow unpacks such pixels, but its table of TIFF layouts has no row for them.
    """
    layouts: dict[Any, Any] = TiffImagePlugin.OPEN_INFO
    for order, unpacked in ((b"II", "F;64F"), (b"MM", "F;64BF")):
        layouts.setdefault((order, 1, (3,), 1, (64,), ()), ("F", unpacked))


def is_wide(image: Image.Image) -> bool:
    """Whether white is not simply the greatest value of the pixels' type."""
    return image.mode == "F" or (image.format == "TIFF" and (image.mode == "I" or _format(image) == _SIGNED))


def white_is_zero(image: Image.Image) -> bool:
    """Whether a TIFF stores white as 0 in a depth that Pillow does not invert."""
    deep = image.mode == "F" or image.mode.startswith("I")
    return bool(image.info.get(_INVERTED)) or (
        image.format == "TIFF" and deep and int(_tag(image, _PHOTOMETRIC, 1)) == 0
    )


def marked_white_is_zero(image: Image.Image) -> Image.Image:
    """Mark an image as one that stores white as 0."""
    image.info[_INVERTED] = True
    return image


def declared_range(image: Image.Image) -> Range | None:
    """Return the least and greatest value that the file declares; None when it declares no usable range."""
    for low_tag, high_tag in _DECLARED:
        low, high = (_tag(image, tag, None) for tag in (low_tag, high_tag))
        try:
            limits = float(low), float(high)
        except (TypeError, ValueError):
            continue
        if np.isfinite(limits).all() and limits[0] < limits[1]:
            return limits
    return None


def values_of(image: Image.Image) -> npt.NDArray[np.float64]:
    """Return the values of a loaded image, float64 [H, W]; NaN where a pixel is no number or is declared as no data.

    Raises DataError (without the file's name) when no pixel is a number.
    """
    array = np.asarray(image)
    if image.mode == "I" and _format(image) == _UNSIGNED:
        array = array.view(np.uint32)
    elif image.mode == "L" and _format(image) == _SIGNED:
        array = array.view(np.int8)
    values = array.astype(np.float64)
    unusable = ~np.isfinite(values)
    with suppress(ValueError):  # a damaged tag declares nothing
        unusable |= values == float(str(_tag(image, _GDAL_NODATA, "nan")).strip("\0 "))
    values[unusable] = np.nan
    if unusable.all():
        raise DataError("has no pixel that is a number")
    return values


def grey(image: Image.Image, limits: Range) -> Images:
    """Scale a loaded image to uint8 [H, W] so that `limits` become black and white. Pixels without a value are black."""
    values = values_of(image)
    shown = to_bytes(values, limits)
    if white_is_zero(image):
        shown = 255 - shown
    shown[np.isnan(values)] = 0
    return shown


def deepest(image: Image.Image) -> int:
    """Return the value of white of an unsigned image of up to 16 bits: 4095 for 12 bits, otherwise 65535."""
    return 4095 if image.format == "TIFF" and int(_tag(image, _BITS, 16)) == 12 else 65535


def _format(image: Image.Image) -> int:
    return int(_tag(image, _SAMPLE_FORMAT, _UNSIGNED)) if image.format == "TIFF" else 0


def _tag(image: Image.Image, number: int, default: Any) -> Any:
    """Return the first value of a TIFF tag."""
    value = getattr(image, "tag_v2", {}).get(number, default)
    return (value[0] if value else default) if isinstance(value, tuple) else value
