"""Every parser reads damaged files or refuses them with an error of Augury. `make fuzz` tries a thousand inputs each."""

from __future__ import annotations

from pathlib import Path

import pytest

from augury.pipeline.run_folder import Run
from augury.randomness import rng
from tests.helpers.fuzzing import attempts, mutated, mutated_json, small_run, targets

NAMES = tuple(targets(Path()))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return small_run(tmp_path_factory.mktemp("fuzz") / "run")


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files_are_read_or_refused(name: str, run: Run, tmp_path: Path) -> None:
    outcomes = list(attempts(name, targets(run.path)[name], tmp_path, range(30), seed=1))
    assert [f"{number}: {error!r}" for number, error in outcomes if error is not None] == []
    assert len(outcomes) == 30


def test_mutations_change_the_content_and_can_be_repeated() -> None:
    content = bytes(range(256))
    first = [mutated(content, rng(0, "fuzz", number)) for number in range(50)]
    assert first == [mutated(content, rng(0, "fuzz", number)) for number in range(50)]
    assert sum(each != content for each in first) > 45
    lines = b'{"a": 1, "b": [2, 3]}\n{"a": 4}\n'
    assert len({mutated_json(lines, rng(0, "fuzz", number)) for number in range(50)}) > 10
