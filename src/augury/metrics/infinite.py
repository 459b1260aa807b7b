"""The Fréchet distance that infinitely many images would have."""

from __future__ import annotations

import numpy as np

from augury.intervals import jackknife
from augury.metrics.check import Features, Floats, look_pair
from augury.metrics.frechet import frechet_distance
from augury.metrics.score import Score
from augury.metrics.sides import Sides
from augury.randomness import rng

LEVELS = 4
"""Sizes from which to extrapolate: all images, halves, thirds and quarters."""
GROUPS, FEW_GROUPS = 8, 3
"""Of the jackknife; the fewer where the score means nothing anyway, and every Fréchet distance is dear."""


def frechet_infinite(x: Features, y: Features, seed: int) -> float:
    """Where the Fréchet distance of [N, D] and [M, D] is heading as 1/N goes to 0: the intercept of a straight line
    through its values at N, N/2, N/3 and N/4 (Chong & Forsyth 2020, section 3; they cut the fakes alone, here both
    sides are cut, so that the bias of the reference goes too). Each part of a set serves once a size, and the mean over
    the parts is taken. Raises ScoreError where a quarter of a side has fewer than 2 images.
    """
    look_pair(x, y, least=2 * LEVELS)
    orders = [rng(seed, "infinite", side).permutation(len(s)) for side, s in enumerate((x, y))]
    sizes = np.arange(1, LEVELS + 1)
    found = [
        np.mean([frechet_distance(x[orders[0][part::size]], y[orders[1][part::size]]) for part in range(size)])
        for size in sizes
    ]
    return _intercept(sizes.astype(np.float64), np.array(found))


def fd_infinite(sides: Sides, name: str) -> Score:
    """`frechet_infinite` with value ± t · se by the delete-a-group jackknife over up to 8 groups of both sides.

    The interval errs on the narrow side by what the choice of the parts adds. Costs about 9 · 10 Fréchet distances.
    """
    x, y, seed = sides.fake, sides.real, sides.seed
    look_pair(x, y, least=4 * LEVELS)
    n, d = sides.n, x.shape[1]
    small = n < 2 * LEVELS * d
    groups = FEW_GROUPS if small else GROUPS
    value = frechet_infinite(x, y, seed)
    of = [rng(seed, "infinite groups", side).permutation(np.arange(len(s)) % groups) for side, s in enumerate((x, y))]
    reach = jackknife([frechet_infinite(x[of[0] != g], y[of[1] != g], seed) for g in range(groups)])
    note = f"not meaningful: N={n} in quarters is small against D={d}; go by the KID instead" if small else ""
    return sides.score(name, value, value - reach, value + reach, "lower", note=note, settings=f"{LEVELS} sizes")


def _intercept(x: Floats, y: Floats) -> float:
    slope = ((x - x.mean()) @ (y - y.mean())) / ((x - x.mean()) ** 2).sum()
    return float(y.mean() - slope * x.mean())
