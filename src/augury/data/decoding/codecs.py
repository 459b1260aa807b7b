"""Select the decoder of an encoded image by its first bytes, never by the file's name."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from PIL import Image

from augury.data.decoding import dicom, fits, image_decoder
from augury.data.decoding.load_options import LoadOptions


class Codec(NamedTuple):
    """How an image format is recognised, checked by its header, and decoded."""

    recognises: Callable[[bytes], bool]
    header: Callable[[bytes, LoadOptions], image_decoder.Header]
    picture: Callable[[bytes, LoadOptions, bool], Image.Image]


CODECS = tuple(Codec(codec.recognises, codec.header, codec.picture) for codec in (dicom, fits))
"""Scientific image formats; `image_decoder` reads all others."""
EXTENSIONS = image_decoder.EXTENSIONS.union(dicom.EXTENSIONS, fits.EXTENSIONS)
"""Extensions that mark a file in a folder or archive as an image."""
HEAD = 256
"""Number of bytes by which an image without a usual extension is recognised."""
_USUAL = re.compile(r"\.[a-z][a-z0-9]*$|~$", re.IGNORECASE)
"""An extension, or the mark of a backup."""


def extension(name: str) -> str:
    """Return the extension of a file's name in lower case, with that before a packed one: "x.FITS.gz" -> ".fits.gz"."""
    stem, dot, last = name.lower().rpartition(".")
    if not (dot and stem.strip(".")):
        return ""
    before = re.search(r"\.[a-z][a-z0-9]*$", stem) if last in ("gz", "bz2", "xz", "fz", "zst", "z") else None
    return f"{before[0] if before else ''}.{last}"


def is_image(name: str, head: Callable[[], bytes]) -> bool:
    """Whether a file is an image by its name.

    A name without an extension, or with an unusual one (scan.3, photo.jpg?w=200, photo.jpg_large), does not say what the
    file is. Then its first HEAD bytes decide, which `head` returns.
    """
    return extension(name) in EXTENSIONS or (is_unusual(name) and _begins_image(head()))


def is_unusual(name: str) -> bool:
    """Whether a name has no extension, or one that does not say what the file is."""
    return not _USUAL.search(name)


def _begins_image(raw: bytes) -> bool:
    return image_decoder.recognises(raw) or any(codec.recognises(raw) for codec in CODECS)


def header(raw: bytes, options: LoadOptions) -> image_decoder.Header:
    """Read the header of an image without decoding it. Raises DataError without the file's name."""
    for codec in CODECS:
        if codec.recognises(raw):
            return codec.header(raw, options)
    return image_decoder.header(raw, options)


def picture(raw: bytes, options: LoadOptions, grey: bool) -> Image.Image:
    """Decode an image to L (`grey`) or RGB in its own size. Raises DataError without the file's name."""
    for codec in CODECS:
        if codec.recognises(raw):
            return codec.picture(raw, options, grey)
    return image_decoder.picture(raw, options, grey)
