"""What the plan of a run says about a training whose recipe a contest may choose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import augury
from augury import training
from augury.images import LabelledImages
from augury.pipeline import recipe_contest
from augury.pipeline import session as sessions
from augury.pipeline.cost import CostModel
from augury.pipeline.stages import opened
from augury.settings import RunSettings
from augury.validation import validated

pytestmark = pytest.mark.slow


def noise(n: int = 90) -> LabelledImages:
    images = np.random.default_rng(0).integers(0, 256, (n, 1, 12, 12), dtype=np.uint8)
    return LabelledImages(images, np.repeat([0, 1], [2 * n // 3, n - 2 * n // 3]), ("a", "b"))


def work(folder: Path, settings: dict[str, Any]) -> str:
    with opened(noise(), folder, settings=validated(RunSettings, settings)) as session:
        return CostModel(session, ["train"]).cost(1234, 0).stages["train"].work


def drawing(folder: Path, settings: dict[str, Any]) -> float:
    """Seconds of the stage generate with a training step of 0.64 s."""
    settings = settings | {"generate": {"sampling_strategy": 32, "filters": []}}
    with opened(noise(), folder, settings=validated(RunSettings, settings)) as session:
        return CostModel(session, ["generate"]).cost(0, 0).stages["generate"].seconds


def test_drawing_is_expected_to_take_as_long_as_that_of_the_slowest_candidate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = training.step_seconds

    def measure(*values: Any, **options: Any) -> Any:
        plan, _, checkpoint = measured(*values, **options | {"patience": 0.0})
        return plan, 0.64, checkpoint

    monkeypatch.setattr(training, "step_seconds", measure)
    seconds = {name: drawing(tmp_path / name, {"train": {"recipe": name, "batch": 16}}) for name in ("rpgan", "flow")}
    assert seconds["flow"] == pytest.approx(9 * seconds["rpgan"])  # nine passes
    # 64 images a step of rpgan, the suitable recipe, and up to three times one of them for each image drawn
    assert drawing(tmp_path / "auto", {}) == pytest.approx(seconds["flow"] * 16 / 64)


def test_the_plan_names_recipe_and_steps_only_where_no_contest_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert work(tmp_path / "open", {}) == "1 training; a contest may choose its recipe"
    assert work(tmp_path / "fixed", {"train": {"recipe": "dcgan"}}) == "1 training of 1,234 steps (dcgan)"

    monkeypatch.setattr(sessions, "CLASSIFIER_STEPS", 3)
    monkeypatch.setattr(recipe_contest, "LEAST", 0.0)
    monkeypatch.setattr(recipe_contest, "FEWEST", 8)
    monkeypatch.setattr(recipe_contest, "CANDIDATES", ("vae",))
    distances = {"rpgan": 0.5, "vae": 0.1}
    row = lambda session, name, seconds: {"recipe": name, "kid": distances[name], "kid_error": 0.001}  # noqa: E731
    monkeypatch.setattr(recipe_contest, "_row", row)
    settings = {"train": {"budget": 2.0}, "generate": {"filters": []}}
    augury.run(noise(), tmp_path / "held", settings=settings, until="train")
    assert work(tmp_path / "held", settings) == "1 training of 1,234 steps (vae)"
