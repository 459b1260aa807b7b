"""StyleGAN2 (Karras et al. 2020a) in the small-data setting of StyleGAN2-ADA (Karras et al. 2020b).

A mapping network converts noise and condition to styles w. Every convolution of the synthesis network is scaled by its
style, rescaled to unit variance, and gets noise per pixel. Each resolution adds to the image by a skip connection. The
discriminator is residual, ends in minibatch deviation, and compares its features with the mapped condition. All weights
are N(0, 1) scaled at run time (equalised learning rate).

The modulation is not fused: the images are scaled before and after one shared convolution. On CPU this is faster than a
grouped convolution per image, with the same result.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from augury.networks.canvas import Canvas
from augury.networks.conditioning import ConditionEmbedding, unit
from augury.networks.discriminator import gathered
from augury.networks.resample import doubled, halved, raised
from augury.randomness import stream
from augury.validation import StrictSettings

GAIN = 2**0.5
CENTRE = 512
"""Number of noise vectors whose mean style is the centre of a condition."""


class StyleGANSettings(StrictSettings):
    """Settings of StyleGAN."""

    latent: int = Field(128, ge=1, description="size of the noise and of w")
    width: int = Field(32, ge=1, description="channels at full resolution, doubled at each halving up to widest")
    widest: int = Field(256, ge=1, description="most channels")
    mapping_layers: int = Field(2, ge=1, description="layers from the noise to w")
    mapping_rate: float = Field(0.01, gt=0, description="factor on the learning rate of these layers")
    deviation: int = Field(4, ge=1, description="images in a group of the minibatch deviation")


class EqualLinear(nn.Module):
    """[N, A] -> [N, B], weights N(0, 1) times `rate` / sqrt(A) at run time (Karras et al. 2018, section 4.1)."""

    def __init__(self, a: int, b: int, rate: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(b, a) / rate)
        self.bias = nn.Parameter(torch.full((b,), bias / rate))
        self.scale, self.rate = rate * a**-0.5, rate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, A] -> [N, B]."""
        return F.linear(x, self.weight * self.scale, self.bias * self.rate)


