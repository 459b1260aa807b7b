"""`augury run --folds`: each image tested once, one verdict of all, and it goes on where it stopped."""

from __future__ import annotations

import io
import json
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import augury
from augury import Callbacks, files
from augury.errors import RunFolderError, SettingsError
from augury.pipeline import comparison, cross_validation
from augury.pipeline.display import Display
from augury.pipeline.inputs import IN_MEMORY
from augury.settings import RunSettings
from augury.validation import validated
from tests.helpers.command_line import command

pytestmark = pytest.mark.slow

QUICK = ["--steps", "4", "--precision", "fp32", "--set", "prove.steps=3", "--set", "train.batch=8"]
QUICK += ["--set", 'prove.arms=["none","gan"]', "--set", "prove.ratios=[0.5]", "--sampling-strategy", "5"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    root, numbers = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for name, n in (("cats", 20), ("dogs", 9)):
        (root / name).mkdir()
        for i in range(n):
            Image.fromarray(numbers.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def crossed(photos: Path, tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("runs") / "crossed"
    result = command("run", str(photos), "-o", str(folder), "--folds", "3", "--json", *QUICK)
    assert result.returncode == 0, result.stderr
    return folder, json.loads(result.stdout)


def test_every_image_is_tested_once_and_the_verdict_counts_them_all(crossed) -> None:
    folder, printed = crossed
    parts = np.array([np.load(folder / f"fold-{k}" / "split.npy") for k in (1, 2, 3)])
    assert ((parts == 2).sum(0) == 1).all() and parts.shape[1] == 29
    verdict = printed["verdict"]
    assert verdict["folds"] == 3 and verdict["test_n"] == 29
    assert json.loads((folder / "verdict.json").read_text()) == verdict
    page = (folder / "report.html").read_text()
    assert "3 folds" in page and "--folds 3" in page and "data.fold" not in page
    assert (folder / "badge.svg").exists()


def test_one_plan_and_one_bar_are_for_all_folds(crossed, photos: Path, tmp_path: Path) -> None:
    words = ("--set", "prove.classifier=cnn", *QUICK)  # nothing is chosen by training beforehand
    result = command("run", str(photos), "-o", str(tmp_path / "whole"), "--folds", "3", *words)
    assert result.stderr.count("Plan, by the speed measured") == 1
    results = [
        len(json.loads((tmp_path / "whole" / f"fold-{k}" / "trial.json").read_text())["results"]) for k in (1, 2, 3)
    ]
    assert f"3 × {results[0]} trainings of 3 steps" in result.stderr
    assert f" {sum(results) + 6:,} trainings, " in result.stderr, "each fold also trains a classifier and a generator"

    shutil.rmtree(tmp_path / "whole" / "fold-3")  # one fold is left, and two are done
    stream = io.StringIO()
    display = Display(stream)
    shares = []
    hooks = display.callbacks().and_also(Callbacks(end=lambda stage: shares.append(display.done)))
    augury.cross_validate(None, tmp_path / "whole", 3, settings=_settings(tmp_path / "whole"), callbacks=hooks)
    assert stream.getvalue().count("Plan, by") == 1 and " × " not in stream.getvalue()
    assert shares[:10] == [0.0] * 10 and shares[-1] == pytest.approx(1.0) and shares == sorted(shares)


def _settings(folder: Path) -> RunSettings:
    stored = augury.Run(folder / "fold-1").settings
    stored["data"].pop("fold")
    return validated(RunSettings, stored)


def test_the_bar_of_all_folds_reaches_its_end_once(photos: Path, tmp_path: Path) -> None:
    display, shares = Display(io.StringIO()), []
    hooks = display.callbacks().and_also(Callbacks(end=lambda stage: shares.append(display.done)))
    settings = {"train": {"steps": 2, "batch": 8}, "prove": {"steps": 2, "arms": ["none", "gan"], "seeds": 2}}
    settings |= {"generate": {"sampling_strategy": 3}}
    augury.cross_validate(photos, tmp_path / "r", 2, settings=validated(RunSettings, settings), callbacks=hooks)
    assert len(shares) == 10 and shares == sorted(shares)
    assert shares[4] == pytest.approx(0.5) and shares[-1] == pytest.approx(1.0)


def test_a_second_call_without_the_data_or_settings_does_nothing_again(crossed) -> None:
    folder, printed = crossed
    repeated = command("run", "-o", str(folder), "--folds", "3", "--json")
    assert repeated.returncode == 0, repeated.stderr
    assert repeated.stderr.count("(done before)") == 3 * 5
    assert json.loads(repeated.stdout)["verdict"] == printed["verdict"]


def test_folds_and_comparisons_go_on_with_the_data_they_were_started_with(
    crossed, photos: Path, tmp_path: Path, monkeypatch
) -> None:
    for recipe in ("vae", "ae"):  # as if the first two folds had been done, and one recipe
        (tmp_path / "compared" / recipe).mkdir(parents=True)
    for k in (1, 2):
        (tmp_path / "crossed" / f"fold-{k}").mkdir(parents=True)
    for run_folder in (tmp_path / "crossed" / "fold-1", tmp_path / "compared" / "ae"):
        shutil.copy(crossed[0] / "fold-1" / "run.json", run_folder)
    paths = []

    @contextmanager
    def opened(data, folder, **_more):
        paths.append(data)
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(cross_validation, "opened", opened)
    monkeypatch.setattr(comparison, "opened", opened)
    with pytest.raises(KeyboardInterrupt):
        cross_validation.cross_validate(None, tmp_path / "crossed", 3)
    with pytest.raises(KeyboardInterrupt):
        comparison.compare(None, tmp_path / "compared", ("vae", "ae"))
    assert paths == [photos, photos]
    metadata_file = tmp_path / "compared" / "ae" / "run.json"
    metadata_file.write_text(metadata_file.read_text().replace(str(photos), IN_MEMORY))
    with pytest.raises(RunFolderError, match="made from images in memory; resume it in Python"):
        comparison.compare(None, tmp_path / "compared", ("vae", "ae"))


def test_nothing_is_written_where_the_data_lie(photos: Path) -> None:
    before = sorted(photos.rglob("*"))
    for folder in (photos, photos / "runs", photos.parent):
        with pytest.raises(RunFolderError, match="which nothing may change; choose another place"):
            files.refuse_within(folder, photos)
    result = command("run", str(photos), "-o", str(photos / "run"), "--folds", "3", *QUICK)
    assert result.returncode == 1 and "nothing may change" in result.stderr, result.stderr
    result = command("augment", str(photos), "-o", str(photos), "--force")
    assert result.returncode == 1 and "nothing may change" in result.stderr, result.stderr
    assert sorted(photos.rglob("*")) == before


def test_folds_are_distinguished_from_a_run(crossed) -> None:
    for words in (["prove", str(crossed[0])], ["run", "-o", str(crossed[0])]):
        result = command(*words)
        assert result.returncode == 1 and "a cross-validation" in result.stderr and "--folds" in result.stderr, (
            result.stderr
        )


def test_a_fold_is_a_run_like_any_other(crossed) -> None:
    folder, _ = crossed
    result = command("run", "-o", str(folder / "fold-2"), "--quiet")
    assert result.returncode == 0, result.stderr
    assert "--set=data.fold=[2, 3]" in (folder / "fold-2" / "report.html").read_text().replace("&#39;", "'")


def test_what_cannot_be_is_refused(photos: Path, tmp_path: Path) -> None:
    for words, rule in (
        (["run", str(photos), "--folds", "3", "--set", "prove.max_seeds=9"], "prove.seeds"),
        (["run", str(photos), "--folds", "3", "--set", "data.near_duplicates=allow"], "more than once"),
        (["run", str(photos), "--folds", "3", "--set", "data.fold=[1,3]"], "leave one of them out"),
        (["run", str(photos), "--folds", "1"], "at least 2"),
        (["run", str(photos), "--folds", "12"], "at most 9 folds"),
        (
            ["run", str(photos), "--folds", "3", "--recipe", "translator", "--condition", "age"],
            "test split that has the cell",
        ),
    ):
        result = command(*words, "-o", str(tmp_path / "out"), *QUICK)
        assert result.returncode == 1 and rule in result.stderr and "Traceback" not in result.stderr
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(RunFolderError, match=r"holds thesis\.tex"):
        augury.cross_validate(photos, tmp_path / "mine", 2)
    data = augury.load(photos)
    by_split = type(data)(data.images, data.labels, data.classes, split=np.zeros(len(data), np.int8))
    with pytest.raises(SettingsError, match="--split new"):
        augury.cross_validate(by_split, tmp_path / "own", 2, settings=validated(RunSettings, {"train": {"steps": 1}}))
