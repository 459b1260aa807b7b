"""Decode one encoded image to uint8 pixels under one colour rule.

The header is checked before anything large is decoded.
"""

from __future__ import annotations

import importlib
import io
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, features

from augury.data.decoding import jpeg, tiff_layout, wide_pixels
from augury.data.decoding.load_options import LoadOptions, Transparency
from augury.data.decoding.pixel_range import Range, chosen_range
from augury.data.decoding.resize import Fit, Size, fitted
from augury.errors import DataError
from augury.images import Images
from augury.provenance import synthetic_by

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
_MEAN = (1 / 3, 1 / 3, 1 / 3, 0)
"""Matrix from RGB to the mean of its channels."""
_SAMPLES, _EXTRA_SAMPLES = 277, 338


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
    values
        The least and greatest value and whether all are whole numbers, where the file does not say what white is.
    synthetic
        The program that generated the image, where the file says that it is synthetic.
    """

    size: Size
    mode: str
    grey: bool
    animated: bool
    rotated: bool
    group: str = ""
    tones: str = ""
    values: tuple[float, float, bool] | None = None
    synthetic: str = ""


@cache
def _formats() -> tuple[str, ...]:
    """The allowed decoders. A file is recognised by its content, and no other plugin (EPS, PSD…) reads it."""
    Image.preinit()
    for plugin in ("TiffImagePlugin", "WebPImagePlugin", "AvifImagePlugin"):
        with suppress(ImportError):  # older versions of Pillow have no AVIF; importing registers a plugin
            importlib.import_module(f"PIL.{plugin}")
    wide_pixels.open_doubles()
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


def header(raw: bytes, options: LoadOptions) -> Header:
    """Check an encoded image by its header. Only where the header does not say what white is, the pixels are decoded.

    Raises DataError (without the file's name, which the caller knows) when it is empty, not an image, or above
    PIXEL_LIMIT.
    """
    image = _opened(raw)
    turned = _orientation(image)
    width, height = image.size
    limits = wide_pixels.declared_range(image) if wide_pixels.is_wide(image) else None
    return Header(
        size=(width, height)
        if turned >= 5 and image.format != "TIFF"
        else (height, width),  # Pillow turns a TIFF itself
        mode=image.mode,
        grey=_is_grey(image),
        animated=bool(getattr(image, "is_animated", False)) and image.format != "MPO",
        rotated=turned > 1,
        tones="; ".join(_tones(image, limits, options.transparency)),
        values=_observed(image) if wide_pixels.is_wide(image) and limits is None else None,
        synthetic=synthetic_by(raw),
    )


def plain_header(raw: bytes) -> Header | None:
    """Read the header of a JPEG file without metadata, as `header` does but several times as fast. None for other files."""
    frame = jpeg.frame(raw)
    if frame is None or not frame.plain or frame.height * frame.width > PIXEL_LIMIT:
        return None
    return _plain_header(frame.height, frame.width, frame.components == 1)


@lru_cache(4096)
def _plain_header(height: int, width: int, grey: bool) -> Header:
    return Header((height, width), "L" if grey else "RGB", grey, animated=False, rotated=False)


def common_range(headers: Iterable[Header]) -> Range | None:
    """Choose black and white for all images whose files do not declare them; None without such images."""
    values = [header.values for header in headers if header.values is not None]
    if not values:
        return None
    return chosen_range(min(v[0] for v in values), max(v[1] for v in values), all(v[2] for v in values))


def picture(raw: bytes, options: LoadOptions, grey: bool) -> Image.Image:
    """Decode an image to L (`grey`) or RGB in its own size, upright, with transparency put on a background.

    Raises DataError (without the file's name) when it is damaged.
    """
    image = _opened(raw)
    array = jpeg.pixels(raw) if image.format == "JPEG" and _orientation(image) == 1 else None
    if array is None:
        return _flat(_loaded(image), grey, options)
    return Image.fromarray(array.squeeze(2) if array.shape[2] == 1 else array).convert("L" if grey else "RGB")


def native_pixels(raw: bytes, size: Size, grey: bool) -> Images | None:
    """Decode a JPEG file without metadata that has this size and colour, as `pixels` does but several times as fast.

    Returns None for other files, and where simplejpeg is not installed.
    """
    known = plain_header(raw)
    if known is None or known.size != size or known.grey != grey:
        return None
    array = jpeg.pixels(raw)
    return None if array is None else array.transpose(2, 0, 1)


def pixels(raw: bytes, size: Size, options: LoadOptions, grey: bool) -> Images:
    """Decode an image with `picture` to uint8 [1 or 3, H, W] of `size`."""
    return planes(picture(raw, options, grey), size, options.fit)


def preview(image: Image.Image, size: Size, fit: Fit) -> Images:
    """Resize an L or RGB image to a grey preview, uint8 [1, H, W] of `size`."""
    return planes(image.convert("L", _MEAN) if image.mode == "RGB" else image, size, fit)


def planes(image: Image.Image, size: Size, fit: Fit) -> Images:
    """Resize an L or RGB image and return it as uint8 [1 or 3, H, W] of `size`, a view that need not be contiguous."""
    array = np.asarray(fitted(image, size, fit))
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def _loaded(image: Image.Image) -> Image.Image:
    try:
        image.load()
    except Exception as error:  # Pillow's plugins raise anything at all on damaged files
        raise DataError(f"cannot be decoded ({_reason(error)})") from error
    return image


def _opened(raw: bytes) -> Image.Image:
    """Open an image without decoding it. Raises DataError when it is none, or too large."""
    if not raw:
        raise DataError("is empty (0 bytes)")
    try:
        image = _identified(raw)
    except Image.DecompressionBombError as error:
        match = re.search(r"(\d{6,}) pixels", str(error))
        raise DataError(_too_large(int(match[1]) if match else None)) from error
    except DataError:
        raise
    except UnidentifiedImageError as error:
        if raw[4:8] == b"ftyp" and raw[8:12] in _HEIC:
            raise DataError("is an HEIC image, which is not read; convert it to JPEG or PNG") from error
        raise DataError(f"is damaged, or not an image of a known kind (it begins with {raw[:12]!r})") from error
    except Exception as error:  # Pillow's plugins raise anything at all on damaged files
        raise DataError(f"has a damaged header ({_reason(error)})") from error
    check_pixels(image.size[0] * image.size[1])
    return image


def _identified(raw: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(raw), formats=_formats())
    except UnidentifiedImageError:
        if not tiff_layout.is_tiff(raw):
            raise
        inverted = tiff_layout.black_is_zero(raw)
        try:
            if inverted is not None:
                return wide_pixels.marked_white_is_zero(Image.open(io.BytesIO(inverted), formats=("TIFF",)))
        except UnidentifiedImageError:
            pass  # neither of the two is opened
        tiff_layout.refuse(raw)
        raise


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


def _observed(image: Image.Image) -> tuple[float, float, bool]:
    values = wide_pixels.values_of(_loaded(image))
    values = values[np.isfinite(values)]
    return float(values.min()), float(values.max()), bool((values == np.rint(values)).all())


def _tones(image: Image.Image, limits: Range | None, transparency: Transparency | None) -> Iterator[str]:
    """Describe what is done to the values of the pixels beyond the usual."""
    if limits is not None:
        yield f"{limits[0]:g} to {limits[1]:g} as the file declares"
    elif image.mode.startswith("I;16") and wide_pixels.deepest(image) == 4095:
        yield "0 to 4095 (12 bits)"
    if wide_pixels.white_is_zero(image):
        yield "inverted (WhiteIsZero)"
    bands = getattr(image, "tag_v2", {}).get(_SAMPLES, 1) if image.format == "TIFF" else 1
    if _undeclared_opacity(image) and transparency in (None, "ignore"):
        yield "the last band is left out, as the file does not call it opacity"
    elif isinstance(bands, int) and bands > len(image.getbands()):
        yield f"{len(image.getbands())} of {bands} bands are used"


def _undeclared_opacity(image: Image.Image) -> bool:
    """Whether Pillow takes a band of a TIFF for opacity although the file does not say so."""
    if image.format != "TIFF" or image.mode not in ("RGBA", "LA"):
        return False
    extra = getattr(image, "tag_v2", {}).get(_EXTRA_SAMPLES, ())
    return not {1, 2} & set(extra if isinstance(extra, tuple) else (extra,))


def _flat(image: Image.Image, grey: bool, options: LoadOptions) -> Image.Image:
    """Convert a loaded image to upright L (`grey`) or RGB of 8 bits, without transparency."""
    opacity = image.has_transparency_data
    if _undeclared_opacity(image) and options.transparency is None:
        opacity = False
    image = _upright(image)
    if image.mode == "La":  # which Pillow converts to "LA" alone
        image = image.convert("LA")
    if wide_pixels.is_wide(image):
        limits = wide_pixels.declared_range(image) or options.value_range
        image = Image.fromarray(wide_pixels.grey(image, limits or chosen_range(*_observed(image))))
    elif image.mode.startswith("I"):
        shown = np.round(np.asarray(image) * (255 / wide_pixels.deepest(image))).astype(np.uint8)
        image = Image.fromarray(255 - shown if wide_pixels.white_is_zero(image) else shown)
    elif opacity and options.transparency != "ignore":
        image = _on_background(image.convert("RGBA"), options.transparency or "white")
    elif image.mode in ("RGBA", "LA", "La", "RGBa", "PA"):
        image = image.convert("RGBA").convert("RGB")  # of an "LA" the L, and never the colours times the opacity
    try:
        return image.convert("L" if grey else "RGB")
    except ValueError as error:
        raise DataError(f"has the colour mode {image.mode}, which cannot be turned to RGB; save it as RGB") from error


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation. The result still has the format and the tags of the file."""
    if _orientation(image) == 1 and image.format == "TIFF":
        return image
    try:
        turned = ImageOps.exif_transpose(image)
    except Exception as error:
        if _orientation(image) > 1:
            raise DataError(f"has EXIF data that cannot be applied ({_reason(error)})") from error
        return image
    turned.format = image.format
    turned.__dict__["tag_v2"] = getattr(image, "tag_v2", {})
    return wide_pixels.marked_white_is_zero(turned) if wide_pixels.white_is_zero(image) else turned


def _on_background(image: Image.Image, colour: str) -> Image.Image:
    """Put an RGBA image on a background. Raises DataError when nothing but one colour is left of it."""
    flat = _composed(image, colour)
    if _one_colour(flat) and not _one_colour(image):
        others = [name for name in ("white", "black") if name != colour and not _one_colour(_composed(image, name))]
        others += [] if _one_colour(image.convert("RGB")) else ["ignore"]
        remedy = " or ".join(f"transparency='{name}' (--transparency {name})" for name in others)
        raise DataError(
            f"becomes one colour (RGB {', '.join(map(str, np.asarray(flat)[0, 0, :3]))}) once its transparency is put on {colour}; "
            f"{f'choose {remedy}' if others else 'save it on a background that shows it'}"
        )
    return flat


def _composed(image: Image.Image, colour: str) -> Image.Image:
    background = Image.new("RGBA", image.size, colour)
    background.alpha_composite(image)
    return background


def _one_colour(image: Image.Image) -> bool:
    values = np.asarray(image)
    return bool((values == values[:1, :1]).all())
