"""StyleGAN2 as its first formulation computes it (Karras et al. 2020a), with the parameters of Augury's stylegan.

Written from the formulas. Each image gets its own modulated and demodulated weights, and all images of a batch go
through one convolution with a group for each ("fused"); sizes change by explicit filtering with [1, 3, 3, 1] beside
strided and transposed convolutions; tensors are contiguous fp32, Adam is plain. A step has the phases of the StyleGAN2
release: the generator's with its own fakes, the discriminator's with fakes made again and fake and real scored in
passes of their own, and every 16 steps R1 in a further pass. With `fused=False` training scales images before and after
one shared convolution, as the later ADA release does; drawing is always fused there too.
Mapping network, equalised layers and minibatch deviation are Augury's: they are the same in both.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from augury.networks.stylegan import GAIN, EqualConv, EqualLinear, Mapping, StyleGANSettings, deviation

FILTER = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64


def filtered(x: torch.Tensor, pad: tuple[int, int], gain: float = 1.0, stride: int = 1) -> torch.Tensor:
    """[1, 3, 3, 1] along both sides of each map of [N, C, H, W], padded by (before, after) with zeros."""
    kernel = (FILTER * gain).to(x).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(F.pad(x, (*pad, *pad)), kernel, stride=stride, groups=x.shape[1])


def doubled(x: torch.Tensor) -> torch.Tensor:
    """Zeros between the pixels, then the filter: [N, C, H, W] -> [N, C, 2H, 2W]."""
    n, c, h, w = x.shape
    spread = F.pad(x.reshape(n, c, h, 1, w, 1), (0, 1, 0, 0, 0, 1)).reshape(n, c, 2 * h, 2 * w)
    return filtered(spread, (2, 1), gain=4)


class ModulatedConv(nn.Module):
    """x [N, A, H, W], w [N, L] -> [N, B, H', W'] with weights of each image's own (eq. 1 to 3)."""

    def __init__(self, a: int, b: int, kernel: int, latent: int, demodulate: bool = True, up: bool = False) -> None:
        super().__init__()
        self.weight, self.style = nn.Parameter(torch.randn(b, a, kernel, kernel)), EqualLinear(latent, a, bias=1.0)
        self.scale, self.padding, self.demodulate, self.up = (a * kernel**2) ** -0.5, kernel // 2, demodulate, up
        self.fused = True

    def forward(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """[N, A, H, W], [N, L] -> [N, B, H', W']."""
        n, a = x.shape[:2]
        style, b = self.style(w), len(self.weight)
        own = (self.weight * self.scale)[None] * style[:, None, :, None, None]
        norm = (own.square().sum((2, 3, 4)) + 1e-8).rsqrt() if self.demodulate else own.new_ones(n, b)
        if not self.fused and self.training:
            return self._moved(x * style[:, :, None, None], self.weight * self.scale, 1) * norm[:, :, None, None]
        own = (own * norm[:, :, None, None, None]).reshape(n * b, a, *self.weight.shape[2:])
        y = self._moved(x.reshape(1, n * a, *x.shape[2:]), own, n)
        return y.reshape(n, b, *y.shape[2:])

    def _moved(self, x: torch.Tensor, weight: torch.Tensor, groups: int) -> torch.Tensor:
        """The convolution; twice the size by a transposed one, then the filter."""
        if not self.up:
            return F.conv2d(x, weight, padding=self.padding, groups=groups)
        turned = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
        return filtered(F.conv_transpose2d(x, turned, stride=2, groups=groups), (1, 1), gain=4)


class Generator(nn.Module):
    """noise [N, L], conditions int64 [N, K] -> images [N, C, S, S]; noise per pixel is drawn as it is needed."""

    def __init__(self, settings: StyleGANSettings, shape: tuple[int, int, int], cardinalities: tuple[int, ...]) -> None:
        super().__init__()
        size, stages = settings.latent, (shape[1] // 4).bit_length() - 1
        widths = [min(settings.width * 2**i, settings.widest) for i in range(stages, -1, -1)]
        self.latent, self.mapping = size, Mapping(settings, cardinalities, size)
        self.constant = nn.Parameter(torch.randn(widths[0], 4, 4))
        pairs = [(widths[0], widths[0], False)]
        pairs += [p for a, b in itertools.pairwise(widths) for p in ((a, b, True), (b, b, False))]
        self.convs = nn.ModuleList(ModulatedConv(a, b, 3, size, up=up) for a, b, up in pairs)
        self.strengths = nn.ParameterList(torch.zeros(()) for _ in pairs)
        self.biases = nn.ParameterList(torch.zeros(b) for _, b, _ in pairs)
        self.to_image = nn.ModuleList(ModulatedConv(w, shape[0], 1, size, demodulate=False) for w in widths)
        self.image_bias = nn.Parameter(torch.zeros(shape[0], 1, 1))

    def forward(self, noise: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """[N, L], [N, K] -> [N, C, S, S]."""
        w = self.mapping(noise, conditions)
        x, image = self.constant.expand(len(w), -1, -1, -1), None
        for at, (conv, strength, bias) in enumerate(zip(self.convs, self.strengths, self.biases, strict=True)):
            x = conv(x, w)
            x = x + strength * torch.randn(len(x), 1, *x.shape[2:], device=x.device)
            x = F.leaky_relu(x + bias[:, None, None], 0.2) * GAIN
            if at % 2 == 0:
                seen = self.to_image[at // 2](x, w)
                image = seen if image is None else doubled(image) + seen
        return image + self.image_bias


class Discriminator(nn.Module):
    """images [N, C, S, S], conditions int64 [N, K] -> scores [N]: residual blocks, filtered before each stride."""

    def __init__(self, settings: StyleGANSettings, shape: tuple[int, int, int], cardinalities: tuple[int, ...]) -> None:
        super().__init__()
        stages, self.group = (shape[1] // 4).bit_length() - 1, settings.deviation
        widths = [min(settings.width * 2**i, settings.widest) for i in range(stages + 1)]
        self.first = EqualConv(shape[0], widths[0], 1)
        blocks = [(EqualConv(a, a, 3), EqualConv(a, b, 3), EqualConv(a, b, 1, bias=False)) for a, b in _pairs(widths)]
        self.blocks = nn.ModuleList(nn.ModuleList(block) for block in blocks)
        self.mix = EqualConv(widths[-1] + 1, widths[-1], 3)
        self.last, self.score = (
            EqualLinear(widths[-1] * 16, settings.latent),
            EqualLinear(settings.latent, settings.latent),
        )
        self.mapping = Mapping(settings, cardinalities, 0)

    def forward(self, images: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """[N, C, S, S], [N, K] -> [N]."""
        x = F.leaky_relu(self.first(images), 0.2) * GAIN
        for first, second, skip in self.blocks:
            y = filtered(F.leaky_relu(first(x), 0.2) * GAIN, (2, 2))
            y = F.leaky_relu(F.conv2d(y, second.weight * second.scale, second.bias, stride=2), 0.2) * GAIN
            x = (y + skip(filtered(x, (1, 1), stride=2))) / GAIN
        x = F.leaky_relu(self.mix(deviation(x, self.group)), 0.2) * GAIN
        x = F.leaky_relu(self.last(x.flatten(1)), 0.2) * GAIN
        return (self.score(x) * self.mapping(x[:, :0], conditions)).sum(1) / x.shape[1] ** 0.5


_pairs = itertools.pairwise
Draw = Callable[[], tuple[torch.Tensor, torch.Tensor]]
See = Callable[[torch.Tensor], torch.Tensor]


def loop(
    generator: Generator, discriminator: Discriminator, draw: Draw, see: See, rate: float, r1: float, every: int
) -> Callable[[int], None]:
    """A step of the reference training; `draw` gives (images, conditions), `see` augments what is scored."""
    beta = 0.99 ** (every / (every + 1))
    adam_g = torch.optim.Adam(generator.parameters(), lr=rate, betas=(0.0, 0.99))
    adam_d = torch.optim.Adam(discriminator.parameters(), lr=rate * every / (every + 1), betas=(0.0, beta))
    average = copy.deepcopy(generator).requires_grad_(False)

    def fakes(conditions: torch.Tensor) -> torch.Tensor:
        return generator(torch.randn(len(conditions), generator.latent), conditions)

    def play(step: int) -> None:
        real, conditions = draw()
        discriminator.requires_grad_(False)
        adam_g.zero_grad()
        F.softplus(-discriminator(see(fakes(conditions)), conditions)).mean().backward()
        adam_g.step()
        discriminator.requires_grad_(True)
        adam_d.zero_grad()
        with torch.no_grad():
            fake = fakes(conditions)
        F.softplus(discriminator(see(fake), conditions)).mean().backward()
        F.softplus(-discriminator(see(real), conditions)).mean().backward()
        adam_d.step()
        if step % every == 0:
            adam_d.zero_grad()
            leaf = real.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(discriminator(see(leaf), conditions).sum(), leaf, create_graph=True)
            (gradient.square().sum((1, 2, 3)).mean() * (r1 / 2 * every)).backward()
            adam_d.step()
        with torch.no_grad():
            for averaged, new in zip(average.parameters(), generator.parameters(), strict=True):
                averaged.lerp_(new, 0.001)

    return play
