"""What the objectives say of generators that are known to be good or bad."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from augury import metrics, proof
from augury.images import Codes, LabelledImages, SyntheticImages
from augury.settings import RunSettings
from augury.tuning.objectives import OBJECTIVES, Judge
from augury.validation import validated

CPU = torch.device("cpu")
SETTINGS = validated(
    RunSettings, {"prove": {"steps": 40, "batch": 32}, "generate": {"filters": [], "sampling_strategy": 20}}
)


def bars(n: int, seed: int) -> LabelledImages:
    """Class 0: a bright upper half. Class 1: a bright lower half. With noise."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    images = random.integers(0, 90, (n, 1, 12, 12))
    for image, label in zip(images, labels, strict=True):
        image[0, 6 * label : 6 * label + 6] += 120
    return LabelledImages(images.astype(np.uint8), labels, ("upper", "lower"))


class Draws:
    """Draws real images of another sample: with their own label, with the wrong label, or noise."""

    def __init__(self, kind: str) -> None:
        self.kind, self.chunk, self.fingerprint = kind, 64, kind
        self.card = SimpleNamespace(shape=(1, 12, 12), condition_names=(), classes=("upper", "lower"))

    def sample(self, labels: Codes, *, seed: int = 0, indices: Any = None, truncation: float = 1.0) -> SyntheticImages:
        n = len(labels)
        source, codes = bars(4 * n, seed % 1000 + 5), np.asarray(labels).reshape(n, -1)
        shown = codes[:, 0] if self.kind != "wrong" else 1 - codes[:, 0]
        rows = np.array([2 * i + label for i, label in enumerate(shown)])
        images = np.asarray(source.images)[rows]
        if self.kind == "noise":
            images = np.random.default_rng(seed).integers(0, 256, images.shape, dtype=np.uint8)
        numbers = np.arange(n) if indices is None else np.asarray(indices)
        return SyntheticImages(images, codes, (), self.card.classes, seed, numbers, self.kind)


@pytest.fixture(scope="module")
def judge() -> Judge:
    train, held = bars(80, 0), bars(60, 1)
    model = proof.fit(train, proof.TrainConfig(steps=60, batch=32), seed=0, device=CPU)
    return Judge(train, held, model, metrics.of_classifier(model), False, CPU, 3)


def test_gan_train_is_high_for_right_images_and_low_for_wrong_labels(judge: Judge) -> None:
    measure = OBJECTIVES["gan_train"].measure
    right, wrong = (measure(judge, Draws(kind), SETTINGS) for kind in ("right", "wrong"))
    assert right > 0.95 and wrong < 0.05


def test_filters_leave_no_wrong_image_and_then_the_value_is_0(judge: Judge) -> None:
    settings = validated(RunSettings, SETTINGS.model_dump() | {"generate": {"filters": ["agreement"]}})
    assert OBJECTIVES["gan_train"].measure(judge, Draws("wrong"), settings) == 0.0


def test_the_kernel_distance_of_noise_is_larger(judge: Judge) -> None:
    measure = OBJECTIVES["kid"].measure
    right, noise = (measure(judge, Draws(kind), SETTINGS) for kind in ("right", "noise"))
    assert noise > right + 0.05 and not OBJECTIVES["kid"].higher


def test_uplift_is_a_paired_difference(judge: Judge) -> None:
    measure = OBJECTIVES["uplift"].measure
    settings = validated(
        RunSettings, SETTINGS.model_dump() | {"prove": {"steps": 40, "batch": 32, "ratios": (0.0, 2.0)}}
    )
    right, wrong = (measure(judge, Draws(kind), settings) for kind in ("right", "wrong"))
    assert abs(right) < 0.05, "there is nothing to gain"
    assert wrong < -0.3, "two wrong labels for each right one"
    assert len(judge.without) == 2, "the classifiers without images are trained once"
