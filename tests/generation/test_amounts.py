"""How many images for which class, and why: by hand, and against scipy's Wilson interval."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from augury.data import effective_number
from augury.errors import SettingsError
from augury.generation import Recognised, amounts
from augury.generation.amounts import ENOUGH, OVERLAP
from augury.images import Attribute, LabelledImages
from tests.helpers.generation_data import make


def of(counts: list[int]) -> LabelledImages:
    labels = np.repeat(np.arange(len(counts)), counts)
    return LabelledImages(np.zeros((len(labels), 1, 8, 8), np.uint8), labels, tuple("abcdef"[: len(counts)]))


def test_the_tail_gets_what_it_lacks_to_the_worth_of_the_head() -> None:
    counts = np.array([500, 240, 100, 30, 4])
    plan = amounts(of(counts.tolist()), "tail")
    enough = next(
        n for n in range(1000) if effective_number(np.array([n]))[0] >= ENOUGH * effective_number(counts).max()
    )
    assert enough == 224
    assert plan.numbers.tolist() == [0, 0, 124, 194, 40]
    assert [reason.split(":")[0] for reason in plan.why] == ["enough", "enough", "rare", "rare", "rare"]
    assert "30 images are fewer than the" in plan.why[3] and "at most" not in plan.why[3]
    assert "at most 10 for each real image" in plan.why[4]
    assert OVERLAP == 0.99


def test_the_cells_of_a_class_share_what_its_real_images_allow() -> None:
    poses = ("left", "right", "up", "straight")
    labels = np.repeat([0, 1], [800, 5])
    codes = np.concatenate([np.arange(800) % 4, [0, 0, 0, 0, 1]])
    data = LabelledImages(np.zeros((805, 1, 8, 8), np.uint8), labels, ("a", "b"), {"pose": Attribute(codes, poses)})
    plan = amounts(data, "tail", ("pose",))
    assert 47 <= plan.numbers[1].sum() <= 50 and (plan.numbers[1] > 10).all()
    assert "at most 10 for each real image" in plan.why[1]


def test_equal_classes_get_nothing_and_absent_ones_cannot() -> None:
    assert amounts(of([50, 50, 49]), "tail").numbers.sum() == 0
    data = of([50, 50])
    absent = LabelledImages(data.images, data.labels, ("a", "b", "c"))
    plan = amounts(absent, "tail")
    assert plan.numbers.tolist() == [0, 0, 0] and plan.why[2].startswith("none: the class has no real image")


def test_a_rare_class_that_is_surely_recognised_gets_nothing() -> None:
    data = of([500, 20, 20, 20])
    recognised = Recognised(np.array([60, 40, 10, 2]), np.array([100, 40, 40, 2]))
    plan = amounts(data, "auto", (), recognised)
    tail = amounts(data, "tail").numbers
    np.testing.assert_array_equal(plan.numbers, [0, 0, tail[2], tail[3]])  # two of two are not enough to be sure
    assert plan.why[1].startswith("none: 40 of 40 validation images are classified correctly")
    for hits, total, low in zip(recognised.hits, recognised.total, recognised.surely, strict=True):
        expected = binomtest(int(hits), int(total)).proportion_ci(method="wilson").low
        assert low == pytest.approx(expected, abs=1e-7)
    assert Recognised(np.array([0, 5]), np.array([0, 10])).usual == 0.5
    with pytest.raises(SettingsError, match="validation"):
        amounts(data, "auto")


def test_holes_of_the_table_are_filled_even_in_a_class_that_is_recognised() -> None:
    data = make((40, 30), poses=True)  # a: 20 left, 20 right; b: 30 left, none right
    tail = amounts(data, "tail", ("pose",))
    assert tail.numbers.tolist() == [[7, 7], [0, 27]]
    assert "1 of 2 cells have no real image" in tail.why[1]
    known = Recognised(np.array([90, 90]), np.array([90, 90]))
    auto = amounts(data, "auto", ("pose",), known)
    assert auto.numbers.tolist() == [[0, 0], [0, 27]]
    assert auto.why[0].startswith("none: 90 of 90") and auto.why[1].startswith("rare: 1 of 2 cells")
    rare_data = make((40, 5), poses=True)  # b: 5 left, none right
    assert amounts(rare_data, "tail", ("pose",)).numbers[1].tolist() == [13, 18]
    partly = amounts(rare_data, "auto", ("pose",), known)
    assert partly.numbers[1].tolist() == [0, 18] and partly.why[1].startswith("only 18 for empty cells")


@pytest.mark.parametrize(
    ("strategy", "expected", "reasons"),
    [
        ("balance", [0, 5], ["enough: it reaches the largest class (8)", "filled up to the largest class (8)"]),
        (0.5, [0, 1], ["enough: it reaches 0.5 of the largest class (8)", "filled up to 0.5 of the largest class (8)"]),
        (3, [3, 3], ["3 requested for each class"] * 2),
        ({"b": 2}, [0, 2], ["not requested", "requested by name"]),
    ],
)
def test_what_was_asked_for_is_the_reason(strategy, expected: list[int], reasons: list[str]) -> None:
    plan = amounts(make(), strategy)
    assert plan.numbers.tolist() == expected and list(plan.why) == reasons


def test_where_all_are_level_as_many_again_are_asked_for() -> None:
    pose = Attribute(np.arange(60) % 2, ("l", "r"))
    data = LabelledImages(np.zeros((60, 1, 8, 8), np.uint8), np.repeat([0, 1], 30), ("a", "b"), {"pose": pose})
    assert amounts(data, "balance").numbers.tolist() == [30, 30]
    plan = amounts(data, "balance", ("pose",))
    assert plan.numbers.tolist() == [[15, 15], [15, 15]] and plan.why == ("doubled: all are equal already",) * 2
    assert amounts(data, "level").numbers.sum() == 0


def test_attributes_without_holes_are_levelled_too() -> None:
    pose = Attribute(np.arange(60) % 2, ("l", "r"))
    data = LabelledImages(np.zeros((60, 1, 8, 8), np.uint8), np.repeat([0, 1], 30), ("a", "b"), {"pose": pose})
    assert amounts(data, "tail", ("pose",)).numbers.sum() == 0
