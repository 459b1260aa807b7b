"""Mean and scatter of features, computed block by block: memory does not grow with N, and blocks can be merged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np
from scipy.linalg import blas

from augury.metrics.check import Features, Floats, check_rows

ROWS = 2048
"""Rows converted to float64 at a time: 8 · 2048 · D bytes, 34 MB at D = 2048. The scatter takes 8 · D² bytes, as much."""


@dataclass(frozen=True)
class Moments:
    """Of `n` images: `mean` [D], and `scatter` [D, D], the sum of (x - mean)(x - mean)ᵀ; float64."""

    n: int
    mean: Floats
    scatter: Floats

    @property
    def covariance(self) -> Floats:
        """[D, D], over n - 1."""
        return self.scatter / (self.n - 1)

    def merge(self, other: Moments) -> Moments:
        """The moments of both sets together, as if computed at once (Chan, Golub & LeVeque 1983)."""
        n = self.n + other.n
        apart = other.mean - self.mean
        scatter = self.scatter + other.scatter
        scatter += np.outer(apart, apart * (self.n * other.n / n))
        return Moments(n, self.mean + apart * (other.n / n), scatter)

    def without(self, part: Moments) -> Moments:
        """The moments of the images that are not in `part`, a subset of these images: the inverse of `merge`."""
        n = self.n - part.n
        mean = self.mean + (self.mean - part.mean) * (part.n / n)
        apart = part.mean - mean
        scatter = self.scatter - part.scatter
        scatter -= np.outer(apart, apart * (n * part.n / self.n))
        return Moments(n, mean, scatter)


def moments(features: Features) -> Moments:
    """The moments of features, in float64 for any input dtype.

    Values are centred before they are squared, so that a mean far from 0 costs no precision.

    Parameters
    ----------
    features : array
        [N, D].

    Returns
    -------
    Moments
        n, mean [D] and scatter [D, D].

    Raises
    ------
    ScoreError
        When empty or not finite.
    """
    check_rows(features, least=1)
    n, d = features.shape
    mean = features.mean(0, dtype=np.float64)
    half = np.zeros((d, d), order="F")  # the upper triangle
    for start in range(0, n, ROWS):
        x = features[start : start + ROWS] - mean
        half = blas.dsyrk(1.0, x.T, beta=1.0, c=half, overwrite_c=True)
    scatter = half + half.T
    scatter.flat[:: d + 1] /= 2
    return Moments(n, mean, scatter)


def merged(parts: Iterable[Moments]) -> Moments:
    """The moments of all sets together; equal up to rounding in any order. Each may be computed in another process.

    Parameters
    ----------
    parts : iterable of Moments
        Of disjoint sets; at least one.

    Returns
    -------
    Moments
        Of their union.
    """
    return reduce(Moments.merge, parts)
