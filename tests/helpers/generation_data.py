"""Small labelled images, a tiny generator, and evidence whose every function is a plain formula."""

from __future__ import annotations

import numpy as np
import torch

from augury.generation import Candidates, FilterContext
from augury.images import Attribute, LabelledImages
from augury.metrics import nearest
from augury.networks import build
from augury.training import Card, Synthesizer


def make(counts: tuple[int, ...] = (8, 3), poses: bool = False) -> LabelledImages:
    labels = np.repeat(np.arange(len(counts)), counts)
    images = np.random.default_rng(1).integers(0, 256, (len(labels), 1, 8, 8), dtype=np.uint8)
    attributes = {
        "pose": Attribute(np.zeros(len(labels), np.int64) + (labels == 0) * (np.arange(len(labels)) % 2), ("l", "r"))
    }
    return LabelledImages(images, labels, tuple("abcdef"[: len(counts)]), attributes if poses else {}, fingerprint="g")


def tiny(classes: int = 2, latent: int = 4) -> Synthesizer:
    """An untrained generator of 8×8 images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        settings = {"latent": latent, "hidden": 32, "layers": 1}
        generator, _ = build("mlp", settings, (1, 8, 8), (classes,))
    return Synthesizer(
        Card("mlp", settings, (1, 8, 8), tuple("abcdef"[:classes]), (), (), "x", "gan", 0, 1, 1, "fp32"), generator
    )


def halves(images: np.ndarray) -> np.ndarray:
    """Features [N, 2]: mean grey of the left and the right half, 0 … 255."""
    return np.stack([images[..., :4].mean((1, 2, 3)), images[..., 4:].mean((1, 2, 3))], axis=1).astype(np.float32)


def placed(points: list[tuple[int, int]] | np.ndarray) -> np.ndarray:
    """Images uint8 [N, 1, 8, 8] whose `halves` are these."""
    grey = np.asarray(points, np.uint8)
    return np.repeat(grey, 4, axis=1)[:, None, None, :].repeat(8, axis=2)


def linear(images: torch.Tensor) -> torch.Tensor:
    """Logits [N, 2] of images float in [-1, 1]: how far the left half is brighter, and the other way round."""
    left, right = images[..., :4].mean((1, 2, 3)), images[..., 4:].mean((1, 2, 3))
    return 4 * torch.stack([left - right, right - left], dim=1)


def class_probabilities(images: np.ndarray) -> np.ndarray:
    """Probabilities float64 [N, 2] of `linear`."""
    return linear(torch.from_numpy(images.astype(np.float64)) / 127.5 - 1).softmax(1).numpy()


def known(train: LabelledImages, **changes: object) -> FilterContext:
    """Evidence of two classes, all of it."""
    defaults = {"features": halves, "validation": train, "last_inputs": halves, "logits": linear}
    defaults["attribute_probabilities"] = (class_probabilities,)
    defaults["identity"] = lambda images, conditions, sources: (
        halves(images)[:, 0].astype(np.float64) / 255 * (sources % 5 + 1) / 5
    )
    defaults["discriminator"] = lambda images, conditions: halves(images).sum(1).astype(np.float64)
    return FilterContext(train, class_probabilities, nearest, **(defaults | changes))


def candidates(images: np.ndarray, labels: list[int] | np.ndarray, quota: int = 1, passed: object = None) -> Candidates:
    n = len(images)
    accepted = np.ones(n, bool) if passed is None else np.asarray(passed, bool)
    conditions = np.asarray(labels, np.int64)[:, None].repeat(2, axis=1)
    return Candidates(images, conditions, np.arange(n), np.full(n, quota), accepted)
