"""GAN-train and GAN-test on sets whose usefulness is known, and their interval against simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from augury.errors import ScoreError
from augury.images import LabelledImages
from augury.proof import usefulness
from augury.proof.usefulness import accuracy_interval


def bars(n: int, seed: int, *, wrong: bool = False) -> LabelledImages:
    """Upright or lying bars with noise; `wrong` gives each the other's label."""
    random = np.random.default_rng(seed)
    labels = (np.arange(n) % 2).astype(np.int64)
    images = random.normal(90, 30, (n, 1, 8, 8))
    images[labels == 0, :, :, 3:5] += 120
    images[labels == 1, :, 3:5, :] += 120
    return LabelledImages(images.clip(0, 255).astype(np.uint8), 1 - labels if wrong else labels, ("up", "flat"))


def test_images_like_the_real_ones_teach_as_much_and_mislabelled_ones_the_opposite() -> None:
    train, held_out = bars(80, 0), bars(60, 1)
    options = {"steps": 15, "batch": 8}
    trained_on_fakes, tested_on_fakes = usefulness(bars(80, 2), train, held_out, **options)
    assert (
        trained_on_fakes.name == "GAN-train"
        and trained_on_fakes.value > 0.9
        and trained_on_fakes.baseline > 0.9
        and trained_on_fakes.n == 60
    )
    assert (
        tested_on_fakes.name == "GAN-test"
        and tested_on_fakes.value > 0.9
        and tested_on_fakes.baseline == trained_on_fakes.baseline
        and tested_on_fakes.n == 80
    )
    assert trained_on_fakes.low < trained_on_fakes.value <= trained_on_fakes.high <= 1
    worse, mistaken = usefulness(bars(80, 2, wrong=True), train, held_out, **options)
    assert worse.value < 0.1 and mistaken.value < 0.1 and worse.baseline == trained_on_fakes.baseline


def test_empty_sets_and_other_classes_are_refused() -> None:
    with pytest.raises(ScoreError, match="0 held-out"):
        usefulness(bars(8, 0), bars(8, 1), bars(8, 2).take(np.arange(0)))
    other = LabelledImages(bars(8, 0).images, bars(8, 0).labels, ("a", "b"))
    with pytest.raises(ScoreError, match="synthetic images are of 2 classes, not those"):
        usefulness(other, bars(8, 1), bars(8, 2))


def test_the_interval_is_wilsons_for_one_class_and_holds_the_truth_for_unequal_ones() -> None:
    one = accuracy_interval(np.array([[17, 3], [0, 0]]))
    reference = stats.binomtest(17, 20).proportion_ci(method="wilson")
    np.testing.assert_allclose(one, (0.85, reference.low, reference.high), rtol=1e-7)
    random, recalls, counts = np.random.default_rng(0), np.array([0.95, 0.8, 0.6]), np.array([200, 40, 5])
    covered = 0
    for _ in range(1000):
        hits = random.binomial(counts, recalls)
        matrix = np.diag(hits)
        matrix[np.arange(3), (np.arange(3) + 1) % 3] = counts - hits
        _, low, high = accuracy_interval(matrix)
        covered += low <= recalls.mean() <= high
    assert covered >= 940
