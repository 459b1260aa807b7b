"""`augury tune`: the order of its trials, its winner, resuming, and errors in words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import optuna
import pytest
from sqlalchemy.engine import make_url

import augury
from augury.errors import DataError, MissingExtraError, SettingsError
from augury.images import LabelledImages
from augury.pipeline import session as sessions
from augury.pipeline.inputs import Callbacks
from augury.pipeline.settings_file import read_settings, write_settings
from augury.settings import RunSettings
from augury.tuning import Tuned, preparation
from augury.tuning import study as studies
from augury.tuning.preparation import Times, prepare
from augury.tuning.search import Search
from augury.validation import validated
from tests.helpers.command_line import call, command

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = {
    "seed": 3,
    "train": {"steps": 6, "batch": 8},
    "generate": {"filters": []},
    "prove": {"steps": 3, "batch": 8},
}


@pytest.fixture(autouse=True)
def short_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "CLASSIFIER_STEPS", 3)
    monkeypatch.setattr(preparation, "PATIENCE", 0.01)


def noise(test: int = 0, validation: int = 30) -> LabelledImages:
    """Images with a given split; `test` changes the pixels of the test split only."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (120, 1, 16, 16), dtype=np.uint8)
    split = np.repeat([0, 1, 2], [60, 30, 30]).astype(np.int8)
    split[60 : 90 - validation] = 0
    images[split == 2] = np.random.default_rng(100 + test).integers(0, 256, (30, 1, 16, 16), dtype=np.uint8)
    return LabelledImages(images, np.arange(120) % 2, ("a", "b"), split=split)


def tuned(folder: Path, *, test: int = 0, **more: Any) -> Tuned:
    options = {"time": "10m", "recipes": ("rpgan", "vae"), "trials": 3, "settings": SMALL} | more
    return augury.tune(noise(test), folder, **options)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions, "CLASSIFIER_STEPS", 3)
        return tuned(tmp_path_factory.mktemp("runs") / "tune")


def test_the_default_comes_first_then_the_other_recipes_unchanged(searched: Tuned) -> None:
    first, second, third = searched.trials
    assert (first["default"], second["default"], third["default"]) == ("rpgan", "vae", None)
    assert first["changes"] == {"recipe": "rpgan"} and second["changes"] == {"recipe": "vae"}
    assert all(trial["state"] == "complete" and 0 <= trial["value"] <= 1 for trial in searched.trials)
    assert searched.default_search == first["value"]
    assert not list((searched.folder / "trials").rglob("*.safetensors")), "only the logs stay"
    assert (searched.folder / "trials" / "0000" / "log.jsonl").exists()


def test_the_winner_is_the_best_from_a_fresh_seed_and_a_run_repeats_it(searched: Tuned, tmp_path: Path) -> None:
    fresh = {trial["number"]: trial["fresh"] for trial in searched.trials}
    assert None not in fresh.values() and searched.fresh == max(fresh.values())
    assert searched.run is not None and searched.run.synthesizer.card.recipe in ("rpgan", "vae")
    values = read_settings(searched.config)
    assert values["seed"] == 3 and values["train"]["steps"] == 6
    again = augury.run(noise(), tmp_path / "again", settings=values, until="train")
    assert again.split.tolist() == searched.run.split.tolist()
    assert (again / "synthesizer/weights.safetensors").read_bytes() == (
        searched.run / "synthesizer/weights.safetensors"
    ).read_bytes()


def test_the_report_lists_all_trials_and_loads_nothing(searched: Tuned) -> None:
    page = searched.report.read_text(encoding="utf-8")
    facts = json.loads((searched.folder / "tune.json").read_text())
    assert len(facts["trials"]) == 3 and facts["winner"] == searched.number
    assert page.count('<th scope="row">') == 3 and "<svg" in page and "http" not in page.replace("http-equiv", "")
    assert "generator_lr" in facts["notes"] and "factor on the recipe" in page


def test_the_same_call_continues_and_states_the_best_of_all(searched: Tuned) -> None:
    again = tuned(searched.folder, trials=2)
    assert [trial["number"] for trial in again.trials] == [0, 1, 2, 3, 4]
    assert list(again.trials[:3]) == [
        row | {"fresh": again.trials[i]["fresh"]} for i, row in enumerate(searched.trials)
    ]


def test_pixels_of_the_test_split_change_nothing(tmp_path: Path) -> None:
    values = []
    for test in (1, 2):
        result = tuned(tmp_path / str(test), test=test, recipes=("vae",), trials=2)
        values.append([(trial["value"], trial["fresh"], trial["parameters"]) for trial in result.trials])
    assert values[0] == values[1]


