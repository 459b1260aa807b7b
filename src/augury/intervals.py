"""The interval of a share, which scores, plans and verdicts all tell."""

from __future__ import annotations

import math


def wilson(share: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of a share of `n` (Wilson 1927, section 3); [0, 1] for n = 0."""
    from scipy.special import ndtri

    if n == 0:
        return 0.0, 1.0
    z = float(ndtri(0.5 + confidence / 2))
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)
