"""Pictures of several synthetic images say that they are synthetic too: strips, walks and sheets of a training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augury import data as data_package
from augury import provenance
from augury.cli.latent_edits import write_strips
from augury.data import write_animation
from augury.training import train_plan
from tests.helpers.linear_generator import linear_synthesizer
from tests.helpers.training_data import planned, small

STRIPS = {name: np.random.default_rng(0).integers(0, 256, (4, 1, 8, 8), dtype=np.uint8) for name in ("a", "b")}
EDITS = {"edits": {"pose": 2}}


def written(file: Path, composite: bool = False) -> bytes:
    write_strips(
        file, STRIPS, ["1", "2", "3", "4"], linear_synthesizer(), True, {**EDITS, "photos": ["me.png"]}, composite
    )
    return file.read_bytes()


@pytest.mark.parametrize("name", ["strips.png", "walk.gif", "walk.mp4"])
def test_strips_and_walks_state_what_they_are(name: str, tmp_path: Path) -> None:
    if name.endswith("mp4"):
        pytest.importorskip("imageio_ffmpeg", reason="imageio-ffmpeg is not installed: MP4 is an extra")
    raw = written(tmp_path / name)
    assert provenance.synthetic_by(raw) == provenance.SOFTWARE
    assert linear_synthesizer().fingerprint.encode() in raw and b"me.png" not in raw


def test_a_picture_of_photographs_and_their_inversions_is_a_composite(tmp_path: Path) -> None:
    alone, beside = written(tmp_path / "a.png"), written(tmp_path / "b.png", composite=True)
    texts = [Image.open(tmp_path / name).text for name in ("a.png", "b.png")]
    kinds = [text["DigitalSourceType"].rpartition("/")[2] for text in texts]
    assert kinds == ["trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"]
    assert all(kind in text["XML:com.adobe.xmp"] for kind, text in zip(kinds, texts, strict=True))
    assert json.loads(texts[0]["augury"])["edits"] == {"pose": 2}
    assert provenance.synthetic_by(alone) == provenance.synthetic_by(beside) == provenance.SOFTWARE


def test_inspect_recognises_strips_and_walks_among_photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUGURY_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "photos"
    for kind in ("cat", "dog"):
        (folder / kind).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(np.random.default_rng(i).integers(0, 256, (9, 9), dtype=np.uint8)).save(
                folder / kind / f"{i}.png"
            )
    written(folder / "cat" / "strips.png")
    written(folder / "dog" / "walk.gif")
    _, census = data_package.inspect(folder)
    assert census.as_dict()["synthetic"] == {provenance.SOFTWARE: 2}


def test_an_animation_of_real_images_carries_no_mark(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    write_animation(tmp_path / "real.gif", frames)
    assert provenance.synthetic_by((tmp_path / "real.gif").read_bytes()) == ""
    write_animation(tmp_path / "drawn.gif", frames, comment=provenance.comment({"seed": 1}))
    before, after = (Image.open(tmp_path / name) for name in ("real.gif", "drawn.gif"))
    for at in range(before.n_frames):
        before.seek(at)
        after.seek(at)
        np.testing.assert_array_equal(np.asarray(before.convert("RGB")), np.asarray(after.convert("RGB")))
    assert before.n_frames == after.n_frames == 4


def test_the_sample_sheets_of_a_training_are_marked(tmp_path: Path) -> None:
    data = small(40)
    train_plan(planned(data, recipe="dcgan", steps=2, overrides={"width": 8}), data, tmp_path / "train")
    sheets = sorted((tmp_path / "train" / "samples").glob("*.png"))
    assert sheets
    for sheet in sheets:
        facts = json.loads(Image.open(sheet).text["augury"])
        assert facts["recipe"] == "dcgan" and f"step-{facts['steps']:06d}.png" == sheet.name
        assert provenance.synthetic_by(sheet.read_bytes()) == provenance.SOFTWARE
