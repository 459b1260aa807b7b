"""Interim looks at a growing trial. Error spending over the looks controls the total error."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from augury.proof.statistics import least_seeds

Floats = npt.NDArray[np.float64]


def looks(first: int, most: int | None, level: float = 0.05, arms: int = 1) -> tuple[tuple[int, float], ...]:
    """(seeds, level of the two-sided test) of each look.

    There is a look every `first` seeds up to `most`; without `most`, one look at `level`. A look is left out and spends no
    error if no sign-flip p can reach its level, corrected for the number of `arms`.
    """
    if most is None or most <= first:
        return ((first, level),)
    numbers = [*range(first, most, first), most]
    while True:
        levels = nominal_levels(tuple(n / most for n in numbers), level)
        late = [n for n, a in zip(numbers, levels, strict=True) if n == most or least_seeds(max(a / arms, 1e-12)) <= n]
        if late == numbers:
            return tuple(zip(numbers, levels, strict=True))
        numbers = late


def spent(time: float, level: float = 0.05) -> float:
    """Two-sided error spent by the share `time` in (0, 1] of the seeds.

    O'Brien & Fleming's boundary as a function of time (Lan & DeMets 1983, α₁*, for each side).
    """
    from scipy.special import ndtr, ndtri

    return float(4 * ndtr(ndtri(level / 4) / np.sqrt(time)))


@cache
def nominal_levels(times: tuple[float, ...], level: float = 0.05) -> tuple[float, ...]:
    """Two-sided level of the test at each look.

    Without a true difference, all looks together have the error probability `level`. The path to each look is integrated as
    in Armitage, McPherson & Rowe (1969).
    """
    from scipy.optimize import brentq
    from scipy.special import ndtr

    levels: list[float] = []
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
        levels.append(float(2 * ndtr(-edge / np.sqrt(time))))
        nodes, shares = np.polynomial.legendre.leggauss(160)
        scaled_nodes = nodes * edge
        density = np.exp(-0.5 * ((scaled_nodes[:, None] - grid) / step) ** 2) / (step * np.sqrt(2 * np.pi))
        grid, weight = scaled_nodes, shares * edge * (density @ weight)
        before, past = time, spent(time, level)
    return tuple(levels)
