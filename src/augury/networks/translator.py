"""Image-to-image translator: one network for every change of class or attribute, with the trunk and head of its
discriminator.
"""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from augury.networks.canvas import Canvas
from augury.validation import StrictSettings

SLOPE = 0.2
"""Negative slope of every leaky ReLU."""
KEEP = -1
"""In a target, the code of a column that the translation must not change."""


class TranslatorSettings(StrictSettings):
    """Settings of the translator."""

    width: int = Field(32, ge=1, description="channels at full resolution, doubled at half of it")
    blocks: int = Field(2, ge=1, description="conditioned residual blocks at a quarter of the resolution")
    embedding: int = Field(32, ge=1, description="size of a condition")
    noise: int = Field(
        0,
        ge=0,
        description="size of a random vector beside the condition, for targets that vary (Huang et al. 2018); 0: the translation is a function of image and target",
    )
    mask: bool = Field(
        False, description="limit the change to a region that the network chooses (Pumarola et al. 2018)"
    )


class ChangeEmbedding(nn.Module):
    """Changes int64 [N, K] -> float [N, E]: a table for each column, summed over the columns that change.

    A column with the code KEEP adds nothing. So the condition says "become old" and not "become an old woman". A
    network conditioned on the full cell learns to leave images unchanged in cells where no discriminator judges it
    (measured).
    """

    def __init__(self, cardinalities: tuple[int, ...], dimension: int) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(n, dimension) for n in cardinalities)

    def forward(self, changes: torch.Tensor) -> torch.Tensor:
        """int64 [N, K] -> [N, E]."""
        rows = [table(changes[:, i].clamp(min=0)) for i, table in enumerate(self.tables)]
        changing = (changes != KEEP).to(rows[0].dtype)
        return (torch.stack(rows, dim=1) * changing[..., None]).sum(1)


class AdaptiveInstanceNorm(nn.Module):
    """Instance norm whose gain and bias depend on the condition: [N, C, H, W], [N, E] -> [N, C, H, W] (Huang & Belongie 2017)."""

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        self.affine = nn.Linear(embedding, 2 * channels)
        nn.init.normal_(self.affine.weight, std=0.1)
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W], [N, E] -> [N, C, H, W]."""
        gain, bias = self.affine(e)[:, :, None, None].chunk(2, dim=1)
        normal = F.instance_norm(x).contiguous(memory_format=torch.channels_last)
        return torch.addcmul(bias, normal, gain + 1)


class ConditionedBlock(nn.Module):
    """Residual block with adaptive instance norm; it begins as the identity."""

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(AdaptiveInstanceNorm(channels, embedding) for _ in range(2))
        self.convolutions = nn.ModuleList(_convolution(channels, channels) for _ in range(2))
        nn.init.zeros_(self.convolutions[1].weight)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W], [N, E] -> [N, C, H, W]."""
        h = x
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            h = convolution(F.leaky_relu(norm(h, e), SLOPE))
        return x + h


