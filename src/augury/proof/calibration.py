"""Calibration of class probabilities: expected calibration error and Brier score."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


def expected_calibration_error(truth: Codes, p: Floats, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over bins of equal width, in [0, 1] (Guo et al. 2017, equation 3).

    Bins are weighted by their images. `truth` [N], `p` [N, K].
    """
    confidence, right = p.max(1), p.argmax(1) == truth
    places = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(places, right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(truth))


def brier_score(truth: Codes, p: Floats) -> float:
    """Mean squared distance between probabilities and truth, in [0, 2] (Brier 1950, equation 2)."""
    return float((np.square(p).sum(1) - 2 * p[np.arange(len(p)), truth] + 1).mean())
