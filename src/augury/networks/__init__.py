"""The architectures: each file is a whole network, its settings, generator and discriminator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from augury.errors import SettingsError
from augury.networks import autoencoder, dcgan, mlp, r3gan, stylegan
from augury.networks.classifier import Classifier
from augury.networks.conditioning import ConditionEmbedding, ProjectionHead, shares
from augury.settings import changed

__all__ = ["NETWORKS", "Architecture", "Classifier", "ConditionEmbedding", "ProjectionHead", "build", "shares"]


@dataclass(frozen=True)
class Architecture:
    """The parts of one network file: default settings, and builders (settings, shape, cardinalities) -> module. The
    generator's partner is a discriminator, or an encoder."""

    settings: Any
    generator: Callable[..., nn.Module]
    partner: Callable[..., nn.Module]
    method: Literal["adversarial", "reconstruction"] = "adversarial"


NETWORKS = {
    "mlp": Architecture(mlp.MLPSettings(), mlp.Generator, mlp.Discriminator),
    "dcgan": Architecture(dcgan.DCGANSettings(), dcgan.Generator, dcgan.Discriminator),
    "r3gan": Architecture(r3gan.R3GANSettings(), r3gan.Generator, r3gan.Discriminator),
    "stylegan": Architecture(stylegan.StyleGANSettings(), stylegan.Generator, stylegan.Discriminator),
    "autoencoder": Architecture(
        autoencoder.AutoencoderSettings(), autoencoder.Generator, autoencoder.Encoder, "reconstruction"
    ),
}


def build(
    name: str, settings: dict[str, Any], shape: tuple[int, int, int], cardinalities: tuple[int, ...]
) -> tuple[nn.Module, nn.Module]:
    """(generator, discriminator or encoder) of network `name`, its defaults changed by `settings`.

    Raises SettingsError for an unknown network or setting.
    """
    if name not in NETWORKS:
        raise SettingsError(f"there is no network '{name}'; choose one of: {', '.join(NETWORKS)}")
    architecture = NETWORKS[name]
    chosen = changed(f"network '{name}'", architecture.settings, settings)
    return architecture.generator(chosen, shape, cardinalities), architecture.partner(chosen, shape, cardinalities)
