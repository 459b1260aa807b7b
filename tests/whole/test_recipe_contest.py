"""`--recipe auto` chooses the recipe by a short contest on the validation images."""

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
from augury.pipeline.cost import plan_run
from augury.pipeline.inputs import Callbacks
from augury.pipeline.recipe_contest import chosen
from augury.pipeline.settings_file import read_settings
from augury.pipeline.stages import opened
from augury.settings import RunSettings, TrainSettings
from augury.validation import validated

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = {
    "train": {"budget": 3.0},
    "generate": {"filters": []},
    "prove": {"arms": ["classical", "gan"], "seeds": 2, "steps": 3, "batch": 8},
}


@pytest.fixture(autouse=True)
def short_contest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "CLASSIFIER_STEPS", 3)
    monkeypatch.setattr(recipe_contest, "LEAST", 0.0)
    monkeypatch.setattr(recipe_contest, "FEWEST", 8)
    monkeypatch.setattr(recipe_contest, "CANDIDATES", ("vae",))


def noise(n: int = 90) -> LabelledImages:
    images = np.random.default_rng(0).integers(0, 256, (n, 1, 12, 12), dtype=np.uint8)
    return LabelledImages(images, np.repeat([0, 1], [2 * n // 3, n - 2 * n // 3]), ("a", "b"))


def entry(recipe: str, kid: float, error: float = 0.003) -> dict[str, Any]:
    return {"recipe": recipe, "kid": kid, "kid_error": error}


@pytest.mark.parametrize(
    ("rows", "winner"),
    [
        ([entry("rpgan", 0.05), entry("vae", 0.03), entry("flow", 0.02)], "flow"),
        ([entry("rpgan", 0.05), entry("vae", 0.046)], "rpgan"),  # within the standard error sqrt(2) * .003 = .0042
        ([entry("rpgan", 0.05), entry("vae", 0.0457)], "vae"),
        ([entry("rpgan", 0.02), entry("vae", 0.03)], "rpgan"),
        ([entry("rpgan", 0.05)], "rpgan"),
    ],
)
def test_another_recipe_must_be_better_by_more_than_the_standard_error(rows: list[dict], winner: str) -> None:
    assert chosen(rows) == winner


@pytest.mark.parametrize(
    "settings",
    [
        {"recipe": "rpgan"},
        {"steps": 300},
        {"batch": 32},
        {"augment": "diffaugment"},
        {"start_from": "runs/a"},
        {"unconditional": True},
        {"overrides": {"r1": 1.0}},
    ],
)
def test_a_setting_of_a_certain_recipe_prevents_the_contest(settings: dict[str, Any]) -> None:
    assert TrainSettings().contested and TrainSettings(budget=60.0).contested
    assert not TrainSettings(**settings).contested


def test_the_contest_is_stored_and_the_best_recipe_trains_for_the_rest_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distances = {"rpgan": 0.5, "vae": 0.1}
    monkeypatch.setattr(recipe_contest, "_row", lambda session, name, seconds: entry(name, distances[name]))
    notes: list[str] = []
    run = augury.run(noise(), tmp_path / "r", settings=SMALL, until="train", callbacks=Callbacks(note=notes.append))
    contest, plan = run.read("train/contest"), run.read("train/plan")["plan"]
    assert contest["recipe"] == plan["recipe"] == "vae" and contest["budget"] == pytest.approx(2.7)
    assert "rpgan 0.5000 ± 0.0030, vae 0.1000 ± 0.0030. Recipe vae" in " ".join(notes)
    weights = (run / "synthesizer/weights.safetensors").read_bytes()

    monkeypatch.setattr(recipe_contest, "_row", lambda *_: pytest.fail("the contest is decided"))
    augury.run(noise(), run.path, settings=SMALL, until="train")
    repeated = augury.run(
        noise(),
        tmp_path / "again",
        settings=read_settings(run / "settings.yaml"),
        until="train",
    )
    assert (repeated / "synthesizer/weights.safetensors").read_bytes() == weights


def test_a_killed_contest_goes_on_with_the_candidate_that_it_had_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []
    train_plan = training.train_plan

    def train(plan: training.Plan, *rest: Any, **more: Any) -> training.Synthesizer:
        if plan.recipe == "vae" and "vae" not in trained:
            trained.append("vae")
            raise KeyboardInterrupt
        trained.append(plan.recipe)
        return train_plan(plan, *rest, **more)

    monkeypatch.setattr(training, "train_plan", train)
    with pytest.raises(KeyboardInterrupt):
        augury.run(noise(), tmp_path / "r", settings=SMALL, until="train")
    run = augury.run(noise(), tmp_path / "r", settings=SMALL, until="train")
    contest = run.read("train/contest")
    assert trained == ["rpgan", "vae", "vae", contest["recipe"]]
    assert [row["recipe"] for row in contest["rows"]] == ["rpgan", "vae"]
    assert all(row["steps"] >= 1 and np.isfinite(row["kid"]) and row["kid_error"] > 0 for row in contest["rows"])
    assert not (run / "train/contest").exists(), "what the candidates trained is deleted"


def test_a_recipe_that_an_arm_of_the_trial_cannot_use_takes_no_part(tmp_path: Path) -> None:
    arms = {"prove": SMALL["prove"] | {"arms": ["classical", "discriminator_init"]}}
    run = augury.run(noise(), tmp_path / "r", settings=SMALL | arms, until="train")
    assert not (run / "train/contest.json").exists()
    assert run.read("train/plan")["plan"]["recipe"] == "rpgan"


def test_with_few_validation_images_or_little_time_there_is_no_contest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe_contest, "_row", lambda *_: pytest.fail("there is a contest"))
    monkeypatch.setattr(recipe_contest, "FEWEST", 50)
    few = augury.run(noise(), tmp_path / "few", settings=SMALL, until="train")
    monkeypatch.setattr(recipe_contest, "FEWEST", 8)
    monkeypatch.setattr(recipe_contest, "LEAST", 15.0)
    short = augury.run(noise(), tmp_path / "short", settings=SMALL, until="train")
    for run in (few, short):
        assert run.read("train/plan")["plan"]["recipe"] == "rpgan" and not (run / "train/contest.json").exists()


def test_a_time_for_the_whole_run_leaves_the_steps_open_where_a_contest_may_choose_the_recipe(tmp_path: Path) -> None:
    with opened(noise(), tmp_path / "r", settings=validated(RunSettings, {"prove": SMALL["prove"]})) as session:
        stages = ["split", "classify", "train", "generate", "score", "prove"]
        plan_run(session, True, lambda: stages, 600.0)
        train, record = session.settings.train, session.time
        assert record is not None and train.steps is None and train.contested
        assert train.budget == record["train_seconds"] and 60 < record["train_seconds"] < 600
