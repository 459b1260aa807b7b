"""A clock that goes backwards, and data files that change or disappear while a run works."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import augury
from augury.errors import DataError
from augury.pipeline.inputs import Callbacks
from augury.training import train_plan
from tests.helpers.training_data import planned, small

SETTINGS = {
    "data": {"size": 12},
    "train": {"recipe": "dcgan", "steps": 3, "precision": "fp32", "batch": 8},
    "score": {"limit": 20},
    "prove": {"steps": 2, "seeds": 2, "arms": ["randaugment", "gan"], "classifier": "cnn"},
}


def test_a_clock_that_goes_backwards_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = small()
    plan = planned(data, recipe="dcgan", steps=4)
    usual = train_plan(plan, data, tmp_path / "usual").weights
    now = [2e9]

    def backwards() -> float:
        now[0] -= 86_400
        return now[0]

    monkeypatch.setattr(time, "time", backwards)
    assert train_plan(plan, data, tmp_path / "backwards", checkpoint_every=0.01).weights == usual
    rows = augury.files.read_lines(tmp_path / "backwards" / "log.jsonl")
    assert all(row["seconds"] >= 0 and row["images_per_second"] > 0 for row in rows)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Class folders of 60 PNG files each."""
    random = np.random.default_rng(0)
    for name, ground in (("day", 230), ("night", 20)):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for i in range(60):
            pixels = random.integers(0, 256, (16, 16), dtype=np.uint8)
            pixels[4:10, 4:10] = ground
            Image.fromarray(pixels).save(folder / f"{i:02d}.png")
    return tmp_path / "photos"


def at_stage(name: str, action) -> Callbacks:
    """Callbacks that call `action` when a stage begins."""
    return Callbacks(begin=lambda stage, cached: action() if stage == name else None)


@pytest.mark.slow
@pytest.mark.parametrize("change", ["vanish", "change"])
def test_a_file_that_changes_or_vanishes_in_a_run_is_named_and_nothing_is_mixed(
    change: str, photos: Path, tmp_path: Path
) -> None:
    """The data set that a run exports has the original files; one of them is gone or another image by then."""
    file = photos / "day" / "07.png"

    def act() -> None:
        if change == "vanish":
            file.unlink()
        else:
            Image.fromarray(np.full((16, 16), 77, np.uint8)).save(file)

    saved = shutil.copy(file, tmp_path / "saved.png")
    settings = {**SETTINGS, "export": {"originals": "copy"}}
    problem = r"day/07\.png is missing" if change == "vanish" else r"day/07\.png is another image"
    with pytest.raises(DataError, match=rf"changed since the run read them \({problem}\); restore them"):
        augury.run(photos, tmp_path / "r", settings=settings, callbacks=at_stage("export", act))
    shutil.copy(saved, file)
    run = augury.run(photos, tmp_path / "r", settings=settings)
    assert run.verdict.outcome and run.dataset.exists()


@pytest.mark.slow
def test_a_run_that_is_resumed_on_changed_data_begins_again(photos: Path, tmp_path: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    stages: list[tuple[str, bool]] = []
    with pytest.raises(KeyboardInterrupt):
        augury.run(photos, tmp_path / "r", settings=SETTINGS, callbacks=at_stage("generate", stop))
    (photos / "night" / "03.png").unlink()
    run = augury.run(
        photos,
        tmp_path / "r",
        settings=SETTINGS,
        until="train",
        callbacks=Callbacks(begin=lambda stage, cached: stages.append((stage, cached))),
    )
    assert stages == [("split", False), ("classify", False), ("train", False)]
    assert run.metadata["data"]["n"] == len(run.split) == 119
