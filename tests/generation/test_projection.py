"""Inversion recovers what the generator drew, measures how close it came, and says so where it fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from augury.errors import DataError, SettingsError
from augury.generation import edit, find_directions, project
from augury.metrics import feature_map, pixels
from augury.training import LatentSpace, encoder, path_pairs, train_plan
from tests.generation.test_directions import untrained
from tests.helpers.linear_generator import SHAPE, linear_synthesizer
from tests.helpers.training_data import planned, small


def test_an_image_that_the_generator_drew_is_recovered() -> None:
    synthesizer = linear_synthesizer(gain=0.5)
    drawn = synthesizer.sample([[0, 0], [1, 1], [0, 1]], seed=3)
    projection = project(synthesizer, drawn.images, steps=300)
    assert projection.points.latents.shape == (3, 6) and projection.psnr.min() > 45 and projection.distance.max() < 0.05
    truth = LatentSpace(synthesizer).drawn(drawn.conditions, drawn.indices, 3).latents
    np.testing.assert_allclose(projection.points.latents, truth, atol=0.05)  # the matrix has full rank
    assert not projection.failed.any() and all(line.startswith("close: PSNR") for line in projection.sentences())
    by_hand = np.square(projection.images.astype(float) - drawn.images).mean((1, 2, 3))
    np.testing.assert_allclose(projection.psnr, 10 * np.log10(255**2 / np.maximum(by_hand, 1e-3)))


@pytest.mark.parametrize(("space", "least"), [("w", 30), ("w+", 24)])
def test_an_image_of_a_deep_generator_is_recovered_despite_its_pixel_noise(space: str, least: float) -> None:
    synthesizer = untrained("stylegan", latent=16)
    with torch.no_grad():
        for layer in synthesizer.generator.layers:
            layer.strength.fill_(0.02)
    drawn = synthesizer.sample([[0, 0], [1, 2]], seed=3).images
    projection = project(synthesizer, drawn, space=space, features=feature_map(pixels(drawn.shape[1:])), steps=150)
    assert projection.psnr.min() > least and projection.measured == "pixels and features"
    assert projection.points.latents.shape == ((2, 16) if space == "w" else (2, len(synthesizer.generator.sides), 16))
    moved = edit(synthesizer, find_directions(synthesizer), {"pca0": 3}, projection.points, frames=2)
    np.testing.assert_array_equal(moved[:, 0], projection.images)
    assert (moved[:, 1] != projection.images).any()


@pytest.mark.parametrize("network", ["dcgan", "autoencoder"])
def test_generators_without_a_mapping_network_are_inverted_in_their_own_space(network: str) -> None:
    synthesizer = untrained(network, latent=6)
    conditions = np.array([[0, 1], [1, 2]])
    drawn = synthesizer.sample(conditions, seed=3).images
    projection = project(synthesizer, drawn, conditions, steps=200)
    assert projection.psnr.min() > 35 and (projection.points.conditions == conditions).all()
    with pytest.raises(SettingsError, match="inversion needs the class; give --label, one of: a, b"):
        project(synthesizer, drawn)
    with pytest.raises(SettingsError, match=r"no space 'w\+' for this generator; .* train with recipe stylegan"):
        project(synthesizer, drawn, conditions, space="w+")


def test_an_image_that_the_generator_cannot_draw_is_reported_as_failed() -> None:
    synthesizer = linear_synthesizer(gain=0.5)
    noise = np.random.default_rng(0).integers(0, 2, (1, *SHAPE), dtype=np.uint8) * 255
    projection = project(synthesizer, noise, steps=100)
    assert projection.failed.all() and projection.distance[0] > 0.75
    assert projection.sentences()[0].startswith("failed: PSNR") and "train longer" in projection.sentences()[0]


def test_the_encoder_of_a_run_inverts_without_a_search(tmp_path: Path) -> None:
    ramp = np.linspace(0, 200, 12)
    images = np.stack([np.add.outer(ramp * (i % 5) / 5, ramp[::-1] * (i % 3) / 3) for i in range(40)]).clip(0, 255)
    data = small(40)
    data = type(data)(images.astype(np.uint8)[:, None], data.labels, data.classes, data.attributes, fingerprint="ramps")
    plan = planned(data, recipe="ae", steps=150, overrides={"width": 8, "latent": 4})
    synthesizer = train_plan(plan, data, tmp_path)
    stored = encoder(synthesizer, tmp_path)
    assert stored is not None and encoder(synthesizer, tmp_path / "none") is None
    assert encoder(untrained("dcgan"), tmp_path) is None
    conditions = data.conditions(())
    coded = project(synthesizer, data, conditions, encoder=stored, steps=0, starts=1)
    searched = project(synthesizer, data, conditions, encoder=stored, steps=40, starts=1)
    blind = project(synthesizer, data, conditions, steps=0, starts=1)
    assert coded.psnr.mean() > blind.psnr.mean() + 3  # dB
    assert searched.psnr.mean() > coded.psnr.mean()


def test_wrong_images_and_conditions_are_refused() -> None:
    synthesizer = linear_synthesizer()
    image = synthesizer.sample([[0, 0]]).images
    for call, error, rule in (
        (lambda: project(synthesizer, image[:, :, :4]), DataError, r"this generator draws \[N, 1, 8, 8\]; resize"),
        (lambda: project(synthesizer, image.repeat(3, axis=1)), DataError, "resize or convert"),
        (lambda: project(synthesizer, image[:0]), DataError, "images have shape"),
        (lambda: project(synthesizer, image, np.array([[0, 9]])), DataError, "knows only"),
        (lambda: project(synthesizer, image, np.array([[0, 0]] * 2)), DataError, "1 images but 2 conditions"),
        (lambda: project(synthesizer, image, space="v"), SettingsError, r"no space 'v' .* it has w or w\+"),
        (lambda: next(path_pairs(synthesizer, np.array([[0, 0]]), space="x")), SettingsError, "must be z, or w"),
        (lambda: next(path_pairs(synthesizer, np.array([[0, 0]]), sampling="x")), SettingsError, "full or end"),
        (lambda: next(path_pairs(synthesizer, np.array([[0, 0]]), epsilon=0.0)), SettingsError, "above 0"),
    ):
        with pytest.raises(error, match=rule):
            call()
