"""Is the difference real? Intervals and tests on paired differences, one for each seed."""

from __future__ import annotations

import warnings
from itertools import product

import numpy as np
import numpy.typing as npt

from augury.randomness import rng

Floats = npt.NDArray[np.float64]


def bca_interval(differences: Floats, confidence: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Bias-corrected and accelerated bootstrap interval of the mean (Efron 1987), by scipy; [mean, mean] for equal values."""
    from scipy.stats import bootstrap

    if len(differences) < 2 or np.ptp(differences) == 0:
        return float(differences.mean()), float(differences.mean())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = bootstrap(
            (differences,), np.mean, confidence_level=confidence, n_resamples=9999, method="BCa", rng=rng(seed, "bca")
        ).confidence_interval
    return float(found.low), float(found.high)


def sign_flip_p(differences: Floats, seed: int = 0) -> float:
    """Two-sided p that the mean is zero, by flipping signs (Fisher 1935): exact up to 16 values, else 65,536 drawn flips.

    The smallest p possible is 2^(1-n): .25 with 3 values, .0625 with 5, .03125 with 6.
    """
    n = len(differences)
    if n <= 16:
        signs = np.array(list(product((1.0, -1.0), repeat=n)))
    else:
        signs = np.concatenate([np.ones((1, n)), rng(seed, "flips").choice((-1.0, 1.0), (65_535, n))])
    means = np.abs(signs @ differences) / n
    return float((means >= abs(differences.mean()) - 1e-12).mean())


def word(
    differences: Floats, low: float, high: float, p: float, resolution: float = 0.03, negligible: float = 0.01
) -> str:
    """helps / hurts when interval and test agree at 95 %; else underpowered when they could not have found a difference
    (fewer than six seeds, or an interval wider than ± `resolution`) or contradict each other about one that is not
    `negligible`; else no difference."""
    if len(differences) < 6:
        return "underpowered"
    if p < 0.05 and low > 0:
        return "helps"
    if p < 0.05 and high < 0:
        return "hurts"
    torn = (low > 0 or high < 0) != (p < 0.05) and max(abs(low), abs(high)) > negligible
    return "underpowered" if torn or (high - low) / 2 > resolution else "no difference"


def confusion(truth: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], classes: int) -> npt.NDArray[np.int64]:
    """Counts int64 [K, K], rows the truth, columns the prediction."""
    return np.bincount(truth * classes + predicted, minlength=classes**2).reshape(classes, classes)


def measures(matrix: npt.NDArray[np.int64]) -> dict[str, float | list[float]]:
    """balanced_accuracy (mean recall over the classes present), macro_f1 and recall per class (0 for an absent one)."""
    hits, truth, called = np.diag(matrix).astype(float), matrix.sum(1), matrix.sum(0)
    recall = hits / np.maximum(truth, 1)
    f1 = 2 * hits / np.maximum(truth + called, 1)
    return {
        "balanced_accuracy": float(recall[truth > 0].mean()),
        "macro_f1": float(f1[(truth + called) > 0].mean()),
        "recall": recall.tolist(),
    }
