"""The Fréchet distance extrapolated to infinitely many images."""

from __future__ import annotations

import numpy as np

from augury.intervals import jackknife
from augury.metrics.check import Features, Floats, check_pair_rows
from augury.metrics.frechet import frechet_distance
from augury.metrics.score import Score
from augury.metrics.sides import Sides
from augury.randomness import rng

LEVELS = 4
"""Sizes to extrapolate from: all images, halves, thirds and quarters."""
GROUPS, FEW_GROUPS = 8, 3
"""Groups of the jackknife. The smaller number applies where the score is not meaningful and every Fréchet distance is
expensive.
"""


def frechet_infinite(x: Features, y: Features, seed: int) -> float:
    """The limit of the Fréchet distance of [N, D] and [M, D] as 1/N goes to 0.

    It is the intercept of a straight line through the values at N, N/2, N/3 and N/4 (Chong & Forsyth 2020, section 3).
    They cut the fakes alone. Here both sides are cut, which also removes the bias of the reference. At each size, each
    subset of a set is used once and the mean over the subsets is taken.

    Parameters
    ----------
    x, y : array
        Features [N, D] and [M, D].
    seed : int
        Seed of the subsets.

    Returns
    -------
    float
        The extrapolated distance.

    Raises
    ------
    ScoreError
        Where a quarter of a side has fewer than 2 images.
    """
    check_pair_rows(x, y, least=2 * LEVELS)
    orders = [rng(seed, "infinite", side).permutation(len(s)) for side, s in enumerate((x, y))]
    sizes = np.arange(1, LEVELS + 1)
    distances = [
        np.mean([frechet_distance(x[orders[0][part::size]], y[orders[1][part::size]]) for part in range(size)])
        for size in sizes
    ]
    return _intercept(sizes.astype(np.float64), np.array(distances))


def fd_infinite(sides: Sides, name: str) -> Score:
    """`frechet_infinite` with value ± t · se by the delete-a-group jackknife over up to 8 groups of both sides.

    The interval omits the variation from the choice of the subsets, so it is slightly too narrow. The cost is about 9 ·
    10 Fréchet distances.
    """
    x, y, seed = sides.fake, sides.real, sides.seed
    check_pair_rows(x, y, least=4 * LEVELS)
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
