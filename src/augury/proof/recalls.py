"""Recall of a subset of test images with and without the generated images: values, intervals, effective sample sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from augury.images import Codes, LabelledImages
from augury.intervals import wilson
from augury.proof.crossed import Effects, effects
from augury.proof.statistics import holm

Mask = npt.NDArray[np.bool_]
LEVEL = 0.05


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
    if many == 1:  # its deviation from its own mean is rounding, not a variance
        return 1
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


def differences(
    arm: Mask, comparator: Mask, test: LabelledImages, subsets: Mapping[int, Mask], most_loss: float | None = None
) -> dict[int, dict[str, Any]]:
    """Recalls of both arms on every subset of the test images, with the difference and its corrected interval.

    Parameters
    ----------
    arm, comparator
        bool [S, N], which test images the classifier of each seed classifies correctly.
    subsets
        Key, such as the code of a class -> bool [N], its test images; at least one.
    most_loss
        If given, each row has `p_no_loss`, the one-sided p-value of a loss of this size or more: a small one rules it out.

    Notes
    -----
    Intervals cover seeds and test images and are corrected for the number of subsets (Holm); `level` is their level. `worse`
    means that the interval lies below zero and that the t test agrees. If a single image differs, the interval alone may be
    wrong.
    """
    gaps = {key: gap(arm, comparator, test, here) for key, here in subsets.items()}
    p = []
    for key, effect in gaps.items():
        count, least = alone(test, subsets[key])
        p.append(min(1.0, 2 * min(effect.p_below(0), effect.p_above(0))) if count >= least else 1.0)
    adjusted, levels = holm(p, LEVEL)
    rows = {}
    for (key, effect), p_adjusted, level in zip(gaps.items(), adjusted, levels, strict=True):
        here = subsets[key]
        low, high = interval(effect, test, here, 1 - level)
        row = recalls(arm, comparator, test, here) | {"difference": effect.value, "low": low, "high": high}
        row |= {"level": level, "p_adjusted": p_adjusted, "worse": high < 0 and p_adjusted <= LEVEL}
        if most_loss is not None:
            count, least = alone(test, here)
            row["p_no_loss"] = effect.p_above(-most_loss) if count >= least else 1.0
        rows[key] = row
    return rows


UNTESTED = (
    "groups", "recall_comparator", "interval_comparator", "recall_arm", "interval_arm", "difference", "low", "high", "level",
    "p_adjusted",
)  # fmt: skip
"""What a row of `differences` lacks where there is no test image."""


def untested() -> dict[str, Any]:
    """The row of a subset without test images."""
    return {**dict.fromkeys(UNTESTED), "worse": False}
