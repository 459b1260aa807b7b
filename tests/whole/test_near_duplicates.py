"""A run on data with copies: kept on one side, refused or left out where the given split tears them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import augury
from augury import proof
from augury.data import LEFT_OUT, from_arrays
from augury.errors import DataError
from augury.images import Images, LabelledImages, SyntheticImages
from augury.pipeline.inputs import Callbacks
from augury.pipeline.stages import advance, opened
from augury.settings import GenerateSettings, ProveSettings, RunSettings, TrainSettings


@pytest.fixture
def copied() -> LabelledImages:
    """60 blotches at 32 px; the last ten are brighter copies of the first ten."""
    coarse = np.random.default_rng(0).integers(40, 200, (60, 16, 16))
    pixels = coarse.repeat(2, axis=1).repeat(2, axis=2)
    pixels[50:] = np.minimum(pixels[:10] * 1.1 + 12, 255)
    return from_arrays(pixels.astype(np.uint8), np.arange(60) % 2)


def settings(near_duplicates: str) -> RunSettings:
    return RunSettings(device="cpu", data={"near_duplicates": near_duplicates})


def test_copies_stay_in_one_part(copied: LabelledImages, tmp_path: Path) -> None:
    run = augury.run(copied, tmp_path / "r", settings=settings("refuse"), until="split")
    codes = np.load(run / "split.npy")
    assert np.array_equal(codes[:10], codes[50:]) and set(codes.tolist()) == {0, 1, 2}
    stored = json.loads((run / "near_duplicates.json").read_text())
    assert stored["clusters"] == [[f"index {i}", f"index {i + 50}"] for i in range(10)] and stored["left_out"] == []
    allowed = augury.run(copied, tmp_path / "free", settings=settings("allow"), until="split")
    assert not np.array_equal(np.load(allowed / "split.npy")[:10], np.load(allowed / "split.npy")[50:])


def test_copies_that_test_count_once_and_images_like_them_are_not_exported(
    copied: LabelledImages, tmp_path: Path
) -> None:
    split = np.r_[np.full(10, 2), np.full(40, 0), np.full(10, 2)].astype(np.int8)
    notes: list[str] = []
    with opened(
        replace(copied, split=split),
        tmp_path / "r",
        settings=settings("refuse"),
        callbacks=Callbacks(note=notes.append),
    ) as session:
        advance(session, "split")
        test = session.splits["test"]
        assert test.groups is not None and len(test) == 20 and np.array_equal(test.groups[:10], test.groups[10:])
        assert len(np.unique(test.groups)) == 10 and session.splits["train"].groups is None
        images = np.random.default_rng(1).integers(0, 256, (4, 1, 16, 16)).repeat(2, 2).repeat(2, 3).astype(np.uint8)
        images[1] = np.minimum(test.images[3] * 0.9, 255)
        reasons = ("", "", "agreement", "")
        session.__dict__["synthetic"] = SyntheticImages(
            images, np.zeros((4, 1), np.int64), (), copied.classes, 0, np.arange(4), "any", reasons=reasons
        )
        assert session.exported().reasons == ("", "like a test image", "agreement", "")
        assert notes[-1] == "1 synthetic images are near-duplicates of a test image and are not exported"


def test_what_the_trial_has_looked_at_is_not_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    coarse_images = (
        np.random.default_rng(3).integers(0, 256, (60, 1, 16, 16)).repeat(2, 2).repeat(2, 3).astype(np.uint8)
    )
    data = LabelledImages(coarse_images, np.arange(60) % 2, ("a", "b"), fingerprint="rough")
    monkeypatch.setattr("augury.pipeline.session.CLASSIFIER_STEPS", 2)
    quick = settings("refuse").model_copy(
        update={
            "train": TrainSettings(steps=2, batch=8, precision="fp32", overrides={"width": 8}),
            "generate": GenerateSettings(filters=(), sampling_strategy=4),
            "prove": ProveSettings(arms=("none", "gan"), seeds=2, steps=2, batch=8, ratios=(1.0,)),
        }
    )
    lengths: list[int] = []
    original_search = proof.like_held

    def counted_search(images: Images, *arguments: object, **options: object) -> np.ndarray:
        lengths.append(len(images))
        return original_search(images, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(proof, "like_held", counted_search)
    with opened(data, tmp_path / "r", settings=quick) as session:
        advance(session, "generate")
        first_export = session.exported()
        assert lengths == [8]
        advance(session, "prove")
        second_export = session.exported()
        assert lengths == [8] and second_export.reasons == first_export.reasons
        stored = json.loads((session.run / "verdict.json").read_text())
        stored["leaks"]["left_out"] = 1
        (session.run / "verdict.json").write_text(json.dumps(stored))
        session.exported()
        assert lengths == [8, 8]


def test_a_split_that_tears_copies_is_refused_and_dropping_mends_it(copied: LabelledImages, tmp_path: Path) -> None:
    torn = replace(copied, split=np.repeat([0, 2], [45, 15]).astype(np.int8))
    with pytest.raises(DataError, match="10 near-duplicate pictures lie in more than one part"):
        augury.run(torn, tmp_path / "r", settings=settings("refuse"), until="split")
    run = augury.run(torn, tmp_path / "r", settings=settings("drop"), until="split")
    codes = np.load(run / "split.npy")
    assert (codes[:10] == LEFT_OUT).all() and (codes[45:] == 2).all() and (codes[10:45] >= 0).all()
    assert sum(map(sum, run.metadata["data"]["counts"].values())) == 50
    assert len(json.loads((run / "near_duplicates.json").read_text())["left_out"]) == 10
