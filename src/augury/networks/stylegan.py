"""StyleGAN2 (Karras et al. 2020a) in the small-data setting of StyleGAN2-ADA (Karras et al. 2020b).

A mapping network turns noise and condition into styles w; every convolution of the synthesis network is scaled by its
style and rescaled to unit variance, gets noise per pixel, and each resolution adds to the image by a skip connection.
The discriminator is residual, ends in minibatch deviation, and compares its features with the mapped condition.
All weights are N(0, 1) scaled at run time (equalised learning rate). Written un-fused: the images are scaled before and
after one shared convolution, which on CPU is faster than a grouped convolution per image and gives the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from augury.networks.canvas import Canvas
from augury.networks.conditioning import ConditionEmbedding
from augury.networks.resample import doubled, halved

GAIN = 2**0.5


@dataclass(frozen=True)
class StyleGANSettings:
    """`latent` size of noise and of w; `width` channels at full resolution, doubled at each halving up to `widest`;
    `mapping_layers` with learning rate × `mapping_rate`; `deviation` images a group of the minibatch deviation."""

    latent: int = 128
    width: int = 32
    widest: int = 256
    mapping_layers: int = 2
    mapping_rate: float = 0.01
    deviation: int = 4


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
    """x [N, A, H, W], w [N, L] -> [N, B, H, W]: convolution with weights scaled by the style of each image and, when
    `demodulate`, rescaled to unit norm (Karras et al. 2020a, eq. 1 to 3)."""

    def __init__(self, a: int, b: int, kernel: int, latent: int, demodulate: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(b, a, kernel, kernel))
        self.style = EqualLinear(latent, a, bias=1.0)
        self.scale, self.padding, self.demodulate = (a * kernel**2) ** -0.5, kernel // 2, demodulate

    def forward(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """[N, A, H, W], [N, L] -> [N, B, H, W]."""
        style, weight = self.style(w), self.weight * self.scale
        y = F.conv2d(x * style[:, :, None, None], weight, padding=self.padding)
        if not self.demodulate:
            return y
        power = style.square() @ weight.square().sum((2, 3)).t()
        return y * (power + 1e-8).rsqrt()[:, :, None, None]


class Mapping(nn.Module):
    """noise [N, Z], conditions [N, K] -> w [N, L]; the noise is scaled to unit mean square, the embedding too."""

    def __init__(self, settings: StyleGANSettings, cardinalities: tuple[int, ...], latent: int) -> None:
        super().__init__()
        size = settings.latent
        self.embedding = ConditionEmbedding(cardinalities, size)
        widths = [latent + size, *[size] * settings.mapping_layers]
        self.layers = nn.ModuleList(
            EqualLinear(a, b, rate=settings.mapping_rate) for a, b in zip(widths, widths[1:], strict=False)
        )

    def forward(self, noise: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """[N, Z], int64 [N, K] -> [N, L]."""
        parts = [unit(noise)] if noise.shape[1] else []
        x = torch.cat([*parts, unit(self.embedding(conditions))], dim=1)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2) * GAIN
        return x


def unit(x: torch.Tensor) -> torch.Tensor:
    """[N, D] scaled to mean square 1."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class StyleLayer(nn.Module):
    """Modulated 3×3 convolution, noise with a learned strength, bias, leaky ReLU; doubles the size when `up`."""

    def __init__(self, a: int, b: int, latent: int, up: bool) -> None:
        super().__init__()
        self.conv, self.up = ModulatedConv(a, b, 3, latent), up
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(b))

    def forward(self, x: torch.Tensor, w: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        """x [N, A, H, W], w [N, L], noise [N, 1, H', W'] -> [N, B, H', W']."""
        x = self.conv(doubled(x) if self.up else x, w)
        if noise is not None:
            x = x + self.strength * noise
        return F.leaky_relu(x + self.bias[:, None, None], 0.2) * GAIN


class Generator(nn.Module):
    """noise [N, Z], conditions int64 [N, K] -> images [N, C, H, W], about [-1, 1].

    The noise per pixel is drawn from the image's own noise, by a fixed random map, so that an image is a function of
    (noise, condition) alone. `average` is the running mean of w, toward which `truncation` pulls.
    """

    def __init__(self, settings: StyleGANSettings, shape: tuple[int, int, int], cardinalities: tuple[int, ...]) -> None:
        super().__init__()
        self.canvas, self.latent = Canvas(*shape[1:]), settings.latent
        widths = [min(settings.width * 2**i, settings.widest) for i in range(self.canvas.stages, -1, -1)]
        self.mapping = Mapping(settings, cardinalities, settings.latent)
        self.register_buffer("average", torch.zeros(settings.latent))
        self.constant = nn.Parameter(torch.randn(widths[0], self.canvas.rows, self.canvas.columns))
        self.layers = nn.ModuleList([StyleLayer(widths[0], widths[0], settings.latent, up=False)])
        for a, b in zip(widths, widths[1:], strict=False):
            self.layers.append(StyleLayer(a, b, settings.latent, up=True))
            self.layers.append(StyleLayer(b, b, settings.latent, up=False))
        self.to_image = nn.ModuleList(ModulatedConv(w, shape[0], 1, settings.latent, demodulate=False) for w in widths)
        self.image_bias = nn.Parameter(torch.zeros(shape[0], 1, 1))
