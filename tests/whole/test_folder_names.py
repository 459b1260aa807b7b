"""A command that writes a folder refuses the name of a file, before it reads or writes anything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import augury
from augury.cli.commands import app
from augury.errors import SettingsError

COMMANDS = (
    ["run", "--steps", "1"],
    ["run", "--folds", "2"],
    ["train"],
    ["compare", "--recipes", "vae"],
    ["prove", "PHOTOS", "--with", "PHOTOS"],
)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for i in range(8):
        file = tmp_path / "photos" / "ab"[i % 2] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (8, 8), np.uint8)).save(file)
    return tmp_path / "photos"


@pytest.mark.parametrize("name", ["e.csv", "e.npz", "e.TAR", "e.parquet", "e.zip", "e.tar.gz"])
@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[:2]))
def test_a_run_folder_is_not_called_like_a_file(photos: Path, tmp_path: Path, words: list[str], name: str) -> None:
    command = [str(photos) if word == "PHOTOS" else word for word in words]
    with pytest.raises(SettingsError, match=rf"{name}: this would be a folder.* as -o {tmp_path}/e$"):
        CliRunner().invoke(app, [*command, "-o", str(tmp_path / name)], catch_exceptions=False)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_python_refuses_it_as_well(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="choose a name without ending"):
        augury.run(photos, tmp_path / "e.csv", steps=1)
    assert not (tmp_path / "e.csv").exists()


def test_a_point_in_a_name_is_no_ending(photos: Path, tmp_path: Path) -> None:
    assert (augury.run(photos, tmp_path / "flowers.v2", until="split", steps=1) / "run.json").exists()
