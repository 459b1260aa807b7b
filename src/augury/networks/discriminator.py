"""Discriminators of any network: one trunk, or several at decreasing resolution, each with a head that scores its
features.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from augury.errors import SettingsError
from augury.networks.conditioning import AuxiliaryHead
from augury.validation import StrictSettings

Features = list[torch.Tensor]
"""One float [N, P, D] for each trunk: P = 1 for full images, or the number of positions of its coarsest grid."""


class DiscriminatorSettings(StrictSettings):
    """Settings of every network's discriminator."""

    deeper: int = Field(0, ge=0, description="layers added at each resolution beyond the mirror image of the generator")
    scales: int = Field(
        1, ge=1, description="trunks that see the image at 1, 1/2, 1/4 … of its size (Wang et al. 2018, section 3.2)"
    )
    patch: bool = Field(
        False,
        description="a score for each position of the coarsest grid instead of one per image (Isola et al. 2017, section 3.2.2)",
    )
    conditioning: str = Field(
        "projection",
        description="projection (Miyato & Koyama 2018; StyleGAN has its own form of it) or auxiliary: by an auxiliary classifier (Odena et al. 2017)",
    )
    spectral: bool = Field(False, description="divide each weight by its largest singular value (Miyato et al. 2018)")


class Discriminator(nn.Module):
    """Images [N, C, H, W] in [-1, 1], conditions int64 [N, K] -> scores [N, S], higher for real: one for each trunk and
    position.

    If it `compares` the images of a batch, real and fake images must be passed `apart`; otherwise the score of each
    depends on the others.
    """

    def __init__(
        self,
        chosen: DiscriminatorSettings,
        shape: tuple[int, int, int],
        cardinalities: tuple[int, ...],
        trunk: Callable[[tuple[int, int, int], int, bool], nn.Module],
        head: Callable[[int, tuple[int, ...]], nn.Module],
    ) -> None:
        super().__init__()
        channels, height, width = shape
        if chosen.conditioning not in ("projection", "auxiliary"):
            raise SettingsError(
                f"there is no conditioning '{chosen.conditioning}'; choose one of: projection, auxiliary"
            )
        if chosen.scales > 1 and min(height, width) < 4 * 2 ** (chosen.scales - 1):
            raise SettingsError(
                f"scales={chosen.scales}: the smallest scale of images of {height}×{width} px must still be 4 px; lower scales"
            )
        self.auxiliary, self.compares = chosen.conditioning == "auxiliary", False
        self.trunks, self.heads = nn.ModuleList(), nn.ModuleList()
        for _ in range(chosen.scales):
            self.trunks.append(trunk((channels, height, width), chosen.deeper, chosen.patch))
            self.compares = bool(getattr(self.trunks[-1], "compares", False))
            size = int(self.trunks[-1].size)  # type: ignore[arg-type]
            self.heads.append(AuxiliaryHead(size, cardinalities) if self.auxiliary else head(size, cardinalities))
            height, width = -(-height // 2), -(-width // 2)
        if chosen.spectral:
            constrain(self)

    def features(self, images: torch.Tensor, apart: int = 1) -> Features:
        """Images [N, C, H, W], `apart` equal batches one after another -> a [N, P, D] for each trunk."""
        features, more = [], (apart,) if self.compares else ()
        for number, trunk in enumerate(self.trunks):
            if number:
                images = F.avg_pool2d(images, 2, ceil_mode=True, count_include_pad=False)
            features.append(trunk(images, *more))
        return features

    def head(self, features: Features, conditions: torch.Tensor) -> torch.Tensor:
        """The output of `features`, conditions int64 [N, K] -> scores [N, S]."""
        scores = [head(x, conditions) for head, x in zip(self.heads, features, strict=True)]
        return torch.cat(scores, dim=1)

    def auxiliary_loss(self, features: Features, conditions: torch.Tensor) -> torch.Tensor:
        """The cross-entropy of the auxiliary classifiers, averaged over trunks, positions, images and columns."""
        each = [head.auxiliary_loss(x, conditions) for head, x in zip(self.heads, features, strict=True)]  # type: ignore[operator]
        return torch.stack(each).mean()

    def forward(self, images: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """images [N, C, H, W], conditions int64 [N, K] -> scores [N, S]."""
        return self.head(self.features(images), conditions)


def constrain(module: nn.Module) -> None:
    """Apply spectral norm to every convolution and linear layer; layers that scale their weights at run time stop doing
    so.

    Weights initialised to zero have no largest singular value; they are initialised at random instead.
    """
    for layer in list(module.modules()):
        weight = getattr(layer, "weight", None)
        if isinstance(weight, nn.Parameter) and weight.dim() > 1 and not isinstance(layer, nn.Embedding):
            if hasattr(layer, "scale"):
                layer.scale = 1.0  # type: ignore[assignment]
            if not weight.any():
                nn.init.orthogonal_(weight)
            spectral_norm(layer)


def gathered(x: torch.Tensor, patch: bool) -> torch.Tensor:
    """[N, C, H, W] -> [N, H·W, C] for scores of positions, or [N, 1, C·H·W]."""
    return x.flatten(2).transpose(1, 2) if patch else x.flatten(1)[:, None]
