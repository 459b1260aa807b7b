"""Sign-flip test and Holm correction."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from augury.randomness import rng

Floats = npt.NDArray[np.float64]

EXACT = 16
"""Largest number of values for which all sign flips are enumerated."""


def sign_flip_p(differences: Floats, seed: int = 0) -> float:
    """Test by sign flips whether the mean is zero (Fisher 1935).

    The test is exact up to 16 values, and uses 65,536 flips beyond that, all but one of them random. The smallest
    possible p is 2^(1-n): .25 with 3 values, .0625 with 5, .03125 with 6.

    Parameters
    ----------
    differences
        float64 [n], paired differences.
    seed
        Determines the random flips.

    Returns
    -------
    float
        Two-sided p in (0, 1].
    """
    n = len(differences)
    if n <= EXACT:
        signs = 1.0 - 2.0 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
    else:
        signs = np.concatenate([np.ones((1, n)), rng(seed, "flips").choice((-1.0, 1.0), (65_535, n))])
    means = np.abs(signs @ differences) / n
    return float((means >= abs(differences.mean()) - 1e-12).mean())


def least_seeds(level: float) -> int:
    """Fewest pairs whose sign-flip test can reach p <= `level`: 6 at .05, 7 at .025."""
    return max(2, 1 + math.ceil(math.log2(1 / level)))


def holm(p: Sequence[float], level: float = 0.05) -> tuple[list[float], list[float]]:
    """Adjusted p values and the level at which each is tested (Holm 1979).

    The k-th smallest of m is tested at level / (m + 1 - k), up to the first that is not rejected. That one and all after it
    have its level. An interval at one minus that level agrees with the test's decision.
    """
    m, order = len(p), np.argsort(p, kind="stable")
    adjusted, levels = [0.0] * m, [0.0] * m
    highest, left = 0.0, m
    for rank, i in enumerate(order.tolist()):
        if highest <= level:
            left = m - rank
        highest = max(highest, min(1.0, (m - rank) * p[i]))
        adjusted[i], levels[i] = highest, level / left
    return adjusted, levels
