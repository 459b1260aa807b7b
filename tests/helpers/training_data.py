"""A tiny data set and a plan to train on it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from augury.images import Attribute, LabelledImages
from augury.networks import lite0_installed
from augury.settings import TrainSettings
from augury.training import Assess, Plan, make_plan, train_plan

NEEDS_LITE0 = pytest.mark.skipif(not lite0_installed(), reason="the extra 'features' is not installed")


def trainable(names: Iterable[str]) -> list[Any]:
    """Recipes or networks as parameters of a test; those that need an extra are skipped where it is not installed."""
    return [pytest.param(name, marks=NEEDS_LITE0) if name == "projected" else name for name in names]


CPU = torch.device("cpu")


def small(n: int = 40, shape: tuple[int, int, int] = (1, 12, 12)) -> LabelledImages:
    """Noise of two classes, three to one, and an attribute."""
    random = np.random.default_rng(0)
    labels = np.arange(n) % 4 // 3  # 3 to 1
    images = random.integers(0, 256, (n, *shape), dtype=np.uint8)
    pose = Attribute((np.arange(n) // 4 % 2).astype(np.int64), ("left", "right"))
    return LabelledImages(images, labels.astype(np.int64), ("a", "b"), {"pose": pose}, fingerprint="small")


def planned(data: LabelledImages, **settings: object) -> Plan:
    """A plan of eight steps of eight images."""
    train_settings = TrainSettings(**{"steps": 8, "batch": 8, "precision": "fp32", **settings})  # type: ignore[arg-type]
    return make_plan(data, train_settings, seed=3, device=CPU, flips=False)


class Cut(Exception):
    """What ends an interrupted training."""


def interrupted(plan: Plan, data: LabelledImages, folder: Path, step: int, assess: Assess | None = None) -> None:
    """Train in `folder`, a checkpoint every step, until an exception ends it at `step`."""

    def cut(progress) -> None:
        if progress.step == step:
            raise Cut

    with pytest.raises(Cut):
        train_plan(plan, data, folder, checkpoint_every=1e-9, assess=assess, on_progress=cut)
