"""The Fréchet distance between two sets of features, modelled as Gaussians."""

from __future__ import annotations

import numpy as np
from scipy import linalg

from augury.intervals import jackknife
from augury.metrics.check import ENOUGH, Features, Floats, check_pair_rows, checked
from augury.metrics.moments import Moments, moments
from augury.metrics.score import Score
from augury.randomness import rng

GROUPS = 10
NEGLIGIBLE = 1e-13
"""Eigenvalues below this share of the largest are rounding errors and count as 0."""


def frechet_distance(x: Features, y: Features) -> float:
    """|μx - μy|² + tr(Σx + Σy - 2 (Σx Σy)^½) of two sets of features (Dowson & Landau 1982; Heusel et al. 2017).

    Computed in float64 and always real. The trace of the root is the sum of singular values of A·Bᵀ for any AᵀA = Σx,
    BᵀB = Σy. Where N or M is at most D, A and B are the centred features. Otherwise they are Cholesky factors, handled
    through eigenvalues; memory is then six matrices of 8·D² bytes for any N. The distance is biased upwards by about
    1/N: compare only at the same N.

    Parameters
    ----------
    x, y : array
        Features [N, D] and [M, D].

    Returns
    -------
    float
        The distance, at least 0.

    Raises
    ------
    ScoreError
        For N or M below 2, NaN, or unequal D.
    """
    check_pair_rows(x, y, least=2)
    if min(len(x), len(y)) > x.shape[1]:
        return frechet_of_moments(moments(x), moments(y))
    return _few(checked(x, 2), checked(y, 2))


def frechet_of_moments(x: Moments, y: Moments) -> float:
    """`frechet_distance` of two sets from their moments, as `moments` and `merged` return them.

    Parameters
    ----------
    x, y : Moments
        Of the two sets.

    Returns
    -------
    float
        The distance, at least 0.
    """
    apart, first, second = x.mean - y.mean, x.covariance, y.covariance
    try:
        root = _cholesky_root_trace(first, second)
    except linalg.LinAlgError:  # features that are constant or linearly dependent
        root = _singular_root_trace(first, second)
    return max(0.0, float(apart @ apart + first.trace() + second.trace() - 2 * root))


def frechet(x: Features, y: Features, *, features: str, preprocessing: str, seed: int, name: str = "FD") -> Score:
    """The Fréchet distance of `x` to the reference `y` with a 95 % interval.

    The interval is value ± t · se by the delete-a-group jackknife over up to 10 groups of both sets (Shao & Tu 1995,
    section 2.3), cut off at 0. It covers other images at this N. It does not cover the bias.

    Parameters
    ----------
    x, y : array
        Features [N, D] and [M, D].
    features, preprocessing : str
        Recorded in the score.
    seed : int
        Seed of the groups.
    name : str
        Name of the score.

    Returns
    -------
    Score
        The distance; lower is better.

    Raises
    ------
    ScoreError
        For N or M below 4, NaN, or unequal D.
    """
    check_pair_rows(x, y, least=ENOUGH)
    value, left = _with_and_without(x, y, seed)
    reach = jackknife(left)
    n, d = min(len(x), len(y)), x.shape[1]
    note = f"not meaningful: N={n} is small against D={d}; go by the KID instead" if n < 2 * d else ""
    low, high = max(0.0, value - reach), value + reach
    return Score(name, value, low, high, n, "lower", features, preprocessing, note=note, same_n=True)


def _with_and_without(x: Features, y: Features, seed: int) -> tuple[float, list[float]]:
    """(the distance, the distances without one group of both sets each)."""
    groups = min(GROUPS, len(x), len(y))
    sides = [(s, rng(seed, "frechet", i).permutation(np.arange(len(s)) % groups)) for i, s in enumerate((x, y))]
    if min(len(x), len(y)) * (1 - 1 / groups) - 1 > x.shape[1]:  # the remaining images then also exceed D
        wholes = [moments(s) for s, _ in sides]
        value = frechet_of_moments(*wholes)
        left = [
            frechet_of_moments(*(w.without(moments(s[of == g])) for w, (s, of) in zip(wholes, sides, strict=True)))
            for g in range(groups)
        ]
    else:
        value = frechet_distance(x, y)
        left = [frechet_distance(*(s[of != g] for s, of in sides)) for g in range(groups)]
    return value, left


def _few(a: Floats, b: Floats) -> float:
    apart = a.mean(0) - b.mean(0)
    a, b = a - a.mean(0), b - b.mean(0)
    variances = (a**2).sum() / (len(a) - 1) + (b**2).sum() / (len(b) - 1)
    return max(0.0, float(apart @ apart + variances - 2 * _gram_root_trace(a, b)))


def _cholesky_root_trace(first: Floats, second: Floats) -> float:
    """From covariances [D, D]; raises LinAlgError when `first` is singular."""
    # Of first @ second, by a Cholesky factor of first.
    squares = linalg.eigvalsh(second, first, type=3, driver="gv", check_finite=False)
    return float(np.sqrt(squares.clip(0)).sum())


def _singular_root_trace(first: Floats, second: Floats) -> float:
    """From covariances [D, D] of any rank: the nuclear norm ‖A·Bᵀ‖, with A, B their roots less the directions without
    variance.
    """
    product = _root(first) @ _root(second).T
    return float(linalg.svdvals(product, check_finite=False).sum())


def _root(covariance: Floats) -> Floats:
    values, vectors = linalg.eigh(covariance, check_finite=False)
    significant = values > NEGLIGIBLE * max(values[-1], 0)
    root: Floats = (vectors[:, significant] * np.sqrt(values[significant])).T
    return root if significant.any() else np.zeros((1, len(covariance)))


def _gram_root_trace(a: Floats, b: Floats) -> float:
    """From centred features of any rank. A set with more rows than columns is first reduced to its triangular factor."""
    product = _shrunk(a) @ _shrunk(b).T
    return float(linalg.svdvals(product, check_finite=False).sum() / np.sqrt((len(a) - 1) * (len(b) - 1)))


def _shrunk(a: Floats) -> Floats:
    if len(a) <= a.shape[1]:
        return a
    return np.asarray(linalg.qr(a, mode="r", check_finite=False)[0][: a.shape[1]], np.float64)
