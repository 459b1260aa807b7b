"""The examples of docs/api.md run from top to bottom."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


@pytest.mark.slow
def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    names: dict[str, Any] = {}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("augury.pipeline.session.CLASSIFIER_STEPS", 5)
    for number, block in enumerate(blocks):
        exec(compile(block, f"{PAGE.name}, example {number + 1}", "exec"), names)
    assert len(blocks) == 8 and names["changed"].shape == (8, 1, 28, 28)
    assert names["verdict"].outcome == "underpowered" and (tmp_path / "dataset").is_dir()
    assert len(names["again"]) == 2 and names["run"].settings["train"]["steps"] == 20