def test_a_study_of_other_data_settings_or_objective_is_refused(searched: Tuned, tmp_path: Path) -> None:
    address = str(searched.folder / "study.journal")
    for more, words in (
        ({"test": 5}, "other images"),
        ({"recipes": ("rpgan",)}, "another search space or other settings"),
        ({"settings": SMALL | {"prove": {"steps": 4, "batch": 8}}}, "another search space or other settings"),
        ({"objective": "kid"}, "about the objective gan_train, not kid"),
    ):
        with pytest.raises(SettingsError, match=words):
            tuned(tmp_path / "other", study=address, **more)


def test_errors_name_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"2s is too little: .*use --time \d+m"):
        tuned(tmp_path / "a", time="2s", settings=SMALL | {"train": {"budget": 10.0, "batch": 8}})
    with pytest.raises(SettingsError, match=r"ends in \.journal; give FILE\.journal, sqlite"):
        tuned(tmp_path / "b", study="trials.txt")
    with pytest.raises(SettingsError, match="no objective 'fid'; choose among: gan_train, kid, uplift"):
        tuned(tmp_path / "c", objective="fid")
    with pytest.raises(SettingsError, match=r"does not go with train\.unconditional=true"):
        tuned(tmp_path / "d", settings={"train": {"unconditional": True}})
    with pytest.raises(DataError, match="there are 2; put at least 4 into the validation split, or use --split new"):
        augury.tune(noise(validation=2), tmp_path / "e", settings=SMALL)
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "notes.txt").touch()
    with pytest.raises(augury.errors.RunFolderError, match=r"holds notes.txt"):
        tuned(tmp_path / "f")
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'augury\[tune\]'"):
        tuned(tmp_path / "g")


def test_settings_that_are_stated_stay_even_where_they_have_the_default(tmp_path: Path) -> None:
    stated = SMALL | {"generate": {"filters": [], "truncation": 1.0}}
    first = tuned(tmp_path / "tune", recipes=("vae",), trials=2, settings=stated)
    again = tuned(tmp_path / "tune", recipes=("vae",), trials=1, settings=None)
    assert len(again.trials) == 3 and "label_sampling" in again.trials[0]["parameters"]
    assert not [trial for trial in again.trials if "truncation" in trial["parameters"]]
    with pytest.raises(SettingsError, match="another search space or other settings"):
        tuned(tmp_path / "tune", recipes=("vae",), fixed=("label_sampling",), settings=stated)
    assert first.settings.generate.truncation == 1.0


def test_set_with_the_default_value_is_not_searched_and_a_repeated_command_keeps_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "data.npz", images=noise().images, labels=noise().labels, split=noise().split)
    searched: list[set[str]] = []

    def space_only(prepared: Any, *_: Any) -> Any:
        searched.append({dimension.name for dimension in prepared.space.dimensions})
        raise SettingsError("the space is known")

    monkeypatch.setattr("augury.tuning.search.Search", space_only)
    (tmp_path / "short.yaml").write_text("train:\n  label_sampling: sqrt\n")
    write_settings(tmp_path / "whole.yaml", validated(RunSettings, SMALL))
    words = [
        "tune",
        tmp_path / "data.npz",
        "--time",
        "10m",
        "--set",
        "train.steps=6",
        "--recipe",
        "vae",
        "--objective",
        "kid",
    ]
    for folder, more in (
        ("plain", []),
        ("one", ["--set", "generate.truncation=1"]),
        ("one", []),
        ("short", ["--config", tmp_path / "short.yaml"]),
        ("whole", ["--config", tmp_path / "whole.yaml", "--set", "generate.truncation=1"]),
    ):
        assert call(*words, "-o", tmp_path / folder, *more)[1] == "the space is known"
    plain, one, repeated, short, whole = searched
    assert plain >= {"truncation", "label_sampling", "batch", "filters"}
    assert one == repeated == plain - {"truncation"} and short == plain - {"label_sampling"}
    assert whole == plain - {"truncation", "batch", "filters"}, (
        "of a file of all settings, those that differ from the default"
    )


def memory_search(tmp_path: Path) -> Search:
    """A search whose trials can be replaced."""
    prepared = prepare(
        noise(), tmp_path, settings=validated(RunSettings, SMALL), objective=None, address=None, recipes=("rpgan",), search=(),
        callbacks=Callbacks(), times=Times(monotonic(), 600.0),
    )  # fmt: skip
    return Search(prepared, tmp_path, Callbacks(), None)


def test_hopeless_trials_are_stopped_early_and_failures_do_not_end_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search, reached = memory_search(tmp_path), []
    distances = [0.2, 0.21, 0.19, 0.2, 0.195, 0.9]

    def train(settings: Any, seed: int, folder: Path, on_score: Any) -> tuple[float, int]:
        number = int(folder.name)
        if number == 6:
            raise augury.errors.TrainingError("not finite\nafter three rollbacks")
        for tenth in range(1, 11):
            on_score(tenth / 10, distances[number])
            reached.append((number, tenth))
        return 0.5 + number / 100, 6

    monkeypatch.setattr(search, "train", train)
    for _ in range(7):
        search.trial()
    states = [trial.state.name for trial in search.study.trials[:7]]
    assert states == ["COMPLETE"] * 5 + ["PRUNED", "FAIL"]
    assert max(tenth for number, tenth in reached if number == 5) == 2, (
        "at the third tenth, the first that may stop a trial"
    )
    assert search.study.trials[6].user_attrs["reason"] == "not finite"
    assert search.finished()[0].number == 4


