"""Exact nearest neighbours by brute force, block by block."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from augury.errors import ScoreError
from augury.metrics.check import Features, Floats, checked_pair

PAIRS = 8_000_000
"""Distances held at a time: 64 MB."""
SINGLE = 64 * 2.0**-23
"""Bound on the error of a squared distance from float32 inner products, relative to the two squared lengths.

Decisions closer than this are made in float64.
"""
SPARE = 4
"""Candidates beyond k, to allow for an incorrect order in float32."""

Indices = npt.NDArray[np.int64]


def nearest(queries: Features, references: Features, k: int = 1) -> tuple[Indices, Floats]:
    """The `k` nearest references of each query by Euclidean distance, nearest first.

    Candidates are ranked by centred inner products in float32, and again in float64 where that is inconclusive. Their
    distances are computed in float64 from the differences, so that a copy has distance 0 exactly.

    Parameters
    ----------
    queries, references : array
        Features [N, D] and [M, D].
    k : int
        Number of neighbours, 1 to M.

    Returns
    -------
    array
        int64 [N, k], indices into the references.
    array
        float64 [N, k], distances.

    Raises
    ------
    ScoreError
        When k is not in 1 … M, for NaN, or unequal D.
    """
    a, b = checked_pair(queries, references, least=1)
    if not 1 <= k <= len(b):
        raise ScoreError(f"cannot find {k} nearest neighbours among {len(b)} images; ask for 1 to {len(b)}")
    centre = b.mean(0)
    first, second = torch.from_numpy(a - centre), torch.from_numpy(b - centre)
    lengths = second.square().sum(1)
    indices, distances = np.empty((len(a), k), np.int64), np.empty((len(a), k))
    quick = (second.float(), lengths.float()) if len(b) > 64 * (k + SPARE) else None
    step = max(1, PAIRS // max(len(b), (k + SPARE) * a.shape[1]))
    for start in range(0, len(a), step):
        rows = slice(start, start + step)
        if quick is None:
            indices[rows], distances[rows] = _exact(a[rows], b, _candidates(first[rows], second, lengths, k)[0])
            continue
        candidates, last = _candidates(first[rows].float(), *quick, k + SPARE)
        ranked, far = _exact(a[rows], b, candidates)
        indices[rows], distances[rows] = ranked[:, :k], far[:, :k]
        own = first[rows].square().sum(1)
        error = SINGLE * (own + lengths.max())
        doubtful = (torch.from_numpy(far[:, k - 1]).square() - own > last.double() - error).numpy()
        if doubtful.any():
            again = np.arange(start, start + len(own))[doubtful]
            indices[again], distances[again] = _exact(a[again], b, _candidates(first[again], second, lengths, k)[0])
    return indices, distances


def lengths_of(differences: Floats) -> Floats:
    """Euclidean lengths along the last axis, bit for bit the same in any batch; overwrites its argument."""
    differences *= differences
    return np.asarray(np.sqrt(differences.sum(-1)), np.float64)


def _candidates(first: Tensor, second: Tensor, lengths: Tensor, k: int) -> tuple[Indices, Tensor]:
    """The indices [n, k] of the k smallest |y|² - 2 x·y for each x, and the largest of these values [n]."""
    values, indices = torch.addmm(lengths, first, second.t(), alpha=-2).topk(k, largest=False)
    return indices.numpy(), values[:, -1]


def _exact(a: Floats, b: Floats, candidates: Indices) -> tuple[Indices, Floats]:
    """The `candidates` [n, k] of each row sorted by distance, ties by index, and the distances."""
    apart = b[candidates]
    apart -= a[:, None]
    exact = lengths_of(apart)
    order = np.lexsort((candidates, exact), axis=1)
    return np.take_along_axis(candidates, order, 1), np.take_along_axis(exact, order, 1)
