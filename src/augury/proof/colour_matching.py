"""Colour matching: give labelled images the colours of target images, a translation without a generator."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from augury.errors import DataError
from augury.images import Images, LabelledImages, SyntheticImages, as_labelled
from augury.randomness import rng

Floats = npt.NDArray[np.float64]
CHUNK = 1024


def moments_matched(images: Images, references: Images) -> Images:
    """Give each image the channel means and standard deviations of its reference (Reinhard et al. 2001, eq. 10, in RGB).

    `images`, `references` uint8 [N, C, H, W] -> uint8 of the shape of `images`. A channel without contrast takes only
    the mean of the reference.
    """
    matched = np.empty_like(images)
    for start in range(0, len(images), CHUNK):
        part = slice(start, start + CHUNK)
        x, y = (np.asarray(each[part], np.float64) for each in (images, references))
        spread = x.std((2, 3), keepdims=True)
        scale = np.divide(y.std((2, 3), keepdims=True), spread, out=np.zeros_like(spread), where=spread > 0)
        moved = (x - x.mean((2, 3), keepdims=True)) * scale + y.mean((2, 3), keepdims=True)
        matched[part] = np.clip(np.rint(moved), 0, 255)
    return matched


def histograms_matched(images: Images, references: Images) -> Images:
    """Give each channel of an image the histogram of its reference (Gonzalez & Woods 2008, section 3.3.2).

    `images`, `references` uint8 [N, C, H, W] -> uint8 of the shape of `images`. Equal pixels stay equal. A value maps to
    the reference quantile in the middle of its own step of the distribution.
    """
    matched = np.empty_like(images)
    for i, (image, reference) in enumerate(zip(images, references, strict=True)):
        for c, (channel, other) in enumerate(zip(image, reference, strict=True)):
            counts = np.bincount(channel.ravel(), minlength=256)
            middle = (np.cumsum(counts) - counts / 2) / channel.size
            quantiles = (np.arange(other.size) + 0.5) / other.size
            table = np.interp(middle, quantiles, np.sort(other, axis=None).astype(np.float64))
            matched[i, c] = np.rint(table).astype(np.uint8)[channel]
    return matched


MATCHINGS = {"colour_matching": moments_matched, "histogram_matching": histograms_matched}


def colour_matched(
    labelled: LabelledImages, target: Images, *, seed: int, how: str = "colour_matching", keep: bool = True
) -> LabelledImages:
    """Match each labelled image to a random target image, and with `keep` retain the originals.

    Parameters
    ----------
    labelled : LabelledImages
        N images of the source domain.
    target : uint8 [M, C, H, W]
        Images of the target domain, without labels.
    seed : int
        Determines the target image of each labelled image.
    how : str
        A name of `MATCHINGS`.
    keep : bool
        Whether the N originals come first.

    Returns
    -------
    LabelledImages
        2N images, or N. An image and its matched copy belong to the same group, if the data have groups.

    Raises
    ------
    DataError
        When target images are missing or have another number of channels.
    """
    if not len(target) or target.shape[1] != labelled.shape[0]:
        raise DataError(
            f"colours are matched to images of {labelled.shape[0]} channels, but the target has {len(target)} images of "
            f"{target.shape[1]}; read it with augury.data.read_target"
        )
    picks = rng(seed, "colour matching").integers(0, len(target), len(labelled))
    matched = MATCHINGS[how](np.asarray(labelled.images[:]), target[picks])
    moved = replace(labelled, images=matched, fingerprint=f"{labelled.fingerprint}+{how}/{seed}")
    return joined(labelled, moved) if keep else moved


def joined(first: LabelledImages | SyntheticImages, second: LabelledImages | SyntheticImages) -> LabelledImages:
    """Join two sets of labelled images.

    Parameters
    ----------
    first, second
        Sets with the same classes and image shape; of SyntheticImages, the accepted ones.

    Returns
    -------
    LabelledImages
        The images of `first`, then those of `second`. Attributes, groups and splits remain if both sets have them.

    Raises
    ------
    DataError
        When classes or shapes differ.
    """
    first, second = as_labelled(first), as_labelled(second)
    if first.classes != second.classes or first.shape != second.shape:
        raise DataError(
            f"sets of {len(first.classes)} and {len(second.classes)} classes, of shapes {list(first.shape)} and "
            f"{list(second.shape)}, cannot be joined; both must have the same classes in the same order, and one shape"
        )

    def both(a: npt.NDArray[Any] | None, b: npt.NDArray[Any] | None) -> Any:
        return None if a is None or b is None else np.concatenate([a, b])

    shared = {
        name: replace(a, codes=np.concatenate([a.codes, second.attributes[name].codes]))
        for name, a in first.attributes.items()
        if name in second.attributes and second.attributes[name].values == a.values
    }
    named = bool(first.names) and bool(second.names)
    return replace(
        first,
        images=np.concatenate([np.asarray(first.images[:]), np.asarray(second.images[:])]),
        labels=np.concatenate([first.labels, second.labels]),
        attributes=shared,
        groups=both(first.groups, second.groups),
        split=both(first.split, second.split),
        names=(*first.names, *second.names) if named else (),
        fingerprint=f"{first.fingerprint}+{second.fingerprint}",
    )
