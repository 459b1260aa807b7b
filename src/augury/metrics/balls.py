"""Neighbourhood membership: one pass over all distances serves precision, recall, density and coverage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from augury.errors import ScoreError
from augury.metrics.check import Features, Floats, checked_pair
from augury.metrics.nearest import SINGLE, Indices, lengths_of, nearest

PAIRS = 8_000_000
"""Distances held at a time: 32 MB, and as much again during the comparison."""


@dataclass(frozen=True)
class Counts:
    """`queries` int64 [N]: the number of balls that each query lies in. `centres` int64 [M]: the number of queries in
    each ball.
    """

    queries: Indices
    centres: Indices


def radii(features: Features, k: int) -> Floats:
    """float64 [N]: the distance from each of `features` [N, D] to its `k`-th nearest other one.

    Raises ScoreError unless k < N.
    """
    if k >= len(features):
        raise ScoreError(
            f"{k} neighbours need more than {k} images a side, but one side has {len(features)}; give it more"
        )
    return nearest(features, features, k + 1)[1][:, -1]


def ball_counts(queries: Features, centres: Features, within: Floats) -> Counts:
    """Count the `queries` [N, D] in the closed balls around `centres` [M, D] with radii `within` [M] (the edge counts).

    Distances come from inner products of centred float32 features. Those too near to a radius to decide are computed
    again in float64 from the differences, so that a copy of a neighbour lies on the edge.
    """
    return mutual_counts(queries, centres, None, within)[1]


def mutual_counts(a: Features, b: Features, within_a: Floats | None, within_b: Floats) -> tuple[Counts, Counts]:
    """Counts in both directions from the same distances, as `ball_counts` returns them.

    First those of `b` [M, D] in the balls around `a` [N, D], then those of `a` in the balls around `b`. Without
    `within_a` the first are all 0.
    """
    x, y = checked_pair(a, b, least=1)
    in_b, of_a, in_a, of_b = (np.zeros(n, np.int64) for n in (len(x), len(y), len(y), len(x)))
    reach_b = torch.from_numpy(within_b).square().float()
    for rows, squares, error in _blocks(x, y):
        i, j = _inside(squares - reach_b, error, x[rows], y, within_b[None, :])
        in_b[rows] += np.bincount(i, minlength=len(squares))
        of_a += np.bincount(j, minlength=len(y))
        if within_a is not None:
            limits = torch.from_numpy(within_a[rows]).square().float()[:, None]
            i, j = _inside(squares - limits, error, x[rows], y, within_a[rows][:, None])
            of_b[rows] += np.bincount(i, minlength=len(squares))
            in_a += np.bincount(j, minlength=len(y))
    return Counts(in_a, of_b), Counts(in_b, of_a)


def _blocks(x: Floats, y: Floats) -> Iterator[tuple[slice, Tensor, tuple[Tensor, Tensor]]]:
    """(rows of x, their squared distances to all of y less a bound on the error, that bound by row and by column)."""
    middle = y.mean(0)
    first, second = (torch.from_numpy(s - middle) for s in (x, y))
    errors = [(SINGLE * s.square().sum(1)) for s in (first, second)]
    lengths = [(s.square().sum(1) - error).float() for s, error in zip((first, second), errors, strict=True)]
    first, second = first.float(), second.float()
    step = max(1, PAIRS // len(y))
    for start in range(0, len(x), step):
        rows = slice(start, start + step)
        squares = torch.addmm(lengths[1], first[rows], second.t(), alpha=-2)
        squares += lengths[0][rows][:, None]
        yield rows, squares, (errors[0][rows], errors[1])


def _inside(
    over: Tensor, error: tuple[Tensor, Tensor], x: Floats, y: Floats, within: Floats
) -> tuple[Indices, Indices]:
    """Row and column of the pairs inside a ball. `over` is a lower bound of the squared distance less the squared
    radius.
    """
    i, j = (at.numpy() for at in (over <= 0).nonzero(as_tuple=True))
    upper = over.numpy()[i, j] + 4 * (error[0].numpy()[i] + error[1].numpy()[j])
    inside = upper < 0
    radius = np.broadcast_to(within, over.shape)
    doubtful = np.flatnonzero(~inside)
    step = max(1, PAIRS // y.shape[1])
    for start in range(0, len(doubtful), step):
        some = doubtful[start : start + step]
        inside[some] = lengths_of(x[i[some]] - y[j[some]]) <= radius[i[some], j[some]]
    return i[inside], j[inside]
