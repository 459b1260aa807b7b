"""Fine-tuning: a pretrained network with a new last layer, trained with the usual recipe."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from augury.errors import SettingsError
from augury.networks import Backbone, backbone
from augury.proof.recipe import LAST_RATE, Recipe
from augury.proof.train_config import TrainConfig
from augury.training.schedules import cosine

HEAD_SHARE = 0.2
"""Share of the steps that train the last layer alone."""
BACKBONE_RATE = 0.1
"""Learning rate of the pretrained layers, as a share of that of the last layer."""
WARM_UP = 0.05
"""Share of the steps of each phase over which the learning rate rises from 0."""
SMOOTHING = 0.1
"""Least label smoothing (Szegedy et al. 2016)."""
LEAST_SIDE = 32
"""Images with a shorter side are enlarged to this. Networks with stride 32 need it."""


class FineTuning(Recipe):
    """Train the last layer first, then all layers with a lower learning rate for the pretrained ones.

    For the first `HEAD_SHARE` of the steps, the pretrained layers are frozen. After that they learn at `BACKBONE_RATE` times
    the learning rate. The rate rises over the first `WARM_UP` of each phase; in the second phase it then falls as a cosine.
    Weight decay leaves out biases and the weights of norms. Labels are smoothed by at least `SMOOTHING`.

    Batch norm keeps its pretrained statistics, so the size of a batch does not matter; its weights are trained. Statistics of
    the batch were worse on validation (flowers, 64 px, 100 steps of 64 images, Lite0: balanced accuracy .672 instead of .723, two
    seeds).
    """

    def adjusted(self, config: TrainConfig) -> TrainConfig:
        """The config with label smoothing."""
        return replace(config, smoothing=max(config.smoothing, SMOOTHING))

    def groups(self, model: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
        """Pretrained layers and last layer, each with and without weight decay."""
        assert isinstance(model, PretrainedClassifier)
        groups = []
        for part, scale in ((model.backbone, BACKBONE_RATE), (model.last, 1.0)):
            weights = list(part.parameters())
            for decay, params in (
                (config.decay, [each for each in weights if each.ndim > 1]),
                (0.0, [each for each in weights if each.ndim <= 1]),
            ):
                groups.append({"params": params, "scale": scale, "weight_decay": decay})
        return [group for group in groups if group["params"]]

    def factor(self, step: int, steps: int) -> float:
        """The learning rate of the last layer in a step, as a share of the highest one."""
        first = head_steps(steps)
        if step < first:
            return warm_up(step, first)
        return warm_up(step - first, steps - first) * cosine((step - first) / (steps - first), LAST_RATE)

    def begin(self, model: nn.Module, config: TrainConfig, step: int) -> None:
        """Freeze the pretrained layers in the first phase."""
        assert isinstance(model, PretrainedClassifier)
        model.frozen = step < head_steps(config.steps)
        model.train()


def head_steps(steps: int) -> int:
    """How many of the steps train the last layer alone."""
    return round(HEAD_SHARE * steps)


def warm_up(step: int, steps: int) -> float:
    """Factor in (0, 1] that rises linearly over the first `WARM_UP` of the steps."""
    return min(1.0, (step + 1) / max(1.0, WARM_UP * steps))


class PretrainedClassifier(nn.Module):
    """A pretrained network and a new linear layer: images [N, C, H, W] in [-1, 1] -> logits [N, K].

    Images go in at their own size, also where the network was trained on another one. Those with a side below `LEAST_SIDE`
    are enlarged, and a network that accepts only one size (`side`) gets all images at that size.

    Parameters
    ----------
    pretrained
        Maps images to features. The module is trained in place.
    classes
        Number of classes.
    side
        Height and width that the network needs; None for a network that accepts any.

    Attributes
    ----------
    frozen
        Whether the pretrained layers are frozen.
    """

    recipe = FineTuning()

    def __init__(self, pretrained: Backbone, classes: int, side: int | None = None) -> None:
        super().__init__()
        self.backbone, self.side = pretrained.requires_grad_(True), side
        self.last = nn.Linear(pretrained.dimension, classes)
        self.frozen = False
        without_draws(self.backbone)

    def train(self, mode: bool = True) -> PretrainedClassifier:
        """Set the mode; frozen layers and batch norm stay in eval mode."""
        super().train(mode)
        self.backbone.train(mode and not self.frozen)
        for layer in self.backbone.modules():
            if isinstance(layer, _BatchNorm):
                layer.eval()
        return self

    def last_inputs(self, images: Tensor) -> Tensor:
        """Images [N, C, H, W] in [-1, 1] -> the input of the last layer, [N, D]."""
        with torch.no_grad() if self.frozen and self.training else nullcontext():
            features: Any = self.backbone(resized(images, self.side))
        if not isinstance(features, Tensor):
            raise SettingsError(
                f"in training the pretrained network '{self.backbone.name}' gives a {type(features).__name__}, but must give one "
                "tensor of features; use a network without auxiliary outputs"
            )
        return features

    def forward(self, images: Tensor) -> Tensor:
        """images [N, C, H, W] in [-1, 1] -> logits [N, K]."""
        logits: Tensor = self.last(self.last_inputs(images))
        return logits


def resized(images: Tensor, side: int | None) -> Tensor:
    """Images [N, C, H, W] at the size that the network needs: `side`, or at least `LEAST_SIDE` for None."""
    height, width = images.shape[2:]
    least = LEAST_SIDE / min(height, width)
    size = (side, side) if side else (round(height * least), round(width * least)) if least > 1 else (height, width)
    if size == (height, width):
        return images
    return F.interpolate(images, size, mode="bilinear", antialias=max(size) < max(height, width), align_corners=False)


def without_draws(model: nn.Module) -> None:
    """Turn off dropout and stochastic depth, so that seeds can be trained in parallel threads.

    Both draw from PyTorch's global generator. They regularise long trainings; a few hundred steps do not need them.
    """
    for module in model.modules():
        if isinstance(module, _DropoutNd):
            module.p = 0.0
        for name in ("drop_prob", "drop_path_rate"):  # timm
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
        if type(module).__name__ == "StochasticDepth":  # torchvision
            module.p = 0.0  # type: ignore[assignment]
        if (settings := vars(module).get("_global_params")) is not None:  # Lite0
            module._global_params = settings._replace(drop_connect_rate=0.0)


@dataclass(frozen=True)
class PretrainedBuild:
    """(channels, classes) -> a new `PretrainedClassifier`, from weights that are read once.

    Parameters
    ----------
    pretrained
        A name of `augury.networks.BACKBONES`, or a network.
    shape
        (C, H, W) of the images.
    """

    pretrained: str | Backbone
    shape: tuple[int, int, int]
    draws = False

    @cached_property
    def _read(self) -> tuple[Backbone, int | None]:
        """The network, and the only size that it accepts; None for any."""
        source = self.pretrained
        network = backbone(source) if isinstance(source, str) else copy.deepcopy(source).eval()
        probe, side = torch.zeros(2, *self.shape), None
        try:
            features = _features(network, resized(probe, None))
        except (AssertionError, RuntimeError, ValueError):
            side = network.side
            features = _features(network, resized(probe, side))
        if features.shape != (2, network.dimension):
            raise SettingsError(
                f"for 2 images the pretrained network '{network.name}' gives {list(features.shape)}, but must give "
                f"[2, {network.dimension}]: one row of features for each image"
            )
        return network, side

    @property
    def side(self) -> int | None:
        """The only height and width that the network accepts; None for any."""
        return self._read[1]

    @property
    def blueprint(self) -> dict[str, Any]:
        """Plain JSON that `augury.prediction.networks.rebuild` builds an untrained network from."""
        if isinstance(self.pretrained, str):
            return {"kind": "finetune", "pretrained": self.pretrained}
        inner = type(self.pretrained.inner)
        return {"kind": "builder", "builder": f"{inner.__module__}:{inner.__qualname__}"}

    def __call__(self, channels: int, classes: int) -> PretrainedClassifier:
        """Build a new network."""
        network, side = self._read
        return PretrainedClassifier(copy.deepcopy(network), classes, side)


@cache
def pretrained_build(name: str, shape: tuple[int, int, int]) -> PretrainedBuild:
    """The build of this pretrained network for images of this shape; the weights are read once in a process."""
    return PretrainedBuild(name, shape)


@torch.no_grad()
def _features(network: Backbone, images: Tensor) -> Tensor:
    features: Tensor = network(images)
    return features
