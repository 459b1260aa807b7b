"""Precision, recall, density and coverage: are fakes where real images are, and are they everywhere that those are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from augury.metrics.balls import Counts, ball_counts, radii
from augury.metrics.check import Features, Floats
from augury.metrics.score import Score
from augury.metrics.sides import K, Sides

Mask = npt.NDArray[np.bool_]
NOTE = "neighbourhoods taken as they are: the interval is of the images asked about alone"


def covered(queries: Features, references: Features, k: int = K) -> Mask:
    """bool [N]: which of `queries` [N, D] lie within the k-th nearest neighbour distance of any of `references` [M, D]
    (Kynkäänniemi et al. 2019, eq. 1; a query on the edge counts). Raises ScoreError unless k < M."""
    return ball_counts(queries, references, radii(references, k)).queries > 0


def precision_value(fake: Features, real: Features) -> float:
    """The share of fakes [N, D] within the manifold of real images [M, D]."""
    return float(covered(fake, real).mean())


def recall_value(fake: Features, real: Features) -> float:
    """The share of real images [M, D] within the manifold of fakes [N, D]."""
    return float(covered(real, fake).mean())


def precision(sides: Sides, name: str) -> Score:
    """The share of fakes within the manifold of real images: quality (Kynkäänniemi et al. 2019, eq. 2)."""
    return share(sides, name, sides.around_real.queries > 0)


def recall(sides: Sides, name: str) -> Score:
    """The share of real images within the manifold of fakes: variety (Kynkäänniemi et al. 2019, eq. 2)."""
    return share(sides, name, sides.around_fake.queries > 0)


def coverage(sides: Sides, name: str) -> Score:
    """The share of real images with a fake in their neighbourhood (Naeem et al. 2020, section 3.2).

    About 1 - 2⁻ᵏ, and not 1, for a perfect generator at equal N: read it beside its baseline.
    """
    return share(sides, name, sides.around_real.centres > 0)


def density(sides: Sides, name: str) -> Score:
    """Neighbourhoods of real images that hold a fake, a k-th of them a fake (Naeem et al. 2020, section 3.1).

    1 is expected of real images; above 1 is possible, where fakes crowd the dense places.
    """
    return mean(sides, name, sides.around_real.queries / K)


def density_of(counts: Counts, k: int = K) -> float:
    """`density` as a number."""
    return float(counts.queries.mean() / k)


def share(sides: Sides, name: str, inside: Mask, settings: str = f"k={K}", note: str = NOTE) -> Score:
    """The Score of the share of yes among `inside` [N], with Wilson's interval."""
    low, high = wilson(int(inside.sum()), len(inside))
    return sides.score(name, float(inside.mean()), low, high, note=note, settings=settings, same_n=True)


def mean(sides: Sides, name: str, each: Floats, note: str = NOTE) -> Score:
    """The Score of the mean of `each` [N] ≥ 0, with the normal interval of a mean."""
    value, deviation = float(each.mean()), float(each.std(ddof=1)) if len(each) > 1 else 0.0
    reach = 1.959964 * deviation / np.sqrt(len(each))
    low, high = max(0.0, value - reach), value + reach
    return sides.score(name, value, low, high, note=note, settings=f"k={K}", same_n=True)


def wilson(successes: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    share, weight = successes / n, z * z / n
    middle = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * float(np.sqrt(share * (1 - share) / n + weight / n / 4))
    return max(0.0, middle - half), min(1.0, middle + half)
