"""The plain GAN of fully connected layers (Goodfellow et al. 2014), conditional as in Mirza & Osindero 2014.

The generator's hidden layers have batch norm. Without it the generator collapses within a few hundred steps on small
sets.
"""

from __future__ import annotations

import itertools
from math import prod

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from augury.errors import SettingsError
from augury.networks.conditioning import ConditionEmbedding
from augury.validation import StrictSettings


class MLPSettings(StrictSettings):
    """Settings of the fully connected networks."""

    latent: int = Field(64, ge=1, description="size of the noise")
    hidden: int = Field(
        256,
        ge=1,
        description="units of the first generator layer, doubled at each layer and mirrored in the discriminator",
    )
    layers: int = Field(2, ge=1, description="hidden layers")
    embedding: int = Field(32, ge=1, description="size of a condition")
    bounded: bool = Field(True, description="values end in [-1, 1], as those of images must")


class Generator(nn.Module):
    """Noise [N, Z], conditions int64 [N, K] -> images [N, C, H, W] in [-1, 1], or unbounded values unless `bounded`."""

    def __init__(self, settings: MLPSettings, shape: tuple[int, int, int], cardinalities: tuple[int, ...]) -> None:
        super().__init__()
        self.latent, self.shape = settings.latent, shape
        self.embedding = ConditionEmbedding(cardinalities, settings.embedding)
        widths = [settings.latent + settings.embedding, *(settings.hidden * 2**i for i in range(settings.layers))]
        hidden: list[nn.Module] = []
        for a, b in itertools.pairwise(widths):
            hidden += [nn.Linear(a, b, bias=False), nn.BatchNorm1d(b), nn.LeakyReLU(0.2)]
        last = nn.Tanh() if settings.bounded else nn.Identity()
        self.layers = nn.Sequential(*hidden, nn.Linear(widths[-1], prod(shape)), last)

    def forward(self, noise: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """noise [N, Z], conditions int64 [N, K] -> [N, C, H, W]."""
        images: torch.Tensor = self.layers(torch.cat([noise, self.embedding(conditions)], dim=1))
        return images.reshape(-1, *self.shape)

    def first_weights(self) -> torch.Tensor:
        """Weights [D, Z] of the first layer, by which the noise enters."""
        weights: torch.Tensor = next(layer for layer in self.layers if isinstance(layer, nn.Linear)).weight
        return weights[:, : self.latent]


class Trunk(nn.Module):
    """images [N, C, H, W] in [-1, 1] -> features [N, 1, D]."""

    def __init__(self, settings: MLPSettings, shape: tuple[int, int, int], deeper: int, patch: bool) -> None:
        super().__init__()
        if patch:
            raise SettingsError("patch scores places of a grid, but network=mlp has none; use a convolutional recipe")
        widths = [prod(shape), *(settings.hidden * 2**i for i in range(settings.layers - 1, -1, -1))]
        widths[1:1] = [widths[1]] * deeper
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        self.size = widths[-1]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images [N, C, H, W] -> [N, 1, D]."""
        x = images.flatten(1)
        for layer in self.layers:
            x = F.leaky_relu_(layer(x), 0.2)
        return x[:, None]
