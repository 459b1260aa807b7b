"""Precision, recall, density and coverage: whether fakes lie where real images are, and everywhere that real images
are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from augury.intervals import jackknife, wilson
from augury.metrics.balls import ball_counts, radii
from augury.metrics.check import Features, Floats
from augury.metrics.score import Score
from augury.metrics.sides import K, Sides

Mask = npt.NDArray[np.bool_]
Value = Callable[[Sides], float]
NARROW = "the interval is of the images asked about alone, the neighbourhoods taken as they are: too narrow"


def covered(queries: Features, references: Features, k: int = K) -> Mask:
    """bool [N]: which of `queries` [N, D] lie within the k-th nearest neighbour distance of any of `references` [M, D].

    Kynkäänniemi et al. 2019, eq. 1; a query on the edge counts. Raises ScoreError unless k < M.
    """
    return ball_counts(queries, references, radii(references, k)).queries > 0


def precision_value(fake: Features, real: Features) -> float:
    """The share of fakes [N, D] within the manifold of real images [M, D]."""
    return float(covered(fake, real).mean())


def recall_value(fake: Features, real: Features) -> float:
    """The share of real images [M, D] within the manifold of fakes [N, D]."""
    return float(covered(real, fake).mean())


def precision(sides: Sides, name: str) -> Score:
    """The share of fakes within the manifold of real images: quality (Kynkäänniemi et al. 2019, eq. 2)."""
    return share(sides, name, sides.around_real.queries > 0, precision_of)


def recall(sides: Sides, name: str) -> Score:
    """The share of real images within the manifold of fakes: variety (Kynkäänniemi et al. 2019, eq. 2)."""
    return share(sides, name, sides.around_fake.queries > 0, recall_of)


def coverage(sides: Sides, name: str) -> Score:
    """The share of real images with a fake in their neighbourhood (Naeem et al. 2020, section 3.2).

    A perfect generator has about 1 - 2⁻ᵏ, not 1, at equal N: compare it with its baseline.
    """
    return share(sides, name, sides.around_real.centres > 0, coverage_of)


def density(sides: Sides, name: str) -> Score:
    """The mean number of neighbourhoods of real images that a fake lies in, divided by k (Naeem et al. 2020, section
    3.1).

    The expected value for real images is 1. Values above 1 occur where fakes crowd the dense regions.
    """
    return mean(sides, name, sides.around_real.queries / K, density_of)


def precision_of(sides: Sides) -> float:
    """`precision` as a number."""
    return float((sides.around_real.queries > 0).mean())


def recall_of(sides: Sides) -> float:
    """`recall` as a number."""
    return float((sides.around_fake.queries > 0).mean())


def coverage_of(sides: Sides) -> float:
    """`coverage` as a number."""
    return float((sides.around_real.centres > 0).mean())


def density_of(sides: Sides) -> float:
    """`density` as a number."""
    return float(sides.around_real.queries.mean() / K)


def share(sides: Sides, name: str, inside: Mask, value: Value, settings: str = f"k={K}") -> Score:
    """The Score of the share of True in `inside` [N].

    The interval is the wider of Wilson's and that of the delete-a-group jackknife over both sides.
    """
    low, high = wilson(float(inside.mean()), len(inside))
    score = _score(sides, name, float(inside.mean()), low, high, value, settings)
    return replace(score, high=min(1.0, score.high))


def mean(sides: Sides, name: str, each: Floats, value: Value) -> Score:
    """The Score of the mean of `each` [N] ≥ 0.

    The interval is the wider of the normal interval and that of the delete-a-group jackknife over both sides.
    """
    middle, deviation = float(each.mean()), float(each.std(ddof=1)) if len(each) > 1 else 0.0
    reach = 1.959964 * deviation / np.sqrt(len(each))
    return _score(sides, name, middle, middle - reach, middle + reach, value, f"k={K}")


def _score(sides: Sides, name: str, middle: float, low: float, high: float, value: Value, settings: str) -> Score:
    left = [value(part) for part in sides.left_out]
    reach, note = jackknife(left), "" if left else NARROW
    low, high = min(low, middle - reach), max(high, middle + reach)
    return sides.score(name, middle, max(0.0, low), high, note=note, settings=settings, same_n=True)
