"""R3GAN (Huang, Gokaslan, Kuleshov & Tompkin 2024): residual networks without norms, for relativistic pairing + R1 +
R2.

A block is 1×1 up to twice the channels, grouped 3×3, 1×1 back, added to its input. Each stage resamples with the [1, 3,
3, 1] filter, changes the width by a 1×1, and has `blocks` blocks. The generator begins with a learned grid, weighted by
a linear map of noise and condition. The discriminator mirrors it and ends in a depthwise convolution over the coarsest
grid, whose features are projected on the condition. The output is not squashed: clamp the images afterwards.
"""

from __future__ import annotations

import itertools

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from augury.errors import SettingsError
from augury.networks.canvas import Canvas
from augury.networks.conditioning import ConditionEmbedding
from augury.networks.discriminator import gathered
from augury.networks.resample import doubled, halved
from augury.validation import StrictSettings


class R3GANSettings(StrictSettings):
    """Settings of R3GAN."""

    latent: int = Field(64, ge=1, description="size of the noise")
    width: int = Field(32, ge=1, description="channels at full resolution, doubled at each halving up to widest")
    widest: int = Field(256, ge=1, description="most channels")
    blocks: int = Field(1, ge=1, description="blocks per stage")
    group: int = Field(16, ge=1, description="channels in one group of the 3×3 convolutions")
    embedding: int = Field(64, ge=1, description="size of a condition")


def scaled(layer: nn.Conv2d | nn.Linear, gain: float) -> nn.Conv2d | nn.Linear:
    """`layer` with weights drawn from N(0, gain² / fan in) and bias 0."""
    fan_in = layer.weight[0].numel()
    nn.init.normal_(layer.weight, std=gain * fan_in**-0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class Block(nn.Module):
    """x [N, C, H, W] -> x + residual. `depth`, the number of residual blocks in the network, sets the initial scale."""

    def __init__(self, channels: int, group: int, depth: int) -> None:
        super().__init__()
        inner, gain = 2 * channels, (2 / (1 + 0.2**2)) ** 0.5 * depth**-0.25
        if inner % max(1, inner // group):
            raise SettingsError(
                f"width, widest, group: {inner} channels of a block cannot be divided into groups of {group}; use a width and "
                f"widest that are multiples of {group}, or another group"
            )
        self.enter = scaled(nn.Conv2d(channels, inner, 1), gain)
        self.mix = scaled(nn.Conv2d(inner, inner, 3, padding=1, groups=max(1, inner // group)), gain)
        self.leave = scaled(nn.Conv2d(inner, channels, 1, bias=False), 0.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W] -> [N, C, H, W]."""
        y = F.leaky_relu(self.enter(x), 0.2)
        y = F.leaky_relu(self.mix(y), 0.2)
        total: torch.Tensor = x + self.leave(y)
        return total


def narrower(a: int, b: int) -> nn.Module:
    """A 1×1 convolution where the width changes."""
    return nn.Identity() if a == b else scaled(nn.Conv2d(a, b, 1, bias=False), 1.0)


class Generator(nn.Module):
    """noise [N, Z], conditions int64 [N, K] -> images [N, C, H, W], about [-1, 1]."""

    def __init__(self, settings: R3GANSettings, shape: tuple[int, int, int], cardinalities: tuple[int, ...]) -> None:
        super().__init__()
        self.canvas, self.latent = Canvas(*shape[1:]), settings.latent
        widths = [min(settings.width * 2**i, settings.widest) for i in range(self.canvas.stages, -1, -1)]
        depth = settings.blocks * len(widths)
        self.embedding = ConditionEmbedding(cardinalities, settings.embedding)
        self.basis = nn.Parameter(torch.randn(widths[0], self.canvas.rows, self.canvas.columns))
        self.first = scaled(nn.Linear(settings.latent + settings.embedding, widths[0]), 1.0)
        self.enters = nn.ModuleList(narrower(a, b) for a, b in zip([widths[0], *widths], widths, strict=False))
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(w, settings.group, depth) for _ in range(settings.blocks))) for w in widths
        )
        self.last = scaled(nn.Conv2d(widths[-1], shape[0], 1), 1.0)

    def forward(self, noise: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """noise [N, Z], conditions int64 [N, K] -> [N, C, H, W]."""
        weights = self.first(torch.cat([noise, self.embedding(conditions)], dim=1))
        x = (self.basis * weights[:, :, None, None]).contiguous(memory_format=torch.channels_last)
        for number, (enter, stage) in enumerate(zip(self.enters, self.stages, strict=True)):
            x = stage(enter(doubled(x) if number else x))
        return self.canvas.cut(self.last(x))

    def first_weights(self) -> torch.Tensor:
        """Weights [D, Z] of the first layer, by which the noise enters."""
        return self.first.weight[:, : self.latent]


class Trunk(nn.Module):
    """Images [N, C, H, W] in [-1, 1] -> features [N, P, D], with `deeper` more blocks per stage than the generator."""

    def __init__(self, settings: R3GANSettings, shape: tuple[int, int, int], deeper: int, patch: bool) -> None:
        super().__init__()
        self.canvas, self.patch = Canvas(*shape[1:]), patch
        widths = [min(settings.width * 2**i, settings.widest) for i in range(self.canvas.stages + 1)]
        blocks = settings.blocks + deeper
        self.first = scaled(nn.Conv2d(shape[0], widths[0], 1), 1.0)
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(w, settings.group, blocks * len(widths)) for _ in range(blocks))) for w in widths
        )
        self.leaves = nn.ModuleList(narrower(a, b) for a, b in itertools.pairwise(widths))
        grid = (self.canvas.rows, self.canvas.columns)
        full_grid = scaled(nn.Conv2d(widths[-1], widths[-1], grid, groups=widths[-1], bias=False), 1.0)
        self.last = nn.Identity() if patch else full_grid
        self.size = widths[-1]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W] -> [N, P, D]."""
        x = self.first(self.canvas.pad(images))
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number < len(self.leaves):
                x = self.leaves[number](halved(x))
        return gathered(self.last(x), self.patch)
