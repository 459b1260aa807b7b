"""What training and drawing require of networks; any module with these members can be trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch

from augury.networks.discriminator import Features


@runtime_checkable
class Generator(Protocol):
    """Noise [N, latent], conditions int64 [N, K] -> images [N, C, H, W], about [-1, 1]."""

    latent: int

    def __call__(self, noise: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """Generate one image for each row of noise."""


@runtime_checkable
class Styled(Generator, Protocol):
    """A generator with a mapping network.

    The first `mapped` numbers of the noise become a style w. Each layer takes w; `sides` lists the short side of each
    layer's grid. The rest of the noise is noise per pixel.
    """

    mapped: int
    sides: list[int]

    def styles(self, noise: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """noise [N, Z], conditions [N, K] -> w [N, layers, L], the same for every layer."""

    def synthesise(self, w: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """w [N, layers, L], noise [N, Z] -> images [N, C, H, W], about [-1, 1]."""

    def style_weights(self, layers: Sequence[int]) -> torch.Tensor:
        """Weights [D, L] by which w enters these layers."""

    def centres(self, conditions: torch.Tensor) -> torch.Tensor:
        """conditions [N, K] -> the mean w [N, L] of each condition."""

    def truncated(self, noise: torch.Tensor, conditions: torch.Tensor, truncation: float) -> torch.Tensor:
        """noise [N, Z], conditions [N, K] -> images [N, C, H, W], with styles pulled toward the mean of their condition."""


@runtime_checkable
class ConditionallyNormed(Generator, Protocol):
    """A generator whose norms may take their gain and bias from the condition."""

    def gains(self, classes: int) -> list[torch.Tensor]:
        """Gains and biases [classes, W] of every conditional norm; an empty list without such norms."""


@runtime_checkable
class LinearEntry(Generator, Protocol):
    """A generator whose first layer is linear in the noise, or in the code of a decoder."""

    def first_weights(self) -> torch.Tensor:
        """Weights [D, Z] of that layer."""


@runtime_checkable
class Decoder(Generator, Protocol):
    """The decoder of an autoencoder. `observe` records the distribution of codes, from which noise is decoded."""

    def codes(self, noise: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """noise [N, Z], conditions [N, K] -> codes [N, Z]."""

    def decode(self, codes: torch.Tensor, conditions: torch.Tensor, /) -> torch.Tensor:
        """codes [N, Z], conditions int64 [N, K] -> images [N, C, H, W] in [-1, 1]."""

    def observe(self, codes: torch.Tensor, conditions: torch.Tensor, weight: float) -> None:
        """Move the stored distribution towards these codes by `weight`."""


@runtime_checkable
class Flow(Generator, Protocol):
    """A generator that integrates a velocity from noise to images. `shape` is (C, H, W), and `latent` its product."""

    shape: tuple[int, int, int]

    def velocity(
        self, x: torch.Tensor, times: torch.Tensor, conditions: torch.Tensor, known: torch.Tensor | None = None
    ) -> torch.Tensor:
        """x [N, C, H, W] at times [N], conditions [N, K], known [N] (0 hides the condition) -> velocity [N, C, H, W]."""

    def encode(self, images: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """images [N, C, H, W], conditions [N, K] -> the noise [N, latent] from which the flow draws them."""


@runtime_checkable
class Translator(Protocol):
    """Images [N, C, H, W] in [-1, 1], changes int64 [N, K], noise [N, latent] or None -> translated images.

    `shape` is (C, H, W). `feature_widths` are the channels of each level of `features`.
    """

    latent: int
    shape: tuple[int, int, int]
    feature_widths: tuple[int, ...]

    def __call__(self, images: torch.Tensor, changes: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        """Translate each image by its row of changes."""

    def features(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The encoder's maps [N, width, h, w] of each level."""


@runtime_checkable
class Discriminator(Protocol):
    """Images [N, C, H, W], conditions int64 [N, K] -> scores [N, S], higher for real: `head` of `features`."""

    def __call__(self, images: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """Score each image."""

    def features(self, images: torch.Tensor, apart: int = 1) -> Features:
        """Images in `apart` equal batches, one after another -> features. Images of different batches are not compared."""

    def head(self, features: Features, conditions: torch.Tensor) -> torch.Tensor:
        """The scores [N, S] of features."""


@runtime_checkable
class AuxiliaryDiscriminator(Discriminator, Protocol):
    """A discriminator that can also classify; `auxiliary` says whether it does."""

    auxiliary: bool

    def auxiliary_loss(self, features: Features, conditions: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy of the conditions, predicted from features."""
