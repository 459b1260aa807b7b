"""Calibration of class probabilities: temperature, expected calibration error and Brier score."""

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
    bin_of = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(bin_of, right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(truth))


def brier_score(truth: Codes, p: Floats) -> float:
    """Mean squared distance between probabilities and truth, in [0, 2] (Brier 1950, equation 2)."""
    return float((np.square(p).sum(1) - 2 * p[np.arange(len(p)), truth] + 1).mean())


COOLEST, HOTTEST = 0.05, 20.0
"""Limits of a temperature."""


def fit_temperature(truth: Codes, logits: Floats) -> float:
    """The temperature T that maximises the likelihood of softmax(logits / T) (Guo et al. 2017, section 4.2).

    The derivative with respect to 1/T is the mean of (expected logit - true logit), which grows with 1/T. Its root is found by
    bisection in [COOLEST, HOTTEST]. Where every image is classified correctly, the likelihood grows without limit as T falls,
    and the images say nothing about T; it is then 1.

    Parameters
    ----------
    truth
        int64 [N], true classes.
    logits
        float64 [N, K].
    """
    if not len(truth) or (logits.argmax(1) == truth).all():
        return 1.0
    shifted = logits - logits.max(1, keepdims=True)
    true = shifted[np.arange(len(truth)), truth]

    def derivative(temperature: float) -> float:
        weights = np.exp(shifted / temperature)
        return float(((weights * shifted).sum(1) / weights.sum(1) - true).mean())

    cool, hot = COOLEST, HOTTEST
    for _ in range(60):
        middle = float(np.sqrt(cool * hot))
        cool, hot = (cool, middle) if derivative(middle) < 0 else (middle, hot)
    return float(np.sqrt(cool * hot))
