"""Augmented copies of a data set, and a contact sheet that shows each operator and policy on its images."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from augury.augment import OPERATORS, POLICIES, Policy, augmented, randaugment
from augury.data import beside, draw_contact_sheet
from augury.errors import DataError, SettingsError
from augury.images import SPLITS, Attribute, Images, LabelledImages
from augury.randomness import rng

SHOWN, BLOCKS, SIDE = 5, 3, 64
"""Of the sheet: images in a row, blocks of rows, and the longest side of an image in px."""
MAGNITUDE = 2 / 3
"""Magnitude in the sheet, as a share of an operator's range."""
ALONE = ("ada",)
"""Policies whose last bit depends on the batch, so each copy is drawn separately."""


def copies(
    data: LabelledImages, how: str, *, per_image: int, seed: int = 0, flips: bool | None = None, originals: bool = True
) -> LabelledImages:
    """Augmented copies of each train image, after the data themselves.

    If the data have no splits, every image is copied. Copies keep the label, attributes, split and group of their image.
    Without groups in the data, each image starts one, so no split separates an image from its copies. Copy k of image i is
    drawn from (seed, epoch k, index i) and does not depend on the other images.

    Parameters
    ----------
    data
        The images to copy.
    how
        Name of an augmentation policy.
    per_image
        Number of copies of each image, at least 1.
    seed
        Seed of the random numbers.
    flips
        Whether to mirror left and right. None: as the policy does, but never where the notes of the data forbid it.
    originals
        Whether the result also contains `data`.

    Returns
    -------
    LabelledImages, the originals first. `notes["copies"]` says how to draw each copy again.

    Raises
    ------
    SettingsError for an unknown policy or fewer than one copy. DataError when the given splits leave no image to copy.
    """
    if per_image < 1:
        raise SettingsError(f"per_image is {per_image}; ask for 1 or more copies of each image")
    of = np.arange(len(data)) if data.split is None else np.flatnonzero(data.split == 0)
    if not len(of):
        raise DataError("the data have no train split, and only train images are copied; put some images under train")
    mirrored = allowed(data, flips)
    drawn = [_changed(data.images, how, mirrored, seed, k, of) for k in range(per_image)]
    rows = np.concatenate([np.arange(len(data) if originals else 0), np.tile(of, per_image)])
    distinct = len(set(data.names)) == len(data)
    names = data.names if distinct else tuple(f"index {i}" for i in range(len(data)))
    recipe = {"policy": how, "flips": mirrored, "seed": seed, "data": data.fingerprint}
    notes: dict[str, Any] = {"copies": {**recipe, "of": {names[i]: i for i in of.tolist()}}}
    notes |= {"grouped_by": "the image that copies are of"} if data.groups is None else {}
    return LabelledImages(
        np.concatenate([np.asarray(data.images), *drawn] if originals else drawn),
        data.labels[rows],
        data.classes,
        {name: Attribute(a.codes[rows], a.values) for name, a in data.attributes.items()},
        rows if data.groups is None else data.groups[rows],
        None if data.split is None else data.split[rows],
        (names if originals else ()) + tuple(f"{names[i]}#{k}" for k in range(per_image) for i in of),
        notes={**data.notes, **notes},
    )


def check_folders(images: LabelledImages) -> None:
    """Raises SettingsError unless `images` have all splits: class folders cannot record which copies belong to one image."""
    present = set() if images.split is None else set(images.split.tolist())
    if len(present) < len(SPLITS):
        raise SettingsError(
            "class folders do not record which copies belong to one image, and these data lack "
            f"{', '.join(part for code, part in enumerate(SPLITS) if code not in present)}: a later split could separate copies of one "
            "image; write --format imagefolder, the same folders with a metadata.csv that records it"
        )


def allowed(data: LabelledImages, flips: bool | None) -> bool | None:
    """`flips` if given; else False where the notes of the data forbid mirroring, and None (as the policy has it) elsewhere."""
    return False if flips is None and data.notes.get("flips") is False else flips


def _changed(
    images: Images, how: str | Policy, flips: bool | None, seed: int, epoch: int, at: npt.NDArray[np.int64]
) -> Images:
    """The images uint8 [N, C, H, W] at the indices `at` after a policy; image i is drawn from (seed, epoch, i)."""
    some = torch.from_numpy(np.array(images[at]))
    if how not in ALONE:
        return augmented(some, how, seed=seed, epoch=epoch, indices=at, flips=flips).numpy()
    each = (
        augmented(x[None], how, seed=seed, epoch=epoch, indices=[i], flips=flips) for x, i in zip(some, at, strict=True)
    )
    return torch.cat(list(each)).numpy()


def shown(data: LabelledImages, how: str, *, per_image: int, seed: int = 0, flips: bool | None = None) -> Image.Image:
    """A contact sheet of a few images, and below each the copies that `copies` would return for it."""
    at, mirrored = _some(data, seed), allowed(data, flips)
    rows = {f"copy {k + 1}": _changed(data.images, how, mirrored, seed, k, at) for k in range(per_image)}
    return draw_contact_sheet({"as they are": np.asarray(data.images[at])} | rows, most=SIDE)


def preview(data: LabelledImages, *, seed: int = 0, flips: bool | None = None) -> Image.Image:
    """A contact sheet with a row for each operator, at two thirds of its magnitude, and for each policy.

    `flips` is as in `copies`. The rows form BLOCKS blocks side by side, to fit on a screen. Each block begins with the
    original images.
    """
    at, mirrored = _some(data, seed), allowed(data, flips)
    images: Images = np.asarray(data.images[at])
    rows: dict[str, Images] = {}
    for name in (name for name in OPERATORS if name != "identity"):
        alone = partial(randaugment, operations=1, magnitude=MAGNITUDE, operators=(name,))
        rows[name] = _changed(data.images, alone, None, seed, 0, at)
    for name in (name for name in POLICIES if name != "none"):
        rows[f"policy {name}"] = _changed(data.images, name, mirrored, seed, 0, at)
    names = list(rows)
    each = -(-len(names) // BLOCKS)
    blocks = [names[start : start + each] for start in range(0, len(names), each)]
    return beside(
        [
            draw_contact_sheet({"as they are": images} | {name: rows[name] for name in block}, most=SIDE)
            for block in blocks
        ]
    )


def _some(data: LabelledImages, seed: int) -> npt.NDArray[np.int64]:
    """Up to SHOWN images that would be copied, from as many classes as possible."""
    order = rng(seed, "preview").permutation(len(data))
    order = order if data.split is None else order[data.split[order] == 0]
    first = [order[data.labels[order] == c][:1] for c in range(len(data.classes))]
    return np.asarray(list(dict.fromkeys(np.concatenate([*first, order]).tolist()))[:SHOWN], np.int64)
