"""The discriminator of a finished training, reused to score images or to initialise a classifier."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from augury.errors import RunFolderError, SettingsError
from augury.images import Codes, Images, LabelledImages
from augury.networks import NETWORKS, PIPELINES, Discriminator, OnDiscriminator, alone, build
from augury.training import checkpoints
from augury.training.batches import as_float
from augury.training.devices import placed
from augury.training.plan import Plan, drop_labels
from augury.training.recipes import Recipe

Scores = npt.NDArray[np.float64]
BATCH = 256


def discriminator(
    folder: Path, plan: Plan, data: LabelledImages, device: torch.device | str = "cpu"
) -> tuple[Callable[[Images, Codes], Scores] | None, str]:
    """Load the discriminator in the newest readable checkpoint of a training's `folder`.

    It is the discriminator of the last step, even where the returned generator is an earlier, better one. Each image is
    scored alone: a layer that uses the deviation within a batch sees none.

    Parameters
    ----------
    folder, plan, data
        Training folder, its plan, and the images trained on.
    device
        Where to compute.

    Returns
    -------
    (function, ""), or (None, the reason why there is none). The function takes images uint8 [N, C, H, W] and conditions
    int64 [N, K], and gives scores float64 [N], higher for real.
    """
    state, why = _state(folder, plan)
    if why:
        return None, why
    data = drop_labels(plan, data)
    network = build(plan.rule.network, plan.rule.settings, data.shape, data.cardinalities(plan.condition))[1]
    network.load_state_dict(state)
    network = placed(alone(network), device).eval().requires_grad_(False)

    @torch.inference_mode()
    def judge(images: Images, conditions: Codes) -> Scores:
        scores = [np.empty(0)]
        for at in range(0, len(images), BATCH):
            codes = torch.from_numpy(np.ascontiguousarray(conditions[at : at + BATCH])).to(device)
            raw = network(as_float(images[at : at + BATCH], device), codes)
            scores.append(raw.cpu().double().flatten(1).mean(1).numpy())
        return np.concatenate(scores)

    return judge, ""


ASPECT = 0.02
"""Largest relative difference of aspect between the images trained on and those that the layers classify."""


@dataclass(frozen=True)
class PretrainedBackbone:
    """Builds classifiers from a discriminator's layers.

    Called with (channels, classes) it returns a new network, images [N, C, H, W] in [-1, 1] -> logits [N, K]. The network
    starts from the trained layers, or with `random_init` from random weights. Its last layer is random either way.

    `shape` [C, H, W] is that of the images trained on. `seen` (origin -> digests of images) lists images that a trial must
    not test with.
    """

    network: str
    settings: dict[str, Any]
    shape: tuple[int, int, int]
    state: dict[str, torch.Tensor]
    random_init: bool = False
    seen: Mapping[str, npt.NDArray[np.uint64]] = field(default_factory=dict)
    draws = False
    """Whether the networks draw from PyTorch's global generator during training, so that they cannot train in parallel."""

    def fits(self, shape: tuple[int, int, int]) -> bool:
        """Whether the layers can process images of `shape` [C, H, W]: of the size trained on, or larger with the same aspect."""
        channels, height, width = self.shape
        alike = abs(shape[1] * width - shape[2] * height) < max(shape[1] * width, shape[2] * height) * ASPECT
        return shape == self.shape or (shape[0] == channels and shape[1] >= height and shape[2] >= width and alike)

    @property
    def fingerprint(self) -> str:
        """Digest of the weights."""
        sha = hashlib.sha256()
        for name, value in sorted(self.state.items()):
            sha.update(name.encode() + value.numpy().tobytes())
        return sha.hexdigest()[:16]

    def __call__(self, channels: int, classes: int) -> OnDiscriminator:
        """Build a new network. Raises SettingsError for images with another number of channels than those trained on."""
        if channels != self.shape[0]:
            raise SettingsError(
                f"the discriminator was trained on images of {self.shape[0]} channels, not {channels}; give it such images"
            )
        discriminator = build(self.network, self.settings, self.shape, (1,))[1]
        assert isinstance(discriminator, Discriminator), "layers() was not asked"
        network = OnDiscriminator(discriminator, classes, self.shape[1:])
        if not self.random_init:
            network.body.load_state_dict(self.state)
        return network


def layers(folder: Path, plan: Plan, shape: tuple[int, int, int]) -> PretrainedBackbone | str:
    """Load the layers of the discriminator in the newest readable checkpoint.

    Parameters
    ----------
    folder, plan
        Training folder, and its plan.
    shape
        [C, H, W] of the images trained on.

    Returns
    -------
    The layers, or the reason why they are not available.
    """
    if why := lacks_layers(plan.recipe, plan.rule):
        return why
    state, why = _state(folder, plan)
    if why:
        return why
    body = {k: v for k, v in state.items() if k.startswith("trunks.")}
    return PretrainedBackbone(plan.rule.network, plan.rule.settings, shape, body)


def trains_none(name: str, rule: Recipe) -> str:
    """Say why a training by this recipe leaves no reusable discriminator.

    Parameters
    ----------
    name, rule
        The recipe and its name.

    Returns
    -------
    The reason; "" when there is a reusable discriminator.
    """
    method = "none" if rule.network in PIPELINES else NETWORKS[rule.network].method
    if method == "translation":
        return f"that of the recipe {name} is conditioned on one cell at a time; use a recipe that generates from noise, such as rpgan"
    return "" if method == "adversarial" else f"the recipe {name} trains none; use one that does, such as rpgan"


def feature_network(rule: Recipe) -> str:
    """Name of the frozen pretrained network through which the discriminator of a recipe sees images; "" for none."""
    return "" if rule.network in PIPELINES else NETWORKS[rule.network].trained_on


def lacks_layers(name: str, rule: Recipe) -> str:
    """Say why no classifier can start from the discriminator of a training by this recipe.

    Parameters
    ----------
    name, rule
        The recipe and its name.

    Returns
    -------
    The reason; "" when there are such layers.
    """
    if why := trains_none(name, rule):
        return why
    if network := feature_network(rule):
        return (
            f"that of the recipe {name} stands on a frozen pretrained network ({network}), and a gain of that network would be "
            "credited to the GAN; use a recipe that trains all layers, such as rpgan, or an arm on pretrained features"
        )
    return ""


def _state(folder: Path, plan: Plan) -> tuple[dict[str, torch.Tensor], str]:
    """(the discriminator's weights in the newest readable checkpoint, why there are none)."""
    if why := trains_none(plan.recipe, plan.rule):
        return {}, why
    try:
        stored = checkpoints.newest(folder)
    except RunFolderError as error:
        return {}, str(error)
    if stored is None:
        return {}, f"there is no checkpoint of the training in {folder}; train again in a new run folder"
    prefix = "discriminator."
    return {k.removeprefix(prefix): v for k, v in stored[0].items() if k.startswith(prefix)}, ""
