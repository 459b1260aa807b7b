"""An uploaded image: its length is limited, its header is checked before it is decoded, and it is never written to disk."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from augury.data.decoding import image_decoder
from augury.data.decoding.load_options import checked
from augury.errors import DataError, shortened
from augury.images import Images

UPLOAD_LIMIT = 20 * 2**20
"""Most bytes of an uploaded image."""


async def body_of(request: Request, limit: int, what: str) -> bytes:
    """The body of a request. Raises DataError when it is longer than `limit`, without reading the rest."""
    declared = request.headers.get("content-length", "")
    raw = bytearray()
    if not declared.isdecimal() or int(declared) <= limit:
        async for piece in request.stream():
            raw += piece
            if len(raw) > limit:
                break
        else:
            return bytes(raw)
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
    options = checked(**{option: reading[option] for option in ("fit", "transparency") if reading.get(option)})
    try:
        image_decoder.header(raw, options)
        return image_decoder.pixels(raw, shape[1:], options, grey=shape[0] == 1)[None]
    except DataError as error:
        raise DataError(f"{shortened(name) or 'the upload'}: {error}; give a PNG, JPEG, WebP or TIFF image") from error
