"""The Vendi score: the effective number of different images."""

from __future__ import annotations

import numpy as np
from scipy import linalg, special

from augury.intervals import jackknife
from augury.metrics.check import ENOUGH, Features, Floats, checked
from augury.metrics.score import Score
from augury.metrics.sides import Sides
from augury.randomness import rng

GROUPS = 10


def vendi_value(features: Features) -> float:
    """exp of the entropy of the eigenvalues of K / N, with K the cosines between features (Friedman & Dieng 2023,
    definition 3.1).

    1 when all images are alike, N when all are orthogonal; always real, and at most D + 1. Images whose features are
    all 0 are like each other and orthogonal to the rest.

    Parameters
    ----------
    features : array
        [N, D].

    Returns
    -------
    float
        The effective number of images.

    Raises
    ------
    ScoreError
        For N = 0 or NaN.
    """
    return _vendi(_directions(checked(features, least=1)))


def vendi(sides: Sides, name: str) -> Score:
    """`vendi_value` of the fakes, with value ± t · se by the delete-a-group jackknife over up to 10 groups.

    Grows with N, so compare at the same N; no real image enters.
    """
    units = _directions(checked(sides.fake, least=ENOUGH))
    groups = min(GROUPS, len(units))
    of = rng(sides.seed, "vendi").permutation(np.arange(len(units)) % groups)
    value, reach = _vendi(units), jackknife([_vendi(units[of != g]) for g in range(groups)])
    low, high = max(1.0, value - reach), value + reach
    return sides.score(name, value, low, high, n=len(units), settings="cosine", same_n=True)


def _directions(a: Floats) -> Floats:
    """[N, D + 1]: each row scaled to length 1. Rows of zeros point along the last axis, where all others are 0."""
    lengths = np.sqrt((a**2).sum(1))
    zero = lengths == 0
    units = a / np.where(zero, 1, lengths)[:, None]
    return np.hstack([units, zero[:, None].astype(np.float64)])


def _vendi(units: Floats) -> float:
    small = units.T @ units if len(units) > units.shape[1] else units @ units.T
    values = linalg.eigvalsh(small / len(units), driver="evd", check_finite=False).clip(0)
    return float(np.exp(special.entr(values).sum()))
