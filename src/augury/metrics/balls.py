"""Who lies within whose neighbourhood: one pass over all distances serves precision, recall, density and coverage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from augury.errors import ScoreError
from augury.metrics.check import Features, Floats, checked_pair
from augury.metrics.nearest import nearest

Codes = npt.NDArray[np.int64]
PAIRS = 4_000_000
"""Distances held at a time: 32 MB, and as much again for their squares."""
CLOSE = 1e-12
"""Distances nearer to a radius than this share of the features' squared length are taken again, exactly."""


@dataclass(frozen=True)
class Counts:
    """`queries` int64 [N]: in how many balls each query lies; `centres` int64 [M]: how many queries lie in each ball."""

    queries: Codes
    centres: Codes


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
    """Count the `queries` [N, D] in the closed balls about `centres` [M, D] of radii `within` [M] (on the edge is in).

    Distances come from inner products of centred float64 features; those too near to a radius to be told so are taken
    again from the differences themselves, so that a copy of a neighbour is on the edge and not beside it.
    """
    a, b = checked_pair(queries, centres, least=1)
    middle = b.mean(0)
    first, second = torch.from_numpy(a - middle), torch.from_numpy(b - middle)
    lengths, limits = second.square().sum(1), torch.from_numpy(within).square()
    per_query, per_centre = np.zeros(len(a), np.int64), np.zeros(len(b), np.int64)
    band = CLOSE * float(max(lengths.max(), first.square().sum(1).max()))
    step = max(1, PAIRS // len(b))
    for start in range(0, len(a), step):
        rows = slice(start, start + step)
        over = torch.addmm(lengths - limits, first[rows], second.t(), alpha=-2)
        over += first[rows].square().sum(1, keepdim=True)  # squared distance less squared radius
        inside = over <= 0
        _settle(inside, (over.abs() <= band).nonzero().numpy(), a[rows], b, within)
        per_query[rows] = inside.sum(1).numpy()
        per_centre += inside.sum(0).numpy()
    return Counts(per_query, per_centre)


def _settle(inside: Tensor, doubtful: Codes, a: Floats, b: Floats, within: Floats) -> None:
    """Set `inside` [n, M] right for the `doubtful` pairs int64 [P, 2], by the distances as `nearest` takes them."""
    step = max(1, PAIRS // b.shape[1])
    for start in range(0, len(doubtful), step):
        i, j = doubtful[start : start + step].T
        exact = np.sqrt(((a[i] - b[j]) ** 2).sum(1))
        inside[torch.from_numpy(i), torch.from_numpy(j)] = torch.from_numpy(exact <= within[j])
