"""DCGAN (Radford, Metz & Chintala 2016), conditional on class and attributes.

The discriminator uses strided convolutions and leaky ReLU. The generator uses transposed convolutions and ReLU, from a
grid that one dense layer computes from the noise. Only the generator has batch norm: the paper has it in both, where it
rules out gradient penalties.

Any image size works. The short side of the coarsest grid is between 4 and 8, and the canvas is that grid doubled
`stages` times. Images are cut out of its middle (generator) or edge-padded to it (discriminator).

In the generator the condition joins the noise and scales each batch norm (Dumoulin et al. 2017). In the discriminator
it enters by projection (Miyato & Koyama 2018).
"""

from __future__ import annotations

import itertools
import math

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from augury.networks.canvas import Canvas
from augury.networks.conditioning import ConditionEmbedding
from augury.networks.discriminator import gathered
from augury.validation import StrictSettings


class DCGANSettings(StrictSettings):
    """Settings of DCGAN."""

    latent: int = Field(64, ge=1, description="size of the noise")
    width: int = Field(16, ge=1, description="channels at full resolution, doubled at each halving up to widest")
    widest: int = Field(256, ge=1, description="most channels")
    embedding: int = Field(32, ge=1, description="size of a condition")
    conditional_norm: bool = Field(True, description="the condition scales the generator's batch norms")


class ConditionalNorm(nn.Module):
    """Batch norm whose gain and bias depend on the condition: images [N, C, H, W], e [N, E] -> [N, C, H, W]."""

    def __init__(self, channels: int, embedding: int, conditional: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=not conditional)
        self.affine = nn.Linear(embedding, 2 * channels) if conditional else None
        if self.affine is not None:
            nn.init.normal_(self.affine.weight, std=0.02)
            nn.init.zeros_(self.affine.bias)

    def forward(self, x: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W], [N, E] -> [N, C, H, W]."""
        x = self.norm(x)
        if self.affine is None:
            return x
        gain, bias = self.affine(e)[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(bias, x, gain + 1)


class Generator(nn.Module):
    """noise [N, Z], conditions int64 [N, K] -> images [N, C, H, W] in [-1, 1]."""

    def __init__(self, settings: DCGANSettings, shape: tuple[int, int, int], cardinalities: tuple[int, ...]) -> None:
        super().__init__()
        self.canvas = Canvas(*shape[1:])
        widths = [min(settings.width * 2**i, settings.widest) for i in range(self.canvas.stages, -1, -1)]
        self.latent = settings.latent
        self.coarsest = (widths[0], self.canvas.rows, self.canvas.columns)
        self.embedding = ConditionEmbedding(cardinalities, settings.embedding)
        self.first = nn.Linear(settings.latent + settings.embedding, math.prod(self.coarsest), bias=False)
        self.ups = nn.ModuleList(nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False) for a, b in itertools.pairwise(widths))
        self.norms = nn.ModuleList(ConditionalNorm(w, settings.embedding, settings.conditional_norm) for w in widths)
        self.last = nn.Conv2d(widths[-1], shape[0], 3, 1, 1)
        for layer in (self.first, *self.ups, self.last):
            nn.init.normal_(layer.weight, std=0.02)

    def forward(self, noise: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """noise [N, Z], conditions int64 [N, K] -> [N, C, H, W] in [-1, 1]."""
        e = self.embedding(conditions)
        x = self.first(torch.cat([noise, e], dim=1)).unflatten(1, self.coarsest)
        x = F.relu_(self.norms[0](x.contiguous(memory_format=torch.channels_last), e))
        for up, norm in zip(self.ups, self.norms[1:], strict=True):
            x = F.relu_(norm(up(x), e))
        return self.canvas.cut(torch.tanh(self.last(x)))

    def first_weights(self) -> torch.Tensor:
        """Weights [D, Z] of the first layer, by which the noise enters."""
        return self.first.weight[:, : self.latent]

    def gains(self, classes: int) -> list[torch.Tensor]:
        """Gains and biases [classes, W] of every conditional norm, for each class with the first value of any
        attribute.

        An empty list when the norms are unconditional.
        """
        conditions = torch.zeros(classes, len(self.embedding.tables), dtype=torch.long, device=self.first.weight.device)
        conditions[:, 0] = torch.arange(classes)
        e = self.embedding(conditions)
        pairs = [norm.affine(e).chunk(2, dim=1) for norm in self.norms if norm.affine is not None]  # type: ignore[operator]
        return [parameter for gain, bias in pairs for parameter in (gain + 1, bias)]


class Trunk(nn.Module):
    """Images [N, C, H, W] in [-1, 1] -> features [N, P, D]: strided convolutions, with `deeper` more at each size."""

    def __init__(self, settings: DCGANSettings, shape: tuple[int, int, int], deeper: int, patch: bool) -> None:
        super().__init__()
        self.canvas, self.patch = Canvas(*shape[1:]), patch
        widths = [min(settings.width * 2**i, settings.widest) for i in range(self.canvas.stages + 1)]
        layers: list[nn.Module] = [nn.Conv2d(shape[0], widths[0], 3, 1, 1)]
        for number, width in enumerate(widths):
            layers += [nn.Conv2d(widths[number - 1], width, 4, 2, 1)] if number else []
            layers += [nn.Conv2d(width, width, 3, 1, 1) for _ in range(deeper)]
        self.layers = nn.ModuleList(layers)
        self.size = widths[-1] * (1 if patch else self.canvas.rows * self.canvas.columns)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images [N, C, H, W] -> [N, P, D]."""
        x = self.canvas.pad(images)
        for layer in self.layers:
            x = F.leaky_relu_(layer(x), 0.2)
        return gathered(x, self.patch)
