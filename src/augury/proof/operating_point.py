"""Sensitivity at a stated specificity as the metric of a trial: the threshold is chosen on validation, measured on test."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from augury.errors import SettingsError
from augury.images import Codes, LabelledImages
from augury.proof.crossed import effects
from augury.proof.measures import Floats, packed
from augury.proof.ranking import threshold_at
from augury.settings import BALANCED

Mask = npt.NDArray[np.bool_]

PRIMARY = "primary"
"""Name of the value of the trial's metric, in the measures of a trial whose metric is not balanced accuracy."""
HITS = "threshold_hits"
"""Name of the images classified correctly at the threshold, in the format of `packed`."""
_METRIC = re.compile(r"sensitivity@(0?\.\d+)(?::(.+))?", re.S)


@dataclass(frozen=True)
class OperatingPoint:
    """A class to detect, and the share of images of other classes that must stay below the threshold.

    Attributes
    ----------
    label, name
        Code and name of the class.
    specificity
        Share in (0, 1) of the *validation* images of other classes at or below the threshold.
    """

    label: int
    name: str
    specificity: float

    @property
    def metric(self) -> str:
        """The metric in words."""
        return f"sensitivity for {self.name} at {100 * self.specificity:g} % specificity"

    def threshold(self, truth: Codes, p: Floats) -> float:
        """Smallest probability of the class, among images of other classes, with the stated share of these at or below it.

        `truth` int64 [N] and `p` float64 [N, K] are those of the validation split, with at least one image of another class.
        """
        return threshold_at(p[truth != self.label, self.label], self.specificity)

    def at(self, threshold: float, truth: Codes, p: Floats) -> dict[str, Any]:
        """Measures at a threshold: PRIMARY (sensitivity), specificity, threshold, and HITS.

        An image counts as the class if its probability is above the threshold. For images of other classes, HITS are those
        that do not.
        """
        positive = truth == self.label
        hits = (p[:, self.label] > threshold) == positive
        return {
            PRIMARY: float(hits[positive].mean()),
            "specificity": float(hits[~positive].mean()),
            "threshold": threshold,
            HITS: packed(hits),
        }

    def judged(self, test: LabelledImages) -> tuple[LabelledImages, Mask]:
        """The test images of the class, with one pixel in place of each image, and bool [N], which images these are."""
        inside = test.labels == self.label
        groups = None if test.groups is None else test.groups[inside]
        pixels = np.zeros((int(inside.sum()), 1, 1, 1), np.uint8)
        return LabelledImages(pixels, test.labels[inside], test.classes, groups=groups), inside

    def realised(self, hits: Mapping[str, Mask], arm: str, comparator: str, test: LabelledImages) -> dict[str, Any]:
        """Specificity of two arms on the test images, mean over the seeds, with the 95 % interval of their difference.

        A threshold that was chosen on validation does not keep its specificity exactly. An arm may therefore gain sensitivity
        by losing specificity; this shows it.
        """
        others = test.labels != self.label
        groups = None if test.groups is None else test.groups[others]
        gap = hits[arm][:, others].astype(float) - hits[comparator][:, others]
        effect = effects(gap, np.zeros(int(others.sum()), np.int64), groups)
        low, high = effect.interval()
        return {
            "class": self.name,
            "specificity": self.specificity,
            "specificity_arm": float(hits[arm][:, others].mean()),
            "specificity_comparator": float(hits[comparator][:, others].mean()),
            "difference": effect.value,
            "low": low,
            "high": high,
            "test": int(others.sum()),
        }


def operating_point(metric: str, classes: tuple[str, ...]) -> OperatingPoint | None:
    """Read the setting `prove.metric`; None for balanced accuracy.

    Raises
    ------
    SettingsError
        For another metric, and for a class that does not exist or is not named.
    """
    if metric == BALANCED:
        return None
    match = _METRIC.fullmatch(metric)
    listed = ", ".join(f"'{name}'" for name in classes[:8]) + (", …" if len(classes) > 8 else "")
    if match is None or not 0 < float(match[1]) < 1:
        raise SettingsError(
            f"prove.metric is '{metric}', but must be {BALANCED}, or sensitivity@SPECIFICITY:CLASS with a specificity between 0 and 1, "
            f"such as sensitivity@0.9:{classes[0]}"
        )
    if match[2] not in classes:
        named = f"there is no class '{match[2]}'" if match[2] else "it names no class to detect"
        raise SettingsError(
            f"prove.metric is '{metric}', but {named}; write sensitivity@{match[1]}:CLASS with one of {listed}"
        )
    return OperatingPoint(classes.index(match[2]), match[2], float(match[1]))


def primary(measured: Mapping[str, Any]) -> float:
    """The value of the trial's metric in the measures of one training."""
    return float(measured[PRIMARY if PRIMARY in measured else "balanced_accuracy"])


def hits_of(measured: Mapping[str, Any]) -> str:
    """The images that count as classified correctly for the trial's metric, in the format of `packed`."""
    return str(measured[HITS if HITS in measured else "hits"])
