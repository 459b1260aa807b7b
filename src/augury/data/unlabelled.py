"""Read unlabelled images, remove those that are held out, and add the rest to labelled ones as a class of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from augury.data.decoding import reading
from augury.data.decoding.image_index import ImageIndex
from augury.data.decoding.label_encoding import pixel_digest
from augury.data.decoding.load_options import OnBad, Stretch, Transparency, Window, checked
from augury.data.decoding.resize import Fit
from augury.data.decoding.safety import file_bytes
from augury.data.decoding.skipped import MASKS, SkippedFiles, listed, skipped_lines
from augury.data.formats.folder import walked
from augury.data.formats.layout import text
from augury.data.formats.masks import find_masks
from augury.data.loading import load
from augury.data.near_duplicates import copied
from augury.errors import DataError
from augury.files import digest
from augury.images import AnyImages, Attribute, Images, LabelledImages, as_images

NAME = "unlabelled"
"""The class of images without a label, and the value of each of their attributes."""


def read_unlabelled(
    path: str | Path,
    shape: tuple[int, int, int],
    *,
    fit: Fit = "crop",
    on_bad: OnBad = "error",
    follow_links: str | Path | None = None,
    transparency: Transparency | None = None,
    on_note: Callable[[str], None] = lambda text: None,
) -> Images:
    """Read images without labels: all image files below a folder, or any other format that `load` reads.

    Existing labels are ignored. Colour becomes grey by ITU-R 601 luma; grey becomes three equal channels.

    Parameters
    ----------
    path : str or Path
    shape : (int, int, int)
        (C, H, W) of the result.
    fit : {"crop", "pad"}
        How images of another shape are resized, as in `load`.
    on_bad : {"error", "skip"}
        What happens with unreadable images.
    follow_links : path, optional
        As in `load`.
    transparency : {"white", "black", "ignore"}, optional
        Background for images with opacity, as in `load`.
    on_note : callable
        Receives sentences about files that were skipped.

    Returns
    -------
    uint8 array [N, C, H, W]

    Raises
    ------
    DataError
        When there are fewer than two images, or one cannot be read.
    """
    source, size = Path(path), (shape[1], shape[2])
    if source.is_dir():
        data = files_below(source, size, fit=fit, on_bad=on_bad, follow_links=follow_links, transparency=transparency)
    else:
        data = load(source, size=size, fit=fit, on_bad=on_bad, follow_links=follow_links, transparency=transparency)
    for line in skipped_lines(data, "unlabelled images: "):
        on_note(line)
    return coloured(data.images, shape[0])


def files_below(
    path: Path,
    size: tuple[int, int],
    *,
    fit: Fit = "crop",
    on_bad: OnBad = "error",
    least: int = 2,
    follow_links: str | Path | None = None,
    transparency: Transparency | None = None,
    window: Window = "file",
    stretch: Stretch = "asinh",
) -> LabelledImages:
    """Read all image files anywhere below a folder, or one file, at `size` (height, width).

    Each image gets a label of its own that means nothing; `notes` says what was done to the images. Raises DataError
    when there are fewer than `least`, or one cannot be read.
    """
    skipped = SkippedFiles()
    options = checked(
        size=size,
        fit=fit,
        on_bad=on_bad,
        follow_links=follow_links,
        transparency=transparency,
        window=window,
        stretch=stretch,
    )
    options = replace(options, labelled=least > 1)
    root = path if path.is_dir() else path.parent
    files = walked(path, skipped, options.follow_links) if path.is_dir() else [(path.name,)]
    masks = find_masks(files, lambda i: file_bytes(root.joinpath(*files[i])))
    skipped.add(MASKS, count=len(masks))
    files = [parts for i, parts in enumerate(files) if i not in masks]
    names = [f"{i:07d}" for i in range(len(files))]

    def fetch(i: int) -> bytes:
        return file_bytes(root.joinpath(*files[i]))

    if len(files) < least and least == 1:
        others = f" ({listed(skipped.counts)})" if skipped.counts else ""
        raise DataError(f"{path}: holds no image file{others}; give a folder with images such as .jpg, .png or .tif")
    if len(files) < least:
        words = "at two" if least == 2 else f"at {least}"
        raise DataError(f"{path}: holds {len(files)} images, but unlabelled images begin to help {words}; give more")
    shown = ["/".join(map(text, parts)) for parts in files]
    index = ImageIndex(shown, names, fetch, numeric=False, ignored=skipped.counts)
    data = reading.read(path, index, options, "folder")
    return replace(data, notes={name: note for name, note in data.notes.items() if name != "empty_classes"})


def coloured(images: Images, channels: int) -> Images:
    """Convert images to `channels` channels, 1 or 3."""
    if images.shape[1] == channels:
        return images
    if channels == 3:
        return np.repeat(images, 3, axis=1)
    weights = np.array([0.299, 0.587, 0.114])
    return np.asarray(np.rint(np.einsum("nchw,c->nhw", images, weights)).astype(np.uint8)[:, None])


def apart_from(
    images: AnyImages, held_out: Mapping[str, AnyImages], others: AnyImages | None = None, *, mirrored: bool = False
) -> tuple[npt.NDArray[np.bool_], dict[str, int]]:
    """Find the images that are not near-duplicates of held-out ones.

    Parameters
    ----------
    images : uint8 array [N, C, H, W], LabelledImages or SyntheticImages
    held_out : mapping of str to uint8 array [M, C, H, W] or LabelledImages
        Held-out images by the name of their set.
    others : uint8 array [L, C, H, W] or LabelledImages, optional
        Real images that may be used, as in `copied`.
    mirrored : bool
        Whether mirror images (left-right) also count.

    Returns
    -------
    (bool array [N], dict of str to int)
        True for images that may be used; and how many are near-duplicates of each held-out set.
    """
    images = as_images(images)
    keep, left = np.ones(len(images), bool), {}
    for name, held in held_out.items():
        alike = copied(images, held, others, mirrored=mirrored)
        keep &= ~alike
        left[name] = int(alike.sum())
    return keep, left


def with_unlabelled(data: LabelledImages, images: AnyImages) -> LabelledImages:
    """Append unlabelled images as one more class.

    The class, and one more value of each attribute, are called "unlabelled". Groups, split and names are dropped.

    Parameters
    ----------
    data : LabelledImages
    images : uint8 array [M, C, H, W] or a set of images, whose labels are not used

    Returns
    -------
    LabelledImages

    Raises
    ------
    DataError
        When the data already have a class of that name.
    """
    if NAME in data.classes:
        raise DataError(f"the data have a class '{NAME}' already; rename it, or leave the unlabelled images out")
    images = as_images(images)
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
