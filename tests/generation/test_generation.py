"""Plans by hand-counted tables; drawing in rounds; the folder round trip; inversion."""

from __future__ import annotations

import numpy as np
import pytest

from augury import generation
from augury.errors import RunFolderError, SettingsError
from augury.images import SyntheticImages
from augury.metrics import nearest
from augury.settings import TrainSettings
from augury.training import train
from tests.helpers.generation_data import known, make, tiny


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [("balance", [0, 5]), (1.0, [0, 5]), (0.5, [0, 1]), (7, [7, 7]), ({"b": 2}, [0, 2]), (0, [0, 0])],
)
def test_the_plan_adds_what_the_strategy_says(strategy, expected: list[int]) -> None:
    assert generation.requested_counts(make(), strategy).tolist() == expected


def test_empty_cells_of_the_table_are_filled() -> None:
    data = make(poses=True)  # a: 4 left, 4 right; b: 3 left, none right
    assert generation.table(data, ("pose",)).tolist() == [[4, 4], [3, 0]]
    plan = generation.requested_counts(data, "balance", ("pose",))
    assert plan.tolist() == [[0, 0], [1, 4]]
    assert generation.requested_counts(data, "level", ("pose",)).tolist() == [[4, 4], [4, 4]]
    assert generation.requested_counts(data, "level").tolist() == [5, 5]
    assert generation.requested_counts(data, {"b/r": 5}, ("pose",)).tolist() == [[0, 0], [0, 5]]
    assert generation.requested_counts(data, 3, ("pose",)).tolist() == [[2, 1], [2, 1]]
    synthesizer = train(
        data, settings=TrainSettings(steps=2, batch=4, condition=("pose",), precision="fp32"), device="cpu"
    )
    synthetic = generation.draw(synthesizer, plan)
    assert synthetic.conditions.tolist() == [[1, 0]] + 4 * [[1, 1]]


@pytest.mark.parametrize("strategy", ["more", {"z": 1}, -1, 1.5, {"a": -2}])
def test_a_strategy_that_makes_no_sense_is_refused(strategy) -> None:
    with pytest.raises(SettingsError):
        generation.requested_counts(make(), strategy)


def test_drawing_counts_and_reads_back(tmp_path) -> None:
    data = make()
    synthesizer = train(data, settings=TrainSettings(steps=2, batch=4, precision="fp32"), device="cpu")
    plan = generation.requested_counts(data, "balance")
    context = generation.FilterContext(data, lambda images: np.tile([0.0, 1.0], (len(images), 1)), nearest)
    synthetic = generation.draw(synthesizer, plan, seed=4, surplus=2, filters=("agreement",), context=context)
    assert len(synthetic) == 5 and synthetic.accepted.all()
    (row,) = (r for r in generation.census(synthetic, data, plan) if r["class"] == "b")
    assert row == {"class": "b", "real": 3, "requested": 5, "drawn": 5, "accepted": 5, "rejected": {}}
    generation.save(synthetic, tmp_path)
    reloaded = generation.load(tmp_path, data.classes)
    np.testing.assert_array_equal(reloaded.images, synthetic.images)
    assert reloaded.reasons == synthetic.reasons and reloaded.synthesizer == synthesizer.fingerprint
    redrawn = synthesizer.sample([1], seed=reloaded.seed, start=int(reloaded.indices[3]))
    np.testing.assert_array_equal(redrawn.images[0], reloaded.images[3])
    with pytest.raises(RunFolderError, match="draw them again"):
        generation.load(tmp_path / "none", data.classes)


def test_inversion_finds_an_image_that_the_generator_can_draw() -> None:
    synthesizer = tiny()
    labels = np.array([0, 1, 1])
    sampled = synthesizer.sample(labels, seed=3)
    noise, errors = generation.invert(synthesizer, sampled.images, sampled.conditions, steps=300)
    assert noise.shape == (3, 4)
    assert errors.max() < 1.0  # of 255; the images themselves are rounded
    other = np.random.default_rng(0).integers(0, 256, sampled.images.shape, dtype=np.uint8)
    assert generation.invert(synthesizer, other, sampled.conditions, steps=20)[1].min() > 20


def test_rounds_end_when_the_quota_is_met_and_an_image_has_the_same_bytes_in_any_round() -> None:
    data, synthesizer = make(), tiny()
    plan = np.array([40, 30])

    def draw_images(surplus: float, share: str) -> SyntheticImages:
        return generation.draw(
            synthesizer, plan, seed=2, surplus=surplus, filters=(f"confidence>{share}",), context=known(data)
        )

    all_images = generation.draw(synthesizer, plan * 4, seed=2).images.reshape(-1)
    easy, hard, never = draw_images(4, "0"), draw_images(4, "0.5"), draw_images(4, "1.1")
    assert len(easy) == 70 and easy.accepted.all()
    assert 70 < len(hard) <= 280
    for label, amount in enumerate(plan):
        of_label = hard.labels == label
        assert hard.accepted[of_label].sum() == amount or of_label.sum() == 4 * amount
    assert len(never) == 280 and not never.accepted.any()
    pixels = all_images.reshape(280, -1)
    for synthetic in (easy, hard, never):
        np.testing.assert_array_equal(synthetic.images.reshape(len(synthetic), -1), pixels[synthetic.indices])
        assert (np.diff(synthetic.indices) > 0).all()
        np.testing.assert_array_equal(synthetic.labels, (synthetic.indices >= 160).astype(np.int64))


def test_a_selection_chooses_among_all_that_may_be_drawn() -> None:
    synthetic = generation.draw(
        tiny(), np.array([6, 4]), seed=1, surplus=3, filters=("k_center",), context=known(make())
    )
    assert len(synthetic) == 30 and synthetic.accepted.sum() == 10
    assert {r: synthetic.reasons.count(r) for r in set(synthetic.reasons)} == {"": 10, "k_center": 20}


def test_a_quota_of_zero_draws_nothing() -> None:
    synthetic = generation.draw(tiny(), np.array([0, 0]), filters=("agreement",), context=known(make()))
    assert len(synthetic) == 0 and synthetic.images.shape == (0, 1, 8, 8)
