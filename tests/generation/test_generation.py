"""Plans by hand-counted tables; filters on images whose answer is known; the folder round trip."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from augury import generation
from augury.errors import RunFolderError, SettingsError
from augury.generation.filters import apply
from augury.images import Attribute, LabelledImages
from augury.metrics import nearest
from augury.networks import build
from augury.settings import TrainSettings
from augury.training import Card, Synthesizer, train


def make(counts: tuple[int, ...] = (8, 3), poses: bool = False) -> LabelledImages:
    labels = np.repeat(np.arange(len(counts)), counts)
    images = np.random.default_rng(1).integers(0, 256, (len(labels), 1, 8, 8), dtype=np.uint8)
    attributes = {
        "pose": Attribute(np.zeros(len(labels), np.int64) + (labels == 0) * (np.arange(len(labels)) % 2), ("l", "r"))
    }
    return LabelledImages(images, labels, tuple("abc"[: len(counts)]), attributes if poses else {}, fingerprint="g")


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [("balance", [0, 5]), (1.0, [0, 5]), (0.5, [0, 1]), (7, [7, 7]), ({"b": 2}, [0, 2]), (0, [0, 0])],
)
def test_the_plan_adds_what_the_strategy_says(strategy, expected: list[int]) -> None:
    assert generation.wanted(make(), strategy).tolist() == expected


def test_empty_cells_of_the_table_are_filled() -> None:
    data = make(poses=True)  # a: 4 left, 4 right; b: 3 left, none right
    assert generation.table(data, ("pose",)).tolist() == [[4, 4], [3, 0]]
    plan = generation.wanted(data, "balance", ("pose",))
    assert plan.tolist() == [[0, 0], [1, 4]]
    assert generation.wanted(data, {"b/r": 5}, ("pose",)).tolist() == [[0, 0], [0, 5]]
    assert generation.wanted(data, 3, ("pose",)).tolist() == [[2, 1], [2, 1]]
    synthesizer = train(
        data, settings=TrainSettings(steps=2, batch=4, condition=("pose",), precision="fp32"), device="cpu"
    )
    drawn = generation.draw(synthesizer, plan)
    assert drawn.conditions.tolist() == [[1, 0]] + 4 * [[1, 1]]


@pytest.mark.parametrize("strategy", ["more", {"z": 1}, -1, 1.5, {"a": -2}])
def test_a_strategy_that_makes_no_sense_is_refused(strategy) -> None:
    with pytest.raises(SettingsError):
        generation.wanted(make(), strategy)


def test_filters_reject_the_other_class_and_the_copy() -> None:
    data = make()
    fake = np.stack([data.images[0], 255 - data.images[1], 255 - data.images[2]])
    said = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    evidence = generation.Evidence(data, lambda images: said, nearest)
    scores, reasons = apply(("agreement", "near_copy"), fake, np.array([0, 0, 0]), evidence)
    assert reasons == ["near_copy", "agreement", ""]
    np.testing.assert_allclose(scores["agreement"], [0.9, 0.2, 0.7])
    assert scores["near_copy"][0] == pytest.approx(0, abs=1e-2)
    by_hand = np.sqrt(((fake[2].astype(float) - data.images.astype(float)) ** 2).mean((1, 2, 3))).min()
    assert scores["near_copy"][2] == pytest.approx(by_hand, rel=1e-4)
    with pytest.raises(SettingsError, match="no filter"):
        apply(("magic",), fake, np.zeros(3, np.int64), evidence)


def test_drawing_counts_and_reads_back(tmp_path) -> None:
    data = make()
    synthesizer = train(data, settings=TrainSettings(steps=2, batch=4, precision="fp32"), device="cpu")
    plan = generation.wanted(data, "balance")
    evidence = generation.Evidence(data, lambda images: np.tile([0.0, 1.0], (len(images), 1)), nearest)
    drawn = generation.draw(synthesizer, plan, seed=4, surplus=2, filters=("agreement",), evidence=evidence)
    assert len(drawn) == 10 and drawn.kept.sum() == 5
    assert drawn.reasons[5:] == ("not needed",) * 5
    (row,) = (r for r in generation.census(drawn, data, plan) if r["class"] == "b")
    assert row == {"class": "b", "real": 3, "wanted": 5, "drawn": 10, "kept": 5, "rejected": {"not needed": 5}}
    generation.save(drawn, tmp_path)
    again = generation.load(tmp_path, data.classes)
    np.testing.assert_array_equal(again.images, drawn.images)
    assert again.reasons == drawn.reasons and again.synthesizer == synthesizer.fingerprint
    redrawn = synthesizer.sample([1], seed=again.seed, start=int(again.indices[7]))
    np.testing.assert_array_equal(redrawn.images[0], again.images[7])
    with pytest.raises(RunFolderError, match="draw them again"):
        generation.load(tmp_path / "none", data.classes)


def test_inversion_finds_an_image_that_the_generator_can_draw() -> None:
    torch.manual_seed(0)
    generator, _ = build("mlp", {"latent": 4, "hidden": 32, "layers": 1}, (1, 8, 8), (2,))
    card = Card("mlp", {}, (1, 8, 8), ("a", "b"), (), (), "x", "gan", 0, 1, 1, "fp32")
    synthesizer = Synthesizer(card, generator)
    labels = np.array([0, 1, 1])
    drawn = synthesizer.sample(labels, seed=3)
    noise, errors = generation.invert(synthesizer, drawn.images, drawn.conditions, steps=300)
    assert noise.shape == (3, 4)
    assert errors.max() < 1.0  # of 255; the images themselves are rounded
    other = np.random.default_rng(0).integers(0, 256, drawn.images.shape, dtype=np.uint8)
    assert generation.invert(synthesizer, other, drawn.conditions, steps=20)[1].min() > 20
