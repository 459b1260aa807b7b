"""The plan of a run with its cost, and a time for the whole run that becomes steps."""

from __future__ import annotations

import html
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import augury
from augury import proof, training
from augury.cli.commands import app
from augury.durations import duration, seconds, with_unit
from augury.errors import SettingsError
from augury.images import LabelledImages
from augury.pipeline import session as sessions
from augury.pipeline.cost import MARGIN, CostModel
from augury.pipeline.inputs import Callbacks
from augury.pipeline.progress import RunCost, spoken
from augury.pipeline.run_folder import Run
from augury.pipeline.settings_file import read_settings
from augury.pipeline.stages import STAGES, opened, pending
from augury.settings import RunSettings, TrainSettings
from augury.validation import validated

pytestmark = pytest.mark.slow

SMALL = {
    "train": {"recipe": "dcgan", "batch": 8, "steps": 4},
    "generate": {"sampling_strategy": 4, "filters": []},
    "score": {"features": "pixels", "limit": 8},
    "prove": {"arms": ["classical", "gan"], "seeds": 2, "steps": 3, "ratios": [0.25, 0.5], "batch": 8},
}


@pytest.fixture(autouse=True)
def short_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "CLASSIFIER_STEPS", 3)


def noise(n: int = 90) -> LabelledImages:
    images = np.random.default_rng(0).integers(0, 256, (n, 1, 12, 12), dtype=np.uint8)
    return LabelledImages(images, np.repeat([0, 1], [2 * n // 3, n - 2 * n // 3]), ("a", "b"))


def speeds(monkeypatch: pytest.MonkeyPatch, train_step: float, classifier_step: float) -> None:
    """A machine of this speed, however busy this one is."""
    measured = training.step_seconds

    def measure(*values: object, **options: object) -> object:
        plan, _, checkpoint = measured(*values, **options | {"patience": 0.0})
        return plan, train_step, checkpoint

    monkeypatch.setattr(training, "step_seconds", measure)
    monkeypatch.setattr(
        proof, "measure_steps", lambda arms, *arguments, **options: dict.fromkeys(arms, classifier_step)
    )


def test_the_plan_names_the_stages_to_do_and_the_trainings_that_the_trial_makes(tmp_path: Path) -> None:
    plans: list[RunCost] = []
    amounts: list[tuple[str, int, int]] = []
    callbacks = Callbacks(plan=plans.append, amount=lambda *each: amounts.append(each))
    run = augury.run(noise(), tmp_path / "r", settings=SMALL, callbacks=callbacks)
    (plan,) = plans
    assert list(plan.stages) == list(STAGES)
    results = len(json.loads((run / "trial.json").read_text())["results"])
    assert plan.trainings == results + 3 and f"{results} trainings of 3 steps" in plan.stages["prove"].work
    assert amounts[-1] == ("trainings", results, results)
    assert all(cost.seconds >= 0 for cost in plan.stages.values()) and plan.seconds > 0
    on_disk = sum(file.stat().st_size for file in run.path.rglob("*") if file.is_file())
    assert on_disk / 4 < plan.disk < 4 * on_disk
    assert max(map(len, plan.lines())) < 76 and plan.lines()[-1].startswith("all")

    augury.run(noise(), tmp_path / "r", settings=SMALL, until="export", callbacks=callbacks)
    assert len(plans) == 1, "nothing was to do"
    three_seeds = SMALL | {"prove": SMALL["prove"] | {"seeds": 3}}
    augury.run(noise(), tmp_path / "r", settings=three_seeds, callbacks=callbacks)
    assert list(plans[-1].stages) == ["prove", "classifier", "report"]


def test_measuring_the_speed_changes_no_result(tmp_path: Path) -> None:
    displayed, undisplayed = (
        augury.run(noise(), tmp_path / name, settings=SMALL, callbacks=Callbacks(plan=plan))
        for name, plan in (("shown", lambda cost: None), ("silent", None))
    )
    for name in ("synthesizer/weights.safetensors", "classifier.safetensors", "synthetic/images.npy", "trial.json"):
        assert (displayed / name).read_bytes() == (undisplayed / name).read_bytes(), name


@pytest.mark.parametrize(("train_step", "classifier_step"), [(0.03, 0.004), (0.002, 0.02), (1e-5, 1e-5)])
def test_the_steps_of_a_time_fit_into_it_and_use_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train_step: float, classifier_step: float
) -> None:
    speeds(monkeypatch, train_step, classifier_step)
    limit = 120.0
    with opened(noise(), tmp_path / "r", settings=validated(RunSettings, SMALL)) as session:
        model = CostModel(session, pending(session, set(STAGES)))
        train_steps, prove_steps = model.steps_within(limit)
        assert train_steps >= 100 and 30 <= prove_steps <= 300
        assert 0.85 * limit < model.cost(train_steps, prove_steps).seconds <= MARGIN * limit
        with pytest.raises(SettingsError, match=r"too short for the whole run: .*; use --time \d+m"):
            model.steps_within(1e-3)
        two_stages = CostModel(session, ["prove", "report"])
        assert two_stages.steps_within(limit)[0] == 4, "a generator that is trained keeps its steps"


def test_a_time_is_divided_once_and_its_steps_repeat_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speeds(monkeypatch, 0.3, 0.01)
    first = augury.run(noise(), tmp_path / "first", settings=SMALL, time="1m", until="train")
    stored, record = first.settings, first.metadata["time"]
    assert (record["seconds"], record["train_steps"]) == (60.0, stored["train"]["steps"])
    assert stored["prove"]["steps"] == 3, "without a trial the generator gets all the time"
    assert 0.6 * 60 < 0.3 * record["train_steps"] < 60
    assert first.read("train/plan")["plan"]["steps"] == stored["train"]["steps"]
    weights = (first / "synthesizer/weights.safetensors").read_bytes()

    speeds(monkeypatch, 0.01, 0.001)  # the machine is faster now
    augury.run(noise(), first.path, settings=SMALL, time="60s", until="train")
    assert first.metadata["time"] == record and first.settings == stored
    repeated = augury.run(noise(), tmp_path / "again", settings=read_settings(first / "settings.yaml"), until="train")
    assert (repeated / "synthesizer/weights.safetensors").read_bytes() == weights
    with pytest.raises(SettingsError, match="time sets the number of steps, and so does budget"):
        augury.run(noise(), tmp_path / "new", time="1m", budget="1m")


def test_quick_uses_smaller_images_where_the_time_does_not_suffice_and_keeps_their_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowness(pixels: float) -> None:
        """A machine whose training step takes so many seconds for each pixel."""
        measured = training.step_seconds

        def measure(data: LabelledImages, *values: object, **measure_options: object) -> object:
            plan, _, checkpoint = measured(data, *values, **measure_options | {"patience": 0.0})
            return plan, pixels * data.shape[1] * data.shape[2], checkpoint

        monkeypatch.setattr(training, "step_seconds", measure)
        monkeypatch.setattr(proof, "measure_steps", lambda arms, *arguments, **step_options: dict.fromkeys(arms, 0.05))

    for i in range(40):
        file = tmp_path / "photos" / "ab"[i % 2] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (48, 64), np.uint8)).save(file)
    options = [
        f"{section}.{name}={json.dumps(value)}" for section, values in SMALL.items() for name, value in values.items()
    ]
    words = [word for option in options if "steps" not in option for word in ("--set", option)]
    command = ["run", str(tmp_path / "photos"), "-o", str(tmp_path / "r"), "--quick", *words]
    slowness(8e-4)  # at 48 x 64 a step takes 2.5 s, and 100 steps do not fit; at 24 x 32 they do
    first = CliRunner().invoke(app, command, catch_exceptions=False)
    assert "Images of 48 x 64 px do not fit into this time" in first.stderr and "used at 24 x 32" in first.stderr
    run = Run(tmp_path / "r")
    assert run.settings["data"]["size"] == [24, 32] and run.metadata["data"]["shape"] == [1, 24, 32]
    assert "--set=data.size=[24, 32]" in html.unescape(run.report.read_text())
    stored = run.metadata
    slowness(1e-9)  # the machine is faster now
    repeated = CliRunner().invoke(app, command, catch_exceptions=False)
    assert repeated.stderr.count("(done before)") == 9 and run.metadata == stored
    slowness(1.0)
    words = [*command[:2], "-o", str(tmp_path / "new"), *command[4:]]
    for size_options in ([], ["--size", "48x64"]):
        with pytest.raises(SettingsError, match=r"150s is too short for the whole run"):
            CliRunner().invoke(app, [*words, *size_options], catch_exceptions=False)


