"""Every recipe through the command line, combinations by options, and refusals before anything is taught."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from augury.cli.commands import app
from augury.cli.options import settled
from augury.errors import DataError, SettingsError
from augury.files import read_json, read_lines
from augury.pipeline import session, stages
from augury.pipeline.comparison import compare
from augury.settings import RunSettings
from augury.training.recipes import RECIPES
from augury.validation import validated
from tests.helpers.training_data import trainable

SMALL = {
    "stylegan": {"width": 8, "widest": 16, "latent": 16},
    "r3gan": {"width": 8, "widest": 16},
    "flow": {"width": 8, "widest": 16},
}
SHORT = ["--steps", "4", "--precision", "fp32", "--quiet", "--set", "train.batch=8"]


def noise_file(file: Path, number: int) -> Path:
    """Noise of two classes, two to one, the second brighter."""
    labels = np.arange(number) % 3 // 2
    images = np.random.default_rng(0).normal(90 + 60 * labels[:, None, None], 30, (number, 16, 16)).clip(0, 255)
    np.savez(file, images=images.astype(np.uint8), labels=labels)
    return file


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    return noise_file(tmp_path_factory.mktemp("pictures") / "d.npz", 60)


@pytest.fixture(autouse=True)
def briefly(monkeypatch) -> None:
    monkeypatch.setattr(session, "CLASSIFIER_STEPS", 3)


def train(*words: str) -> str:
    """What `augury train` ends with, in this process."""
    result = CliRunner().invoke(app, ["train", *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


@pytest.mark.parametrize("name", trainable(RECIPES))
def test_every_recipe_trains_from_the_command_line(name: str, pictures: Path, tmp_path: Path) -> None:
    options = [f"--set=train.overrides={as_json(SMALL[name])}"] if name in SMALL else []
    data = (
        noise_file(tmp_path / "more.npz", 120) if name == "translator" else pictures
    )  # it wants 20 train images of a class
    train(str(data), "-o", str(tmp_path / "r"), "--recipe", name, *SHORT, *options)
    card = read_json(tmp_path / "r" / "synthesizer" / "card.json")
    assert card["recipe"] == name and card["network"] == RECIPES[name].network
    rows = read_lines(tmp_path / "r" / "train" / "log.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert all(np.isfinite(v) for row in rows for v in row.values() if isinstance(v, int | float))
    assert list((tmp_path / "r" / "train" / "samples").glob("*.png"))


def as_json(values: dict[str, int]) -> str:
    return str(values).replace("'", '"')


def test_the_combination_of_the_guide_trains(pictures: Path, tmp_path: Path) -> None:
    words = ["--recipe", "dcgan", "--loss", "hinge", "--penalty", "r1=1", "--label-smoothing", ".1"]
    train(str(pictures), "-o", str(tmp_path / "r"), *words, *SHORT)
    rule = read_json(tmp_path / "r" / "train" / "plan.json")["plan"]["rule"]
    assert (rule["loss"], rule["r1"], rule["label_smoothing"], rule["network"]) == ("hinge", 1, 0.1, "dcgan")


def test_overrides_come_together_from_options_and_settings_and_calls(pictures: Path, tmp_path: Path) -> None:
    first = ["--recipe", "dcgan", "--loss", "hinge", "--penalty", "r1=1", '--set=train.overrides={"width": 8}']
    run = str(tmp_path / "r")
    train(str(pictures), "-o", run, *first, *SHORT)
    stored = read_json(tmp_path / "r" / "run.json")["settings"]["train"]["overrides"]
    assert stored == {"loss": "hinge", "r1": 1, "width": 8}
    train("-o", run, "--penalty", "r1=2", *SHORT)
    stored = read_json(tmp_path / "r" / "run.json")["settings"]["train"]["overrides"]
    assert stored == {"loss": "hinge", "r1": 2, "width": 8}


def test_overrides_are_taken_back_by_null_and_left_behind_by_another_recipe() -> None:
    stored = {"train": {"recipe": "dcgan", "overrides": {"loss": "hinge", "r1": 1}}}
    same = settled(stored, None, {"train": {"recipe": "dcgan"}}, {}).train.overrides
    assert same == {"loss": "hinge", "r1": 1}
    assert settled(stored, ['train.overrides={"r1": null}'], {}, {}).train.overrides == {"loss": "hinge"}
    other = {"train": {"recipe": "vae", "overrides": {"width": 8}}}
    assert settled(stored, None, other, {}).train.overrides == {"width": 8}
    assert settled(stored, ["train.recipe=vae"], {}, {}).train.overrides == {}
    assert stored["train"]["overrides"] == {"loss": "hinge", "r1": 1}
    with pytest.raises(SettingsError, match=r"train\.overrides"):
        settled(stored, ["train.overrides=5"], {}, {})


@pytest.mark.parametrize(
    ("train_settings", "rule"),
    [
        ({"recipe": "dcgan", "overrides": {"scales": 4}}, "lower scales"),
        ({"recipe": "dcgan", "overrides": {"loss": "magic"}}, "no loss"),
        ({"recipe": "vae", "overrides": {"r1": 1.0}}, "has no effect"),
        ({"recipe": "dcgan", "overrides": {"schedule": "stairs"}}, "no schedule"),
        ({"recipe": "dcgan", "overrides": {"spectral_control": 0.1, "conditional_norm": False}}, "conditional norms"),
        ({"recipe": "dcgan", "batch": 50}, "but there are 3"),  # 60 images, but the train part has fewer
        ({"start_from": "RUN"}, "lies in the folder of this run"),
        ({"unlabelled": "RUN/nowhere"}, "no such"),
    ],
)
def test_what_cannot_be_trained_is_reported_before_the_classifier_is_trained(
    train_settings: dict, rule: str, pictures: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setitem(
        stages.STAGES, "classify", replace(stages.STAGES["classify"], run=lambda session: pytest.fail("taught first"))
    )
    folder = str(tmp_path / "r")
    changed = {k: v.replace("RUN", folder) if isinstance(v, str) else v for k, v in train_settings.items()}
    settings = validated(RunSettings, {"train": {"steps": 2, **changed}})
    with pytest.raises((SettingsError, DataError), match=rule):
        stages.run(pictures, folder, settings=settings, until="train")


def test_a_comparison_is_refused_before_its_first_recipe_starts(pictures: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(
        stages.STAGES, "split", replace(stages.STAGES["split"], run=lambda session: pytest.fail("started"))
    )
    settings = validated(RunSettings, {"train": {"steps": 2, "overrides": {"r1": 1.0}}})
    with pytest.raises(SettingsError, match=r"r1=1\.0 has no effect"):
        compare(pictures, tmp_path / "c", ("dcgan", "vae"), settings=settings)
