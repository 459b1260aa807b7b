"""The promises of `split`, on drawn label and group layouts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from augury.data import from_arrays, split
from augury.errors import DataError, SettingsError
from augury.images import SPLITS, LabelledImages


def labelled(labels: Any, **columns: Any) -> LabelledImages:
    return from_arrays(np.zeros((len(labels), 2, 2), np.uint8), labels, **columns)


def table(data: LabelledImages, codes: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
    """Images of each class and part, [classes, 3]."""
    per_part = np.zeros((len(data.classes), 3), np.int64)
    np.add.at(per_part, (data.labels, codes), 1)
    return per_part


counts = st.lists(st.integers(3, 60), min_size=2, max_size=6)


@given(counts, st.floats(0.05, 0.45), st.floats(0.05, 0.45), st.integers(0, 99))
def test_each_class_is_in_each_part_in_its_share(sizes: list[int], validation: float, test: float, seed: int) -> None:
    data = labelled(np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes)))
    codes = split(data, validation=validation, test=test, seed=seed)
    assert codes.dtype == np.int8 and codes.shape == (len(data),)
    per_part = table(data, codes)
    assert (per_part >= 1).all()
    for size, row in zip(sizes, per_part, strict=True):
        if round(size * validation) + round(size * test) < size:
            assert abs(row[1] - max(1, size * validation)) <= 1 and abs(row[2] - max(1, size * test)) <= 1


def test_the_default_shares_exactly() -> None:
    data = labelled(np.repeat([0, 1], [100, 20]))
    assert table(data, split(data)).tolist() == [[65, 15, 20], [13, 3, 4]]


def test_seeded() -> None:
    data = labelled(np.repeat([0, 1], 50))
    assert np.array_equal(split(data, seed=3), split(data, seed=3))
    assert not np.array_equal(split(data, seed=3), split(data, seed=4))


@settings(deadline=None)
@given(st.data())
def test_groups_never_lie_on_two_sides(draw: st.DataObject) -> None:
    """Groups of one class each (patients): always possible with three a class, and shares come close with many."""
    sizes = draw.draw(st.lists(st.lists(st.integers(1, 6), min_size=3, max_size=25), min_size=2, max_size=4))
    labels = np.concatenate([np.repeat(c, sum(groups)) for c, groups in enumerate(sizes)])
    groups = np.repeat(np.arange(sum(map(len, sizes))), np.concatenate(sizes))
    order = np.random.default_rng(0).permutation(len(labels))
    data = labelled(labels[order], groups=groups[order])
    codes = split(data, seed=draw.draw(st.integers(0, 9)))
    assert data.groups is not None
    assert all(len(set(codes[data.groups == group].tolist())) == 1 for group in np.unique(data.groups))
    per_part = table(data, codes)
    assert (per_part >= 1).all()
    for row, groups_of_class in zip(per_part, sizes, strict=True):
        if len(groups_of_class) >= 12:
            assert np.abs(row / row.sum() - [0.65, 0.15, 0.2]).max() <= max(groups_of_class) / row.sum() + 0.02


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_groups_of_several_classes(seed: int) -> None:
    random = np.random.default_rng(seed)
    groups = random.integers(0, 30, 300)
    labels = random.choice(4, 300, p=[0.6, 0.25, 0.1, 0.05])
    assume(all(len(np.unique(groups[labels == c])) >= 6 for c in range(4)))
    data = labelled(labels, groups=groups)
    codes = split(data, seed=seed)
    assert all(len(set(codes[groups == group].tolist())) == 1 for group in np.unique(groups))
    per_part = table(data, codes)
    assert (per_part >= 1).all()
    assert np.abs(per_part[0] / per_part[0].sum() - [0.65, 0.15, 0.2]).max() < 0.1


def test_groups_that_no_division_can_spread() -> None:
    """Four groups, each class in three of them: some part must miss some class (two of four share a part)."""
    pairs = [(c, g) for c in range(4) for g in range(4) if c != g]
    data = labelled([c for c, _ in pairs], groups=[g for _, g in pairs])
    with pytest.raises(DataError, match=r"class '\d' is missing from .* 4 groups .*add images of other groups"):
        split(data)


@pytest.mark.parametrize("count", [1, 2])
def test_a_class_too_small(count: int) -> None:
    data = labelled(["rare"] * count + ["common"] * 9)
    with pytest.raises(
        DataError,
        match=rf"class 'rare' has {count} images?, but a class needs at least 3 images: one each for train, "
        "validation and test; add images, or merge or remove the class",
    ):
        split(data)


def test_other_small_classes_are_listed() -> None:
    with pytest.raises(DataError, match=r"class 'a' has 1 image,.*too small as well: 'b' \(2\)"):
        split(labelled(["a", "b", "b", "c", "c", "c"]))


def test_a_class_of_two_groups() -> None:
    data = labelled(["a"] * 8 + ["b"] * 8, groups=[0, 0, 0, 0, 1, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    with pytest.raises(
        DataError, match=r"class 'a' has 2 groups.*at least 3 groups.*never put on two sides.*other groups"
    ):
        split(data)


def test_a_given_test_part_is_kept_and_validation_carved_from_train() -> None:
    data = labelled(np.tile([0, 1], 60), split=np.repeat([0, 2], [80, 40]))
    codes = split(data)
    assert (codes[80:] == 2).all() and (codes[:80] < 2).all()
    expected = round(40 * 0.15 / 0.8)  # of a class's 40 given train images, validation against train as 0.15 to 0.65
    assert table(data, codes)[:, 1].tolist() == [expected, expected]


def test_a_given_validation_part_is_kept_and_test_carved_from_train() -> None:
    data = labelled(np.tile([0, 1], 50), split=np.repeat([0, 1], [80, 20]))
    codes = split(data)
    assert (codes[80:] == 1).all() and table(data, codes)[:, 2].tolist() == [round(40 * 0.2 / 0.85)] * 2


def test_only_train_given_is_as_none_given() -> None:
    labels = np.tile([0, 1], 50)
    assert np.array_equal(split(labelled(labels, split=np.zeros(100, int))), split(labelled(labels)))


def test_all_parts_given_are_kept() -> None:
    parts = np.array([0, 0, 1, 2, 1, 2])
    assert np.array_equal(split(labelled([0, 1, 0, 0, 1, 1], split=parts)), parts)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_class_that_misses_from_a_given_part_is_refused(part: str) -> None:
    """A trial would refuse it too, but only after the training of the generator."""
    labels, code = np.tile([0, 1], 20), SPLITS.index(part)
    parts = np.repeat([0, 1, 2], [20, 10, 10])
    parts[(labels == 1) & (parts == code)] = 0
    with pytest.raises(DataError, match=rf"class '1' has no image in the given {part} split.*--split new"):
        split(labelled(labels, split=parts))
    assert set(split(labelled(labels)).tolist()) == {0, 1, 2}


def test_given_test_and_one_train_image_of_a_class() -> None:
    data = labelled([0, 1, 1, 1, 0, 1], split=[0, 0, 0, 0, 2, 2])
    rule = "class '0' has 1 train image, but a class needs at least 2 train images: one each for train and validation"
    with pytest.raises(DataError, match=rule):
        split(data)


def test_all_given_but_a_class_without_train() -> None:
    data = labelled([0, 1, 1, 0, 1, 0], split=[1, 0, 0, 2, 2, 2])
    with pytest.raises(DataError, match="class '0' has 0 train images, but a class needs at least 1 train image"):
        split(data)


def test_given_without_train() -> None:
    with pytest.raises(DataError, match="no train images"):
        split(labelled([0, 1], split=[1, 2]))


def test_given_parts_that_tear_a_group() -> None:
    data = labelled([0, 1] * 3, groups=[7, 7, 8, 8, 9, 9], split=[0, 0, 0, 2, 2, 2], names=list("abcdef"))
    with pytest.raises(DataError, match=r"group 1 \(such as c\) lies in train and test.*must stay on one side"):
        split(data)


def test_given_test_and_groups() -> None:
    groups = np.arange(60) // 3
    data = labelled(np.arange(60) // 3 % 2, groups=groups, split=np.repeat([0, 2], [48, 12]))
    codes = split(data)
    assert (codes[48:] == 2).all() and set(codes[:48].tolist()) == {0, 1}
    assert all(len(set(codes[groups == group].tolist())) == 1 for group in range(20))


@pytest.mark.parametrize(("validation", "test"), [(0.5, 0.5), (0, 0.2), (0.2, 1.0), (-0.1, 0.2)])
def test_shares_out_of_range(validation: float, test: float) -> None:
    with pytest.raises(SettingsError, match=r"add up to less than 1; lower one"):
        split(labelled([0, 1] * 5), validation=validation, test=test)
