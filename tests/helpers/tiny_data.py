"""Tiny labelled images for tests of the trial."""

from __future__ import annotations

import numpy as np
import torch

from augury.images import LabelledImages
from augury.training import PretrainedBackbone


def tiny(counts: tuple[int, ...] = (14, 8, 3), seed: int = 0, size: int = 10, channels: int = 1) -> LabelledImages:
    """Images of noise whose brightness is that of their class."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    images = random.normal(60 + 60 * labels[:, None, None, None], 40, (len(labels), channels, size, size))
    names = tuple("abcdefgh"[: len(counts)])
    return LabelledImages(np.clip(images, 0, 255).astype(np.uint8), labels, names)


def random_layers(shape: tuple[int, int, int]) -> PretrainedBackbone:
    """Those of a discriminator that has learnt nothing."""
    backbone = PretrainedBackbone("dcgan", {"width": 8}, shape, {}, random_init=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return PretrainedBackbone("dcgan", {"width": 8}, shape, backbone(shape[0], 2).body.state_dict())
