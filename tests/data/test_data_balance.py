"""Class sizes: what they are worth, what levelling takes, and the long tail made for experiments."""

from __future__ import annotations

import numpy as np
import pytest

from augury.data import census, effective_number, from_arrays, make_long_tailed, sample
from augury.errors import DataError, SettingsError
from augury.images import LabelledImages


def level(classes: int, each: int, test: int = 0) -> LabelledImages:
    total = classes * (each + test)
    pixels = np.arange(total * 16, dtype=np.uint32).view(np.uint8).reshape(total, 8, 8)
    parts = ([0] * each + [2] * test) * classes if test else None
    return from_arrays(pixels, np.repeat(np.arange(classes), each + test), split=parts)


def test_effective_numbers_against_the_sum_they_close() -> None:
    counts = np.array([0, 1, 2, 50, 10_000])
    assert np.allclose(effective_number(counts, 0.9), [sum(0.9**i for i in range(n)) for n in counts])
    assert effective_number(counts)[-1] == pytest.approx(100)


def test_the_tail_has_the_class_sizes_of_the_sample() -> None:
    data = make_long_tailed(level(10, 500), ratio=50, seed=0)
    tail = sample()
    assert tail.split is not None
    assert data.counts.tolist() == np.bincount(tail.labels[tail.split == 0]).tolist()
    assert data.counts.max() == 500 and data.counts.min() == 10


def test_the_tail_is_seeded_keeps_order_and_leaves_the_test_part() -> None:
    balanced = level(4, 30, test=7)
    data = make_long_tailed(balanced, ratio=10, seed=3)
    repeated, other = make_long_tailed(balanced, ratio=10, seed=3), make_long_tailed(balanced, ratio=10, seed=4)
    assert data.fingerprint == repeated.fingerprint not in (other.fingerprint, balanced.fingerprint)
    assert data.split is not None and (data.split == 2).sum() == 28
    assert sorted(np.bincount(data.labels[data.split == 0]).tolist()) == [3, 6, 14, 30]
    indices = [int(name.removeprefix("index ")) for name in data.names]
    assert indices == sorted(indices) and all(
        np.array_equal(data.images[k], balanced.images[i]) for k, i in enumerate(indices)
    )
    assert make_long_tailed(balanced, ratio=1).counts.tolist() == balanced.counts.tolist()
    assert make_long_tailed(level(2, 40), ratio=4, largest=8).counts.sum() == 8 + 2


def test_tails_that_cannot_be_made() -> None:
    with pytest.raises(SettingsError, match=r"ratio is 0\.5"):
        make_long_tailed(level(3, 9), ratio=0.5)
    with pytest.raises(DataError, match="has 9 images to keep 0 of; lower the ratio"):
        make_long_tailed(level(3, 9), ratio=100)
    uneven = from_arrays(np.zeros((33, 2, 2), np.uint8), [0] * 3 + [1] * 30)
    with pytest.raises(DataError, match=r"class '0' has 3 images to keep 30 of.*another seed"):
        [make_long_tailed(uneven, ratio=2, seed=seed) for seed in range(9)]


def test_the_census_tells_the_default_plan_and_what_is_too_small() -> None:
    labels = [0] * 100 + [1] * 30 + [2] * 10
    facts = census(
        from_arrays(np.arange(140 * 64).astype(np.uint8).reshape(140, 8, 8), labels, classes=["a", "b", "c"])
    )
    assert facts.plan == {"a": 0, "b": 65 - 19, "c": 65 - 6} and facts.too_few == ("c",)
    assert facts.effective == {"a": 63.4, "b": 26.0, "c": 9.6} and facts.imbalance == 10
    assert any("draws 105 synthetic images" in line and "59 of 'c', 46 of 'b'" in line for line in facts.advice)
    summary = census(sample())
    assert summary.plan == {k: 500 - part["train"] for k, part in summary.splits.items()}
