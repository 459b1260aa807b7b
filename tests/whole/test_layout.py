"""The layout that docs/DESIGN.md describes is the one that there is, and the one that the import rules are about."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import augury
from augury.pipeline.inputs import Callbacks
from augury.training import Progress

ROOT = Path(__file__).parents[2]
DESIGN = (ROOT / "docs" / "DESIGN.md").read_text(encoding="utf-8")
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]


def test_the_packages_of_the_design_are_those_that_exist() -> None:
    listing = DESIGN.split("## Packages")[1].split("Planned:")[0]
    listed = set(re.findall(r"^    (\w+(?:/|\.py))  ", listing, re.M))
    source = ROOT / "src" / "augury"
    existing = {f"{path.name}/" for path in source.iterdir() if (path / "__init__.py").exists()}
    existing |= {path.name for path in source.glob("*.py")}
    assert listed == existing


def test_the_layers_of_the_design_are_those_of_the_import_rules() -> None:
    drawing = DESIGN.split("as well (pyproject.toml):")[1].split("A thing that")[0]
    lines = [line.strip() for line in drawing.splitlines() if line.strip()]
    (layers,) = (each["layers"] for each in CONTRACTS if each["name"].endswith("(docs/DESIGN.md)"))
    assert lines == [layer.replace("augury.", "") for layer in layers]


def test_every_module_within_cli_and_pipeline_has_its_layer() -> None:
    for package in ("cli", "pipeline"):
        (layers,) = (each["layers"] for each in CONTRACTS if each.get("containers") == [f"augury.{package}"])
        listed = {name.strip() for layer in layers for name in layer.split("|")}
        existing = {path.stem for path in (ROOT / "src" / "augury" / package).glob("*.py")} - {"__init__"}
        assert listed == existing, package


def test_all_is_what_can_be_used() -> None:
    assert sorted(augury.__all__) == augury.__all__
    assert all(getattr(augury, name) is not None for name in augury.__all__)
    assert set(augury.__all__) <= set(dir(augury))


def test_the_package_runs_as_a_module_and_says_its_version() -> None:
    result = subprocess.run([sys.executable, "-m", "augury", "--version"], capture_output=True, text=True, check=True)
    assert result.stdout == f"augury {augury.__version__}\n"


def test_stages_and_notes_reach_the_logger_and_the_caller(caplog: pytest.LogCaptureFixture) -> None:
    notes: list[str] = []
    callbacks = Callbacks(note=notes.append).logged()
    with caplog.at_level(logging.DEBUG, "augury"):
        callbacks.begin("train", False)
        callbacks.note("100 % of it")
        callbacks.training(Progress(3, 9, {"loss_d": 0.5}, 100.0, 2.0))
    assert notes == ["100 % of it"]
    assert [record.getMessage() for record in caplog.records] == [
        "train: begins",
        "100 % of it",
        "step 3 of 9: {'loss_d': 0.5}",
    ]