def test_an_error_of_the_default_configuration_ends_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = memory_search(tmp_path)

    def train(*_: Any) -> tuple[float, int]:
        raise augury.errors.TrainingError("no finite step")

    monkeypatch.setattr(search, "train", train)
    with pytest.raises(augury.errors.TrainingError, match="no finite step"):
        search.trial()


def test_a_killed_trial_counts_as_failed_and_a_living_one_does_not(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    living = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    identity = studies.Identity("data", "space", "gan_train")
    study = studies.opened(str(tmp_path / "s.journal"), identity, 0)
    numbers = {}
    try:
        for name, process, host, age in (
            ("ended", ended.pid, None, 0.0),
            ("living", living.pid, None, 0.0),
            ("far", 1, "elsewhere", 5.0),
            ("silent", 1, "elsewhere", 5000.0),
        ):
            trial = study.ask()
            sign = studies.sign_of_life()
            trial.set_user_attr(
                studies.WORKER, {**sign, "process": process, "host": host or sign["host"], "seen": sign["seen"] - age}
            )
            numbers[name] = trial.number
        killed = studies.fail_killed(study, 30.0)
    finally:
        living.kill()
        living.wait()
    assert killed == [numbers["ended"], numbers["silent"]]
    states = {trial.number: trial.state for trial in study.trials}
    assert states[numbers["living"]] == states[numbers["far"]] == optuna.trial.TrialState.RUNNING


def test_a_killed_default_trial_comes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = memory_search(tmp_path)

    def killed(*_: Any) -> tuple[float, int]:
        raise KeyboardInterrupt

    monkeypatch.setattr(search, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        search.trial()
    result = tuned(tmp_path, recipes=("rpgan",), trials=1)
    assert [(trial["state"], trial["default"]) for trial in result.trials] == [("fail", "rpgan"), ("complete", "rpgan")]


@pytest.mark.parametrize("address", ["shared.journal", "sqlite:///shared.db#photos"])
def test_two_processes_share_a_study(tmp_path: Path, address: str) -> None:
    np.savez(tmp_path / "data.npz", images=noise().images, labels=noise().labels, split=noise().split)
    changes = [
        "--set=train.steps=6",
        "--set=train.batch=8",
        "--set=generate.filters=[]",
        "--set=prove.steps=3",
        "--set=prove.batch=8",
    ]
    words = [
        "tune",
        str(tmp_path / "data.npz"),
        "--time",
        "10m",
        "--trials",
        "3",
        "--recipe",
        "vae",
        "--study",
        address,
        *changes,
    ]
    code = "from augury.pipeline import session; session.CLASSIFIER_STEPS = 3; from augury.cli.commands import main; main()"
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code, *words, "-o", str(tmp_path / name), "--json"],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    outputs = [worker.communicate(timeout=280) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], outputs
    location = address.replace("sqlite:///", f"sqlite:///{tmp_path}/") if "://" in address else str(tmp_path / address)
    where, name = studies.storage(location)
    trials = optuna.load_study(study_name=name, storage=where).trials
    finished = [trial for trial in trials if trial.state == optuna.trial.TrialState.COMPLETE]
    assert len(finished) == 6 and sorted(trial.number for trial in finished) == list(range(6))
    assert len({json.dumps(trial.params) for trial in finished}) >= 4, "the processes try different configurations"
    assert len({trial.user_attrs["worker"]["process"] for trial in finished}) == 2


def test_the_message_names_the_package_that_the_address_of_postgresql_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = make_url("postgresql://user@host/tuning").get_dialect().driver
    monkeypatch.setitem(sys.modules, driver, None)
    with pytest.raises(MissingExtraError) as caught:
        studies.storage("postgresql://user@host/tuning#photos")
    install = f"pip install '{driver}[binary]'"
    assert driver in str(caught.value) and str(caught.value).endswith(install)
    page = (Path(__file__).parents[2] / "docs" / "tuning.md").read_text(encoding="utf-8")
    assert f"`{install}`" in page and page.count("pip install") == page.count(f"`{install}`") + page.count(
        "pip install 'augury["
    )


def test_help_has_examples() -> None:
    text = " ".join(command("tune", "--help").stdout.split())
    assert "augury tune photos/ --time 2h -o runs/tune" in text and "--config runs/tune/winner.yaml" in text
    assert "postgresql://" in text and "gan_train" in text and "uplift" in text
