"""Augmented copies of a data set, and a sheet that shows what each operator and policy does to its images."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from PIL import Image

from augury.augment import OPERATORS, POLICIES, Policy, augmented, policy, randaugment
from augury.data import beside, contact_sheet
from augury.errors import SettingsError
from augury.images import Attribute, Images, LabelledImages
from augury.randomness import rng

SHOWN, BLOCKS, SIDE = 5, 3, 64
"""Images in a row, and blocks of rows, of the sheet; the longest side of an image there."""
MAGNITUDE = 2 / 3
"""Of an operator's range, in the sheet."""


def copies(
    data: LabelledImages, how: str, *, per_image: int, seed: int = 0, flips: bool | None = None, originals: bool = True
) -> LabelledImages:
    """`data`, and after it `per_image` copies of each image under the policy `how`: copy k of image i is that of (seed,
    epoch k, index i), whatever else is drawn. Copies keep label, attributes, group and part of their image, so that no
    split tells them apart; without `originals` they come alone. `notes` say what was done.

    Raises SettingsError for an unknown policy or no copies.
    """
    if per_image < 1:
        raise SettingsError(f"{per_image} copies of each image; ask for 1 or more")
    chosen = policy(how, flips=bool(data.notes.get("flips", False)) if flips is None else flips)
    drawn = [_changed(data.images, chosen, seed, k) for k in range(per_image)]
    times = per_image + originals
    names = data.names or tuple(f"index {i}" for i in range(len(data)))
    told = {"seed": seed, "originals": len(data) if originals else 0, "augmented": how, "per_image": per_image}
    return LabelledImages(
        np.concatenate([np.asarray(data.images), *drawn] if originals else drawn),
        np.tile(data.labels, times),
        data.classes,
        {name: Attribute(np.tile(a.codes, times), a.values) for name, a in data.attributes.items()},
        None if data.groups is None else np.tile(data.groups, times),
        None if data.split is None else np.tile(data.split, times),
        (names if originals else ()) + tuple(f"{name}#{k}" for k in range(per_image) for name in names),
        notes={**data.notes, **told},
    )


def _changed(images: Images, how: str | Policy, seed: int, epoch: int = 0) -> Images:
    """uint8 [N, C, H, W] after a policy, image i drawn from (seed, epoch, i)."""
    return augmented(torch.from_numpy(np.array(images)), how, seed=seed, epoch=epoch).numpy()


def preview(data: LabelledImages, *, seed: int = 0) -> Image.Image:
    """A row for each operator at two thirds of its magnitude, and for each policy, in BLOCKS side by side so that a screen holds
    them; each block begins with the images as they are."""
    order = rng(seed, "preview").permutation(len(data))
    first = [order[data.labels[order] == c][:1] for c in range(len(data.classes))]
    rows = np.concatenate([*first, order])[:SHOWN].astype(np.int64)
    images: Images = np.asarray(data.images[rows])
    made: dict[str, Images] = {}
    for name in (name for name in OPERATORS if name != "identity"):
        alone = partial(randaugment, operations=1, magnitude=MAGNITUDE, operators=(name,))
        made[name] = _changed(images, alone, seed)
    for name in (name for name in POLICIES if name != "none"):
        made[f"policy {name}"] = _changed(images, name, seed)
    names = list(made)
    each = -(-len(names) // BLOCKS)
    parts = [names[start : start + each] for start in range(0, len(names), each)]
    return beside(
        [contact_sheet({"as they are": images} | {name: made[name] for name in part}, most=SIDE) for part in parts]
    )
