"""The Fréchet distance between two sets of features, taken as Gaussians."""

from __future__ import annotations

import numpy as np
from scipy import linalg, special

from augury.metrics.check import ENOUGH, Features, Floats, checked_pair
from augury.metrics.score import Score
from augury.randomness import rng

GROUPS = 10


def frechet_distance(x: Features, y: Features) -> float:
    """|μx - μy|² + tr(Σx + Σy - 2 (Σx Σy)^½) of features [N, D] and [M, D] (Dowson & Landau 1982; Heusel et al. 2017).

    In float64 and always real. The root's trace is the sum of singular values of A·Bᵀ for any AᵀA = Σx, BᵀB = Σy: of
    the centred features themselves where N or M is small against D; else of Cholesky factors, through eigenvalues.
    Biased upwards by about 1/N: compare only at the same N. Raises ScoreError for N or M below 2, NaN, or unequal D.
    """
    a, b = checked_pair(x, y, least=2)
    return _distance(a, b)


def frechet(x: Features, y: Features, *, features: str, preprocessing: str, seed: int, name: str = "FD") -> Score:
    """The Fréchet distance of `x` [N, D] to the reference `y` [M, D] with a 95 % interval.

    The interval is value ± t · se by the delete-a-group jackknife over up to 10 groups of both sets (Shao & Tu 1995,
    section 2.3), and cut off at 0. It says how much the value would change with other images at this N, and nothing of
    the bias. Raises ScoreError for N or M below 4, NaN, or unequal D.
    """
    a, b = checked_pair(x, y, least=ENOUGH)
    groups = min(GROUPS, len(a), len(b))
    first, second = (_groups(len(s), groups, rng(seed, "frechet", side)) for side, s in enumerate((a, b)))
    left = np.array([_distance(a[first != g], b[second != g]) for g in range(groups)])
    error = np.sqrt((groups - 1) / groups * ((left - left.mean()) ** 2).sum())
    value, reach = _distance(a, b), float(special.stdtrit(groups - 1, 0.975) * error)
    n, d = min(len(a), len(b)), a.shape[1]
    note = f"not meaningful: N={n} is small against D={d}; go by the KID instead" if n < 2 * d else ""
    low, high = max(0.0, value - reach), value + reach
    return Score(name, value, low, high, n, "lower", features, preprocessing, note=note)


def _groups(n: int, groups: int, random: np.random.Generator) -> Floats:
    """A group number for each of n, groups as equal as can be, by chance."""
    return random.permutation(np.arange(n) % groups)


def _distance(a: Floats, b: Floats) -> float:
    apart = a.mean(0) - b.mean(0)
    a, b = a - a.mean(0), b - b.mean(0)
    variances = (a**2).sum() / (len(a) - 1) + (b**2).sum() / (len(b) - 1)
    return max(0.0, float(apart @ apart + variances - 2 * _root_trace(a, b)))


def _root_trace(a: Floats, b: Floats) -> float:
    """tr (Σa Σb)^½ of centred features [N, D] and [M, D]."""
    d = a.shape[1]
    if min(len(a), len(b)) > d:
        try:
            return _cholesky_root_trace(a.T @ a / (len(a) - 1), b.T @ b / (len(b) - 1))
        except linalg.LinAlgError:  # features that never vary, or depend on each other
            pass
    return _gram_root_trace(a, b)


def _cholesky_root_trace(first: Floats, second: Floats) -> float:
    """From covariances [D, D]; raises LinAlgError when `first` is singular."""
    lower = linalg.cholesky(first, lower=True, check_finite=False)
    squares = linalg.eigvalsh(lower.T @ second @ lower, check_finite=False)
    return float(np.sqrt(squares.clip(0)).sum())


def _gram_root_trace(a: Floats, b: Floats) -> float:
    """From centred features of any rank; each set of more rows than columns first shrinks to its triangular factor."""
    product = _shrunk(a) @ _shrunk(b).T
    return float(linalg.svdvals(product, check_finite=False).sum() / np.sqrt((len(a) - 1) * (len(b) - 1)))


def _shrunk(a: Floats) -> Floats:
    if len(a) <= a.shape[1]:
        return a
    return np.asarray(linalg.qr(a, mode="r", check_finite=False)[0][: a.shape[1]], np.float64)
