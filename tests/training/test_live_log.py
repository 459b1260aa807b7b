"""The log of a training grows row by row while it runs, not only with its checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest

from augury.files import read_lines
from augury.training import Progress, train_plan
from augury.training.checkpoints import files
from tests.helpers.training_data import Cut, planned, small

EVERY = 2
"""Steps between two rows of a training of 40 steps."""


def steps(folder: Path) -> list[int]:
    return [row["step"] for row in read_lines(folder / "log.jsonl")]


def test_each_row_is_in_the_file_before_the_next_checkpoint(tmp_path: Path) -> None:
    data, ahead = small(), []
    plan = planned(data, recipe="dcgan", steps=40, overrides={"width": 8})

    def look(progress: Progress) -> None:
        if progress.step % EVERY == 0:
            assert steps(tmp_path) == list(range(EVERY, progress.step + 1, EVERY))
            checkpoint = max((int(file.stem.rpartition("-")[2]) for file in files(tmp_path)), default=0)
            ahead.append(progress.step - checkpoint)

    train_plan(plan, data, tmp_path, checkpoint_every=1e9, on_progress=look)
    assert max(ahead) > EVERY  # otherwise rows and checkpoints could not be told from each other
    assert max(ahead) <= 40 / 5  # there is a checkpoint every fifth of the training, however long checkpoint_every is
    assert steps(tmp_path) == list(range(EVERY, 41, EVERY))


def test_a_training_that_goes_on_has_each_row_once(tmp_path: Path) -> None:
    data = small()
    plan = planned(data, recipe="dcgan", steps=40, overrides={"width": 8})

    def cut(progress: Progress) -> None:
        if progress.step == 14:
            raise Cut

    with pytest.raises(Cut):
        train_plan(plan, data, tmp_path, checkpoint_every=1e9, on_progress=cut)
    assert steps(tmp_path)[-1] == 14
    seen: list[list[int]] = []
    train_plan(plan, data, tmp_path, checkpoint_every=1e9, on_progress=lambda progress: seen.append(steps(tmp_path)))
    assert all(rows == sorted(set(rows)) for rows in seen) and seen[0][-1] < 14
    assert steps(tmp_path) == list(range(EVERY, 41, EVERY))
