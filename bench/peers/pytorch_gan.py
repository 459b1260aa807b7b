"""PyTorch-GAN's dcgan and wgan_gp, their designs written again: layers, initial weights, optimiser and order of a step.

After eriklindernoren/PyTorch-GAN (MIT licence), `implementations/dcgan` and `implementations/wgan_gp`. What is theirs
and unusual is kept: nearest-neighbour doubling, a batch norm whose second argument (0.8) is epsilon, dropout of whole
maps, a generator that plays first and whose images the discriminator sees again detached.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from math import prod

import numpy as np
import torch
from torch import nn

Play = Callable[[int], None]
Draw = Callable[[int], np.ndarray]
LATENT = 100
EPSILON = 0.8


def weights(module: nn.Module) -> None:
    """Convolutions N(0, 0.02²), gains of two-dimensional batch norm N(1, 0.02²); the rest stays PyTorch's."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    if isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


class ConvGenerator(nn.Module):
    """noise [N, 100] -> images [N, C, S, S] in [-1, 1]: 128 maps at S/4, doubled twice, 64 maps at S."""

    latent = LATENT

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.coarsest = (128, shape[1] // 4, shape[2] // 4)
        self.first = nn.Linear(LATENT, prod(self.coarsest))
        self.layers = nn.Sequential(
            nn.BatchNorm2d(128),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(128, 128, 3, padding=1),
            nn.BatchNorm2d(128, EPSILON),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(128, 64, 3, padding=1),
            nn.BatchNorm2d(64, EPSILON),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(64, shape[0], 3, padding=1),
            nn.Tanh(),
        )

    def forward(self, noise: torch.Tensor, conditions: torch.Tensor | None = None) -> torch.Tensor:
        """[N, 100] -> [N, C, S, S]; conditions are taken and not read, so that Augury's game can train it."""
        images: torch.Tensor = self.layers(self.first(noise).view(-1, *self.coarsest))
        return images


class ConvDiscriminator(nn.Module):
    """images [N, C, S, S] -> logits [N]: four strided convolutions of 16 to 128 maps."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, (a, b) in enumerate(itertools.pairwise((shape[0], 16, 32, 64, 128))):
            layers += [nn.Conv2d(a, b, 3, 2, 1), nn.LeakyReLU(0.2, inplace=True), nn.Dropout2d(0.25)]
            layers += [nn.BatchNorm2d(b, EPSILON)] if 0 < number < 3 else []
        self.layers = nn.Sequential(*layers)
        self.last = nn.Linear(128 * (shape[1] // 16) * (shape[2] // 16), 1)

    def features(self, images: torch.Tensor, apart: int = 1) -> torch.Tensor:
        """[N, C, S, S] -> [N, D]."""
        return self.layers(images).flatten(1)

    def head(self, features: torch.Tensor, conditions: torch.Tensor | None = None) -> torch.Tensor:
        """[N, D] -> [N]."""
        return self.last(features)[:, 0]

    def forward(self, images: torch.Tensor, conditions: torch.Tensor | None = None) -> torch.Tensor:
        """[N, C, S, S] -> [N]."""
        return self.head(self.features(images))


def dense_generator(shape: tuple[int, int, int]) -> nn.Module:
    """wgan_gp's generator: noise [N, 100] -> images [N, C, S, S] by layers of 128, 256, 512 and 1024 units."""
    layers: list[nn.Module] = [nn.Linear(LATENT, 128), nn.LeakyReLU(0.2, inplace=True)]
    for a, b in itertools.pairwise((128, 256, 512, 1024)):
        layers += [nn.Linear(a, b), nn.BatchNorm1d(b), nn.LeakyReLU(0.2, inplace=True)]
    return nn.Sequential(*layers, nn.Linear(1024, prod(shape)), nn.Tanh(), nn.Unflatten(1, shape))


def dense_critic(shape: tuple[int, int, int]) -> nn.Module:
    """wgan_gp's critic: images [N, C, S, S] -> scores [N, 1]."""
    widths = [prod(shape), 512, 256]
    layers = [m for a, b in itertools.pairwise(widths) for m in (nn.Linear(a, b), nn.LeakyReLU(0.2, inplace=True))]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(256, 1))


