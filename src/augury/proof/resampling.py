"""Train images of a seed: all of them, or a resample that is the same for every arm of the seed."""

from __future__ import annotations

from typing import Literal

import numpy as np

from augury.images import Codes, LabelledImages
from augury.randomness import rng

Resample = Literal["none", "subsample", "bootstrap"]

SHARE = 0.9
"""Share of each class (or of the groups) that a subsample keeps."""


def rows(train: LabelledImages, how: Resample, seed: int) -> Codes:
    """Row numbers int64 [M] into `train`, a function of (`how`, `seed`) alone.

    "bootstrap" draws as many images of each class as it has, with replacement. "subsample" draws 90 % of them, rounded up,
    without replacement. With groups (patients, tracks), whole groups are drawn. A class that would then be lost keeps one of
    its groups.
    """
    if how == "none":
        return np.arange(len(train), dtype=np.int64)
    random = rng(seed, "resample")
    if train.groups is None:
        classes = [np.flatnonzero(train.labels == c) for c in np.flatnonzero(train.counts)]
        return np.concatenate([_drawn(members, how, random) for members in classes])
    names = np.unique(train.groups)
    drawn = _drawn(names, how, random)
    chosen = [np.flatnonzero(train.groups == name) for name in drawn]
    for c in np.flatnonzero(train.counts):
        if not any((train.labels[each] == c).any() for each in chosen):
            own = np.unique(train.groups[train.labels == c])
            chosen.append(np.flatnonzero(train.groups == random.choice(own)))
    return np.concatenate(chosen).astype(np.int64)


def resampled(train: LabelledImages, how: Resample, seed: int) -> LabelledImages:
    """The images of `rows`."""
    return train if how == "none" else train.take(rows(train, how, seed))


def _drawn(members: Codes, how: Resample, random: np.random.Generator) -> Codes:
    if how == "bootstrap":
        return random.choice(members, len(members))
    return random.permutation(members)[: int(np.ceil(SHARE * len(members)))]
