"""Colour matching: moments and histograms of the reference, with the labels of the source."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from augury.errors import DataError
from augury.images import Attribute
from augury.proof.colour_matching import colour_matched, histograms_matched, joined, moments_matched
from tests.helpers.two_domains import source, target


def noise(n: int, low: int, high: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, (n, 3, 16, 16), dtype=np.uint8)


def test_moments_are_those_of_the_reference() -> None:
    images, references = noise(5, 20, 120, 0), noise(5, 90, 200, 1)
    matched = moments_matched(images, references).astype(float)
    np.testing.assert_allclose(matched.mean((2, 3)), references.mean((2, 3)), atol=0.5)
    np.testing.assert_allclose(matched.std((2, 3)), references.std((2, 3)), atol=0.5)


def test_a_blank_image_takes_the_mean_alone() -> None:
    blank, reference = np.full((1, 3, 8, 8), 7, np.uint8), noise(1, 0, 255, 2)[:, :, :8, :8]
    np.testing.assert_array_equal(moments_matched(blank, reference)[0, :, 0, 0], np.rint(reference.mean((2, 3)))[0])


def test_histograms_are_those_of_the_reference_and_equal_pixels_stay_equal() -> None:
    image = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    reference = noise(1, 0, 255, 3)[:, :1]
    matched = histograms_matched(image, reference)
    np.testing.assert_array_equal(np.sort(matched, None), np.sort(reference, None))
    assert (np.diff(matched.ravel().astype(int)) >= 0).all()
    two_levels = np.where(image < 64, 10, 20).astype(np.uint8)
    assert len(np.unique(histograms_matched(two_levels, reference))) == 2
    np.testing.assert_array_equal(histograms_matched(reference, reference), reference)


def test_originals_come_first_and_each_copy_has_their_label() -> None:
    data, unlabelled = source(), target()
    data = replace(data, groups=np.arange(60), attributes={"hand": Attribute(np.zeros(60, np.int64), ("left",))})
    both = colour_matched(data, unlabelled.images, seed=0)
    np.testing.assert_array_equal(both.images[:60], data.images)
    np.testing.assert_array_equal(both.labels, np.tile(data.labels, 2))
    np.testing.assert_array_equal(both.groups, np.tile(data.groups, 2))
    assert both.attributes["hand"].codes.shape == (120,)
    assert abs(both.images[60:].mean() - unlabelled.images.mean()) < 3
    copies = colour_matched(data, unlabelled.images, seed=0, keep=False)
    np.testing.assert_array_equal(copies.images, both.images[60:])
    assert (colour_matched(data, unlabelled.images, seed=1, keep=False).images != copies.images).any()


def test_sets_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="of 1 channels"):
        colour_matched(source(), target(channels=3).images, seed=0)
    with pytest.raises(DataError, match="cannot be joined"):
        joined(source(), source(channels=3))
