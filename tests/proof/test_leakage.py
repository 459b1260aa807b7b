"""A leak planted in each place is caught."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from augury import proof
from augury.errors import DataError
from augury.images import LabelledImages
from augury.pipeline import session, stages
from augury.proof import leakage
from augury.settings import ProveSettings, RunSettings
from tests.helpers.proof_data import part, synthetic

TRAIN, VALIDATION, TEST = part((12, 12), 0), part((6, 6), 1), part((10, 10), 2)
FREE = synthetic(part((10, 10), 3).images, part((10, 10), 3).labels)
QUICK = ProveSettings(arms=("classical", "gan"), seeds=2, steps=1, batch=4, ratios=(1.0,))


def tried(**changed: object) -> proof.Verdict:
    inputs = {"train": TRAIN, "validation": VALIDATION, "test": TEST, "synthetic": FREE, "settings": QUICK} | changed
    return proof.prove(
        *(inputs[k] for k in ("train", "validation", "test", "synthetic", "settings")), seen=inputs.get("seen")
    )


def with_one(of: LabelledImages, into: LabelledImages) -> LabelledImages:
    """`into` with its last image, of the same class, replaced by the last one of `of`."""
    images = into.images.copy()
    images[-1] = of.images[-1]
    return replace(into, images=images)


def test_without_a_leak_nothing_is_refused() -> None:
    hashes = {role: leakage.image_hashes(TRAIN.images) for role in ("generator", "filters")}
    assert tried(seen=hashes).leaks == {"test_not_seen_by": ["filters", "generator"], "left_out": 0, "looked_for": True}


@pytest.mark.parametrize("role", ["generator", "filters", "classifier"])
def test_a_test_image_that_was_seen_is_caught(role: str) -> None:
    hashes = {role: leakage.image_hashes(with_one(TEST, TRAIN).images)}
    with pytest.raises(DataError, match=f"1 of 20 test images were seen by the {role}.*number 19"):
        tried(seen=hashes)


def test_a_test_image_among_the_choosing_or_the_training_is_caught() -> None:
    with pytest.raises(DataError, match="1 of 20 test images are in the validation split too"):
        tried(validation=with_one(TEST, VALIDATION))
    with pytest.raises(DataError, match="1 of 20 test images are in the train split too"):
        tried(train=with_one(TEST, TRAIN))
    with pytest.raises(DataError, match="1 of 12 validation images are in the train split too"):
        tried(train=with_one(VALIDATION, TRAIN))
    allowed = QUICK.model_copy(update={"near_duplicates": "allow"})
    assert tried(train=with_one(TEST, TRAIN), settings=allowed).leaks is not None


def test_test_images_among_the_synthetic_ones_are_caught() -> None:
    images = FREE.images.copy()
    images[:3] = TEST.images[:3]
    for policy in ("refuse", "drop"):
        with pytest.raises(DataError, match=r"3 of 20 synthetic images are images of the test split.*number 0"):
            tried(synthetic=replace(FREE, images=images), settings=QUICK.model_copy(update={"near_duplicates": policy}))
    rejected = replace(FREE, images=images, reasons=("agreement",) * 3 + ("",) * 17)
    assert tried(synthetic=rejected).outcome == "underpowered"  # a filter had rejected them


def test_validation_images_among_the_synthetic_ones_are_caught() -> None:
    images = FREE.images.copy()
    images[5] = VALIDATION.images[0]
    with pytest.raises(DataError, match=r"1 of 20 synthetic images are images of the validation split.*number 5"):
        tried(synthetic=replace(FREE, images=images))
    rejected = replace(FREE, images=images, reasons=("",) * 5 + ("agreement",) + ("",) * 14)
    assert tried(synthetic=rejected).leaks is not None


def blotches(n: int, seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(40, 200, (n, 1, 16, 16))
    return coarse.repeat(2, axis=2).repeat(2, axis=3).astype(np.uint8)


def test_mirrored_images_are_caught_where_a_classifier_is_trained_with_them() -> None:
    random = np.random.default_rng(8)
    coarse_images = (
        random.integers(0, 256, (40, 1, 6, 6), dtype=np.uint8).repeat(4, 2).repeat(4, 3)
    )  # not alike when mirrored
    sets = [LabelledImages(coarse_images[a : a + 10], np.arange(10) % 2, TRAIN.classes) for a in (0, 10, 20, 30)]
    for index, name in ((1, "validation"), (2, "test")):
        mirror = synthetic(np.ascontiguousarray(sets[index].images[..., ::-1]), sets[index].labels)
        proof.prove(*sets[:3], mirror, QUICK)
        with pytest.raises(DataError, match=f"images of the {name} split, pixel for pixel or mirrored"):
            proof.prove(*sets[:3], mirror, QUICK, flips=True)
        with pytest.raises(DataError, match=f"images of the {name} split"):
            proof.prove(*sets[:3], synthetic(sets[3].images, sets[3].labels), QUICK, flips=True, extra={"vae": mirror})
    faint = np.clip(sets[2].images[..., ::-1] * 0.9 + 12, 0, 255).astype(np.uint8)
    assert not leakage.like_held(faint, sets[2], "drop").any()
    assert leakage.like_held(faint, sets[2], "drop", mirrored=True).all()


def test_what_parts_share_may_have_been_seen_where_that_is_allowed() -> None:
    shared = with_one(TEST, TRAIN)
    hashes = {"generator": leakage.image_hashes(shared.images)}
    lenient = QUICK.model_copy(update={"near_duplicates": "allow"})
    tried(train=shared, settings=lenient, seen=hashes)
    with pytest.raises(DataError, match="seen by the generator"):
        tried(train=shared, settings=lenient, seen={"generator": leakage.image_hashes(TEST.images)})


def test_near_duplicates_of_test_images_are_refused_left_out_or_allowed() -> None:
    labels = np.arange(20) % 2
    test = LabelledImages(blotches(20, 0), labels, TEST.classes)
    images = blotches(20, 1)
    images[4:6] = np.minimum(test.images[4:6] * 1.1 + 12, 255)
    with pytest.raises(
        DataError, match=r"2 of 20 synthetic images are near-duplicates.*number 4.*near_duplicates=drop"
    ):
        leakage.like_held(images, test, "refuse")
    assert np.flatnonzero(leakage.like_held(images, test, "drop")).tolist() == [4, 5]
    assert not leakage.like_held(images, test, "allow").any()
    assert not leakage.like_held(images[:0], test).any()


def test_prints_tell_images_and_shapes_apart() -> None:
    images = np.arange(2 * 64, dtype=np.uint8).reshape(2, 1, 8, 8)
    assert len(set(leakage.image_hashes(images).tolist())) == 2
    assert leakage.image_hashes(images)[0] != leakage.image_hashes(images.reshape(2, 1, 4, 16))[0]
    np.testing.assert_array_equal(leakage.image_hashes(images[::-1]), leakage.image_hashes(images)[::-1])


def test_what_was_seen_is_kept_with_what_was_started_from(tmp_path: Path) -> None:
    leakage.record(tmp_path / "old" / "seen", "generator", leakage.image_hashes(TRAIN.images))
    for start in ("old", "old/synthesizer"):
        before = leakage.seen_by("generator", str(tmp_path / start))
        leakage.record(
            tmp_path / "new" / "seen", "generator", leakage.image_hashes(VALIDATION.images), *before.values()
        )
        recorded_hashes = leakage.recorded(tmp_path / "new" / "seen")
        both = np.concatenate([leakage.image_hashes(TRAIN.images), leakage.image_hashes(VALIDATION.images)])
        assert set(recorded_hashes["generator"].tolist()) == set(both.tolist())
    assert leakage.seen_by("generator", str(tmp_path / "none")) == {} and leakage.recorded(tmp_path) == {}


def test_a_run_whose_generator_saw_another_division_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "CLASSIFIER_STEPS", 2)
    data = part((20, 20), 4)
    quick = {"steps": 1, "batch": 4, "precision": "fp32"}
    settings = RunSettings(device="cpu", train=quick, generate={"filters": ()}, prove=QUICK.model_dump())
    run = stages.run(data, tmp_path / "r", settings=settings, until="prove")
    assert run.verdict.leaks == {
        "test_not_seen_by": ["classifier", "filters", "generator"],
        "left_out": 0,
        "looked_for": True,
    }
    source_images = data.take(
        np.load(run / "split.npy") != 2
    )  # validation decides when training ends, and the filters' limits
    for role, hashes in leakage.recorded(run / "seen").items():
        assert set(leakage.image_hashes(source_images.images).tolist()) == set(hashes.tolist()), role
    started = settings.model_copy(
        update={"seed": 1, "train": settings.train.model_copy(update={"start_from": str(run.path)})}
    )
    with pytest.raises(DataError, match="test images were seen by the generator"):
        stages.run(data, tmp_path / "s", settings=started, until="prove")
    shutil.copytree(run / "synthesizer", tmp_path / "alone")  # weights of which nobody knows what they have seen
    for k, start in enumerate((tmp_path / "alone", tmp_path / "t0")):
        train_settings = settings.train.model_copy(update={"start_from": str(start)})
        continued = stages.run(
            data, tmp_path / f"t{k}", settings=settings.model_copy(update={"train": train_settings}), until="prove"
        )
        leaks = continued.verdict.leaks
        assert (
            leaks is not None
            and leaks["test_not_seen_by"][2] == "generator (images of the model it started from unknown)"
        )
