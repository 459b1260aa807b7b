"""The page `verdict`: the metric of the trial, and whether images or decisions are newer than it."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("starlette", reason="the extra [explore] is not installed")

import augury
from augury.pipeline import session
from augury.pipeline.run_folder import Run
from tests.explorer.test_pages import client
from tests.helpers.explored_run import SETTINGS

pytestmark = pytest.mark.slow  # for the runs that it looks at

METRIC = "sensitivity for dog at 80 % specificity"


@pytest.fixture(scope="module")
def detection(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run whose trial is about the sensitivity for one class."""
    folder = tmp_path_factory.mktemp("detection") / "run"
    shutil.copytree(whole, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "CLASSIFIER_STEPS", 3)
        patch.setattr("augury.pipeline.judge_images.lite0_installed", lambda: False)
        prove = {**SETTINGS["prove"], "metric": "sensitivity@0.8:dog"}
        augury.run(None, folder, settings={**SETTINGS, "prove": prove}, until="prove")
    return folder


def shown(run: Path, query: str, arm: str) -> float:
    """The mean that the plot shows of an arm; differences are in points."""
    text = client(run).get(f"/verdict?{query}").text
    value = re.search(rf'rowheader">{arm}</span>\s*<span class="value" role="cell">([^<]+)', text)
    assert value is not None
    return float(value[1].replace("−", "-"))


def choices(run: Path) -> dict[str, str]:
    """Measure -> its name, as the list offers them; "chosen" is the one that is shown."""
    text = client(run).get("/verdict").text
    options = re.search(r'<select name="measure">(.*?)</select>', text, re.S)
    assert options is not None
    rows = re.findall(r'<option value="(\w+)"( selected)?>([^<]+)</option>', options[1])
    return {value: name for value, _, name in rows} | {"chosen": next(value for value, chosen, _ in rows if chosen)}


def test_the_metric_of_the_trial_is_shown_first(detection: Path) -> None:
    verdict, measures = Run(detection).verdict, choices(detection)
    assert verdict.metric == METRIC
    assert measures["chosen"] == "primary" and measures["primary"] == METRIC
    assert (
        measures["validation"] == f"{METRIC} on validation"
        and measures["specificity"] == "specificity at the threshold"
    )
    for arm, values in verdict.arms.items():
        for measure in ("primary", "specificity"):
            assert shown(detection, f"measure={measure}", arm) == pytest.approx(np.mean(values[measure]), abs=0.0006)
    assert shown(detection, "", verdict.arm) == shown(detection, "measure=primary", verdict.arm)
    gap = shown(detection, f"against={verdict.comparator}", verdict.arm)
    assert gap == pytest.approx(100 * verdict.difference, abs=0.06)


def test_a_trial_about_balanced_accuracy_has_no_threshold(whole: Path) -> None:
    measures = choices(whole)
    assert measures["chosen"] == "balanced_accuracy" and not {"primary", "specificity"} & measures.keys()
    assert measures["validation"] == "balanced accuracy on validation"


def test_a_copied_run_does_not_ask_for_another_trial(own: Path) -> None:
    verdict, manifest = own / "verdict.json", own / "synthetic" / "manifest.jsonl"
    later = verdict.stat().st_mtime + 60
    os.utime(manifest, (later, later))  # as a copy may have it
    assert "Repeat the trial" not in client(own).get("/verdict").text
    state = json.loads((own / "state.json").read_text())
    state["generate"]["finished"] = "2999-01-01 00:00:00"  # as if the images were drawn again
    (own / "state.json").write_text(json.dumps(state))
    assert "Repeat the trial" in client(own).get("/verdict").text


def test_a_decision_that_was_withdrawn_after_the_verdict_asks_for_another_trial(own: Path) -> None:
    verdict, manifest = own / "verdict.json", own / "synthetic" / "manifest.jsonl"
    stored = json.loads(verdict.read_text())
    stored["synthetic"] |= {"accepted": stored["synthetic"]["accepted"] - 1, "rejected": {"review": 1}}
    verdict.write_text(json.dumps(stored))
    for seconds, asks in ((-60, False), (60, True)):
        when = verdict.stat().st_mtime + seconds
        os.utime(manifest, (when, when))
        assert ("Repeat the trial" in client(own).get("/verdict").text) == asks
