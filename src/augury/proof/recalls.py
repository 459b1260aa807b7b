"""Recall of a subset of test images with and without the generated images: values, intervals, effective sample sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from augury.images import Codes, LabelledImages
from augury.intervals import wilson
from augury.proof.crossed import Effects, effects

Mask = npt.NDArray[np.bool_]


def alone(test: LabelledImages, here: Mask) -> tuple[int, int]:
    """Number of independent units among the test images `here`, and the smallest number that allows a variance estimate.

    Units are images or groups. The minimum is two images, or three groups of several images. With two such groups, one in
    ten simulated trials gave a false "helps".
    """
    images = int(here.sum())
    units = images if test.groups is None else len(np.unique(test.groups[here]))
    return units, 2 if units == images else 3


def worth(values: npt.NDArray[np.float64], groups: Codes | None) -> float:
    """Effective number of independent images for `values` [N] in [0, 1] of images in groups.

    It is N divided by the design effect of the mean (Kish 1965, section 8.2), clipped to [number of groups, N].
    """
    n = len(values)
    if groups is None:
        return n
    home = np.unique(groups, return_inverse=True)[1].reshape(-1)
    many, spread = int(home.max()) + 1, float(values.var())
    pulls = np.bincount(home, values - values.mean())
    variance = float((pulls**2).sum()) * many / max(many - 1, 1) / n**2
    return float(np.clip(spread / variance, many, n)) if variance > 0 else many


def gap(arm: Mask, comparator: Mask, test: LabelledImages, here: Mask) -> Effects:
    """Difference in recall on the images `here`, from the hits [S, N] of both arms."""
    groups = None if test.groups is None else test.groups[here]
    return effects(arm[:, here].astype(float) - comparator[:, here], np.zeros(int(here.sum()), np.int64), groups)


def interval(effect: Effects, test: LabelledImages, here: Mask, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of a `gap` over seeds and images.

    With too few images it is [-1, 1]. If no image differs, the rule of three applies.
    """
    units, least = alone(test, here)
    low, high = effect.interval(confidence) if units >= least else (-1.0, 1.0)
    if low == high:  # the arms agree on all images: the rule of three
        low, high = max(-1.0, low - 3 / units), min(1.0, high + 3 / units)
    return low, high


def recalls(arm: Mask, comparator: Mask, test: LabelledImages, here: Mask) -> dict[str, Any]:
    """Number of groups, and the recall of both arms with Wilson's 95 % interval.

    The interval is for the number of test images, or for their effective number with groups (`worth`).
    """
    groups = None if test.groups is None else test.groups[here]
    row: dict[str, Any] = {"groups": None if groups is None else len(np.unique(groups))}
    for role, hits in (("comparator", comparator), ("arm", arm)):
        each = hits[:, here].mean(0)
        recall = float(each.mean())
        row[f"recall_{role}"], row[f"interval_{role}"] = recall, wilson(recall, worth(each, groups))
    return row
