"""The architectures: each file holds a full network with its settings, generator and discriminator (or encoder)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from augury.errors import SettingsError
from augury.networks import autoencoder, dcgan, flow, mlp, projected, r3gan, stylegan, translator
from augury.networks.classifier import Classifier
from augury.networks.conditioning import AuxiliaryHead, ConditionEmbedding, ProjectionHead, shares
from augury.networks.discriminator import Discriminator, DiscriminatorSettings
from augury.networks.on_discriminator import OnDiscriminator, alone
from augury.networks.pipelines import PipelineGenerator, PipelineSettings, PipelineTranslator, PretrainedPipeline
from augury.networks.pretrained import BACKBONES, Backbone, backbone, lite0_installed
from augury.networks.resnet import ResNet
from augury.networks.translator import KEEP
from augury.validation import StrictSettings, changed

__all__ = [
    "BACKBONES",
    "KEEP",
    "NETWORKS",
    "PIPELINES",
    "Architecture",
    "AuxiliaryHead",
    "Backbone",
    "Classifier",
    "ConditionEmbedding",
    "Discriminator",
    "DiscriminatorSettings",
    "OnDiscriminator",
    "PipelineSettings",
    "PretrainedPipeline",
    "ProjectionHead",
    "ResNet",
    "alone",
    "backbone",
    "build",
    "build_generator",
    "lite0_installed",
    "passes",
    "shares",
]

Shape = tuple[int, int, int]
SMALLEST = 8
"""Shortest side in pixels that a network of halvings can process."""


@dataclass(frozen=True)
class Architecture:
    """The components of one network file.

    `settings` are the defaults; `generator` is called with (settings, shape, cardinalities). Its partner is one of three.
    A discriminator of the usual form has a `trunk` (settings, shape, deeper, patch) with a `head` (settings, features,
    cardinalities). A `discriminator` of its own form and an `encoder` are built like the generator. A flow has
    no partner. `smallest` is the shortest possible side in px. `trained_on` names the pretrained network whose features
    the discriminator sees: scores on these features flatter the generator.
    """

    settings: StrictSettings
    generator: Callable[..., nn.Module]
    trunk: Callable[..., nn.Module] | None = None
    head: Callable[..., nn.Module] = lambda settings, *rest: ProjectionHead(*rest)
    discriminator: Callable[..., nn.Module] | None = None
    encoder: Callable[..., nn.Module] | None = None
    smallest: int = SMALLEST
    trained_on: str = ""

    @property
    def method(self) -> str:
        """The training method: "adversarial", "translation", "reconstruction" or "flow"."""
        if self.encoder is not None:
            return "reconstruction"
        if self.trunk is None and self.discriminator is None:
            return "flow"
        return "translation" if getattr(self.generator, "translates", False) else "adversarial"


NETWORKS = {
    "mlp": Architecture(mlp.MLPSettings(), mlp.Generator, mlp.Trunk, smallest=1),
    "dcgan": Architecture(dcgan.DCGANSettings(), dcgan.Generator, dcgan.Trunk),
    "r3gan": Architecture(r3gan.R3GANSettings(), r3gan.Generator, r3gan.Trunk),
    "stylegan": Architecture(stylegan.StyleGANSettings(), stylegan.Generator, stylegan.Trunk, stylegan.Head),
    "projected": Architecture(
        projected.ProjectedSettings(),
        projected.Generator,
        discriminator=projected.Discriminator,
        trained_on="lite0",
    ),
    "autoencoder": Architecture(autoencoder.AutoencoderSettings(), autoencoder.Generator, encoder=autoencoder.Encoder),
    "flow": Architecture(flow.FlowSettings(), flow.Generator),
    "translator": Architecture(
        translator.TranslatorSettings(),
        translator.Translator,
        translator.Trunk,
        lambda settings, *rest: translator.JointProjectionHead(*rest),
    ),
}

PIPELINES: dict[str, type[PretrainedPipeline]] = {
    "diffusers": PipelineGenerator,
    "diffusers_img2img": PipelineTranslator,
}
"""Pretrained pipelines, which are not trained here and have no partner."""


def build_generator(name: str, settings: dict[str, Any], shape: Shape, cardinalities: tuple[int, ...]) -> nn.Module:
    """The generator of network `name`.

    Parameters
    ----------
    name : str
        A name of NETWORKS or PIPELINES.
    settings : dict
        Changes to the defaults; settings of the discriminator are ignored.
    shape : (int, int, int)
        C, H, W of the images.
    cardinalities : tuple of int
        Number of values of the class and of each attribute.

    Returns
    -------
    nn.Module
        The generator.

    Raises
    ------
    SettingsError
        For an unknown network or setting, and for images that are too small.
    """
    if name in PIPELINES:
        return PIPELINES[name](changed(f"network '{name}'", PipelineSettings(), settings), shape, cardinalities)
    return NETWORKS[name].generator(_settled(name, settings, shape)[0], shape, cardinalities)


def build(name: str, settings: dict[str, Any], shape: Shape, cardinalities: tuple[int, ...]) -> tuple[nn.Module, ...]:
    """The generator of network `name`, and its discriminator or encoder where it has one.

    Parameters
    ----------
    name : str
        A name of NETWORKS.
    settings : dict
        Changes to the defaults of the network and of its discriminator.
    shape : (int, int, int)
        C, H, W of the images.
    cardinalities : tuple of int
        Number of values of the class and of each attribute.

    Returns
    -------
    nn.Module
        The generator.
    nn.Module
        The discriminator or encoder; a flow has neither.

    Raises
    ------
    SettingsError
        For an unknown network or setting, and for images that are too small.
    """
    chosen, partner = _settled(name, settings, shape)
    architecture = NETWORKS[name]
    generator = architecture.generator(chosen, shape, cardinalities)
    if architecture.trunk is None:
        own = architecture.discriminator or architecture.encoder
        return (generator,) if own is None else (generator, own(chosen, shape, cardinalities))
    parts = partial(architecture.trunk, chosen), partial(architecture.head, chosen)
    return generator, Discriminator(partner, shape, cardinalities, *parts)


def passes(name: str, settings: dict[str, Any]) -> int:
    """Number of passes through the network that it takes to draw an image.

    Parameters
    ----------
    name : str
        A name of NETWORKS or PIPELINES.
    settings : dict
        Changes to the defaults of the network and of its discriminator.

    Returns
    -------
    int
        1, except for a flow.
    """
    if name in PIPELINES:
        return 1
    usual = NETWORKS[name].settings
    own = {k: v for k, v in settings.items() if k in type(usual).model_fields}
    chosen = changed(f"network '{name}'", usual, own)
    return chosen.passes if isinstance(chosen, flow.FlowSettings) else 1


def _settled(name: str, settings: dict[str, Any], shape: Shape) -> tuple[Any, DiscriminatorSettings]:
    """(settings of the network, settings of its discriminator)."""
    if name not in NETWORKS:
        raise SettingsError(f"there is no network '{name}'; choose one of: {', '.join(NETWORKS)}")
    smallest = NETWORKS[name].smallest
    if min(shape[1:]) < smallest:
        raise SettingsError(
            f"images of {shape[1]}×{shape[2]} px are too small: a network needs {smallest} px a side; use --size {smallest}"
        )
    shared = set(DiscriminatorSettings.model_fields) if NETWORKS[name].trunk is not None else set()
    own = {k: v for k, v in settings.items() if k not in shared}
    judging = changed("the discriminator", DiscriminatorSettings(), {k: v for k, v in settings.items() if k in shared})
    also = f" (and its discriminator: {', '.join(sorted(shared))})" if shared else ""
    return changed(f"network '{name}'{also}", NETWORKS[name].settings, own), judging
