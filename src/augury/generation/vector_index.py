"""Nearest neighbours among very many vectors: an inverted file of faiss, and searches that use it."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from augury.images import Codes

Floats = npt.NDArray[np.float64]
Nearest = Callable[[npt.NDArray[Any], npt.NDArray[Any], int], tuple[Codes, Floats]]
"""(queries [N, D], references [M, D], k) -> (indices [N, k], Euclidean distances [N, k])."""

INDEXED = 100_000
"""More images than this are searched by an index, where faiss is installed."""
REFINED = 64
"""Neighbours that the index proposes for each query; exact distances decide."""
BLOCK = 256
"""Queries at a time: with 64 neighbours of 1,280 features each, 168 MB."""
PAIRS = 4_000_000
"""Distances held at a time: 32 MB."""
_PROBED = 32
"""Lists that are searched for a query."""
_TRAINED = 40
"""Vectors for each list from which the centres of the lists are found, in as many as `_ITERATIONS` iterations."""
_ITERATIONS = 10


def inverted_file(vectors: npt.NDArray[np.float32]) -> Any:
    """An index of faiss for vectors like these [M, D], still empty; None without faiss. Equal vectors give an equal index."""
    try:
        faiss = importlib.import_module("faiss")
    except ImportError:
        return None
    lists = max(1, 4 * math.isqrt(len(vectors)))
    dimension = vectors.shape[1]
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(dimension), dimension, lists)
    index.cp.seed, index.cp.niter, index.nprobe = 0, _ITERATIONS, _PROBED
    chosen = np.linspace(0, len(vectors) - 1, min(len(vectors), _TRAINED * lists)).astype(np.int64)
    index.train(vectors[chosen])
    return index


class VectorNeighbours:
    """Searches the nearest of some vectors: exactly up to `INDEXED` of them or without faiss, otherwise by an index.

    The index proposes `REFINED` vectors for each query. Their distances are exact, but a nearer vector may be missed.

    Parameters
    ----------
    vectors
        float32 [M, D].
    nearest
        Exact search.
    """

    def __init__(self, vectors: npt.NDArray[np.float32], nearest: Nearest) -> None:
        self.vectors, self.nearest = vectors, nearest

    @cached_property
    def index(self) -> Any:
        """The index of all vectors, or None where the search is exact."""
        if len(self.vectors) <= INDEXED:
            return None
        index = inverted_file(self.vectors)
        if index is not None:
            index.add(self.vectors)
        return index

    def search(self, queries: npt.NDArray[np.float32], k: int) -> tuple[Codes, Floats]:
        """Indices int64 [N, k] of the nearest vectors of each query [N, D], nearest first, and distances [N, k]."""
        if self.index is None:
            return self.nearest(queries, self.vectors, k)
        indices, distances = np.empty((len(queries), k), np.int64), np.empty((len(queries), k))
        for rows in slices(len(queries)):
            proposed, apart = self.proposed(queries[rows], k)
            order = np.argsort(apart, axis=1, kind="stable")[:, :k]
            indices[rows] = np.take_along_axis(proposed, order, 1)
            distances[rows] = np.take_along_axis(apart, order, 1)
        return indices, distances

    def proposed(self, queries: npt.NDArray[np.float32], least: int = 1) -> tuple[Codes, Floats]:
        """The neighbours [N, max(least, REFINED)] that the index proposes, and exact distances; -1 and inf for none."""
        _, indices = self.index.search(queries, max(least, REFINED))
        apart = lengths(queries[:, None].astype(np.float64) - self.vectors[indices])
        return indices, np.where(indices < 0, np.inf, apart)


def nearest_earlier(vectors: npt.NDArray[np.float32], counts: npt.NDArray[np.bool_]) -> Floats:
    """The distance from each vector to the nearest one before it that counts.

    Exact up to `INDEXED` vectors or without faiss. Otherwise earlier vectors are in an index that grows by `BLOCK` vectors at
    a time, and a nearer one may be missed there.

    Parameters
    ----------
    vectors
        float32 [N, D].
    counts
        bool [N].

    Returns
    -------
    array
        float64 [N]; inf where no earlier vector counts.
    """
    index = inverted_file(vectors) if len(vectors) > INDEXED else None
    least, numbers, counted = np.full(len(vectors), np.inf), np.arange(len(vectors)), np.flatnonzero(counts)
    for rows in slices(len(vectors)) if index is not None else blocks(len(vectors), len(vectors)):
        near = rows if index is not None else slice(0, rows.stop)
        before = (numbers[near] < numbers[rows][:, None]) & counts[near]
        least[rows] = np.where(before, distances(vectors[rows], vectors[near]), np.inf).min(1)
        if index is None:
            continue
        if index.ntotal:
            indices = index.search(vectors[rows], 1)[1][:, 0]
            apart = lengths(vectors[rows].astype(np.float64) - vectors[counted[indices]])
            least[rows] = np.minimum(least[rows], np.where(indices < 0, np.inf, apart))
        index.add(vectors[rows][counts[rows]])
    return least


def slices(count: int) -> list[slice]:
    """`count` rows as slices of at most `BLOCK`."""
    return [slice(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]


def lengths(differences: Floats) -> Floats:
    """Euclidean lengths along the last axis."""
    return np.asarray(np.sqrt(np.square(differences).sum(-1)))


def distances(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> Floats:
    """Euclidean distances, float64 [N, M], between [N, D] and [M, D]. Inner products about the mean are used, so the
    distance of equal rows is near 0 but not exactly 0.
    """
    middle = b.mean(0, dtype=np.float64) if len(b) else 0.0
    x, y = a - middle, b - middle
    squares = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T
    return np.asarray(np.sqrt(np.maximum(squares, 0)))


def blocks(rows: int, columns: int) -> list[slice]:
    """Slices of rows such that at most PAIRS distances are held at a time."""
    step = max(1, PAIRS // max(columns, 1))
    return [slice(at, min(at + step, rows)) for at in range(0, rows, step)]
