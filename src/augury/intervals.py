"""Confidence intervals of scores, plans and verdicts: of a share, and by leaving out one group at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def wilson(share: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of a share of `n` (Wilson 1927, section 3); [0, 1] for n = 0."""
    from scipy.special import ndtri

    if n == 0:
        return 0.0, 1.0
    z = float(ndtri(0.5 + confidence / 2))
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def jackknife(left: Sequence[float]) -> float:
    """t · se, half of a 95 % interval, from the values `left` when one group of the sample is left out at a time.

    Shao & Tu 1995, section 2.3. Values that are not finite are skipped; 0 for fewer than two values.
    """
    from scipy.special import stdtrit

    values = np.asarray(left)[np.isfinite(left)]
    if len(values) < 2:
        return 0.0
    error = np.sqrt((len(values) - 1) / len(values) * np.square(values - values.mean()).sum())
    return float(stdtrit(len(values) - 1, 0.975) * error)
