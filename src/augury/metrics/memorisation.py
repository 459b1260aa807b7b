"""Memorisation: whether fakes are nearer to the training images than unseen real images are.

No single score here separates copying from poor images. Read all of them, and look at the images of `near_duplicates`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import stats

from augury.errors import ScoreError
from augury.metrics.check import Features, Floats
from augury.metrics.coverage import Mask, share
from augury.metrics.nearest import nearest
from augury.metrics.score import Direction, Score
from augury.metrics.sides import Sides

Codes = npt.NDArray[np.int64]
LIMIT = 0.2
"""A distance below this share of the usual distance between neighbours makes a near-duplicate."""


@dataclass(frozen=True)
class Duplicates:
    """Pairs of a fake and its nearest training image, nearest first.

    `fakes` and `train` int64 [P] are their indices, `distances` is float64 [P]. A pair nearer than `limit` is a
    near-duplicate.
    """

    fakes: Codes
    train: Codes
    distances: Floats
    limit: float


def near_duplicates(
    fake: Features, train: Features, *, limit: float = LIMIT, at_least: int = 0, own: Codes | None = None
) -> Duplicates:
    """The fakes that nearly equal a training image.

    A near-duplicate is nearer than `limit` times the median distance between training images and their nearest
    neighbour.

    Parameters
    ----------
    fake, train : array
        Features [N, D] and [T, D].
    limit : float
        Share of the usual distance.
    at_least : int
        Number of nearest pairs to return in any case.
    own : array of int64 [N], optional
        Training image that does not count for each fake (-1: none), because a translation may resemble its source.

    Returns
    -------
    Duplicates
        The pairs, nearest first.

    Raises
    ------
    ScoreError
        For fewer than 2 training images.
    """
    threshold = _scaled(train, limit)
    neighbours, apart = nearest(fake, train, 1 if own is None else 2)
    at = np.zeros(len(neighbours), np.int64) if own is None else (neighbours[:, 0] == own).astype(np.int64)
    indices, distances = (values[np.arange(len(values)), at] for values in (neighbours, apart))
    order = np.argsort(distances, kind="stable")
    selected = order[: max(at_least, int((distances <= threshold).sum()))]
    return Duplicates(selected, indices[selected], distances[selected], threshold)


def duplicates(sides: Sides, name: str) -> Score:
    """The share of fakes that are near-duplicates of a training image, with Wilson's interval."""
    how = f"within {LIMIT:g} of the median distance between neighbours; {_against(sides)}"
    return _of_fakes(sides, name, _twins, "lower", how)


def authenticity(sides: Sides, name: str) -> Score:
    """The share of fakes that are farther from their nearest training image than that image is from its nearest
    neighbour.

    Alaa et al. 2022, section 4.2: AuthPct / 100. A copy has distance 0 and is never authentic. A near-copy of a
    training image that has an identical twin counts as authentic. Among good fakes 0.5 (few dimensions) to 0.9 (many)
    are authentic: compare with the baseline.
    """
    return _of_fakes(sides, name, _authentic, "higher", _against(sides))


def copying_z(fake: Floats, unseen: Floats) -> float:
    """The Mann-Whitney z of distances to the training images, `fake` [N] against `unseen` [H].

    Meehan, Chaudhuri & Dasgupta 2020, section 3. Below 0, fakes are nearer than unseen real images; z is normal when
    both have the same distribution. Includes the tie correction; 0 when all distances are equal. Raises ScoreError when
    a side is empty.
    """
    n, m = len(fake), len(unseen)
    if min(n, m) == 0:
        raise ScoreError(
            f"copying needs images on both sides, but there are {n} fakes and {m} unseen real ones; give more"
        )
    both = np.concatenate([fake, unseen])
    counts = np.unique(both, return_counts=True)[1].astype(np.float64)
    total = n + m
    ties = ((counts**3 - counts).sum()) / (total * (total - 1)) if total > 1 else 0.0
    variance = n * m / 12 * (total + 1 - ties)
    above = float(stats.rankdata(both)[:n].sum()) - n * (n + 1) / 2
    return (above - n * m / 2) / float(np.sqrt(variance)) if variance > 0 else 0.0


def data_copying(sides: Sides, name: str) -> Score:
    """C_T: `copying_z` over all images as one cell.

    Below about -3 the generator copies. Far above 0 the fakes are farther away than real images, which means poor
    quality. The interval is ±1.96, as for a z without copying.
    """
    fakes, unseen = (nearest(side, sides.trained)[1][:, 0] for side in (sides.fake, sides.unseen))
    z = copying_z(fakes, unseen)
    n = min(len(fakes), len(unseen))
    note = "-3 or less: copies; 3 or more: fakes are farther from the training images than unseen real ones are"
    return sides.score(
        name,
        z,
        z - 1.959964,
        z + 1.959964,
        "higher",
        n=n,
        note=note,
        settings=f"one cell; {_against(sides)}",
        same_n=True,
    )


def _against(sides: Sides) -> str:
    """The number of training images as a setting: with more of them each image is nearer to one."""
    return f"{len(sides.trained)} training images"


def _scaled(train: Features, limit: float) -> float:
    if len(train) < 2:
        raise ScoreError(f"near-duplicates need at least 2 training images, but there are {len(train)}; give more")
    return limit * float(np.median(nearest(train, train, 2)[1][:, 1]))


def _twins(sides: Sides) -> Mask:
    return nearest(sides.fake, sides.trained)[1][:, 0] <= _scaled(sides.trained, LIMIT)


def _authentic(sides: Sides) -> Mask:
    indices, distances = nearest(sides.fake, sides.trained)
    own = nearest(sides.trained, sides.trained, 2)[1][:, 1]
    return distances[:, 0] > own[indices[:, 0]]


def duplicates_of(sides: Sides) -> float:
    """`duplicates` as a number."""
    return float(_twins(sides).mean())


def authenticity_of(sides: Sides) -> float:
    """`authenticity` as a number."""
    return float(_authentic(sides).mean())


def _of_fakes(sides: Sides, name: str, yes: Callable[[Sides], Mask], better: Direction, settings: str) -> Score:
    """The share of fakes selected by `yes`; it does not depend on their number."""
    mask = yes(sides)
    score = share(sides, name, mask, lambda s: float(yes(s).mean()), settings)
    return replace(score, n=len(mask), same_n=False, better=better)
