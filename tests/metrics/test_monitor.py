"""The monitor on generators whose failings are known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from augury.images import LabelledImages, SyntheticImages
from augury.metrics import Monitor, kernel_distance, pixels

SHAPE = (1, 4, 4)


def real(n: int, seed: int) -> LabelledImages:
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    images = (random.normal(100 + 40 * labels[:, None, None, None], 20, (n, *SHAPE))).clip(0, 255).astype(np.uint8)
    return LabelledImages(images, labels.astype(np.int64), ("a", "b"), fingerprint=f"real{seed}")


@dataclass
class Gives:
    """A generator that gives these images, in turn, of the class asked for."""

    data: LabelledImages

    def sample(self, labels, *, seed: int = 0) -> SyntheticImages:
        rows_of_class = [np.flatnonzero(self.data.labels == label) for label in labels[:, 0]]
        rows = [class_rows[i % len(class_rows)] for i, class_rows in enumerate(rows_of_class)]
        return SyntheticImages(
            self.data.images[rows], labels, (), self.data.classes, seed, np.arange(len(rows), dtype=np.int64), "x"
        )


TRAIN, HELD_OUT = real(400, 0), real(100, 1)
WATCH = Monitor(pixels(SHAPE), TRAIN, HELD_OUT, HELD_OUT.conditions(()), number=128)


def test_real_images_are_found_well() -> None:
    scores = WATCH(Gives(real(1000, 2)))
    assert abs(scores["kid"]) < 0.002
    assert scores["spread"] == pytest.approx(1, abs=0.05)
    assert scores["closeness"] == pytest.approx(1, abs=0.05)
    assert scores["duplicates"] < 0.05


def test_one_image_a_class_is_found_alike() -> None:
    scores = WATCH(Gives(TRAIN.take(np.array([0, 1]))))
    assert scores["spread"] < 1e-6
    assert scores["duplicates"] == 1
    assert scores["kid"] > 10 * abs(WATCH(Gives(real(1000, 2)))["kid"])


def test_copies_of_training_images_are_found_close() -> None:
    assert WATCH(Gives(TRAIN))["closeness"] == 0


def test_its_kernel_distance_is_that_of_the_features() -> None:
    generator = Gives(real(1000, 3))
    fake = generator.sample(WATCH.conditions).images.reshape(128, -1) / 255
    held_out = HELD_OUT.images.reshape(100, -1) / 255
    assert WATCH(generator)["kid"] == pytest.approx(kernel_distance(fake, held_out), abs=2e-6)
    assert 0 < WATCH(generator)["kid_error"] < 0.01


def test_a_rare_class_whose_images_are_alike_is_named_though_others_vary() -> None:
    """Three classes of 200, 200 and 10: held-out images of the last are 2 of 82, so that few fakes are of it."""
    random = np.random.default_rng(5)

    def images(counts: tuple[int, ...], seed: str) -> LabelledImages:
        labels = np.repeat(np.arange(3), counts)
        pixels = random.normal(100 + 30 * labels[:, None, None, None], 20, (len(labels), *SHAPE)).clip(0, 255)
        return LabelledImages(pixels.astype(np.uint8), labels.astype(np.int64), ("a", "b", "rare"), fingerprint=seed)

    held_out = images((40, 40, 2), "held")
    callbacks = Monitor(pixels(SHAPE), images((200, 200, 10), "train"), held_out, held_out.conditions(()), number=64)
    varied = images((100, 100, 100), "varied")
    alike = varied.take(np.r_[0:200, [200]])
    scores = callbacks(Gives(alike))
    assert scores["worst_class"] == "rare" and scores["worst_spread"] < 1e-6
    assert scores["spread"] > 0.6  # the mean, from which it cannot be distinguished
    assert callbacks(Gives(varied))["worst_spread"] > 0.7
    monitor = Monitor(pixels(SHAPE), images((200, 200, 7), "train"), held_out, held_out.conditions(()), number=64)
    assert monitor(Gives(alike))["worst_class"] != "rare"  # seven images do not tell a variety
    assert {k: v for k, v in WATCH(Gives(real(1000, 2))).items() if k == "kid"}


def test_a_translator_is_given_no_kernel_distance() -> None:
    """One that changes nothing has the lowest: its images are real images of other cells."""

    class Translates(Gives):
        def sample(self, labels, *, seed=0):
            samples = super().sample(labels, seed=seed)
            return replace(samples, sources=np.arange(len(samples)))

    scores = WATCH(Translates(real(1000, 2)))
    assert "kid" not in scores and "closeness" not in scores and "spread" in scores


def test_features_beside_are_measured_and_select_nothing() -> None:
    beside = replace(pixels(SHAPE), name="other", extract=lambda images: pixels(SHAPE).extract(255 - images) ** 2)
    monitor = Monitor(pixels(SHAPE), TRAIN, HELD_OUT, HELD_OUT.conditions(()), number=128, beside=beside)
    fakes = Gives(TRAIN.take(np.arange(60)))
    measures, without = monitor(fakes), WATCH(fakes)
    assert {name: value for name, value in measures.items() if name != "kid_other"} == without
    features = beside.extract(fakes.sample(monitor.conditions, seed=0).images)
    expected = kernel_distance(features, monitor.held_out_beside)
    assert measures["kid_other"] == pytest.approx(expected, abs=0.05 * abs(expected))
    np.testing.assert_allclose(monitor.held_out_beside, (1 - monitor.held_out) ** 2, atol=1e-6)
    assert measures["kid_other"] != measures["kid"]
