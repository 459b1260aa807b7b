"""A user's own network by `package.module:function`: found in the working directory, or refused before any training."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from augury.errors import SettingsError
from augury.proof.checks import check_trial
from augury.proof.learners import Network, code_of, learner
from augury.settings import ProveSettings

NETS = """
import torch
from torch import nn

def build(channels, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * 100, classes))

def five(channels, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * 100, 5))

def nothing(channels, classes):
    return None

def alone(channels):
    return build(channels, 2)

SIZE = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    package = tmp_path / "my_own_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "nets.py").write_text(NETS)
    (package / "lacking.py").write_text("import no_such_library")
    (package / "broken.py").write_text("raise ValueError('no data')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] == "my_own_package"]:
        del sys.modules[name]


def test_a_function_of_the_working_directory_is_a_classifier(folder: Path) -> None:
    state = torch.random.get_rng_state()
    build = learner("my_own_package.nets:build", (1, 10, 10), torch.device("cpu"))
    assert isinstance(build, Network) and torch.equal(torch.random.get_rng_state(), state)
    network = build.build(2, 4)
    assert network[1].out_features == 4  # type: ignore[index]
    assert "def five" in code_of("my_own_package.nets:build")  # results of other code are not reused


@pytest.mark.parametrize(
    ("classifier", "rule"),
    [
        ("my_own_package.nettles:build", "there is no module 'my_own_package.nettles', neither installed nor in"),
        ("no_such_package:build", "there is no module 'no_such_package'"),
        ("my_own_package.lacking:build", "imports 'no_such_library', which is not installed"),
        ("my_own_package.broken:build", r"cannot be imported \(ValueError: no data\)"),
        ("my_own_package.nets:built", "has no 'built'; it has: build, five, nothing, alone"),
        ("my_own_package.nets:SIZE", "'SIZE' is a int, not a function"),
        ("my_own_package.nets:alone", r"cannot be called with \(channels, classes\)"),
        ("my_own_package.nets:nothing", "nothing gives a NoneType"),
        ("my_own_package.nets:five", r"for 2 images of 3 classes the classifier gives \[2, 5\]"),
    ],
)
def test_anything_else_is_refused_before_training(folder: Path, classifier: str, rule: str) -> None:
    settings = ProveSettings(arms=("none", "gan"), classifier=classifier)
    with pytest.raises(SettingsError, match=rule):
        check_trial(settings, (1, 10, 10), torch.device("cpu"))
