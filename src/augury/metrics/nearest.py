"""Exact nearest neighbours by brute force, a block at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from augury.errors import ScoreError
from augury.metrics.check import Features, Floats, checked_pair

PAIRS = 8_000_000
"""Distances held at a time: 64 MB."""


def nearest(queries: Features, references: Features, k: int = 1) -> tuple[npt.NDArray[np.int64], Floats]:
    """The `k` references nearest to each query by Euclidean distance, nearest first.

    `queries` [N, D], `references` [M, D] -> indices int64 [N, k] into the references, distances float64 [N, k].
    Candidates are ranked by centred inner products in float64, their distances then taken from the differences
    themselves, so that a copy is at exactly 0. Raises ScoreError when k is not in 1 … M, for NaN, or unequal D.
    """
    a, b = checked_pair(queries, references, least=1)
    if not 1 <= k <= len(b):
        raise ScoreError(f"cannot find {k} nearest neighbours among {len(b)} images; ask for 1 to {len(b)}")
    centre = b.mean(0)
    first, second = torch.from_numpy(a - centre), torch.from_numpy(b - centre)
    lengths = second.square().sum(1)
    indices, distances = np.empty((len(a), k), np.int64), np.empty((len(a), k))
    step = max(1, PAIRS // max(len(b), k * a.shape[1]))
    for start in range(0, len(a), step):
        rows = slice(start, start + step)
        found = torch.addmm(lengths, first[rows], second.t(), alpha=-2).topk(k, largest=False).indices.numpy()
        exact = np.sqrt(((a[rows, None] - b[found]) ** 2).sum(2))
        order = np.lexsort((found, exact), axis=1)
        indices[rows] = np.take_along_axis(found, order, 1)
        distances[rows] = np.take_along_axis(exact, order, 1)
    return indices, distances
