"""Scores by distance: to the class, to real images, to training images, to other synthetic images."""

from __future__ import annotations

import math

import numpy as np

from augury.errors import SettingsError
from augury.generation.filter_context import FAR, Candidates, FilterContext, Floats, flat
from augury.generation.vector_index import VectorNeighbours, blocks, distances, nearest_earlier, slices

SHRUNK = 5
"""With this many images, a class's own spread counts as much as that of all classes together."""
NEIGHBOURS = 3
"""k of the realism score's balls (Kynkäänniemi et al. 2019, section 2)."""


def class_distance(candidates: Candidates, context: FilterContext) -> Floats:
    """Feature distance to the mean of the label's training images, divided by the root mean square distance of those images
    to it.

    The score is 1 where real images are. The spread of a small class is shrunk toward that of all classes. A class without
    images is measured from the mean of all images.
    """
    real, labels = context.real.astype(np.float64), context.train.labels
    fake = context.embedded(candidates.images).astype(np.float64)
    counts = context.train.counts
    centres = np.stack([real[labels == c].mean(0) if n else real.mean(0) for c, n in enumerate(counts)])
    squares = ((real - centres[labels]) ** 2).sum(1)
    sums = np.bincount(labels, squares, minlength=len(counts))
    spread = np.sqrt((sums + SHRUNK * squares.mean()) / (counts + SHRUNK))
    lengths = np.linalg.norm(fake - centres[candidates.labels], axis=1)
    return _ratio(lengths, spread[candidates.labels])


def realism(candidates: Candidates, context: FilterContext) -> Floats:
    """Depth within the neighbourhoods of real images: 1 or more within a ball (Kynkäänniemi et al. 2019, eq. 4).

    The score is the largest, over real images, of the radius of the image's ball divided by the distance to it. A ball
    reaches to the third nearest real image. The half of the balls with the larger radii is left out, as in section 5. Real
    images of all classes count. Where an index searches, the 64 nearest centres that it proposes count.
    """
    real, fake = context.real, context.embedded(candidates.images)
    k = min(NEIGHBOURS, len(real) - 1)
    if k < 1:
        return np.zeros(len(fake))
    radii = context.neighbours.search(real, k + 1)[1][:, -1]
    small = radii <= np.median(radii)
    scores = np.empty(len(fake))
    balls = VectorNeighbours(real[small], context.nearest)
    if balls.index is not None:
        for rows in slices(len(fake)):
            indices, apart = balls.proposed(fake[rows])
            scores[rows] = _ratio(radii[small][indices], apart).max(1)
        return scores
    for rows in blocks(len(fake), int(small.sum())):
        scores[rows] = _ratio(radii[small], distances(fake[rows], real[small])).max(1)
    return scores


def near_copy(candidates: Candidates, context: FilterContext) -> Floats:
    """Root mean square pixel distance (0 … 255) to the nearest training image. A translation may resemble its source, so
    its source is left out.
    """
    scale = math.prod(candidates.images.shape[1:]) ** -0.5
    if candidates.sources is None or len(context.train) < 2:
        return np.asarray(context.pixels.search(candidates.images, 1)[1][:, 0] * scale)
    nearest, distances = context.pixels.search(candidates.images, 2)
    own = (nearest[:, 0] == candidates.sources).astype(np.int64)
    return np.asarray(distances[np.arange(len(own)), own] * scale)


def changed(candidates: Candidates, context: FilterContext) -> Floats:
    """Root mean square pixel distance (0 … 255) of a translation to its source.

    Raises SettingsError for images that are not translations.
    """
    if candidates.sources is None:
        raise SettingsError(
            "the filter 'changed' compares a translation with its source, but these images have none; leave it out"
        )
    source, fake = flat(context.train.images[candidates.sources]), flat(candidates.images)
    return np.asarray(np.sqrt(((fake - source) ** 2).mean(1, dtype=np.float64)))


def near_duplicate(candidates: Candidates, context: FilterContext) -> Floats:
    """Feature distance to the nearest image that has a lower index and has passed so far; FAR for the first image. It is
    divided by the usual distance between neighbouring training images.
    """
    order = np.argsort(candidates.indices, kind="stable")
    placed, passed = context.embedded(candidates.images)[order], candidates.passed[order]
    scores = np.empty(len(order))
    scores[order] = np.minimum(nearest_earlier(placed, passed) / context.usual, FAR)
    return scores


def _ratio(over: Floats, under: Floats) -> Floats:
    """over / under, at most FAR."""
    return np.asarray(np.minimum(over / np.maximum(under, 1e-12), FAR))
