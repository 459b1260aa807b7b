"""A table without an empty cell: a translator can be trained and used, but there is nothing to fill."""

from __future__ import annotations

from pathlib import Path

import pytest

import augury
from augury.errors import SettingsError
from tests.helpers.cell_data import images

FOUR = {(0, 0): 40, (0, 1): 40, (1, 0): 40, (1, 1): 40}
SETTINGS = {
    "train": {
        "recipe": "translator",
        "condition": ("ground",),
        "steps": 3,
        "overrides": {"width": 8, "blocks": 1},
    },
    "data": {"near_duplicates": "allow"},
}


def test_a_translator_is_trained_on_a_complete_table(tmp_path: Path) -> None:
    data = images(FOUR, seed=0)
    run = augury.run(data, tmp_path / "run", settings=SETTINGS, until="train")
    translator = run.synthesizer
    changes = translator.changes_of({"ground": "bright"}, 5)
    translated = translator.translate(data.images[:5], changes)
    assert translated.shape == data.images[:5].shape and (translated != data.images[:5]).any()


def test_filling_a_complete_table_is_refused_before_the_training(tmp_path: Path) -> None:
    data = images(FOUR, seed=0)
    with pytest.raises(SettingsError, match="nothing to fill"):
        augury.run(data, tmp_path / "run", settings=SETTINGS, until="generate")
    assert not (tmp_path / "run" / "train").exists()
