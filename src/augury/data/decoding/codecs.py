"""Which kind of picture some encoded bytes are, told by the bytes and never by a file's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from augury.data.decoding import dicom, fits, image_decoder
from augury.data.decoding.load_options import Policy
from augury.data.decoding.resize import Size
from augury.images import Images


class Kind(NamedTuple):
    """How some bytes are recognised, judged and decoded."""

    recognises: Callable[[bytes], bool]
    header: Callable[[bytes, Policy], image_decoder.Header]
    pixels: Callable[[bytes, Size, Policy, bool], Images]


KINDS = tuple(Kind(kind.recognises, kind.header, kind.pixels) for kind in (dicom, fits))
"""Scientific pictures; everything else is `decode`'s."""
EXTENSIONS = image_decoder.EXTENSIONS.union(dicom.EXTENSIONS, fits.EXTENSIONS)
"""What a file of a folder or archive must end with to be taken for an image."""


def header(raw: bytes, policy: Policy) -> image_decoder.Header:
    """What the image is, without decoding it. Raises DataError without the file's name."""
    for kind in KINDS:
        if kind.recognises(raw):
            return kind.header(raw, policy)
    return image_decoder.header(raw)


def pixels(raw: bytes, size: Size, policy: Policy, grey: bool) -> Images:
    """The image as uint8 [1 or 3, H, W] of `size`. Raises DataError without the file's name."""
    for kind in KINDS:
        if kind.recognises(raw):
            return kind.pixels(raw, size, policy, grey)
    return image_decoder.pixels(raw, size, policy.fit, grey)