def drawer(generator: nn.Module, batch: int = 64) -> Draw:
    """Images uint8 [count, C, S, S] drawn as their training saves them, with the batch norm of training."""

    @torch.no_grad()
    def draw(count: int) -> np.ndarray:
        parts = [generator(torch.randn(min(batch, count - at), LATENT)) for at in range(0, count, batch)]
        return torch.cat(parts).add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).numpy()

    return draw


def dcgan(images: np.ndarray, seed: int, batch: int = 64, rate: float = 2e-4) -> tuple[Play, Draw, int]:
    """The plain loop of their dcgan on uint8 [N, C, S, S]: (play a step, draw, number of parameters)."""
    torch.manual_seed(seed)
    shape = images.shape[1:]
    generator, discriminator = ConvGenerator(shape).apply(weights), ConvDiscriminator(shape).apply(weights)
    adams = [torch.optim.Adam(n.parameters(), lr=rate, betas=(0.5, 0.999)) for n in (generator, discriminator)]
    bce, valid, wrong = nn.BCELoss(), torch.ones(batch), torch.zeros(batch)

    def judged(batch_images: torch.Tensor) -> torch.Tensor:
        return discriminator(batch_images).sigmoid()

    def play(step: int) -> None:
        real = batch_of(images, batch)
        adams[0].zero_grad()
        fake = generator(torch.from_numpy(np.random.normal(0, 1, (batch, LATENT)).astype(np.float32)))  # noqa: NPY002
        loss_g = bce(judged(fake), valid)
        loss_g.backward()
        adams[0].step()
        adams[1].zero_grad()
        loss_d = (bce(judged(real), valid) + bce(judged(fake.detach()), wrong)) / 2
        loss_d.backward()
        adams[1].step()
        loss_d.item(), loss_g.item()  # which it prints at every step

    return play, drawer(generator), sum(p.numel() for n in (generator, discriminator) for p in n.parameters())


def wgan_gp(images: np.ndarray, seed: int, batch: int = 64, rate: float = 2e-4) -> tuple[Play, Draw, int]:
    """Their wgan_gp on uint8 [N, C, S, S]: five critic steps with a penalty of weight 10, then one of the generator."""
    torch.manual_seed(seed)
    shape = images.shape[1:]
    generator, critic = dense_generator(shape), dense_critic(shape)
    adams = [torch.optim.Adam(n.parameters(), lr=rate, betas=(0.5, 0.999)) for n in (generator, critic)]

    def play(step: int) -> None:
        for _ in range(5):
            real = batch_of(images, batch)
            adams[1].zero_grad()
            fake = generator(torch.randn(batch, LATENT)).detach()
            share = torch.rand(batch, 1, 1, 1)
            mix = (share * real + (1 - share) * fake).requires_grad_()
            (gradient,) = torch.autograd.grad(critic(mix).sum(), mix, create_graph=True)
            penalty = (gradient.flatten(1).norm(2, dim=1) - 1).square().mean()
            (critic(fake).mean() - critic(real).mean() + 10 * penalty).backward()
            adams[1].step()
        adams[0].zero_grad()
        (-critic(generator(torch.randn(batch, LATENT))).mean()).backward()
        adams[0].step()

    return play, drawer(generator), sum(p.numel() for n in (generator, critic) for p in n.parameters())


def batch_of(images: np.ndarray, batch: int) -> torch.Tensor:
    """float [B, C, S, S] in [-1, 1], as a loader with ToTensor and Normalize gives them, from memory."""
    return torch.from_numpy(images[torch.randint(len(images), (batch,)).numpy()]).float().div(127.5).sub(1)