class Translator(nn.Module):
    """Images [N, C, H, W] in [-1, 1] and changes int64 [N, K] -> translated images [N, C, H, W].

    A change has the target's code in the columns that change and KEEP in the others.

    A U-shaped network to a quarter of the resolution and back (the StarGAN of Choi et al. 2018 with skip connections).
    The output is the input plus a change. The change is small at first, so training begins at the identity.
    """

    translates = True

    def __init__(
        self, settings: TranslatorSettings, shape: tuple[int, int, int], cardinalities: tuple[int, ...]
    ) -> None:
        super().__init__()
        channels, width = shape[0], settings.width
        self.shape, self.latent = shape, settings.noise
        self.down, self.right = -shape[1] % 4, -shape[2] % 4
        self.feature_widths = (width, 2 * width, 2 * width)
        size = settings.embedding + settings.noise
        self.embedding = ChangeEmbedding(cardinalities, settings.embedding)
        self.encode_full = _convolution(channels, width)
        self.encode_half = _convolution(width, 2 * width, stride=2)
        self.encode_quarter = _convolution(2 * width, 2 * width, stride=2)
        self.blocks = nn.ModuleList(ConditionedBlock(2 * width, size) for _ in range(settings.blocks))
        self.decode_half, self.norm_half = _convolution(4 * width, 2 * width), AdaptiveInstanceNorm(2 * width, size)
        self.decode_full, self.norm_full = _convolution(3 * width, width), AdaptiveInstanceNorm(width, size)
        self.change = _convolution(width, channels)
        nn.init.normal_(self.change.weight, std=0.01)
        self.mask = _convolution(width, 1) if settings.mask else None

    def forward(self, images: torch.Tensor, changes: torch.Tensor, noise: torch.Tensor | None = None) -> torch.Tensor:
        """Images [N, C, H, W] in [-1, 1], changes int64 [N, K], noise [N, latent] where the network takes it -> [N, C,
        H, W].
        """
        e = self.embedding(changes)
        if self.latent:
            e = torch.cat([e, torch.zeros_like(e[:, :1]).expand(-1, self.latent) if noise is None else noise], dim=1)
        x = self._padded(images)
        full, half, h = self.features(images)
        for block in self.blocks:
            h = block(h, e)
        h = torch.cat([F.interpolate(h, scale_factor=2.0, mode="nearest"), half], dim=1)
        h = F.leaky_relu(self.norm_half(self.decode_half(h), e), SLOPE)
        h = torch.cat([F.interpolate(h, scale_factor=2.0, mode="nearest"), full], dim=1)
        h = F.leaky_relu(self.norm_full(self.decode_full(h), e), SLOPE)
        change = self.change(h)
        if self.mask is not None:
            change = change * torch.sigmoid(self.mask(h))
        translated: torch.Tensor = (x + change)[:, :, : self.shape[1], : self.shape[2]]
        return translated

    def features(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The encoder's maps of images [N, C, H, W], at full, half and a quarter of the resolution; they do not depend
        on a condition.
        """
        full = F.leaky_relu(self.encode_full(self._padded(images)), SLOPE)
        half = F.leaky_relu(self.encode_half(full), SLOPE)
        return [full, half, F.leaky_relu(self.encode_quarter(half), SLOPE)]

    def _padded(self, images: torch.Tensor) -> torch.Tensor:
        """Pad the sides to multiples of four."""
        if not (self.down or self.right):
            return images
        return F.pad(images, (0, self.right, 0, self.down), mode="replicate")


class Trunk(nn.Module):
    """Images [N, C, H, W] in [-1, 1] -> features [N, P, D]: strided convolutions without norm, with `deeper` more at
    each size.
    """

    def __init__(self, settings: TranslatorSettings, shape: tuple[int, int, int], deeper: int, patch: bool) -> None:
        super().__init__()
        self.canvas, self.patch = Canvas(*shape[1:]), patch
        stages = self.canvas.stages + (1 if min(self.canvas.rows, self.canvas.columns) >= 4 else 0)
        widths = [min(settings.width * 2**number, 4 * settings.width) for number in range(stages)]
        layers: list[nn.Module] = []
        for before, width in zip([shape[0], *widths], widths, strict=False):
            layers.append(_convolution(before, width, stride=2))
            layers += [_convolution(width, width) for _ in range(deeper)]
        self.layers = nn.ModuleList(layers)
        rows, columns = -(-self.canvas.rows // 2), -(-self.canvas.columns // 2)
        self.size = widths[-1] * (1 if patch else rows * columns)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images [N, C, H, W] -> [N, P, D]."""
        x = self.canvas.pad(images)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
        return x.flatten(2).transpose(1, 2) if self.patch else x.flatten(1)[:, None]


class JointProjectionHead(nn.Module):
    """Features [N, P, D], conditions int64 [N, K] -> scores [N, P]: projection on the joint cell (Miyato & Koyama 2018,
    eq. 3).

    Every cell has its own vector. Noise-to-image networks sum one vector per column; with that sum the discriminator
    could score a cell that it never saw.
    """

    places: torch.Tensor

    def __init__(self, features: int, cardinalities: tuple[int, ...]) -> None:
        super().__init__()
        self.score = nn.Linear(features, 1)
        self.cells = nn.Embedding(math.prod(cardinalities), features)
        nn.init.normal_(self.cells.weight, std=features**-0.5)
        strides = [math.prod(cardinalities[column + 1 :]) for column in range(len(cardinalities))]
        self.register_buffer("places", torch.tensor(strides), persistent=False)

    def forward(self, features: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """features [N, P, D], conditions int64 [N, K] -> scores [N, P]."""
        cell = self.cells(self.codes(conditions))
        scores: torch.Tensor = self.score(features).squeeze(2) + (features * cell[:, None]).sum(2)
        return scores

    def codes(self, conditions: torch.Tensor) -> torch.Tensor:
        """Conditions int64 [N, K] -> the number of each joint cell, int64 [N]."""
        return (conditions * self.places).sum(1)


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """3 × 3, with He's initialisation (He et al. 2015, eq. 14); PyTorch's own is too small for networks without norm."""
    layer = nn.Conv2d(inputs, outputs, 3, stride, 1)
    nn.init.kaiming_normal_(layer.weight, SLOPE)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
