"""Density and coverage that are robust to outliers and read as a share of good images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import special

from augury.metrics.balls import ball_counts
from augury.metrics.check import Floats
from augury.metrics.coverage import mean
from augury.metrics.score import Score
from augury.metrics.sides import K, Sides


def clipped_density(sides: Sides, name: str) -> Score:
    """The Score of `clipped_density_value`, in effect the share of good fakes."""
    each = _filled(sides) / _filled_by_real(sides)
    score = mean(sides, name, each, lambda s: float(_filled(s).mean()) / _filled_by_real(s))
    return replace(score, value=min(1.0, score.value), low=min(1.0, score.low), high=min(1.0, score.high))


def clipped_density_value(sides: Sides) -> float:
    """Clipped density, at most 1 (Salvy, Talbot & Thirion 2025).

    The mean over fakes of min(1, balls they lie in / k), divided by the same mean over the real images. The balls lie
    around real images; their radii are limited to the median radius.
    """
    return min(1.0, float(_filled(sides).mean()) / _filled_by_real(sides))


def clipped_coverage(sides: Sides, name: str) -> Score:
    """The Score of `clipped_coverage_value`; the bounds of the mean are converted in the same way."""
    raw = mean(sides, name, _covered(sides), lambda s: float(_covered(s).mean()))
    expected = expected_coverage(len(sides.fake), len(sides.real), K)
    low, value, high = (_share_of_good(v, expected) for v in (raw.low, raw.value, raw.high))
    return replace(raw, value=value, low=low, high=high)


def clipped_coverage_value(sides: Sides) -> float:
    """Clipped coverage (Salvy, Talbot & Thirion 2025).

    The mean over real images of min(1, fakes in their ball / k), converted to a share of good fakes: if that share of
    the fakes were real and the others far away, the mean would be the same. A fake on the edge of a ball counts; in
    their published code it does not.
    """
    return _share_of_good(float(_covered(sides).mean()), expected_coverage(len(sides.fake), len(sides.real), K))


def expected_coverage(fakes: int, reals: int, k: int) -> Floats:
    """[fakes + 1]: E[min(1, J / k)] when m = 0 … fakes of the fakes are like the real images.

    J is then beta-binomial (m; k, reals - k), since a ball to the k-th neighbour holds a share Beta(k, reals - k) of
    the mass.
    """
    m = np.arange(fakes + 1)[:, None]
    j = np.arange(k)
    with np.errstate(invalid="ignore", divide="ignore"):
        choose = special.gammaln(m + 1) - special.gammaln(j + 1) - special.gammaln(np.maximum(m - j, 0) + 1)
        chance = np.exp(choose + special.betaln(j + k, np.maximum(m - j, 0) + reals - k) - special.betaln(k, reals - k))
    missing: Floats = (np.where(m >= j, chance, 0) * (k - j)).sum(1)
    return 1 - missing / k


def _share_of_good(raw: float, expected: Floats) -> float:
    """The inverse of `expected` at `raw`, as a share of all fakes, with linear interpolation between integers."""
    return float(np.interp(raw, expected, np.linspace(0, 1, len(expected))))


def _covered(sides: Sides) -> Floats:
    return np.minimum(sides.around_real.centres / K, 1)


def _filled(sides: Sides) -> Floats:
    return np.minimum(ball_counts(sides.fake, sides.real, _limited(sides)).queries / K, 1)


def _filled_by_real(sides: Sides) -> float:
    """The mean of `_filled` for the real images, each without its own ball. Above 0, as half of the balls are not
    limited.
    """
    others = ball_counts(sides.real, sides.real, _limited(sides)).queries - 1
    return float(np.minimum(others / K, 1).mean())


def _limited(sides: Sides) -> Floats:
    return np.minimum(sides.real_radii, np.median(sides.real_radii))
