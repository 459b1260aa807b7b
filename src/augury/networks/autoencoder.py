"""Autoencoder and variational autoencoder (Kingma & Welling 2014), conditional on class and attributes (Sohn et al.
2015).

The encoder uses strided convolutions and returns the mean and log variance of a code; the decoder is DCGAN's generator.
The codes of a plain autoencoder follow no known distribution. The decoder therefore tracks their mean in each class and
their covariance within classes, and converts noise to codes with these.
"""

from __future__ import annotations

import itertools

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from augury.networks import dcgan
from augury.networks.canvas import Canvas
from augury.networks.conditioning import ConditionEmbedding
from augury.validation import StrictSettings


class AutoencoderSettings(StrictSettings):
    """Settings of the autoencoder."""

    latent: int = Field(32, ge=1, description="size of a code")
    width: int = Field(16, ge=1, description="channels at full resolution, doubled at each halving up to widest")
    widest: int = Field(256, ge=1, description="most channels")
    embedding: int = Field(32, ge=1, description="size of a condition")


class Generator(nn.Module):
    """The decoder: noise [N, Z], conditions int64 [N, K] -> images [N, C, H, W] in [-1, 1].

    `decode` takes codes instead of noise. For a variational autoencoder both are the same, as its codes are trained to
    be normal. `observe` makes them differ.
    """

    means: torch.Tensor
    covariance: torch.Tensor

    def __init__(
        self, settings: AutoencoderSettings, shape: tuple[int, int, int], cardinalities: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.latent = settings.latent
        inner = dcgan.DCGANSettings(**settings.model_dump())
        self.decode = dcgan.Generator(inner, shape, cardinalities)
        self.register_buffer("means", torch.zeros(cardinalities[0], settings.latent))
        self.register_buffer("covariance", torch.eye(settings.latent))

    @torch.no_grad()
    def observe(self, codes: torch.Tensor, conditions: torch.Tensor, weight: float) -> None:
        """Move the means of the classes present, and the covariance within classes, towards these codes by `weight`."""
        for label in torch.unique(conditions[:, 0]):
            self.means[label].lerp_(codes[conditions[:, 0] == label].mean(0), weight)
        rest = codes - self.means[conditions[:, 0]]
        self.covariance.lerp_(rest.t() @ rest / len(rest), weight)

    def codes(self, noise: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """noise [N, Z], conditions int64 [N, K] -> codes [N, Z]."""
        unit = torch.eye(self.latent, device=noise.device)
        root = torch.linalg.cholesky(self.covariance.float() + 1e-4 * unit)
        blended = conditions.is_floating_point()  # shares of each value, as ConditionEmbedding takes them
        means = conditions[:, : len(self.means)] @ self.means if blended else self.means[conditions[:, 0]]
        codes: torch.Tensor = means + noise @ root.t()
        return codes

    def forward(self, noise: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """noise [N, Z], conditions int64 [N, K] -> [N, C, H, W] in [-1, 1]."""
        images: torch.Tensor = self.decode(self.codes(noise, conditions), conditions)
        return images

    def first_weights(self) -> torch.Tensor:
        """Weights [D, Z] of the decoder's first layer, by which the code enters."""
        return self.decode.first_weights()


class Encoder(nn.Module):
    """images [N, C, H, W] in [-1, 1], conditions int64 [N, K] -> (mean, log variance) of the codes, each [N, Z]."""

    def __init__(
        self, settings: AutoencoderSettings, shape: tuple[int, int, int], cardinalities: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.canvas = Canvas(*shape[1:])
        widths = [min(settings.width * 2**i, settings.widest) for i in range(self.canvas.stages + 1)]
        self.embedding = ConditionEmbedding(cardinalities, settings.embedding)
        self.first = nn.Conv2d(shape[0], widths[0], 3, 1, 1)
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1, bias=False) for a, b in itertools.pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm2d(w) for w in widths[1:])
        flat = widths[-1] * self.canvas.rows * self.canvas.columns
        self.last = nn.Linear(flat + settings.embedding, 2 * settings.latent)

    def forward(self, images: torch.Tensor, conditions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[N, C, H, W], [N, K] -> ([N, Z], [N, Z])."""
        x = F.leaky_relu(self.first(self.canvas.pad(images)), 0.2)
        for down, norm in zip(self.downs, self.norms, strict=True):
            x = F.leaky_relu(norm(down(x)), 0.2)
        mean, log_variance = self.last(torch.cat([x.flatten(1), self.embedding(conditions)], dim=1)).chunk(2, dim=1)
        return mean, log_variance
