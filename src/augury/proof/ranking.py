"""Ranking of the images of a class above all others: AUC, and sensitivity at a fixed specificity."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

SPECIFICITY = 0.9
"""Smallest share of images of other classes that must be below the threshold when sensitivity is measured."""


def area_under_curve(scores: Floats, positive: npt.NDArray[np.bool_]) -> float | None:
    """Probability that a positive image scores above a negative one; ties count half. None without both kinds.

    Mann & Whitney 1947; as AUC by Hanley & McNeil 1982.
    """
    from scipy.stats import rankdata

    n = int(positive.sum())
    if not 0 < n < len(scores):
        return None
    return float((rankdata(scores)[positive].sum() - n * (n + 1) / 2) / (n * (len(scores) - n)))


def sensitivity_at(scores: Floats, positive: npt.NDArray[np.bool_], specificity: float = SPECIFICITY) -> float | None:
    """Largest sensitivity of a threshold with at least `specificity` of the negative images below it.

    None without both kinds.
    """
    n, others = int(positive.sum()), scores[~positive]
    if n == 0 or not len(others):
        return None
    return float((scores[positive] > threshold_at(others, specificity)).mean())


def threshold_at(others: Floats, specificity: float) -> float:
    """Smallest of the scores `others` [N] of negative images with at least the share `specificity` of them at or below it."""
    below = int(np.ceil(specificity * len(others) - 1e-9))
    return float(np.sort(others)[below - 1]) if below else -np.inf


def macro(values: list[float | None]) -> float | None:
    """Mean of the values that are not None."""
    present = [value for value in values if value is not None]
    return float(np.mean(present)) if present else None
