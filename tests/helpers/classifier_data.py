"""A small stored classifier of bright squares, whose right answers are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from augury import proof
from augury.images import LabelledImages
from augury.prediction import Predictor, finished

CLASSES = ("left", "right", "both")


def squares(n: int, seed: int, channels: int = 1, size: int = 12) -> LabelledImages:
    """Images with a bright square on the left, on the right, or on both sides; one in twelve has another label."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    images = random.normal(80, 12, (n, channels, size, size))
    for image, label in zip(images, labels, strict=True):
        top = random.integers(1, size - 5)
        for left in ((1,), (size - 5,), (1, size - 5))[label]:
            image[:, top : top + 4, left : left + 4] += 40
    labels = np.where(np.arange(n) % 12 == 5, (labels + 1) % 3, labels)
    return LabelledImages(np.clip(images, 0, 255).astype(np.uint8), labels, CLASSES, fingerprint=f"squares {seed}")


def card_facts(blueprint: dict[str, Any], train: LabelledImages) -> dict[str, Any]:
    """The fields of a card that `finished` does not compute."""
    return {
        "blueprint": blueprint,
        "arm": {"name": "balanced", "note": "even", "ratio": 0.0, "by": "validation", "why": "best", "scores": {"balanced": 0.9}, "metric": "balanced accuracy"},
        "training": {
            "images": len(train), "synthetic": 0, "steps": 40, "batch": 32, "rate": 0.003, "decay": 0.01, "seed": 0,
            "device": "cpu", "precision": "fp32",
        },
        "data": {
            "source": "squares", "fingerprint": train.fingerprint, "counts": {"train": train.counts.tolist()},
            "reading": {"fit": "crop", "window": "file", "stretch": "asinh", "transparency": None}, "notes": {},
        },
    }  # fmt: skip


def small_classifier(classifier: Any = "cnn", channels: int = 1, size: int = 12, steps: int = 60) -> Predictor:
    """A trained classifier of squares."""
    from augury.proof.learners import learner

    train, validation, test = (squares(n, seed, channels, size) for seed, n in enumerate((90, 60, 60)))
    estimator = learner(classifier, train.shape, torch.device("cpu"), "fp32")
    config = proof.TrainConfig(steps=steps, batch=32, balanced=True)
    network = estimator.trained(train, config, 0)
    return finished(network, card_facts(estimator.blueprint, train), train, validation, test, seed=0)
