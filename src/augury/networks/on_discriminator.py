"""A classifier on top of the layers of a discriminator."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn
from torch.nn import functional as F

from augury.networks.discriminator import Discriminator
from augury.networks.stylegan import Trunk

Network = TypeVar("Network", bound=nn.Module)


class OnDiscriminator(nn.Module):
    """Images [N, C, H, W] in [-1, 1] -> logits [N, K]: a discriminator without its heads, batch norm without weights, a
    linear layer.

    Radford, Metz & Chintala 2016, section 5.1, but all layers are trained. Features of positions are averaged. Each
    image is processed alone, also by a discriminator that compares the images of a batch. Images of another size than `size`
    (height, width) are first reduced to it by area averaging.
    """

    def __init__(self, discriminator: Discriminator, classes: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        discriminator.heads = nn.ModuleList()
        self.body = alone(discriminator)
        sizes = [int(trunk.size) for trunk in discriminator.trunks]  # type: ignore[arg-type]
        dimension = sum(sizes)
        self.norm = nn.BatchNorm1d(dimension, affine=False)
        self.last = nn.Linear(dimension, classes)

    def last_inputs(self, images: torch.Tensor) -> torch.Tensor:
        """Images [N, C, H, W] in [-1, 1] -> the input of the last layer [N, D]."""
        if images.shape[2:] != self.size:
            images = F.adaptive_avg_pool2d(images, self.size)
        normalised: torch.Tensor = self.norm(torch.cat([x.mean(1) for x in self.body.features(images)], dim=1))
        return normalised

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images [N, C, H, W] in [-1, 1] -> logits [N, K]."""
        logits: torch.Tensor = self.last(self.last_inputs(images))
        return logits


def alone(discriminator: Network) -> Network:
    """Change a discriminator in place so that it processes each image independently of its batch.

    Parameters
    ----------
    discriminator : nn.Module
        It is changed.

    Returns
    -------
    nn.Module
        The same discriminator.
    """
    for module in discriminator.modules():
        if isinstance(module, Trunk):
            module.group = 1
    return discriminator
