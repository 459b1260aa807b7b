"""Recall of some test images with and without the generated images: values, intervals, and whether they can be told at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from augury.images import Codes, LabelledImages
from augury.intervals import wilson
from augury.proof.crossed import Effects, effects

Mask = npt.NDArray[np.bool_]


def alone(test: LabelledImages, here: Mask) -> tuple[int, int]:
    """(how many of the test images `here` stand or fall alone, as how many a variance can be told from: two images, or
    three groups of several; with two of these "helps" was said without cause in one of ten simulated trials)."""
    images = int(here.sum())
    there = images if test.groups is None else len(np.unique(test.groups[here]))
    return there, 2 if there == images else 3


def worth(values: npt.NDArray[np.float64], groups: Codes | None) -> float:
    """As many independent images as `values` [N] in [0, 1] of images in groups are worth: N divided by the design effect of
    their mean (Kish 1965, section 8.2), no more than N and no fewer than the groups."""
    n = len(values)
    if groups is None:
        return n
    home = np.unique(groups, return_inverse=True)[1].reshape(-1)
    many, spread = int(home.max()) + 1, float(values.var())
    pulls = np.bincount(home, values - values.mean())
    variance = float((pulls**2).sum()) * many / max(many - 1, 1) / n**2
    return float(np.clip(spread / variance, many, n)) if variance > 0 else many


def gap(arm: Mask, comparator: Mask, test: LabelledImages, here: Mask) -> Effects:
    """The difference in recall of the images `here`, hits [S, N] of both."""
    groups = None if test.groups is None else test.groups[here]
    return effects(arm[:, here].astype(float) - comparator[:, here], np.zeros(int(here.sum()), np.int64), groups)


def interval(found: Effects, test: LabelledImages, here: Mask, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of a `gap` over seeds and images; from -1 to 1 for too few images to tell, and by the rule of three
    where no image differs."""
    there, least = alone(test, here)
    low, high = found.interval(confidence) if there >= least else (-1.0, 1.0)
    if low == high:  # none of them tells the arms apart: the rule of three
        low, high = max(-1.0, low - 3 / there), min(1.0, high + 3 / there)
    return low, high


def recalls(arm: Mask, comparator: Mask, test: LabelledImages, here: Mask) -> dict[str, Any]:
    """The number of groups, and the recall of both arms with Wilson's 95 % interval for so many test images (or for as many as
    groups of them are worth)."""
    groups = None if test.groups is None else test.groups[here]
    row: dict[str, Any] = {"groups": None if groups is None else len(np.unique(groups))}
    for role, hits in (("comparator", comparator), ("arm", arm)):
        each = hits[:, here].mean(0)
        recall = float(each.mean())
        row[f"recall_{role}"], row[f"interval_{role}"] = recall, wilson(recall, worth(each, groups))
    return row
