"""Smallest detectable difference of a trial, and the seeds and images that a smaller one needs."""

from __future__ import annotations

import math

from augury.proof.crossed import Effects

POWER = 0.8
MOST_SEEDS = 1000


def power(difference: float, error: float, freedom: float, level: float = 0.05) -> float:
    """Power of a two-sided t test at `level` for `difference` (noncentral t; Cohen 1988, chapter 2).

    `error` is the standard error of the estimated difference, `freedom` its degrees of freedom.
    """
    from scipy.stats import nct, t

    if error <= 0:
        return 1.0 if difference else level
    edge, centre = float(t.ppf(1 - level / 2, freedom)), abs(difference) / error
    if centre > 2 * edge + 8:  # the noncentral t may lose precision here
        return 1.0
    far = float(nct.cdf(-edge, freedom, centre)) if centre < 4 else 0.0
    return float(nct.sf(edge, freedom, centre)) + far


def detectable(error: float, freedom: float, level: float = 0.05, chance: float = POWER) -> float:
    """Smallest difference that is detected with power `chance`."""
    from scipy.optimize import brentq

    if error <= 0:
        return 0.0
    high = 8.0
    while power(high, 1.0, freedom, level) < chance:
        high *= 2
    return error * float(brentq(lambda d: power(d, 1.0, freedom, level) - chance, 0.0, high, xtol=1e-4))


def seeds_needed(effects: Effects, difference: float, level: float = 0.05) -> int | None:
    """Fewest seeds that detect `difference` with a power of 80 % on the same test images.

    None if 1,000 seeds are not enough.
    """
    one = effects.seed_variance * len(effects.seeds)

    def enough(n: int) -> bool:
        error = math.sqrt(one / n + effects.image_variance)
        return power(difference, error, effects.freedom(n), level) >= POWER

    if not enough(MOST_SEEDS):
        return None
    low, high = 1, MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def images_needed(effects: Effects, difference: float, images: int, level: float = 0.05) -> int:
    """Approximate number of test images that `difference` needs, given `images` now.

    Images then contribute half of the variance that the difference allows, and leave the other half to the seeds.
    """
    allowed = (difference / detectable(1.0, 1e6, level)) ** 2 / 2
    return max(images, math.ceil(images * effects.image_variance / allowed))
