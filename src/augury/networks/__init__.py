"""The architectures: each file is a whole network, its settings, generator and discriminator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from augury.errors import SettingsError
from augury.networks import dcgan, mlp
from augury.networks.classifier import Classifier
from augury.networks.conditioning import ConditionEmbedding, ProjectionHead

__all__ = ["NETWORKS", "Architecture", "Classifier", "ConditionEmbedding", "ProjectionHead", "build"]


@dataclass(frozen=True)
class Architecture:
    """The parts of one network file: default settings, and builders (settings, shape, cardinalities) -> module."""

    settings: Any
    generator: Callable[..., nn.Module]
    discriminator: Callable[..., nn.Module]


NETWORKS = {
    "mlp": Architecture(mlp.MLPSettings(), mlp.Generator, mlp.Discriminator),
    "dcgan": Architecture(dcgan.DCGANSettings(), dcgan.Generator, dcgan.Discriminator),
}


def build(
    name: str, settings: dict[str, Any], shape: tuple[int, int, int], cardinalities: tuple[int, ...]
) -> tuple[nn.Module, nn.Module]:
    """(generator, discriminator) of network `name`, its defaults changed by `settings`.

    Raises SettingsError for an unknown network or setting.
    """
    if name not in NETWORKS:
        raise SettingsError(f"there is no network '{name}'; choose one of: {', '.join(NETWORKS)}")
    architecture = NETWORKS[name]
    try:
        chosen = replace(architecture.settings, **settings)
    except TypeError as error:
        known = ", ".join(vars(architecture.settings))
        raise SettingsError(f"network '{name}': {error}; its settings are: {known}") from error
    return architecture.generator(chosen, shape, cardinalities), architecture.discriminator(
        chosen, shape, cardinalities
    )
