"""Small runs for the tests of the explorer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augury.pipeline import session
from augury.pipeline.stages import run
from augury.settings import RunSettings
from augury.validation import validated

SETTINGS: dict[str, Any] = {
    "train": {
        "recipe": "stylegan", "condition": ("pose",), "steps": 4, "batch": 8, "precision": "fp32",
        "overrides": {"width": 8, "widest": 16},
    },
    "generate": {"filters": ("near_copy",)},
    "score": {"features": "pixels", "limit": 16},
    "prove": {"arms": ("classical", "gan"), "seeds": 2, "steps": 2, "ratios": (0.5,), "classifier": "cnn"},
}  # fmt: skip
TRANSLATOR = {"train": {**SETTINGS["train"], "recipe": "translator", "overrides": {"width": 8, "blocks": 1}}}


def faces(file: Path, hole: bool = False) -> Path:
    """Noise of two classes in two poses, with a split; with a `hole`, no dog of the second pose can be trained on."""
    parts = (("train", (24, 20)), ("validation", (6, 6)), ("test", (8, 8)))
    rows = [
        (label, pose, part)
        for part, numbers in parts
        for label in (0, 1)
        for pose in (0, 1)
        for _ in range(numbers[label])
        if not (hole and label and pose and part != "test")
    ]
    random = np.random.default_rng(0)
    labels, poses, splits = (np.array(column) for column in zip(*rows, strict=True))
    images = random.normal(80 + 40 * labels[:, None, None] + 40 * poses[:, None, None], 25, (len(rows), 16, 16))
    np.savez(
        file, images=images.clip(0, 255).astype(np.uint8), label=np.array(["cat", "dog"])[labels],
        pose=np.array(["left", "right"])[poses], split=splits,
    )  # fmt: skip
    return file


def explored(folder: Path, until: str = "report", settings: dict[str, Any] = SETTINGS) -> Path:
    """A run of `faces` in `folder`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "CLASSIFIER_STEPS", 3)
        patch.setattr("augury.pipeline.judge_images.lite0_installed", lambda: False)
        data = faces(folder.parent / f"{folder.name}.npz", hole=settings is TRANSLATOR)
        run(data, folder, settings=validated(RunSettings, settings), until=until)
    return folder
