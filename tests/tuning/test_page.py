"""The report of a search says what mattered: trials are stored in which one setting alone decides."""

from __future__ import annotations

import html
import itertools
import re
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch

from augury import training
from augury.settings import RunSettings
from augury.tuning import DIMENSIONS
from augury.tuning import study as studies
from augury.tuning.page import write_page
from augury.tuning.space import Candidate, Space, chosen_dimensions
from augury.validation import validated
from tests.helpers.training_data import small

LEVELS: dict[str, tuple[float, float]] = {"generator_lr": (0.5, 2.0), "r1": (0.25, 4.0), "width": (0.5, 2.0)}
"""A low and a high value of each setting. Every combination is a trial, so settings that do not decide are balanced."""


def page_of(folder: Path, decisive: str, trials: int = 8) -> str:
    """The page of a search in which `decisive` alone is responsible for the value of a trial."""
    base, data = validated(RunSettings, {"train": {"recipe": "rpgan"}}), small()
    _, rule = training.resolve_recipe(data, base.train, torch.device("cpu"))
    candidates = {"rpgan": Candidate("rpgan", rule, 16, len(data), 12, "gan_train")}
    space = Space(base, candidates, chosen_dimensions(base, tuple(LEVELS)))
    study = studies.opened(str(folder / "study.journal"), studies.Identity("data", space.key(), "gan_train"), seed=0)
    distributions: dict[str, Any] = {}
    for name in LEVELS:
        dimension = DIMENSIONS[name]
        distributions[name] = (
            optuna.distributions.CategoricalDistribution(dimension.values)
            if dimension.values
            else optuna.distributions.FloatDistribution(dimension.low, dimension.high, log=dimension.log)
        )
    for levels in itertools.islice(itertools.product((0, 1), repeat=len(LEVELS)), trials):
        level = dict(zip(LEVELS, levels, strict=True))
        values = {name: LEVELS[name][level[name]] for name in LEVELS}
        study.add_trial(
            optuna.trial.create_trial(params=values, distributions=distributions, value=0.4 + 0.5 * level[decisive])
        )
    rows = [studies.plain(trial) | {"fresh": None} for trial in study.trials]
    facts = {
        "title": "accuracy", "higher": True, "source": "photos", "seconds": 60.0, "real": None, "is_default": False,
        "changes": {}, "notes": {}, "winner": 7, "search": 0.9, "fresh": None, "default_search": 0.4,
        "default_fresh": None, "trials": rows,
    }  # fmt: skip
    write_page(facts, study, space, folder / "report.html")
    return html.unescape((folder / "report.html").read_text(encoding="utf-8"))


@pytest.mark.parametrize("decisive", LEVELS)
def test_the_setting_that_decides_is_the_largest(tmp_path: Path, decisive: str) -> None:
    page = page_of(tmp_path, decisive)
    section = page.partition("<h3>What mattered, recipe rpgan</h3>")[2].partition("</figure>")[0]
    (text,) = re.findall(r"Share of the variation between trials: ([^.]*)\.", section)
    shares = {name: int(share) for name, share in re.findall(r"(\w+) (\d+)%", text)}
    assert shares.keys() == LEVELS.keys() and next(iter(shares)) == decisive
    assert shares[decisive] > 80 and 98 <= sum(shares.values()) <= 102
    first_bar = re.findall(r'<text class="tick end"[^>]*>([^<]+)</text>', section)[0]
    assert first_bar == decisive.replace("_", " ")


def test_few_trials_are_not_judged(tmp_path: Path) -> None:
    assert "What mattered" not in page_of(tmp_path, "width", trials=5)
