"""What `make soak` counts: the stage in which a run was killed."""

from __future__ import annotations

from pathlib import Path

from augury.files import write_json
from augury.pipeline.stages import STAGES
from scripts.soak import ENDED, stage_of


def test_a_run_works_on_the_first_stage_that_is_not_done(tmp_path: Path) -> None:
    assert stage_of(tmp_path / "none") == "split"
    counted = []
    for number in range(len(STAGES) + 1):
        write_json(tmp_path / "state.json", {name: {"key": "k"} for name in list(STAGES)[:number]})
        counted.append(stage_of(tmp_path))
    assert counted == [*STAGES, ENDED]