def test_folds_share_the_steps_of_one_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speeds(monkeypatch, 0.2, 0.05)
    augury.cross_validate(noise(), tmp_path / "f", 2, settings=validated(RunSettings, SMALL), time="170s")
    one, two = (Run(tmp_path / "f" / name).settings for name in ("fold-1", "fold-2"))
    assert one["train"] == two["train"] and one["prove"] == two["prove"]
    assert one["train"]["steps"] >= 100 and one["prove"]["steps"] != 3


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ("--time 15", "'15' is not a time with its unit; write 90s, 5m or 1h30m"),
        ("--time 0s", "must be above 0"),
        ("--quick --time 5m", "--time decides .* so does --quick"),
        ("--quick --steps 5", "--quick decides .* so does --steps"),
        ("--time 5m --budget 1m", "so does --budget"),
        ("--time 5m --set prove.steps=9", "so does --set prove.steps"),
        ("--budget 10", "'10' is not a time with its unit"),
        ("--set train.budget=10", "train.budget=10 has no unit; write train.budget=10s for seconds or 10m for minutes"),
        ("--set train.checkpoint_every=5", "has no unit"),
    ],
)
def test_a_time_without_unit_and_two_lengths_are_refused(tmp_path: Path, words: str, rule: str) -> None:
    with pytest.raises(SettingsError, match=rule):
        CliRunner().invoke(app, ["run", "-o", str(tmp_path / "r"), *words.split()], catch_exceptions=False)
    assert not (tmp_path / "r").exists()


def test_a_settings_file_gives_times_with_their_unit(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("train:\n  budget: 10\n")
    with pytest.raises(SettingsError, match=r"s\.yaml: train\.budget=10 has no unit"):
        read_settings(tmp_path / "s.yaml")


@pytest.mark.parametrize("number", [20.0, 0.05, 1e-9, 123456.789, 5400])
def test_a_time_is_stored_with_its_unit_and_without_loss(number: float) -> None:
    assert seconds(with_unit(number)) == number == duration(number)
    stored = TrainSettings(budget=number).model_dump(mode="json")["budget"]
    assert stored == with_unit(number) and TrainSettings(budget=stored).budget == number


def test_times_are_spoken_in_at_most_two_units() -> None:
    assert [spoken(n) for n in (0.1, 45, 200, 5400, 12000)] == ["< 1 s", "45 s", "3 min", "1 h 30 min", "3 h 20 min"]
