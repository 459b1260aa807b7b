"""Images that nobody labelled: read, freed of what is held out, and put beside labelled ones as a class of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from augury.data.decoding import reading
from augury.data.decoding.image_index import ImageIndex
from augury.data.decoding.label_encoding import pixel_digest
from augury.data.decoding.load_options import OnBad, checked
from augury.data.decoding.resize import Fit
from augury.data.decoding.safety import file_bytes
from augury.data.formats.folder import text, walked
from augury.data.loading import load
from augury.data.near_duplicates import copied
from augury.errors import DataError
from augury.files import digest
from augury.images import Attribute, Images, LabelledImages

NAME = "unlabelled"
"""The class of images without a label, and the value of each of their attributes."""


def read_unlabelled(
    path: str | Path, shape: tuple[int, int, int], *, fit: Fit = "crop", on_bad: OnBad = "error"
) -> Images:
    """uint8 [N, C, H, W] of `shape` (C, H, W): all image files anywhere below a folder, or the images of any other format
    that `load` reads; whatever labels there are do not count. Colour becomes grey by ITU-R 601 luma, grey three equal
    channels. Raises DataError when there are fewer than two images, or one cannot be read."""
    place, size = Path(path), (shape[1], shape[2])
    if place.is_dir():
        images = files_below(place, size, fit=fit, on_bad=on_bad).images
    else:
        images = load(place, size=size, fit=fit, on_bad=on_bad).images
    return coloured(images, shape[0])


def files_below(
    place: Path, size: tuple[int, int], *, fit: Fit = "crop", on_bad: OnBad = "error", least: int = 2
) -> LabelledImages:
    """All image files anywhere below a folder, at `size` (height, width), each under a label of its own that means nothing;
    `notes` says what was done to them. Raises DataError when there are fewer than `least`, or one cannot be read."""
    ignored: Counter[str] = Counter()
    files = walked(place, ignored)
    names = [f"{i:07d}" for i in range(len(files))]

    def fetch(i: int) -> bytes:
        return file_bytes(place.joinpath(*files[i]))

    if len(files) < least:
        words = "at two" if least == 2 else f"at {least}"
        raise DataError(f"{place}: holds {len(files)} images, but unlabelled images begin to help {words}; give more")
    shown = ["/".join(map(text, parts)) for parts in files]
    found = ImageIndex(shown, names, fetch, numeric=False, ignored=+ignored)
    return reading.read(place, found, checked(size=size, fit=fit, on_bad=on_bad), "folder")


def coloured(images: Images, channels: int) -> Images:
    """The same with so many channels, 1 or 3."""
    if images.shape[1] == channels:
        return images
    if channels == 3:
        return np.repeat(images, 3, axis=1)
    weights = np.array([0.299, 0.587, 0.114])
    return np.asarray(np.rint(np.einsum("nchw,c->nhw", images, weights)).astype(np.uint8)[:, None])


def apart_from(
    images: Images, held_out: Mapping[str, Images], others: Images | None = None, *, mirrored: bool = False
) -> tuple[npt.NDArray[np.bool_], dict[str, int]]:
    """(bool [N], True for images that are no near-duplicate of one held out, with `mirrored` of its mirror image neither; name
    -> how many are of one of that part). `others` are real images that may be used, as `copied` takes them."""
    keep, left = np.ones(len(images), bool), {}
    for name, held in held_out.items():
        alike = copied(images, held, others, mirrored=mirrored)
        keep &= ~alike
        left[name] = int(alike.sum())
    return keep, left


def with_unlabelled(data: LabelledImages, images: Images) -> LabelledImages:
    """`data` and beside them `images` uint8 [M, C, H, W] as one more class, with one more value of each attribute, both
    called "unlabelled". Raises DataError when there is such a class already."""
    if NAME in data.classes:
        raise DataError(f"the data have a class '{NAME}' already; rename it, or leave the unlabelled images out")
    more = len(images)
    attributes = {
        name: Attribute(np.concatenate([a.codes, np.full(more, len(a.values), np.int64)]), (*a.values, NAME))
        for name, a in data.attributes.items()
    }
    return replace(
        data,
        images=np.concatenate([data.images, images]),
        labels=np.concatenate([data.labels, np.full(more, len(data.classes), np.int64)]),
        classes=(*data.classes, NAME),
        attributes=attributes,
        groups=None,
        split=None,
        names=(),
        fingerprint=digest([data.fingerprint, pixel_digest(images)]),
    )
