"""An uploaded image: its length is limited, its header is checked before it is decoded, and it is never written to disk."""

from __future__ import annotations

from typing import Any

from starlette.requests import ClientDisconnect, Request

from augury.data.decoding import image_decoder
from augury.data.decoding.load_options import LoadOptions, checked
from augury.errors import DataError, shortened
from augury.images import Images

UPLOAD_LIMIT = 20 * 2**20
"""Most bytes of an uploaded image."""


async def body_of(request: Request, limit: int, what: str) -> bytes:
    """The body of a request. Raises DataError when it is longer than `limit`, without reading the rest."""
    declared = request.headers.get("content-length", "")
    raw = bytearray()
    if not declared.isdecimal() or int(declared) <= limit:
        try:
            async for piece in request.stream():
                raw += piece
                if len(raw) > limit:
                    break
            else:
                return bytes(raw)
        except ClientDisconnect:  # the browser has gone, which is no failure of the explorer
            raise DataError(f"{what} did not arrive completely; send it again") from None
    raise DataError(f"{what} may have {limit / 2**20:g} MB at most, but this has more; give a smaller one")


def decoded(raw: bytes, name: str, shape: tuple[int, int, int], reading: dict[str, Any]) -> Images:
    """Decode an uploaded image to uint8 [1, C, H, W] of `shape` (C, H, W).

    Parameters
    ----------
    raw
        The encoded image.
    name
        The name of the file, for messages.
    shape
        What the generator takes.
    reading
        The settings `fit` and `transparency` of the run.

    Raises
    ------
    DataError
        For what is no image, is damaged, or declares more than 64 million pixels.
    """
    options = _options(reading)
    try:
        image_decoder.header(raw, options)
        return image_decoder.pixels(raw, shape[1:], options, grey=shape[0] == 1)[None].copy()
    except DataError as error:
        raise DataError(f"{shortened(name) or 'the upload'}: {error}; give a PNG, JPEG, WebP or TIFF image") from error


def changes(raw: bytes, shape: tuple[int, int, int], reading: dict[str, Any]) -> tuple[str, ...]:
    """What `decoded` does to an image so that it has the size and mode of the generator, in words."""
    known, (channels, height, width) = image_decoder.header(raw, _options(reading)), shape
    notes = []
    if known.size != (height, width):
        how = "padded" if reading.get("fit") == "pad" else "cropped in the middle"
        how = "" if known.size[0] * width == known.size[1] * height else f"{how} and "
        notes.append(f"{known.size[1]} × {known.size[0]} px, {how}resized to {width} × {height}")
    if known.grey != (channels == 1):
        notes.append(f"converted to {'grey' if channels == 1 else 'colour'}")
    return tuple(notes)


def _options(reading: dict[str, Any]) -> LoadOptions:
    return checked(**{option: reading[option] for option in ("fit", "transparency") if reading.get(option)})
