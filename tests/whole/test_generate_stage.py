"""The stages up to generation in one process: attributes with a hole, unlabelled images, every filter, soft labels."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import augury
from augury.errors import AuguryError, DataError, SettingsError
from augury.generation import FILTERS, TRANSLATIONS_ONLY, load
from augury.images import Attribute, LabelledImages
from augury.pipeline import session
from augury.pipeline.inputs import Callbacks
from augury.pipeline.stages import advance, opened
from augury.proof import probabilities
from augury.settings import RunSettings
from augury.training import Synthesizer
from augury.validation import validated

TRAIN = {
    "recipe": "rpgan",
    "steps": 3,
    "batch": 8,
    "precision": "fp32",
    "overrides": {"width": 8},
    "condition": ["pose"],
}


def squares(n: int, seed: int, side: int = 16) -> np.ndarray:
    """Random coarse pictures, alike to none other."""
    coarse = np.random.default_rng(seed).integers(0, 256, (n, 1, 4, 4), dtype=np.uint8)
    return coarse.repeat(side // 4, axis=2).repeat(side // 4, axis=3)


def data() -> LabelledImages:
    """a 40 left and 40 right; b 12 left, none right."""
    labels, pose = np.repeat([0, 1], [80, 12]), np.r_[np.arange(80) % 2, np.zeros(12, np.int64)]
    return LabelledImages(
        squares(92, 0), labels, ("a", "b"), {"pose": Attribute(pose, ("l", "r"))}, fingerprint="holed"
    )


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stage")
    dataset = data()
    loose_files = np.concatenate([squares(9, 7), dataset.images[:60]])  # some of these land in validation or test
    (folder / "loose").mkdir()
    for i, image in enumerate(loose_files):
        Image.fromarray(image[0]).save(folder / "loose" / f"{i}.png")
    names = [name for name in FILTERS if name not in ("near_copy", "k_center", *TRANSLATIONS_ONLY)]
    generate = {
        "filters": [f"{name}>-1" for name in names[:-1]] + ["determinantal"],
        "sampling_strategy": "auto",
        "sampling": "boundary",
        "surplus": 2,
        "soft_labels": 2,
    }
    prove = {"arms": ("balanced", "gan"), "seeds": 2, "steps": 3, "ratios": (0.5,)}
    values = {
        "prove": prove,
        "train": TRAIN | {"unlabelled": str(folder / "loose")},
        "generate": generate,
        "device": "cpu",
    }
    notes: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "CLASSIFIER_STEPS", 5)
        run = augury.run(
            dataset,
            folder / "run",
            settings=validated(RunSettings, values),
            until="generate",
            callbacks=Callbacks(note=notes.append),
        )
    return run, dataset, notes


def test_what_is_like_a_held_out_image_does_not_train_the_generator(generated) -> None:
    run, _, notes = generated
    codes = np.load(run / "split.npy")[:60]
    stored = json.loads((run / "train" / "unlabelled.json").read_text())
    assert stored["images"] == 69 and stored["left_out"] == {
        "validation": (codes == 1).sum(),
        "test": (codes == 2).sum(),
    }
    assert stored["used"] == 69 - (codes > 0).sum() < 69
    assert any(f"{stored['used']} of 69 unlabelled images train the generator" in text for text in notes)
    card = Synthesizer.load(run / "synthesizer").card
    assert card.classes == ("a", "b", "unlabelled") and card.condition_values == (("l", "r", "unlabelled"),)


def test_of_unlabelled_images_the_content_decides_and_not_where_they_lie(generated, tmp_path) -> None:
    run, dataset, _ = generated
    settings = validated(RunSettings, run.settings)
    shutil.copytree(settings.train.unlabelled, tmp_path / "moved")

    def is_refused() -> bool:
        moved_settings = settings.train.model_copy(update={"unlabelled": str(tmp_path / "moved")})
        with opened(dataset, run.path, settings=settings.model_copy(update={"train": moved_settings})) as work:
            return run.is_done("train", work.inputs("train"))

    assert is_refused()
    (tmp_path / "moved" / "3.png").unlink()
    assert not is_refused()


def test_the_hole_is_filled_and_the_reasons_are_reported(generated) -> None:
    run, dataset, _ = generated
    stored = json.loads((run / "generation.json").read_text())
    assert [row["class"] for row in stored["rows"]] == ["a", "b"]
    assert "1 of 2 cells have no real image" in stored["rows"][1]["why"]
    assert stored["filters"]["confidence"].endswith("at least -1") and set(stored["filters"]) >= {
        "discriminator",
        "influence",
    }
    synthetic = load(run / "synthetic", dataset.classes, ("pose",))
    assert (synthetic.conditions[synthetic.accepted] == [1, 1]).all(1).any()
    assert set(synthetic.scores) == set(stored["filters"])
    for row in stored["rows"]:
        assert row["accepted"] == row["requested"] and row["drawn"] == 2 * row["requested"]


def test_images_at_the_boundary_are_redrawn_from_their_latents_and_carry_targets(generated) -> None:
    run, dataset, _ = generated
    synthetic = load(run / "synthetic", dataset.classes, ("pose",))
    np.testing.assert_allclose(synthetic.targets.sum(1), 1)
    assert synthetic.targets.shape == (len(synthetic), 2)
    rows = np.arange(0, len(synthetic), 5)
    decoded = Synthesizer.load(run / "synthesizer").decode(
        synthetic.latents[rows], synthetic.conditions[rows], indices=synthetic.indices[rows]
    )
    np.testing.assert_array_equal(decoded, synthetic.images[rows])


def test_a_filter_that_does_not_exist_is_refused_before_anything_is_computed(tmp_path) -> None:
    settings = validated(RunSettings, {"generate": {"filters": ["magic"]}, "device": "cpu"})
    with pytest.raises(SettingsError, match="no filter 'magic'"):
        augury.run(data(), tmp_path / "run", settings=settings)
    assert not (tmp_path / "run" / "split.npy").exists()


@pytest.mark.parametrize(
    ("sections", "rule"),
    [
        ({"prove": {"arms": "mixup, cutmixx"}}, "there is no arm 'cutmixx'; choose among: all, usual, none"),
        ({"prove": {"arms": "gan"}}, "a verdict needs an arm with synthetic images"),
        ({"prove": {"seeds": 1}}, "at least 2"),
        ({"prove": {"classifier": "vgg"}}, "there is no classifier 'vgg'"),
        ({"prove": {"others": {"vae": "nowhere"}}}, "not a run folder"),
        ({"score": {"features": "lite0,magic"}}, "magic"),
        ({"generate": {"sampling_strategy": {"z": 5}}}, "'z'"),
        ({"export": {"format": "zip"}}, "no format 'zip'"),
    ],
)
def test_what_no_stage_can_use_is_refused_before_anything_is_computed(sections: dict, rule: str, tmp_path) -> None:
    with pytest.raises(AuguryError, match=rule):
        augury.run(data(), tmp_path / "run", settings=validated(RunSettings, sections | {"device": "cpu"}))
    assert not (tmp_path / "run" / "split.npy").exists()


def test_unlabelled_images_are_shown_by_an_arm_of_their_own_without_those_like_held_out_ones(
    generated, monkeypatch
) -> None:
    run, dataset, _ = generated
    monkeypatch.setattr(session, "SURE", 1e-9)
    notes: list[str] = []
    with opened(dataset, run.path, callbacks=Callbacks(note=notes.append)) as work:
        (pseudo_labelled,) = work.pseudo_labelled().values()
        used = json.loads((run / "train" / "unlabelled.json").read_text())["used"]
        assert len(pseudo_labelled) == used and f"sure of {used} of {used} unlabelled images" in notes[-1]
        np.testing.assert_array_equal(
            pseudo_labelled.labels, probabilities(work.classifier, pseudo_labelled.images).argmax(1)
        )
        advance(work, "prove")
    verdict = run.verdict
    assert set(verdict.arms) == {"balanced", "gan", "pseudo_labels", "fixmatch"} and verdict.arm == "gan"
    monkeypatch.setattr(session, "SURE", 1.0)
    with opened(dataset, run.path) as work:
        assert work.pseudo_labelled() == {}


def test_images_of_another_run_are_an_arm_of_their_own(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(session, "CLASSIFIER_STEPS", 2)
    plain_data = LabelledImages(squares(60, 3), np.arange(60) % 2, ("a", "b"), fingerprint="plain")
    quick = {"steps": 2, "batch": 8, "precision": "fp32", "overrides": {"width": 8}}
    trial = {"arms": ["balanced", "gan"], "seeds": 2, "steps": 2, "batch": 8, "ratios": [1.0]}
    sections = {"train": quick, "generate": {"filters": [], "sampling_strategy": 6}, "prove": trial, "device": "cpu"}
    first = augury.run(plain_data, tmp_path / "gan", settings=validated(RunSettings, sections), until="prove")
    before = json.loads((first / "trial.json").read_text())["results"]

    def other(seed: int, name: str) -> dict:
        run_settings = {**sections, "train": {**quick, "recipe": "vae"}, "seed": seed}
        augury.run(plain_data, tmp_path / name, settings=validated(RunSettings, run_settings), until="generate")
        return {**sections, "prove": {**trial, "others": {"vae": str(tmp_path / name)}}}

    with_synthetic = validated(RunSettings, other(0, "vae"))
    verdict = augury.run(plain_data, first.path, settings=with_synthetic, until="prove").verdict
    assert set(verdict.arms) == {"balanced", "gan", "vae"}
    assert "generator of vae" in verdict.leaks["test_not_seen_by"]
    after = json.loads((first / "trial.json").read_text())["results"]
    assert before.items() <= after.items() and len(after) == len(before) + 2  # no training was done again

    number = len(load(tmp_path / "vae" / "synthetic", plain_data.classes))
    np.save(tmp_path / "vae" / "synthetic" / "images.npy", squares(number, 8))
    stored = json.loads((first / "trial.json").read_text())
    for rows in stored["results"].values():
        rows["ece"] = -1.0
    (first / "trial.json").write_text(json.dumps(stored))
    augury.run(plain_data, first.path, settings=with_synthetic, until="prove")
    repeated = json.loads((first / "trial.json").read_text())["results"]
    assert {k for k in repeated if repeated[k]["ece"] >= 0} == {k for k in repeated if "vae" in k} != set()

    with pytest.raises(DataError, match="test images were seen by the classifier of vae"):
        augury.run(plain_data, first.path, settings=validated(RunSettings, other(1, "elsewhere")), until="prove")
    unknown = {**sections, "prove": {**trial, "others": {"diffusion": str(tmp_path / "vae")}}}
    with pytest.raises(SettingsError, match="there are: vae"):
        augury.run(plain_data, first.path, settings=validated(RunSettings, unknown), until="prove")
