"""What a trial leaves on the way: results that serve again, and looks at the same test part that are not forgotten."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augury.files import write_json
from augury.images import LabelledImages, SyntheticImages
from augury.pipeline.cross_validation import looks_before
from augury.pipeline.inputs import Callbacks
from augury.pipeline.run_folder import Run
from augury.pipeline.trial_cache import TrialCache, load_cache
from augury.proof import learners
from augury.proof.judgement import judge
from augury.proof.measures import measures
from augury.settings import ProveSettings, RunSettings
from augury.verdict import Verdict
from tests.helpers.proof_data import part

TEST, OTHER = part((30, 30), 2), part((30, 30), 3)


def verdict(seeds: int) -> Verdict:
    random, labels = np.random.default_rng(7), np.arange(60) % 2
    test = LabelledImages(np.zeros((60, 1, 1, 1), np.uint8), labels, TEST.classes)
    synthetic = SyntheticImages(test.images[:2], labels[:2, None], (), TEST.classes, 0, np.arange(2), "any")
    hits = random.random((2, seeds, 60)) < 0.8
    each = [
        [measures(labels, np.eye(2)[np.where(row, labels, 1 - labels)].astype(np.float64)) for row in arm]
        for arm in hits
    ]
    results = dict(zip(("classical", "gan"), each, strict=True))
    return Verdict.from_dict(judge(results, tuple(range(seeds)), 1.0, (), test, synthetic, test).as_dict())


def cache_of(folder: Path, steps: int, test: LabelledImages = TEST, **options: Any) -> TrialCache:
    return load_cache(folder / "trial.json", ["about"], ProveSettings(steps=steps, **options), test, Callbacks())


def finished(folder: Path, trial: TrialCache, marked: Verdict) -> Verdict:
    trial.results["test/none/0"] = {"ece": 0.5}
    trial.store(1, 1, "test/none/0")
    previous = trial.with_earlier_look(marked)
    write_json(folder / "verdict.json", previous.as_dict())
    return previous


def test_trials_of_other_settings_on_the_same_test_part_are_looks(tmp_path: Path) -> None:
    first, second = verdict(7), verdict(8)
    assert finished(tmp_path, cache_of(tmp_path, 5), first) == first
    repeated = cache_of(tmp_path, 5, margin=0.1, arms=("none", "gan"))
    assert repeated.results and repeated.before == first and repeated.with_earlier_look(first) == first

    other = cache_of(tmp_path, 6)
    assert other.results == {} and other.before is None and other.look == (7, first.outcome)
    assert f"an earlier interim look at 7 seeds (outcome '{first.outcome}')" in other.with_earlier_look(first).sentence
    other.results["test/none/0"] = {"ece": 0.5}
    other.store(1, 2, "test/none/0")  # killed here: verdict.json is still the first one

    resumed = cache_of(tmp_path, 6)
    assert resumed.results and resumed.before is None and resumed.look == (7, first.outcome)
    marked = finished(tmp_path, resumed, second)
    assert cache_of(tmp_path, 6).with_earlier_look(second) == marked and marked.earlier_seeds == 7
    assert (
        finished(tmp_path, cache_of(tmp_path, 5), first).earlier_seeds == 7
    )  # back again: the first look stays the first
    assert cache_of(tmp_path, 6, OTHER).look == (0, "")  # another test part has not been looked at


def test_a_look_without_an_outcome_or_of_another_version_does_not_count(tmp_path: Path) -> None:
    finished(tmp_path, cache_of(tmp_path, 5), verdict(3))
    assert cache_of(tmp_path, 6).look == (0, "")
    finished(tmp_path, cache_of(tmp_path, 5), verdict(8))
    assert cache_of(tmp_path, 6).look[0] == 8
    stored = json.loads((tmp_path / "trial.json").read_text())
    write_json(tmp_path / "trial.json", stored | {"measured": 1, "inputs": "then"})
    assert cache_of(tmp_path, 5).look == (0, "")  # the same trial, measured anew
    write_json(tmp_path / "trial.json", {"inputs": "then", "results": {}})
    assert cache_of(tmp_path, 5).look == (0, "")  # from before looks were kept


def test_results_on_other_features_are_not_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished(tmp_path, cache_of(tmp_path, 5, classifier="linear_probe"), verdict(7))
    assert cache_of(tmp_path, 5, classifier="linear_probe").results
    installed = learners.lite0_installed()
    monkeypatch.setattr(learners, "lite0_installed", lambda: not installed)
    assert not cache_of(tmp_path, 5, classifier="linear_probe").results
    other = "pixels" if installed else "lite0"
    assert learners.features_of("linear_probe") == other and learners.features_of("forest:phash") == "phash"
    assert learners.features_of("cnn") == ""


@pytest.mark.parametrize("section", ["train", "generate", "prove"])
def test_folds_remember_looks_too(tmp_path: Path, section: str) -> None:
    first, run = verdict(7), Run(tmp_path)

    def summary(**changes: Any) -> dict[str, Any]:
        settings = RunSettings(**changes).model_dump(mode="json")
        return {"data": {"fingerprint": "f", "counts": {"fold 1": [3, 4]}}, "settings": settings}

    assert looks_before(run, summary()) == (None, (0, ""))
    write_json(tmp_path / "verdict.json", first.as_dict())
    write_json(tmp_path / "folds.json", summary())
    assert looks_before(run, summary(prove={"seeds": 9, "margin": 0.1})) == (first, (0, ""))
    value = {"train": {"steps": 7}, "generate": {"truncation": 0.5}, "prove": {"classifier": "resnet"}}[section]
    assert looks_before(run, summary(**{section: value})) == (None, (7, first.outcome))
    assert looks_before(run, summary(seed=1)) == (None, (0, ""))
    write_json(tmp_path / "folds.json", summary(**{section: value}) | {"look": (7, "helps")})
    assert looks_before(run, summary(**{section: value})) == (first, (7, "helps"))
    assert looks_before(run, summary())[1] == (7, "helps")
    assert replace(first, earlier_seeds=3, earlier_outcome="hurts").look == (3, "hurts")
