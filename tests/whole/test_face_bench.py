"""The benchmark behind docs/faces.md: its judges, and a short run of the whole on a stand-in for the CMU faces."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.helpers.cmu_faces import stand_in

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture(scope="module")
def bench() -> Iterator[dict[str, ModuleType]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCH))
        yield {name: importlib.import_module(name) for name in ("cases", "faces", "face_judges")}


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    stand_in(tmp_path / "cmu_faces_64x60.npz", people=20)
    return tmp_path


def test_each_half_shows_every_person_in_every_pose_with_every_expression(
    bench: dict[str, ModuleType], faces: Path
) -> None:
    judges = bench["face_judges"].Judges(bench["cases"].cmu_heads(faces, "pose"), "pose", faces)
    names = ("person", "pose", "expression")
    shown = np.stack([judges.truth[name].codes for name in names], axis=1)
    for half in range(2):
        assert len(np.unique(shown[judges.halves == half], axis=0)) == (judges.halves == half).sum() == 20 * 4 * 4
    eyes = judges.truth["eyes"].codes
    assert {tuple(np.unique(eyes[judges.halves == half])) for half in range(2)} == {(0, 1)}


def test_a_real_image_is_judged_by_the_network_that_did_not_train_on_it(
    bench: dict[str, ModuleType], faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = bench["face_judges"]
    judges = module.Judges(bench["cases"].cmu_heads(faces, "pose"), "pose", faces)
    pose, rows = judges.truth["pose"].codes, np.arange(len(judges.faces))
    right, wrong = np.eye(4)[pose], np.eye(4)[(pose + 1) % 4]

    def answers(trained: bool) -> list[object]:
        """Networks that recognise the images that they trained on, or the others, and no more."""
        return [np.where(((judges.halves == half) == trained)[:, None], right, wrong) for half in range(2)]

    monkeypatch.setattr(module.proof, "probabilities", lambda network, images: network)
    for trained in (True, False):
        monkeypatch.setitem(judges.__dict__, "networks", {"pose": answers(trained)})
        assert (judges.right_of_real(rows, ("pose",))["pose"] == (not trained)).all()


def test_shares_count_images_where_everything_is_right(bench: dict[str, ModuleType]) -> None:
    named = {"pose": np.array([True, True, True, False]), "person": np.array([True, True, False, False])}
    assert bench["face_judges"].shares(named) == {"pose": "75 %", "person": "50 %", "all": "50 %"}


def test_means_are_over_combinations_and_not_over_images(bench: dict[str, ModuleType]) -> None:
    def row(n: int, share: int) -> dict[str, object]:
        cells = dict.fromkeys(("person", "expression", "pose", "all"), f"{share} %")
        return {"combination": f"{n}", "images": "from noise", "n": n} | cells

    rows = {"a": [row(10, 20)], "b": [row(30, 40)]}
    (mean,) = bench["faces"].averaged(rows)
    assert (mean["combinations"], mean["n"], mean["all"]) == (2, 40, "30 %")
    assert bench["faces"].share_of_all(rows)[1] == {"combination": "30", "from noise": "40 %"}


@pytest.mark.slow
def test_the_benchmark_runs_to_its_end_and_draws_its_sheets(
    bench: dict[str, ModuleType], faces: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--quick", "--data", str(faces), "--folder", str(faces / "runs"), "--combinations", "angry/left"]
    bench["faces"].main([*words, "--cases", "turned,combinations"])
    printed = capsys.readouterr().out
    rows = json.loads(re.findall(r"^combinations: (\{.*?^\})$", printed, re.M | re.S)[-1])["angry/left"]
    ways = ["translated: face turned", "translated: expression changed", "from noise", "real images"]
    assert [each["images"] for each in rows] == ways and rows[-1]["n"] == 40
    sheets = sorted(path.name for path in (faces / "runs" / "quick" / "sheets").iterdir())
    assert "combinations.png" in sheets and len(sheets) > 1
