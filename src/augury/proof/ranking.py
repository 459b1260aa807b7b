"""How well probabilities rank the images of a class above all others: AUC, and sensitivity at a fixed specificity."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

SPECIFICITY = 0.9
"""At least this share of the images of other classes must be told from the class whose sensitivity is measured."""


def area_under_curve(scores: Floats, positive: npt.NDArray[np.bool_]) -> float | None:
    """Chance that a positive image scores above a negative one, ties half (Mann & Whitney 1947, as AUC by Hanley & McNeil
    1982); None without both kinds."""
    from scipy.stats import rankdata

    n = int(positive.sum())
    if not 0 < n < len(scores):
        return None
    return float((rankdata(scores)[positive].sum() - n * (n + 1) / 2) / (n * (len(scores) - n)))


def sensitivity_at(scores: Floats, positive: npt.NDArray[np.bool_], specificity: float = SPECIFICITY) -> float | None:
    """The largest share of positive images called positive by a threshold that leaves at least `specificity` of the negative
    ones below it; None without both kinds."""
    n, others = int(positive.sum()), np.sort(scores[~positive])
    if n == 0 or not len(others):
        return None
    below = int(np.ceil(specificity * len(others) - 1e-9))
    return float((scores[positive] > (others[below - 1] if below else -np.inf)).mean())


def macro(values: list[float | None]) -> float | None:
    """The mean of those that exist."""
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there else None
