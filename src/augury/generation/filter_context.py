"""The inputs of filters: the images drawn, and facts about real images."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from augury.errors import SettingsError
from augury.generation.pixel_neighbours import PixelNeighbours
from augury.generation.vector_index import VectorNeighbours
from augury.images import Codes, Images, LabelledImages

Floats = npt.NDArray[np.float64]
Features = npt.NDArray[np.float32]
Keep = npt.NDArray[np.bool_]

FAR = 1000.0
"""Replaces an infinite ratio of distances: an image at distance 0, or with no other to compare with."""
SOME = 2_000
"""Of more training images, the usual distances between neighbours are those of this many to all."""


@dataclass(frozen=True)
class Candidates:
    """Images drawn, in any order.

    Parameters
    ----------
    images
        uint8 [N, C, H, W].
    conditions
        int64 [N, K], the class and attribute codes of each image.
    indices
        int64 [N], the index of each image in the drawing.
    quota
        int64 [N], the number of images requested for each one's cell.
    passed
        bool [N], False for images that an earlier filter rejected.
    sources
        int64 [N], rows of the train split that translations come from; None for images drawn from noise.
    """

    images: Images
    conditions: Codes
    indices: Codes
    quota: Codes
    passed: Keep
    sources: Codes | None = None

    @property
    def labels(self) -> Codes:
        """int64 [N]."""
        return self.conditions[:, 0]

    @cached_property
    def cells(self) -> list[Codes]:
        """The rows of each cell, in order of index."""
        order = np.argsort(self.indices, kind="stable")
        _, number = np.unique(self.conditions[order], axis=0, return_inverse=True)
        flat = number.reshape(-1)
        return [order[flat == c] for c in range(int(flat.max(initial=-1)) + 1)]


@dataclass(frozen=True)
class FilterContext:
    """Facts about real images; nothing of the test split is ever in it.

    A function that is None is not available, and a filter that needs it raises SettingsError.

    Parameters
    ----------
    train
        Real training images.
    probabilities
        uint8 [N, C, H, W] -> [N, K], by a classifier trained on real train images only.
    nearest
        (queries [N, D], references [M, D], k) -> (indices [N, k], Euclidean distances [N, k]).
    features
        uint8 [N, C, H, W] -> [N, D].
    validation
        Real images held out.
    last_inputs
        uint8 [N, C, H, W] -> [N, F], the inputs of the classifier's last layer.
    logits
        float [N, C, H, W] in [-1, 1] -> logits [N, K], differentiable.
    discriminator
        (uint8 [N, C, H, W], conditions int64 [N, K]) -> scores [N], higher for real.
    condition
        Names of the attributes in the conditions of `discriminator`.
    why_no_discriminator
        The reason where `discriminator` is None.
    attribute_probabilities
        For each attribute of `condition`, uint8 [N, C, H, W] -> [N, V], by a classifier of real train images.
    identity
        (translations uint8 [N, C, H, W], conditions int64 [N, K], sources int64 [N]) -> scores [N] in (0, 1], as
        `Identity.scores`.
    identity_note
        Which changes the filter "identity" judges, and why not the others.
    """

    train: LabelledImages
    probabilities: Callable[[Images], Floats]
    nearest: Callable[[npt.NDArray[Any], npt.NDArray[Any], int], tuple[Codes, Floats]]
    features: Callable[[Images], Features] | None = None
    validation: LabelledImages | None = None
    last_inputs: Callable[[Images], Features] | None = None
    logits: Callable[[torch.Tensor], torch.Tensor] | None = None
    discriminator: Callable[[Images, Codes], Floats] | None = None
    condition: tuple[str, ...] = ()
    why_no_discriminator: str = "none was given"
    attribute_probabilities: tuple[Callable[[Images], Floats], ...] = ()
    identity: Callable[[Images, Codes, Codes], Floats] | None = None
    identity_note: str = ""

    def embedded(self, images: Images) -> Features:
        """Features [N, D] of images; SettingsError without an extractor."""
        if self.features is None:
            raise SettingsError(
                "this filter needs features of images, but none were given; leave it out of generate.filters"
            )
        return self.features(images)

    @cached_property
    def real(self) -> Features:
        """Features of the training images [M, D]."""
        return self.embedded(self.train.images)

    @cached_property
    def neighbours(self) -> VectorNeighbours:
        """The search of the nearest training images by features."""
        return VectorNeighbours(self.real, self.nearest)

    @cached_property
    def usual(self) -> float:
        """The median feature distance from a training image to its nearest other one; never 0."""
        if len(self.real) < 2:
            return 1.0
        return float(np.median(self.neighbours.search(self.real[sampled(len(self.real))], 2)[1][:, 1])) or 1.0

    @cached_property
    def pixels(self) -> PixelNeighbours:
        """The search of the nearest training images by pixels."""
        return PixelNeighbours(self.train.images, self.nearest)

    @cached_property
    def copy_limit(self) -> float:
        """RMS pixel distance (0 … 255) below which an image counts as a copy. It is the 1st percentile of the distances
        from each training image (or `SOME` of them) to its nearest other one, without exact duplicates.
        """
        real = self.train.images
        if len(real) < 2:
            return 0.0
        among = self.pixels.search(real[sampled(len(real))], 2)[1][:, 1] * math.prod(real.shape[1:]) ** -0.5
        apart = among[among > 1e-3]
        return float(np.quantile(apart, 0.01)) if len(apart) else 1e-3


def sampled(n: int) -> Codes:
    """Indices of the images whose nearest neighbours are searched among all `n`: all, or `SOME` at even steps."""
    return np.linspace(0, n - 1, min(n, SOME)).astype(np.int64)


def flat(images: Images) -> npt.NDArray[np.float32]:
    """uint8 [N, C, H, W] -> float32 [N, C·H·W], values unchanged."""
    return np.asarray(images, np.float32).reshape(len(images), -1)
