"""Adaptive batch normalisation: estimate the statistics of a trained network again on images of another domain."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from augury.errors import SettingsError
from augury.images import Images
from augury.proof.classifiers import input_tensor
from augury.randomness import rng

MOST = 4096
"""Most images that statistics are estimated on. A channel of a 4 x 4 map then has 65,536 values."""
CHUNK = 256


def has_batch_norm(model: nn.Module) -> bool:
    """Whether the network keeps batch-norm statistics that can be estimated again."""
    return bool(_tracked(model))


def adapt_batch_norm(model: nn.Module, images: Images, *, seed: int = 0, most: int = MOST) -> nn.Module:
    """Replace the running statistics of each batch norm by those of `images` (AdaBN, Li et al. 2018, section 3.2).

    Layers are updated in forward order. The statistics of a layer are the mean and the unbiased variance of its inputs over
    all images and positions. Earlier layers already use their new statistics. So the result belongs to the deterministic
    network and is not an average over batches. Weights stay unchanged. The cost is one forward pass per batch norm.

    Parameters
    ----------
    model : nn.Module
        Changed in place, and put in eval mode.
    images : uint8 [N, C, H, W]
        Images of the target domain, without labels.
    seed : int
        Determines which images are chosen.
    most : int
        Largest number of images used. If there are more, a random choice is used.

    Returns
    -------
    nn.Module
        The same network.

    Raises
    ------
    SettingsError
        When the network has no batch norm that keeps statistics, or there are no images.
    """
    layers = _tracked(model)
    if not layers:
        raise SettingsError(
            f"the network {type(model).__name__} has no batch norm that keeps statistics, so AdaBN can change nothing; use "
            "pseudo_labels or mean_teacher, or a network with batch norm such as cnn or resnet"
        )
    if not len(images):
        raise SettingsError("AdaBN needs images of the target domain, but there are none; give at least 20")
    model.eval()
    rows = np.sort(rng(seed, "batch norm").permutation(len(images))[:most])
    for layer in _in_forward_order(model, layers, images[rows[:2]]):
        mean, variance = _statistics(model, layer, images, rows)
        assert layer.running_mean is not None and layer.running_var is not None
        layer.running_mean.copy_(mean)
        layer.running_var.copy_(variance)
    return model


def _tracked(model: nn.Module) -> list[_BatchNorm]:
    return [m for m in model.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]


class _Stop(Exception):
    """Ends a forward pass early, since later layers are not needed."""


@torch.no_grad()
def _in_forward_order(model: nn.Module, layers: list[_BatchNorm], few: Images) -> list[_BatchNorm]:
    """The layers that take part in a forward pass, in the order in which they are reached."""
    order: list[_BatchNorm] = []

    def reached(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        if isinstance(layer, _BatchNorm) and layer not in order:
            order.append(layer)

    handles = [layer.register_forward_pre_hook(reached) for layer in layers]
    try:
        model(input_tensor(few, next(model.parameters()).device))
    finally:
        for handle in handles:
            handle.remove()
    return order


@torch.no_grad()
def _statistics(
    model: nn.Module, layer: _BatchNorm, images: Images, rows: np.ndarray[Any, Any]
) -> tuple[Tensor, Tensor]:
    """(mean, unbiased variance) float64 [C] of the layer's inputs, from two sums shifted by the mean of the first chunk."""
    device = next(model.parameters()).device
    count, shift = 0, torch.empty(0)
    sums: list[Tensor] = []

    def collect(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        nonlocal count, shift
        x = inputs[0].double().transpose(0, 1).flatten(1)
        if not sums:
            shift = x.mean(1)
            sums.extend([torch.zeros_like(shift), torch.zeros_like(shift)])
        away = x - shift[:, None]
        count += x.shape[1]
        sums[0] += away.sum(1)
        sums[1] += away.square().sum(1)
        raise _Stop

    handle = layer.register_forward_pre_hook(collect)
    try:
        for start in range(0, len(rows), CHUNK):
            try:
                model(input_tensor(images[rows[start : start + CHUNK]], device))
            except _Stop:
                continue
    finally:
        handle.remove()
    mean = sums[0] / count
    variance = (sums[1] - count * mean.square()) / max(count - 1, 1)
    return shift + mean, variance.clamp(min=0)
