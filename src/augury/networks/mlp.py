"""The plain GAN of fully connected layers (Goodfellow et al. 2014), conditional as in Mirza & Osindero 2014.

The generator's hidden layers carry batch norm, without which it collapses within a few hundred steps on small sets.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import prod

import torch
from torch import nn

from augury.networks.conditioning import ConditionEmbedding, ProjectionHead


@dataclass(frozen=True)
class MLPSettings:
    """`latent` noise size; `hidden` units of the first generator layer, doubled at each of `layers`, mirrored in the
    discriminator; `embedding` size of a condition."""

    latent: int = 64
    hidden: int = 256
    layers: int = 2
    embedding: int = 32


class Generator(nn.Module):
    """noise [N, Z], conditions int64 [N, K] -> images [N, C, H, W] in [-1, 1]."""

    def __init__(self, settings: MLPSettings, shape: tuple[int, int, int], cardinalities: tuple[int, ...]) -> None:
        super().__init__()
        self.latent, self.shape = settings.latent, shape
        self.embedding = ConditionEmbedding(cardinalities, settings.embedding)
        widths = [settings.latent + settings.embedding, *(settings.hidden * 2**i for i in range(settings.layers))]
        hidden: list[nn.Module] = []
        for a, b in itertools.pairwise(widths):
            hidden += [nn.Linear(a, b, bias=False), nn.BatchNorm1d(b), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*hidden, nn.Linear(widths[-1], prod(shape)), nn.Tanh())

    def forward(self, noise: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """noise [N, Z], conditions int64 [N, K] -> [N, C, H, W] in [-1, 1]."""
        images: torch.Tensor = self.layers(torch.cat([noise, self.embedding(conditions)], dim=1))
        return images.reshape(-1, *self.shape)


class Discriminator(nn.Module):
    """images [N, C, H, W] in [-1, 1], conditions int64 [N, K] -> scores [N], higher for real."""

    def __init__(self, settings: MLPSettings, shape: tuple[int, int, int], cardinalities: tuple[int, ...]) -> None:
        super().__init__()
        widths = [prod(shape), *(settings.hidden * 2**i for i in range(settings.layers - 1, -1, -1))]
        hidden: list[nn.Module] = []
        for a, b in itertools.pairwise(widths):
            hidden += [nn.Linear(a, b), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(nn.Flatten(), *hidden)
        self.head = ProjectionHead(widths[-1], cardinalities)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """images [N, C, H, W] -> [N, D]."""
        found: torch.Tensor = self.layers(images)
        return found

    def forward(self, images: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """images [N, C, H, W], conditions int64 [N, K] -> scores [N]."""
        scores: torch.Tensor = self.head(self.features(images), conditions)
        return scores
