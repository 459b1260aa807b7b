"""Holes of the table class × attribute, the images that fill them, and what each arm pools with the real images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from augury.errors import DataError, SettingsError
from augury.images import Attribute, LabelledImages
from augury.proof import matching
from augury.proof.arms import ARMS
from augury.proof.cells import Holes
from augury.proof.composition import compose, obstacle, shown
from tests.helpers.cell_data import GROUNDS, held_out_cells, images, train, translated

TRAIN = train(20)
SYNTHETIC = translated(TRAIN)
HOLES = Holes.of(TRAIN, ("ground",))


def two_attributes() -> LabelledImages:
    """Classes a, b; hat no, yes; age young, mid, old. Empty: (b, hat yes, old) and all with hat no, mid."""
    rows = [(0, 0, 0), (0, 0, 2), (0, 1, 0), (0, 1, 1), (0, 1, 2), (1, 0, 0), (1, 0, 2), (1, 1, 0), (1, 1, 1)]
    labels, hats, ages = np.repeat(np.array(rows), 3, axis=0).T
    return LabelledImages(
        np.zeros((len(labels), 1, 4, 4), np.uint8),
        labels,
        ("a", "b"),
        attributes={"hat": Attribute(hats, ("no", "yes")), "age": Attribute(ages, ("young", "mid", "old"))},
    )


def test_an_empty_cell_is_a_hole_and_its_attribute_value_is_judged() -> None:
    assert HOLES and HOLES.counts.tolist() == [[20, 20], [20, 0]]
    assert HOLES.mask.tolist() == [[False, False], [False, True]] and HOLES.inside.tolist() == [False, True]
    assert HOLES.metric == "balanced accuracy within ground=bright" and HOLES.cell_name(3) == "standing, ground=bright"
    test = held_out_cells(5, 1)
    np.testing.assert_array_equal(HOLES.within(test), test.attributes["ground"].codes == 1)
    assert not Holes.of(test, ("ground",))
    rare = Holes.of(images({(0, 0): 30, (0, 1): 25, (1, 0): 30, (1, 1): 7}, 0), ("ground",), rare=20)
    assert rare.mask.tolist() == HOLES.mask.tolist()


def test_attributes_are_joined_and_values_that_nobody_has_are_no_holes() -> None:
    data = two_attributes()
    holes = Holes.of(data, ("hat", "age"))
    assert holes.counts.shape == (2, 6) and np.argwhere(holes.mask).tolist() == [[1, 5]]
    assert holes.metric == "balanced accuracy within hat=yes, age=old"
    np.testing.assert_array_equal(holes.within(data), (data.conditions(("hat", "age"))[:, 1:] == [1, 2]).all(1))
    by_class = Holes.of(data, (), rare=14)
    assert by_class.mask.tolist() == [[False], [True]] and by_class.metric == "balanced accuracy"
    assert by_class.within(data).all()


def test_fills_symmetric_and_passed_images_are_distinguished() -> None:
    fills, symmetric, passed = (
        HOLES.fills(SYNTHETIC, TRAIN),
        HOLES.symmetric(SYNTHETIC, TRAIN),
        HOLES.passed(SYNTHETIC, TRAIN),
    )
    cell = SYNTHETIC.conditions[:, 0] * 2 + SYNTHETIC.conditions[:, 1]
    before = (TRAIN.labels * 2 + TRAIN.attributes["ground"].codes)[SYNTHETIC.sources]
    np.testing.assert_array_equal(fills, cell == 3)
    np.testing.assert_array_equal(symmetric, (before == 0) & (cell == 1) | (before == 2) & (cell == 3))
    np.testing.assert_array_equal(passed, cell == before)
    assert (fills.sum(), symmetric.sum(), passed.sum()) == (40, 40, 60)


def test_only_holes_that_were_aimed_at_count() -> None:
    two_holes = images({(0, 0): 9, (0, 1): 9, (1, 0): 9}, 0)
    two_holes = replace(
        two_holes, attributes={"ground": Attribute(two_holes.attributes["ground"].codes, (*GROUNDS, "red"))}
    )
    two_holes.attributes["ground"].codes[:2] = 2  # lying bars on red ground, none standing: another hole
    holes = Holes.of(two_holes, ("ground",))
    assert holes.mask.sum() == 2
    assert holes.aimed_at(translated(two_holes), two_holes).mask.tolist() == [[False] * 3, [False, True, False]]
    assert not holes.aimed_at(translated(two_holes).take(np.empty(0, np.int64)), two_holes)


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        (lambda: Holes.of(TRAIN, ("age",)), "no attribute 'age'"),
        (lambda: Holes.of(TRAIN, ("ground",), rare=0), "must be at least 1"),
        (lambda: HOLES.targets(replace(SYNTHETIC, condition_names=("age",))), "not generated for values of 'ground'"),
        (lambda: HOLES.targets(replace(SYNTHETIC, conditions=SYNTHETIC.conditions + 1)), "but has 2 values"),
        (lambda: HOLES.passed(replace(SYNTHETIC, sources=None), TRAIN), "drawn from noise"),
        (
            lambda: HOLES.passed(replace(SYNTHETIC, sources=SYNTHETIC.sources + 60), TRAIN),
            "the train split has 60 images",
        ),
        (
            lambda: HOLES.cells(replace(TRAIN, attributes={"ground": Attribute(TRAIN.labels, ("bright", "dark"))})),
            "has the values bright, dark here, but dark, bright",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_words(call: object, rule: str) -> None:
    with pytest.raises((DataError, SettingsError), match=rule):
        call()  # type: ignore[operator]


COUNTS = {  # images shown of each cell, real ones first: [lying dark, lying bright, standing dark, standing bright]
    "drop_cells": ([20, 0, 20, 0], [0, 0, 0, 0]),
    "filled": ([20, 20, 20, 0], [0, 0, 0, 40]),
    "half_real": ([20, 10, 20, 0], [0, 0, 0, 40]),
    "symmetric": ([20, 0, 20, 0], [0, 20, 0, 20]),
    "consistency": ([20, 20, 20, 0], [0, 0, 0, 40]),
    "passed": ([0, 0, 0, 0], [20, 20, 20, 40]),
    "untranslated": ([20, 20, 20, 0], [0, 0, 0, 40]),
    "moment_matching": ([20, 20, 20, 0], [0, 0, 0, 40]),
    "cell_balanced": ([20, 20, 20, 0], [0, 0, 0, 0]),
}


@pytest.mark.parametrize("name", COUNTS)
def test_an_arm_pools_what_it_says(name: str) -> None:
    real, added = COUNTS[name]
    assert obstacle(ARMS[name], TRAIN, SYNTHETIC, HOLES) == ""
    composed = compose(ARMS[name], TRAIN, SYNTHETIC, HOLES)
    assert composed.real == sum(real) and len(composed.train) == sum(real) + sum(added)
    for part, expected in ((slice(composed.real), real), (slice(composed.real, None), added)):
        assert np.bincount(composed.cells[part], minlength=4).tolist() == expected
    np.testing.assert_array_equal(composed.train.labels, composed.cells // 2)
    np.testing.assert_array_equal(composed.attributes, composed.cells % 2)
    repeated = compose(ARMS[name], TRAIN, SYNTHETIC, HOLES)
    np.testing.assert_array_equal(repeated.train.images, composed.train.images)
    if ARMS[name].shows:
        assert len(shown(ARMS[name], TRAIN, SYNTHETIC, HOLES)) == sum(added)


def test_the_images_pooled_are_the_right_ones() -> None:
    fills = SYNTHETIC.images[HOLES.fills(SYNTHETIC, TRAIN)]
    np.testing.assert_array_equal(compose(ARMS["filled"], TRAIN, SYNTHETIC, HOLES).train.images[60:], fills)
    sources = TRAIN.images[SYNTHETIC.sources[HOLES.fills(SYNTHETIC, TRAIN)]]
    np.testing.assert_array_equal(compose(ARMS["untranslated"], TRAIN, SYNTHETIC, HOLES).train.images[60:], sources)
    passed = compose(ARMS["passed"], TRAIN, SYNTHETIC, HOLES).train.images
    np.testing.assert_array_equal(passed[40:], np.clip(TRAIN.images.astype(int) + 2, 0, 255))
    matched = compose(ARMS["moment_matching"], TRAIN, SYNTHETIC, HOLES).train.images[60:]
    bright = TRAIN.images[TRAIN.attributes["ground"].codes == 1].mean((1, 2, 3))
    assert np.abs(matched.mean((1, 2, 3))[:, None] - bright).min(1).max() < 3  # rounding and clipping


def test_pairs_join_an_image_and_its_translation_within_the_class() -> None:
    composed = compose(ARMS["consistency"], TRAIN, SYNTHETIC, HOLES)
    pool, partner = composed.pairs
    translation = {
        int(s): SYNTHETIC.images[i] for i, s in enumerate(SYNTHETIC.sources) if HOLES.symmetric(SYNTHETIC, TRAIN)[i]
    }
    for row in range(60):  # the real images
        assert (partner[row] >= 0) == (row in translation)
        if row in translation:
            np.testing.assert_array_equal(pool[partner[row]], translation[row])
    fills = np.flatnonzero(HOLES.fills(SYNTHETIC, TRAIN))
    for row, i in enumerate(fills, start=60):
        source = int(SYNTHETIC.sources[i])
        if TRAIN.labels[source] == 1:
            np.testing.assert_array_equal(pool[partner[row]], TRAIN.images[source])
        else:  # translated from the other class: no pair
            assert partner[row] == -1


def test_arms_that_cannot_be_composed_say_why() -> None:
    noise = replace(SYNTHETIC, sources=None)
    assert obstacle(ARMS["filled"], TRAIN, noise, HOLES) == ""
    assert "generated from noise" in obstacle(ARMS["symmetric"], TRAIN, noise, HOLES)
    assert "generated from noise" in obstacle(ARMS["untranslated"], TRAIN, noise, HOLES)
    assert "no generated images" in obstacle(ARMS["filled"], TRAIN, None, HOLES)
    assert "of the kind it shows" in obstacle(ARMS["filled"], TRAIN, SYNTHETIC.take(np.arange(5)), HOLES)
    unpassed = SYNTHETIC.take(~HOLES.passed(SYNTHETIC, TRAIN))
    assert "went through the translator" in obstacle(ARMS["passed"], TRAIN, unpassed, HOLES)
    disjoint = images({(0, 0): 9, (1, 1): 9}, 0)  # each class has an attribute value of its own
    assert "no image of the class 'lying'" in obstacle(
        ARMS["drop_cells"], disjoint, None, Holes.of(disjoint, ("ground",))
    )
    by_class = Holes.of(images({(0, 0): 12, (1, 0): 9}, 0), (), rare=10)
    for name, rule in {"drop_cells": "no image of", "dann": "no attribute", "moment_matching": "to match"}.items():
        assert rule in obstacle(ARMS[name], images({(0, 0): 12, (1, 0): 9}, 0), None, by_class)


def pair(seed: int = 0, channels: int = 3, size: int = 12) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    image = np.clip(random.normal(90, 25, (channels, size, size)), 0, 255).astype(np.uint8)
    reference = np.clip(random.normal(150, 12, (channels, size, size)), 0, 255).astype(np.uint8)
    return image, reference


def test_moment_matching_has_the_moments_of_the_reference_and_the_structure_of_the_image() -> None:
    image, reference = pair()
    matched = matching.moments(image, reference)
    np.testing.assert_allclose(matched.mean((1, 2)), reference.mean((1, 2)), atol=0.1)
    np.testing.assert_allclose(matched.std((1, 2)), reference.std((1, 2)), atol=0.1)
    for a, b in zip(image, matched, strict=True):
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.99
    np.testing.assert_array_equal(matching.moments(image, image), image)
    flat = np.full_like(image, 7)
    np.testing.assert_allclose(matching.moments(flat, reference).mean((1, 2)), reference.mean((1, 2)), atol=0.51)


def test_histogram_matching_of_distinct_values_gives_each_pixel_the_value_of_its_rank() -> None:
    random = np.random.default_rng(0)
    image = random.permutation(144).astype(np.uint8).reshape(1, 12, 12)
    reference = random.choice(256, 144, replace=False).astype(np.uint8).reshape(1, 12, 12)
    expected = np.sort(reference.ravel())[image.ravel()].reshape(image.shape)  # the k-th smallest for the k-th smallest
    np.testing.assert_array_equal(matching.histograms(image, reference), expected)
    colour, other = pair(1)
    matched = matching.histograms(colour, other)
    for channel, channel_expected in zip(matched, other, strict=True):
        np.testing.assert_allclose(
            np.quantile(channel, np.linspace(0.1, 0.9, 9)),
            np.quantile(channel_expected, np.linspace(0.1, 0.9, 9)),
            atol=3,
        )
    np.testing.assert_array_equal(matching.histograms(colour, colour), colour)


@pytest.mark.parametrize("size", [11, 12, 32])
def test_fourier_matching_exchanges_the_low_amplitudes_alone(size: int) -> None:
    """Against a transform written out as matrices, with a loop over the frequencies."""
    image, reference = pair(2, channels=1, size=size)
    k = np.arange(size)
    dft = np.exp(-2j * np.pi * np.outer(k, k) / size)
    x, y = (dft @ each[0].astype(float) @ dft.T for each in (image, reference))
    reach, mixed = max(1, int(0.09 * size)), x.copy()
    for u in range(size):
        for v in range(size):
            if min(u, size - u) <= reach and min(v, size - v) <= reach:
                mixed[u, v] = np.abs(y[u, v]) * np.exp(1j * np.angle(x[u, v]))
    inverse = np.conj(dft) / size
    expected = (inverse @ mixed @ inverse.T).real
    matched = matching.spectra(image, reference)
    np.testing.assert_allclose(matched[0], np.clip(np.rint(expected), 0, 255), atol=1)
    np.testing.assert_allclose(matched.mean(), reference.mean(), atol=1)  # the mean is the lowest frequency
    np.testing.assert_array_equal(matching.spectra(image, image), image)
