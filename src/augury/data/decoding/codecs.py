"""Select the decoder of an encoded image by its first bytes, never by the file's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from augury.data.decoding import dicom, fits, image_decoder
from augury.data.decoding.load_options import LoadOptions
from augury.data.decoding.resize import Size
from augury.images import Images


class Codec(NamedTuple):
    """How an image format is recognised, checked by its header, and decoded."""

    recognises: Callable[[bytes], bool]
    header: Callable[[bytes, LoadOptions], image_decoder.Header]
    pixels: Callable[[bytes, Size, LoadOptions, bool], Images]


CODECS = tuple(Codec(codec.recognises, codec.header, codec.pixels) for codec in (dicom, fits))
"""Scientific image formats; `image_decoder` reads all others."""
EXTENSIONS = image_decoder.EXTENSIONS.union(dicom.EXTENSIONS, fits.EXTENSIONS)
"""Extensions that mark a file in a folder or archive as an image."""


def header(raw: bytes, options: LoadOptions) -> image_decoder.Header:
    """Read the header of an image without decoding it. Raises DataError without the file's name."""
    for codec in CODECS:
        if codec.recognises(raw):
            return codec.header(raw, options)
    return image_decoder.header(raw, options)


def pixels(raw: bytes, size: Size, options: LoadOptions, grey: bool) -> Images:
    """Decode an image to uint8 [1 or 3, H, W] of `size`. Raises DataError without the file's name."""
    for codec in CODECS:
        if codec.recognises(raw):
            return codec.pixels(raw, size, options, grey)
    return image_decoder.pixels(raw, size, options, grey)
