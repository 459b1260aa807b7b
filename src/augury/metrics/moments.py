"""Mean and scatter of features, a block at a time: memory does not grow with N, and parts merge into the whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import numpy as np

from augury.metrics.check import Features, Floats, look

ROWS = 2048
"""Rows taken to float64 at a time: 8 · 2048 · D bytes, 34 MB at D = 2048; mean and scatter are 8 · D² bytes, as large."""


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
        """The moments of both sets together, as if seen at once (Chan, Golub & LeVeque 1983)."""
        n = self.n + other.n
        apart = other.mean - self.mean
        scatter = self.scatter + other.scatter
        scatter += np.outer(apart, apart * (self.n * other.n / n))
        return Moments(n, self.mean + apart * (other.n / n), scatter)

    def without(self, part: Moments) -> Moments:
        """The moments of the images that are not in `part`, which must be of some of these: `merge` turned round."""
        n = self.n - part.n
        mean = self.mean + (self.mean - part.mean) * (part.n / n)
        apart = part.mean - mean
        scatter = self.scatter - part.scatter
        scatter -= np.outer(apart, apart * (n * part.n / self.n))
        return Moments(n, mean, scatter)


def moments(features: Features) -> Moments:
    """The moments of `features` [N, D], in float64 whatever they come in. Raises ScoreError when empty or not finite.

    Each block is centred on its own mean before it is squared, so that a mean far from 0 costs no digits.
    """
    look(features, least=1)
    return merged(_block(features[start : start + ROWS]) for start in range(0, len(features), ROWS))


def merged(parts: Iterable[Moments]) -> Moments:
    """The moments of all parts together, in whatever processes they were taken; equal up to rounding in any order."""
    return reduce(Moments.merge, parts)


def _block(features: Features) -> Moments:
    x = np.asarray(features, np.float64)
    mean = x.mean(0)
    x = x - mean
    return Moments(len(x), mean, x.T @ x)
