"""The commands of docs/faces.md, run as written on a stand-in for the CMU faces."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from augury.cli.commands import app
from tests.helpers.cmu_faces import stand_in

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[2] / "docs" / "faces.md").read_text(encoding="utf-8")


def test_a_translator_is_trained_on_heads_and_turns_other_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("augury.pipeline.session.CLASSIFIER_STEPS", 5)
    stand_in(tmp_path / "cmu_faces_64x60.npz")
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
    exec(code, {})
    heads = np.load("heads.npz")["image"]
    assert heads.shape == (320, 40, 40)
    Path("my-heads").mkdir()
    for number in range(2):
        Image.fromarray(heads[number]).save(f"my-heads/{number}.png")
    (block,) = (text for text in re.findall(r"^```bash\n(.*?)^```", PAGE, re.M | re.S) if "augury train" in text)
    assert "--steps 2500" in block
    for line in block.replace("--steps 2500", "--steps 2").splitlines():
        _, *words = shlex.split(line)
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, f"{line}: {done.output} {done.exception!r}"
    turned = sorted(Path("turned").glob("*.png"))
    assert len(turned) == 2 and all(Image.open(each).size == (40, 40) for each in turned)
