"""Cards follow what is stated after the training: the licence, and the format of the data set."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import augury
from augury.cli.commands import app
from augury.pipeline import session
from augury.pipeline.run_folder import Run
from tests.whole.test_run_cards import SETTINGS, photos

UNKNOWN = {**SETTINGS, "data": {}, "export": {"format": "npz"}}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose licence nobody stated before the training, and then its cards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "CLASSIFIER_STEPS", 3)
        return augury.run(photos(), tmp_path_factory.mktemp("run") / "r", settings=UNKNOWN, until="export")


def licence(card: Path) -> str:
    fields = yaml.safe_load(card.read_text(encoding="utf-8").split("---\n", 2)[1])
    return str(fields["license"])


def generated(run: Run, output: Path, *words: str) -> str:
    arguments = ["generate", str(run.path), "-o", str(output), "--number", "1", *words]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return licence(output / "README.md")


def test_a_licence_that_is_stated_after_the_training_reaches_every_card(run: Run, tmp_path: Path) -> None:
    cards = run / "synthesizer" / "README.md", run / "dataset.npz.README.md"
    weights = (run / "synthesizer" / "weights.safetensors").stat().st_mtime_ns
    assert [licence(card) for card in cards] == ["unknown", "unknown"]
    assert generated(run, tmp_path / "a") == "unknown"
    assert generated(run, tmp_path / "b", "--licence", "MIT") == "mit"
    augury.run(photos(), run.path, settings={**UNKNOWN, "data": {"licence": "CC BY 4.0"}}, until="export")
    assert [licence(card) for card in cards] == ["cc-by-4.0", "cc-by-4.0"]
    assert (run / "synthesizer" / "weights.safetensors").stat().st_mtime_ns == weights  # nothing was trained again
    assert generated(run, tmp_path / "c") == "cc-by-4.0"
    assert generated(run, tmp_path / "d", "--licence", "MIT") == "mit"


def test_another_format_takes_the_card_of_the_earlier_one_away(run: Run) -> None:
    assert (run / "dataset.npz.README.md").exists()
    augury.run(photos(), run.path, settings={**UNKNOWN, "export": {"format": "tar"}}, until="export")
    assert not (run / "dataset.npz.README.md").exists() and not (run / "dataset.npz").exists()
    assert "| cat |" in (run / "dataset.tar.README.md").read_text(encoding="utf-8")
    augury.run(photos(), run.path, settings={**UNKNOWN, "export": {"format": "folder"}}, until="export")
    assert not list(run.path.glob("dataset.*")) and (run / "dataset" / "README.md").exists()
