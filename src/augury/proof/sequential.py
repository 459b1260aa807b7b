"""Looking at a trial while it grows, without finding more than chance allows: error is spent over the looks."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from augury.proof.statistics import least_seeds

Floats = npt.NDArray[np.float64]


def looks(first: int, most: int | None, level: float = 0.05, arms: int = 1) -> tuple[tuple[int, float], ...]:
    """(seeds, level of the two-sided test) of each look: every `first` seeds up to `most`; one look at `level` without
    `most`. Looks too early for any sign-flip p to reach their level, corrected for as many `arms`, are left out, and spend
    nothing."""
    if most is None or most <= first:
        return ((first, level),)
    numbers = [*range(first, most, first), most]
    while True:
        found = nominal_levels(tuple(n / most for n in numbers), level)
        late = [n for n, a in zip(numbers, found, strict=True) if n == most or least_seeds(max(a / arms, 1e-12)) <= n]
        if late == numbers:
            return tuple(zip(numbers, found, strict=True))
        numbers = late


def spent(time: float, level: float = 0.05) -> float:
    """Error spent, on both sides, by the share `time` in (0, 1] of the seeds: O'Brien & Fleming's way as a function of time
    (Lan & DeMets 1983, α₁*, for each side)."""
    from scipy.special import ndtr, ndtri

    return float(4 * ndtr(ndtri(level / 4) / np.sqrt(time)))


@cache
def nominal_levels(times: tuple[float, ...], level: float = 0.05) -> tuple[float, ...]:
    """The two-sided level of the test at each look, so that under no difference all looks together err with the chance
    `level`. The path to each look is integrated as Armitage, McPherson & Rowe (1969) do."""
    from scipy.optimize import brentq
    from scipy.special import ndtr

    found: list[float] = []
    grid: Floats = np.zeros(1)  # sums that have not crossed, and how probable they are
    weight: Floats = np.ones(1)
    before, past = 0.0, 0.0
    for time in times:
        step, new = np.sqrt(time - before), spent(time, level) - past

        def excess(
            edge: float, step: float = step, grid: Floats = grid, weight: Floats = weight, new: float = new
        ) -> float:
            crossed = ndtr((grid - edge) / step) + ndtr((-edge - grid) / step)
            return float((weight * crossed).sum() - new)

        edge = float(brentq(excess, 0.0, 12 * np.sqrt(time), xtol=1e-10))
        found.append(float(2 * ndtr(-edge / np.sqrt(time))))
        nodes, shares = np.polynomial.legendre.leggauss(160)
        places = nodes * edge
        density = np.exp(-0.5 * ((places[:, None] - grid) / step) ** 2) / (step * np.sqrt(2 * np.pi))
        grid, weight = places, shares * edge * (density @ weight)
        before, past = time, spent(time, level)
    return tuple(found)