class EqualConv(nn.Module):
    """[N, A, H, W] -> [N, B, H, W], weights N(0, 1) / sqrt(fan in) at run time."""

    def __init__(self, a: int, b: int, kernel: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(b, a, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(b)) if bias else None
        self.scale, self.padding = (a * kernel**2) ** -0.5, kernel // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, A, H, W] -> [N, B, H, W]."""
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


class ModulatedConv(nn.Module):
    """x [N, A, H, W], w [N, L] -> [N, B, H, W], or twice the size with `up`.

    A convolution with weights scaled by the style of each image and, with `demodulate`, rescaled to unit norm (Karras
    et al. 2020a, eq. 1 to 3).
    """

    def __init__(self, a: int, b: int, kernel: int, latent: int, demodulate: bool = True, up: bool = False) -> None:
        super().__init__()
        self.up = up
        self.weight = nn.Parameter(torch.randn(b, a, kernel, kernel))
        self.style = EqualLinear(latent, a, bias=1.0)
        self.scale, self.padding, self.demodulate = (a * kernel**2) ** -0.5, kernel // 2, demodulate

    def forward(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """[N, A, H, W], [N, L] -> [N, B, H, W]."""
        style, weight = self.style(w), self.weight * self.scale
        x = x * style[:, :, None, None]
        y = raised(x, weight) if self.up else F.conv2d(x, weight, padding=self.padding)
        if not self.demodulate:
            return y
        power = style.square() @ weight.square().sum((2, 3)).t()
        factor = (power + 1e-8).rsqrt()[:, :, None, None]
        in_place = not torch.is_grad_enabled() and y.dtype == factor.dtype
        scaled: torch.Tensor = y.mul_(factor) if in_place else y * factor
        return scaled


class Mapping(nn.Module):
    """Noise [N, Z], conditions [N, K] -> w [N, L]; both the noise and the embedding are scaled to unit mean square."""

    def __init__(self, settings: StyleGANSettings, cardinalities: tuple[int, ...], latent: int) -> None:
        super().__init__()
        size = settings.latent
        self.embedding = ConditionEmbedding(cardinalities, size, normal=True)
        widths = [latent + size, *[size] * settings.mapping_layers]
        self.layers = nn.ModuleList(
            EqualLinear(a, b, rate=settings.mapping_rate) for a, b in itertools.pairwise(widths)
        )

    def forward(self, noise: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """[N, Z], int64 [N, K] -> [N, L]."""
        parts = [unit(noise)] if noise.shape[1] else []
        x = torch.cat([*parts, self.embedding(conditions)], dim=1)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2) * GAIN
        return x


class StyleLayer(nn.Module):
    """Modulated 3×3 convolution, noise with a learned strength, bias, leaky ReLU; doubles the size with `up`."""

    def __init__(self, a: int, b: int, latent: int, up: bool) -> None:
        super().__init__()
        self.conv = ModulatedConv(a, b, 3, latent, up=up)
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(b))

    def forward(self, x: torch.Tensor, w: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """x [N, A, H, W], w [N, L], noise [N, 1, H', W'] -> [N, B, H', W']."""
        x, grain = self.conv(x, w), self.strength * noise
        if torch.is_grad_enabled() or x.dtype != grain.dtype:
            return F.leaky_relu(x + grain + self.bias[:, None, None], 0.2) * GAIN
        # The same numbers in place, as drawing is bound by memory at full resolution.
        return F.leaky_relu_(x.add_(grain).add_(self.bias[:, None, None]), 0.2).mul_(GAIN)


class Generator(nn.Module):
    """Noise [N, Z + P], conditions int64 [N, K] -> images [N, C, H, W], about [-1, 1].

    The first Z numbers of the noise of an image go through the mapping network, the other P are its noise per pixel: an
    image is a function of its noise and condition alone. `sides` are the short sides of the grids that the styles of
    `synthesise` control.
    """

    def __init__(self, settings: StyleGANSettings, shape: tuple[int, int, int], cardinalities: tuple[int, ...]) -> None:
        super().__init__()
        self.canvas, size = Canvas(*shape[1:]), settings.latent
        widths = [min(settings.width * 2**i, settings.widest) for i in range(self.canvas.stages, -1, -1)]
        self.grids = [(self.canvas.rows << i, self.canvas.columns << i) for i in range(len(widths))]
        self.pixels = [r * c for i, (r, c) in enumerate(self.grids) for _ in range(2 if i else 1)]
        self.sides = [
            min(self.grids[0]),
            *(min(grid) for grid in self.grids[1:] for _ in range(2)),
            min(self.grids[-1]),
        ]
        self.latent, self.mapped = size + sum(self.pixels), size
        self.mapping = Mapping(settings, cardinalities, size)
        self.constant = nn.Parameter(torch.randn(widths[0], *self.grids[0]))
        self.layers = nn.ModuleList([StyleLayer(widths[0], widths[0], size, up=False)])
        for a, b in itertools.pairwise(widths):
            self.layers.extend([StyleLayer(a, b, size, up=True), StyleLayer(b, b, size, up=False)])
        self.to_image = nn.ModuleList(ModulatedConv(w, shape[0], 1, size, demodulate=False) for w in widths)
        self.image_bias = nn.Parameter(torch.zeros(shape[0], 1, 1))

    def styles(self, noise: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """Noise [N, Z + P], conditions int64 [N, K] -> w [N, layers + 1, L], the same w for every layer."""
        w: torch.Tensor = self.mapping(noise[:, : self.mapped], conditions)
        return w[:, None].expand(-1, len(self.layers) + 1, -1)

    def synthesise(self, w: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """w [N, layers + 1, L], one style per layer and one for the last image; noise [N, Z + P] -> [N, C, H, W]."""
        fields = torch.split(noise[:, self.mapped :], self.pixels, dim=1)
        x = self.constant.expand(len(w), -1, -1, -1).contiguous(memory_format=torch.channels_last)
        image: torch.Tensor | None = None
        at = 0
        for number, grid in enumerate(self.grids):
            for _ in range(2 if number else 1):
                x = self.layers[at](x, w[:, at], fields[at].reshape(-1, 1, *grid))
                at += 1
            seen = self.to_image[number](x, w[:, at])
            image = seen if image is None else doubled(image) + seen
        assert image is not None
        return self.canvas.cut(image + self.image_bias)

    def style_weights(self, layers: Sequence[int]) -> torch.Tensor:
        """Weights [D, L] by which w enters these layers, one below the other; those of the last image have no layer."""
        styles = [layer.conv.style for layer in self.layers]  # type: ignore[union-attr]
        return torch.cat([styles[at].weight * styles[at].scale for at in layers if at < len(styles)])  # type: ignore[union-attr,operator]

    def forward(self, noise: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """noise [N, Z + P], conditions int64 [N, K] -> [N, C, H, W]."""
        return self.synthesise(self.styles(noise, conditions), noise)

    def truncated(self, noise: torch.Tensor, conditions: torch.Tensor, truncation: float) -> torch.Tensor:
        """`forward` with w moved towards the centre of its condition: centre + truncation · (w − centre)."""
        if truncation == 1:
            return self(noise, conditions)  # type: ignore[no-any-return]
        w = torch.lerp(self.centres(conditions)[:, None], self.styles(noise, conditions)[:, :1], truncation)
        return self.synthesise(w.expand(-1, len(self.sides), -1), noise)

    def centres(self, conditions: torch.Tensor) -> torch.Tensor:
        """Conditions int64 [N, K] -> [N, L]: the mean w of each image's condition over CENTRE noise vectors.

        Truncation towards the mean over all classes would lose the class (Dobler et al. 2022, conditional truncation).
        """
        noise = torch.randn(CENTRE, self.mapped, generator=stream(0, "centre")).to(conditions.device)
        kinds, which = torch.unique(conditions, dim=0, return_inverse=True)
        # one condition at a time, so that its centre has the same bits in any batch
        means = [self.mapping(noise, kind.expand(CENTRE, -1)).mean(0) for kind in kinds]
        return torch.stack(means)[which]


class ResidualBlock(nn.Module):
    """[N, A, 2H, 2W] -> [N, B, H, W], or the same size without `down`: two 3×3 convolutions beside a 1×1, their sum
    over sqrt 2.
    """

    def __init__(self, a: int, b: int, down: bool) -> None:
        super().__init__()
        self.resample = halved if down else lambda x: x
        self.first, self.second = EqualConv(a, a, 3), EqualConv(a, b, 3)
        self.skip = EqualConv(a, b, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, A, 2H, 2W] -> [N, B, H, W]."""
        y = F.leaky_relu(self.first(x), 0.2) * GAIN
        y = F.leaky_relu(self.second(self.resample(y)), 0.2) * GAIN
        total: torch.Tensor = (y + self.skip(self.resample(x))) / GAIN
        return total


def deviation(x: torch.Tensor, group: int, apart: int = 1) -> torch.Tensor:
    """[N, C, H, W] -> [N, C + 1, H, W]: adds a channel with the mean deviation over groups of neighbours in each of
    `apart` equal batches.

    It makes a lack of variety visible (Karras et al. 2018, section 3). Every image is in a group of `group`, or of all
    images where there are fewer. Left-over images share a group with the images before them, since a deviation over
    fewer images is smaller in any case.
    """
    if apart > 1:
        return torch.cat([deviation(batch, group) for batch in x.chunk(apart)])
    size = min(group, len(x))
    grouped = x if len(x) % size == 0 else torch.cat([x[: len(x) // size * size], x[-size:]])
    spread = (grouped.reshape(-1, size, *x.shape[1:]).var(1, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
    channel = spread.repeat_interleave(size)[: len(x)].view(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])
    return torch.cat([x, channel], dim=1)


class Trunk(nn.Module):
    """Images [N, C, H, W] in [-1, 1] -> features [N, P, D], with `deeper` more residual blocks at each size.

    It `compares` the images of a batch.
    """

    compares = True

    def __init__(self, settings: StyleGANSettings, shape: tuple[int, int, int], deeper: int, patch: bool) -> None:
        super().__init__()
        self.canvas, self.group, self.patch = Canvas(*shape[1:]), settings.deviation, patch
        widths = [min(settings.width * 2**i, settings.widest) for i in range(self.canvas.stages + 1)]
        self.first = EqualConv(shape[0], widths[0], 1)
        blocks: list[nn.Module] = []
        for number, width in enumerate(widths):
            blocks += [ResidualBlock(widths[number - 1], width, down=True)] if number else []
            blocks += [ResidualBlock(width, width, down=False) for _ in range(deeper)]
        self.blocks = nn.ModuleList(blocks)
        self.mix = EqualConv(widths[-1] + 1, widths[-1], 3)
        dense = EqualLinear(widths[-1] * self.canvas.rows * self.canvas.columns, settings.latent)
        self.last = None if patch else dense
        self.size = widths[-1] if patch else settings.latent

    def forward(self, images: torch.Tensor, apart: int = 1) -> torch.Tensor:
        """images [N, C, H, W], `apart` equal batches one after another -> [N, P, D]."""
        x = F.leaky_relu(self.first(self.canvas.pad(images)), 0.2) * GAIN
        for block in self.blocks:
            x = block(x)
        x = gathered(F.leaky_relu(self.mix(deviation(x, self.group, apart)), 0.2) * GAIN, self.patch)
        return x if self.last is None else F.leaky_relu(self.last(x), 0.2) * GAIN


class Head(nn.Module):
    """Features [N, P, D], conditions int64 [N, K] -> scores [N, P]: their product with the mapped condition, over sqrt
    L.
    """

    def __init__(self, settings: StyleGANSettings, features: int, cardinalities: tuple[int, ...]) -> None:
        super().__init__()
        self.score = EqualLinear(features, settings.latent)
        self.mapping = Mapping(settings, cardinalities, 0)

    def forward(self, features: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """features [N, P, D], conditions int64 [N, K] -> scores [N, P]."""
        mapped = self.mapping(features[:, 0, :0], conditions)
        scores: torch.Tensor = (self.score(features) * mapped[:, None]).sum(2)
        return scores / math.sqrt(mapped.shape[1])
