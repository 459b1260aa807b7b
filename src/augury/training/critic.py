"""The discriminator of a training, taken up again: to judge images, or as the beginning of a classifier."""

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
from augury.networks import NETWORKS, Discriminator, OnDiscriminator, alone, build
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
    """(function, "") from images uint8 [N, C, H, W] and conditions int64 [N, K] to scores float64 [N], higher for real, by
    the discriminator in the newest readable checkpoint of a training's `folder`; or (None, why there is none).

    It is the discriminator of the last step, also where the generator kept is an earlier, better one. Each image is judged
    alone: a discriminator that looks at the deviation within a batch is shown none. `data` are those trained on.
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
        parts = [np.empty(0)]
        for at in range(0, len(images), BATCH):
            given = torch.from_numpy(np.ascontiguousarray(conditions[at : at + BATCH])).to(device)
            found = network(as_float(images[at : at + BATCH], device), given)
            parts.append(found.cpu().double().flatten(1).mean(1).numpy())
        return np.concatenate(parts)

    return judge, ""


@dataclass(frozen=True)
class PretrainedBackbone:
    """What makes classifiers of a discriminator's layers: called with (channels, classes) it gives a new network, images
    [N, C, H, W] in [-1, 1] -> logits [N, K], that begins with what the layers have learnt, or, `afresh`, with random
    weights. Its last layer is random either way. `shape` is that of the images trained on, [C, H, W]; `seen` (place -> digests
    of images) what a trial must not test with."""

    network: str
    settings: dict[str, Any]
    shape: tuple[int, int, int]
    state: dict[str, torch.Tensor]
    random_init: bool = False
    seen: Mapping[str, npt.NDArray[np.uint64]] = field(default_factory=dict)
    draws = False
    """Whether the networks draw from PyTorch's own generator while they learn, and so cannot do it side by side."""

    @property
    def fingerprint(self) -> str:
        """Tells these weights from others."""
        found = hashlib.sha256()
        for name, value in sorted(self.state.items()):
            found.update(name.encode() + value.numpy().tobytes())
        return found.hexdigest()[:16]

    def __call__(self, channels: int, classes: int) -> OnDiscriminator:
        """A new network. Raises SettingsError for images of other channels than those trained on."""
        if channels != self.shape[0]:
            raise SettingsError(
                f"the discriminator was trained on images of {self.shape[0]} channels, not {channels}; give it such images"
            )
        discriminator = build(self.network, self.settings, self.shape, (1,))[1]
        assert isinstance(discriminator, Discriminator), "layers() was not asked"
        network = OnDiscriminator(discriminator, classes)
        if not self.random_init:
            network.body.load_state_dict(self.state)
        return network


def layers(folder: Path, plan: Plan, shape: tuple[int, int, int]) -> PretrainedBackbone | str:
    """The layers of the discriminator in the newest readable checkpoint of a training's `folder`, or why there are none.
    `shape` is that of the images trained on."""
    state, why = _state(folder, plan)
    if why:
        return why
    body = {k: v for k, v in state.items() if k.startswith("trunks.")}
    return PretrainedBackbone(plan.rule.network, plan.rule.settings, shape, body)


def trains_none(name: str, rule: Recipe) -> str:
    """Why a training by this recipe leaves no discriminator; "" when it does."""
    method = NETWORKS[rule.network].method
    if method == "translation":
        return f"that of the recipe {name} is conditioned on one cell at a time; use a recipe that generates from noise, such as rpgan"
    return "" if method == "adversarial" else f"the recipe {name} trains none; use one that does, such as rpgan"


def _state(folder: Path, plan: Plan) -> tuple[dict[str, torch.Tensor], str]:
    """(the discriminator's weights in the newest readable checkpoint, why there are none)."""
    if why := trains_none(plan.recipe, plan.rule):
        return {}, why
    try:
        found = checkpoints.newest(folder)
    except RunFolderError as error:
        return {}, str(error)
    if found is None:
        return {}, f"there is no checkpoint of the training in {folder}; train again in a new run folder"
    prefix = "discriminator."
    return {k.removeprefix(prefix): v for k, v in found[0].items() if k.startswith(prefix)}, ""
