"""Build the untrained network that a card describes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from augury.errors import RunFolderError, SettingsError
from augury.proof.finetune import pretrained_build
from augury.proof.learners import NETWORKS, views
from augury.proof.on_features import FeatureClassifier, Linear
from augury.training import PretrainedBackbone

Build = Callable[..., nn.Module]
Shape = tuple[int, int, int]


def rebuild(blueprint: dict[str, Any], shape: Shape, classes: int, build: Build | None = None) -> nn.Module:
    """Build the network that a blueprint describes, with weights that are still to be loaded.

    Parameters
    ----------
    blueprint
        As the learners of `augury.proof` write it: {"kind": "network", "name"}, {"kind": "features", "features", "dimension"},
        {"kind": "finetune", "pretrained"},
        {"kind": "discriminator", "network", "settings", "shape"} or {"kind": "builder", "builder"}.
    shape
        C, H, W of the images.
    classes
        Number of classes.
    build
        (channels, classes) -> the network, for the kind "builder". Nothing is imported by the name in a card, because that would
        run code that a file chooses.

    Raises
    ------
    RunFolderError
        For an unknown kind.
    SettingsError
        For a builder that is not given.
    """
    kind = blueprint.get("kind")
    if kind == "builder" and build is None:
        raise SettingsError(
            f"this classifier is a network of {blueprint.get('builder')}, which only that code can build; load it in Python with "
            "augury.classifier(RUN, build=FUNCTION), or use model.onnx where there is one"
        )
    if kind not in BUILDERS and kind != "builder":
        raise RunFolderError(
            f"the card describes a network of the unknown kind {kind!r}; write it again with: augury run -o RUN"
        )
    with torch.random.fork_rng(devices=[]):
        try:
            return BUILDERS[kind](blueprint, shape, classes) if build is None else build(shape[0], classes)
        except (KeyError, TypeError, ValueError) as error:
            raise RunFolderError(
                f"the card describes a network that cannot be built ({type(error).__name__}: {error}); write it again with: augury "
                "run -o RUN"
            ) from error


def _network(blueprint: dict[str, Any], shape: Shape, classes: int) -> nn.Module:
    return NETWORKS[blueprint["name"]](shape[0], classes)


def _features(blueprint: dict[str, Any], shape: Shape, classes: int) -> nn.Module:
    features = views(blueprint["features"], shape, torch.device("cpu")).features
    if features.network is None:
        raise RunFolderError(f"the features '{features.name}' of the card are not computed by a network")
    return FeatureClassifier(features.network, Linear(features.dimension, classes))


def _discriminator(blueprint: dict[str, Any], shape: Shape, classes: int) -> nn.Module:
    c, h, w = blueprint["shape"]
    backbone = PretrainedBackbone(blueprint["network"], blueprint["settings"], (c, h, w), {}, random_init=True)
    return backbone(shape[0], classes)


def _finetune(blueprint: dict[str, Any], shape: Shape, classes: int) -> nn.Module:
    return pretrained_build(blueprint["pretrained"], shape)(shape[0], classes)


BUILDERS: dict[Any, Callable[[dict[str, Any], Shape, int], nn.Module]] = {
    "network": _network,
    "features": _features,
    "finetune": _finetune,
    "discriminator": _discriminator,
}
"""Kind of a blueprint -> its builder."""


def load_weights(network: nn.Module, weights: dict[str, torch.Tensor], where: str) -> nn.Module:
    """Load weights into a network. Raises RunFolderError when their names or shapes are not those of the network."""
    own = network.state_dict()
    lacking, extra = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    if lacking or extra:
        raise RunFolderError(
            f"{where}: the weights are of another network ({len(lacking)} missing, {len(extra)} too many; first: "
            f"{(lacking or extra)[0]}); use the weights and the card of one run"
        )
    for name, tensor in own.items():
        if weights[name].shape != tensor.shape:
            raise RunFolderError(
                f"{where}: {name} is {list(weights[name].shape)}, but the network of the card needs {list(tensor.shape)}; use the "
                "weights and the card of one run"
            )
    if broken := [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]:
        raise RunFolderError(f"{where}: {broken[0]} is NaN or infinite; write it again with: augury run -o RUN")
    network.load_state_dict(weights)
    return network.eval().requires_grad_(False)
