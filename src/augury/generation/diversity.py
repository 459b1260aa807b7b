"""Scores that select a diverse set: the requested number of images of a cell, as different from each other as possible."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from augury.generation.filter_context import FAR, Candidates, Features, FilterContext, Floats, Keep
from augury.generation.vector_index import distances

Greedy = Callable[[Features, Keep, int], Floats]
"""(features [n, D] of a cell in order of index, passed [n], quota of at most the number that passed) -> scores [n]. A
selected image has its score at the moment of selection; any other image has its final score."""


def k_center(candidates: Candidates, context: FilterContext) -> Floats:
    """Feature distance to the nearest selected image, divided by the usual distance between neighbouring training images.

    For a selected image only those selected before it count. In each cell the first image is the one nearest to the mean.
    Each further one is the farthest from those selected so far (Gonzalez 1985; for training data Sener & Savarese 2018,
    algorithm 1).
    """
    return np.minimum(_by_cell(_spread_out, candidates, context) / context.usual, FAR)


def determinantal(candidates: Candidates, context: FilterContext) -> Floats:
    """The factor, in [0, 1], by which an image multiplies the determinant of the similarities of the selected images.

    For a selected image only those selected before it count. The selection is the greedy most probable set of a
    determinantal point process (Chen, Zhang & Zhou 2018, algorithm 1). The similarity of two images is exp(-d² / 2s²), with
    s the median distance in the cell.
    """
    return _by_cell(_unlike, candidates, context)


def _by_cell(greedy: Greedy, candidates: Candidates, context: FilterContext) -> Floats:
    """Scores [N]; 0 in a cell where no image passed."""
    features, scores = context.embedded(candidates.images), np.zeros(len(candidates.images))
    for rows in candidates.cells:
        passed = candidates.passed[rows]
        if passed.any():
            scores[rows] = greedy(features[rows], passed, min(int(candidates.quota[rows[0]]), int(passed.sum())))
    return scores


def _spread_out(features: Features, passed: Keep, quota: int) -> Floats:
    left, reach, scores = passed.copy(), np.full(len(features), np.inf), np.empty(len(features))
    chosen = int(np.where(passed, distances(features, features[passed].mean(0)[None])[:, 0], np.inf).argmin())
    for _ in range(quota):
        scores[chosen], left[chosen] = reach[chosen], False
        reach = np.minimum(reach, distances(features, features[[chosen]])[:, 0])
        chosen = int(np.where(left, reach, -1).argmax())
    others = left | ~passed
    scores[others] = reach[others]
    return scores


def _unlike(features: Features, passed: Keep, quota: int) -> Floats:
    apart = distances(features, features)
    among = apart[np.ix_(passed, passed)]
    scale = float(np.median(among[np.triu_indices(len(among), 1)])) if len(among) > 1 else 1.0
    alike = np.exp(-((apart / (scale or 1.0)) ** 2) / 2)
    np.fill_diagonal(alike, 1.0)
    left, gain, scores = passed.copy(), np.ones(len(features)), np.empty(len(features))
    factor = np.zeros((len(features), quota))  # rows of the Cholesky factor
    for number in range(quota):
        chosen = int(np.where(left, gain, -1).argmax())
        scores[chosen], left[chosen] = gain[chosen], False
        rest = alike[chosen] - factor @ factor[chosen]
        factor[:, number] = rest / np.sqrt(max(gain[chosen], 1e-12))
        gain = np.maximum(gain - factor[:, number] ** 2, 0)
    others = left | ~passed
    scores[others] = gain[others]
    return scores
