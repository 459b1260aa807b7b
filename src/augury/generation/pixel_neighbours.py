"""The nearest training images of synthetic ones by their pixels: exact, and from an index where there are very many."""

from __future__ import annotations

import logging
import math
import time
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from augury.generation.vector_index import INDEXED, REFINED, Floats, Nearest, inverted_file
from augury.images import Codes, Images

IN_MEMORY = 2**27
"""Most values of all training images that are searched at once; more are searched in tiles."""
TILE = 2048
"""Training images of a tile."""
GRID = 8
"""The index holds the mean colours of GRID × GRID areas of each image."""
LOGGER = logging.getLogger("augury")


class PixelNeighbours:
    """Searches the nearest of some images by Euclidean distance of pixel values.

    Up to `INDEXED` images the search is exact. Beyond, an inverted file of faiss (extra `index`) over mean colours of 8 × 8 areas
    proposes 64 images for each query, and their pixels decide. Each distance is exact, but a nearer image may be missed. Without
    faiss the search stays exact, and says how long it will take.

    Parameters
    ----------
    images
        uint8 [M, C, H, W], in memory or in a file.
    nearest
        Exact search in memory.
    """

    def __init__(self, images: Images, nearest: Nearest) -> None:
        self.images, self.nearest = images, nearest

    def __len__(self) -> int:
        return len(self.images)

    def search(self, queries: Images, k: int) -> tuple[Codes, Floats]:
        """Indices int64 [N, k] of the nearest images of each query uint8 [N, C, H, W], nearest first, and distances [N, k]."""
        if len(self) <= INDEXED or self._index is None:
            return self.exact(queries, k)
        proposed = self._index.search(areas(queries), max(k, REFINED))[1]
        return self._refined(queries, proposed, k)

    def exact(self, queries: Images, k: int) -> tuple[Codes, Floats]:
        """As `search`, always exact."""
        if math.prod(self.images.shape) <= IN_MEMORY:
            return self.nearest(_flat(queries, np.float32), self._flat, k)
        return self._by_tiles(queries, k)

    @cached_property
    def _flat(self) -> npt.NDArray[Any]:
        return _flat(self.images[:], np.float32)

    def _by_tiles(self, queries: Images, k: int) -> tuple[Codes, Floats]:
        """Tile by tile. Pixels are whole numbers, so that their inner products in float64 are exact in any order."""
        x = torch.from_numpy(_flat(queries, np.float64))
        own = x.square().sum(1)
        best = torch.full((len(x), k), torch.inf, dtype=torch.float64)
        which = torch.full((len(x), k), -1, dtype=torch.int64)
        started = time.monotonic()
        for start in range(0, len(self), TILE):
            y = torch.from_numpy(_flat(self.images[start : start + TILE], np.float64))
            squares = torch.addmm(own[:, None] + y.square().sum(1), x, y.t(), alpha=-2)
            near, at = squares.topk(min(k, len(y)), largest=False)
            together, indices = torch.cat([best, near], 1), torch.cat([which, at + start], 1)
            best, order = together.topk(k, largest=False)
            which = indices.gather(1, order)
            if not start and len(self) > INDEXED:
                seconds = (time.monotonic() - started) * len(self) / TILE
                LOGGER.warning(
                    "%s training images are searched one by one, about %.0f s for %s images; a search by an index takes far less: pip install "
                    "'augury[index]'",
                    f"{len(self):,}",
                    seconds,
                    f"{len(x):,}",
                )
        return which.numpy(), np.asarray(
            np.sqrt(best.numpy()), np.float64
        )  # of NumPy, which rounds as in the search in memory

    def _refined(self, queries: Images, proposed: Codes, k: int) -> tuple[Codes, Floats]:
        """The `k` nearest of the proposed images [N, REFINED]; -1 is none."""
        indices, distances = np.empty((len(queries), k), np.int64), np.empty((len(queries), k))
        for row, (query, candidates) in enumerate(zip(queries, proposed, strict=True)):
            candidates = np.sort(candidates[candidates >= 0])
            apart = _flat(self.images[candidates], np.float64) - query.reshape(1, -1)
            squares = np.square(apart).sum(1)
            order = np.argsort(squares, kind="stable")[:k]
            indices[row], distances[row] = candidates[order], np.sqrt(squares[order])
        return indices, distances

    @cached_property
    def _index(self) -> Any:
        """An inverted file over mean colours; None without faiss. Equal images give an equal index."""
        described = np.concatenate([areas(self.images[at : at + TILE]) for at in range(0, len(self), TILE)])
        index = inverted_file(described)
        if index is not None:
            index.add(described)
        return index


def areas(images: Images) -> npt.NDArray[np.float32]:
    """uint8 [N, C, H, W] -> sums over GRID × GRID areas, each divided by the root of its number of pixels, float32 [N, D].

    By Cauchy's inequality, two images are at least as far apart as these.
    """
    sums = images.astype(np.float32)
    size = np.ones(1, np.float32)
    for axis in (2, 3):
        edges = np.linspace(0, images.shape[axis], min(GRID, images.shape[axis]) + 1).astype(np.int64)
        sums = np.add.reduceat(sums, edges[:-1], axis=axis)
        size = np.outer(size, np.diff(edges)).reshape(-1).astype(np.float32)
    scaled = sums.reshape(len(images), images.shape[1], -1) / np.sqrt(size)
    return np.asarray(scaled.reshape(len(images), -1), np.float32)


def _flat(images: Images, dtype: Any) -> npt.NDArray[Any]:
    return np.asarray(images, dtype).reshape(len(images), -1)
