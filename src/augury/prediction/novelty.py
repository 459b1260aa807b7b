"""How unlike the training images an image is: in the network's features, and in its tones, colours and sharpness."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from augury.errors import RunFolderError

Floats = npt.NDArray[np.float64]

NEIGHBOURS = 5
"""A distance is that to the fifth nearest training image, so that one odd training image excuses nothing."""
FLAGGED = 0.01
"""Share of the validation images that the limits flag."""
SCALES = 3
"""Resolutions at which the sharpness of an image is measured, each half of the one before."""
LEAST = 1e-3
"""Added before a logarithm."""
TENSORS = ("features", "looks", "mean", "scale")


def appearance(pixels: Tensor) -> Tensor:
    """Statistics [N, E] of pixels [N, C, H, W] in 0 … 255 that need no network.

    Mean and spread of each channel, mean step between neighbouring pixels in both directions at three scales, and, for colour,
    mean differences of the channels; all but the means as logarithms.
    """
    x = pixels.float() / 255
    grey = x.mean(1, keepdim=True)
    steps = []
    for scale in range(SCALES):
        across, down = grey[..., 1:] - grey[..., :-1], grey[..., 1:, :] - grey[..., :-1, :]
        steps += [across.abs().mean((1, 2, 3)), down.abs().mean((1, 2, 3))]
        if min(grey.shape[2:]) < 4 or scale == SCALES - 1:
            break
        grey = F.avg_pool2d(grey, 2)
    spread = (x - x.mean((2, 3), keepdim=True)).square().mean((2, 3)).sqrt()
    if x.shape[1] == 3:
        steps += [(x[:, i] - x[:, i + 1]).abs().mean((1, 2)) for i in (0, 1)]
    return torch.cat([x.mean((2, 3)), (torch.cat([spread, torch.stack(steps, 1)], 1) + LEAST).log()], 1)


class Novelty(nn.Module):
    """(features [N, D] of length 1, pixels [N, C, H, W]) -> distance [N]; above 1 an image is unlike the training images.

    The distance is the greater of two, each divided by its limit. One is the cosine distance of the features to those of the k-th
    nearest training image (Sun et al. 2022, section 3). The other is the Euclidean distance of the standardised `appearance`. A
    small network sees only what separates its classes, so its features alone miss images of another kind.

    Parameters
    ----------
    features, looks
        References [M, D] of length 1, and [M, E] standardised: those of training images.
    mean, scale
        [E], mean and deviation of the appearance of the training images.
    limits
        Limit of each distance.
    neighbours
        k.
    """

    def __init__(
        self, features: Tensor, looks: Tensor, mean: Tensor, scale: Tensor, limits: tuple[float, float], neighbours: int
    ) -> None:
        super().__init__()
        self.limits, self.neighbours = limits, neighbours
        self.features: Tensor
        self.looks: Tensor
        self.mean: Tensor
        self.scale: Tensor
        for name, value in zip(TENSORS, (features, looks, mean, scale), strict=True):
            self.register_buffer(name, value)

    def distances(self, features: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """(cosine distance [N] of the features, Euclidean distance [N] of the appearance) to the k-th nearest training image."""
        cosine = 1 - features @ self.features.float().T
        own = (appearance(pixels) - self.mean) / self.scale
        squares = own.square().sum(1, keepdim=True) + self.looks.square().sum(1) - 2 * own @ self.looks.T
        return self._nearest(cosine), self._nearest(squares).clamp(min=0).sqrt()

    def _nearest(self, distances: Tensor) -> Tensor:
        """The k-th smallest value [N] of each row of distances [N, M]."""
        return -(-distances).topk(self.neighbours, dim=1).values[:, -1]

    def forward(self, features: Tensor, pixels: Tensor) -> Tensor:
        """The greater of the two distances, as a multiple of its limit."""
        cosine, look = self.distances(features, pixels)
        return torch.maximum(cosine / self.limits[0], look / self.limits[1])

    def with_limits(self, cosine: Floats, look: Floats) -> Novelty:
        """The same with limits that flag at most FLAGGED of new images that are drawn like the validation images.

        `cosine` and `look` [N] are the distances of the latter. The limits are the distances of the same rank, chosen so that
        this share of the images is beyond one or the other (split conformal, Vovk et al. 2005, on the greater rank). With fewer
        than 99 validation images they are the greatest distances.
        """
        n, ordered = len(cosine), (np.sort(cosine), np.sort(look))
        ranks = np.maximum(*(np.searchsorted(each, own) + 1 for each, own in zip(ordered, (cosine, look), strict=True)))
        rank = int(np.sort(ranks)[min(n, int(np.ceil((n + 1) * (1 - FLAGGED)))) - 1])
        limits = [max(float(each[rank - 1]), 1e-6) for each in ordered]
        return Novelty(self.features, self.looks, self.mean, self.scale, (limits[0], limits[1]), self.neighbours)


def novelty_of(features: Tensor, pixels: Tensor) -> Novelty:
    """A Novelty without limits, from features [M, D] of length 1 and pixels [M, C, H, W] of training images."""
    looks = appearance(pixels)
    mean, scale = looks.mean(0), looks.std(0, correction=0)
    scale = scale.clamp(min=1e-3)
    return Novelty(features.half(), (looks - mean) / scale, mean, scale, (1.0, 1.0), min(NEIGHBOURS, len(features)))


def loaded(tensors: Mapping[str, Tensor], limits: tuple[float, float], neighbours: int, where: str) -> Novelty:
    """A stored Novelty. Raises RunFolderError when its tensors are missing or do not fit together."""
    lacking = [name for name in TENSORS if name not in tensors]
    if lacking:
        raise RunFolderError(
            f"{where}: has no references for the distance ({lacking[0]}); write it again with: augury run -o RUN"
        )
    features, looks, mean, scale = (tensors[name] for name in TENSORS)
    fits = features.ndim == looks.ndim == 2 and len(features) == len(looks) >= neighbours > 0
    if not (fits and mean.shape == scale.shape == looks.shape[1:]):
        raise RunFolderError(
            f"{where}: the references for the distance do not fit together; write it again with: augury run -o RUN"
        )
    return Novelty(features, looks, mean, scale, limits, neighbours)
