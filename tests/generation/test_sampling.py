"""Noise from elsewhere than the prior, on a generator small enough to know the answer; labels that classifiers give."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from augury import generation
from augury.errors import DataError, SettingsError
from augury.generation.sampling import SAMPLING, source
from augury.randomness import image_noise
from augury.training import as_float, slerp
from tests.helpers.generation_data import class_probabilities, known, linear, make, tiny


def levelled(images: torch.Tensor) -> torch.Tensor:
    """Logits [N, 2] by which half of what the untrained generator draws for class 0 is of either class."""
    with torch.no_grad():
        default_logits = linear(
            tiny().generator(torch.from_numpy(image_noise(0, np.arange(200), 4)), torch.zeros(200, 1).long())
        )
    return linear(images) - default_logits.median(0).values


def margins(noise: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Logit of the label less the other's, of the generator's images before they are rounded."""
    with torch.no_grad():
        images = tiny().generator(torch.from_numpy(noise), torch.from_numpy(labels[:, None]))
        probabilities = levelled(images).numpy()
    return probabilities[np.arange(len(labels)), labels] - probabilities[np.arange(len(labels)), 1 - labels]


def test_boundary_noise_is_unsure_and_still_agrees() -> None:
    labels, indices = np.zeros(40, np.int64), np.arange(40)
    noise = image_noise(3, indices, 4)
    before = margins(noise, labels)
    optimised = generation.boundary(tiny(), noise, labels[:, None], indices, levelled, target=0.1, steps=40, near=0.01)
    after = margins(optimised, labels)
    changed = (optimised != noise).any(1)
    assert (after[changed] >= -1e-5).all()
    assert np.median(np.abs(after[changed] - 0.1)) < 0.2 * np.median(np.abs(before - 0.1))
    assert changed.mean() > 0.8 and np.linalg.norm(optimised - noise, axis=1).max() < 4


def test_an_image_at_the_boundary_does_not_depend_on_its_company() -> None:
    labels, indices = np.arange(70) % 2, np.arange(70) + 5
    noise = image_noise(3, indices, 4)
    batch_result = generation.boundary(tiny(), noise, labels[:, None], indices, linear)
    for row in (0, 33, 69):
        one = slice(row, row + 1)
        single = generation.boundary(tiny(), noise[one], labels[one, None], indices[one], linear)
        np.testing.assert_array_equal(single[0], batch_result[row])


def test_between_lies_on_an_arc_between_two_anchors() -> None:
    anchors = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    new_noise = image_noise(1, np.arange(20), 4)
    between = generation.between(anchors, new_noise, 1, np.arange(20))
    ts = np.linspace(0.25, 0.75, 400).astype(np.float32)
    for row in between:
        arcs = [slerp(np.tile(a, (400, 1)), np.tile(b, (400, 1)), ts) for a in anchors for b in anchors if a is not b]
        assert min(np.abs(arc - row).max(1).min() for arc in arcs) < 0.01
    np.testing.assert_array_equal(generation.between(anchors, new_noise[7:8], 1, np.array([7]))[0], between[7])
    single_anchor = generation.between(anchors[:1], new_noise, 1, np.arange(20))
    assert not np.allclose(single_anchor[0], single_anchor[1])


@pytest.mark.parametrize("name", SAMPLING)
def test_every_sampling_can_be_drawn_and_redrawn(name: str, tmp_path) -> None:
    data, synthesizer = make(), tiny()
    synthetic = generation.draw(
        synthesizer,
        np.array([3, 5]),
        seed=2,
        surplus=4,
        filters=("agreement",),
        context=known(data),
        sampling=name,
    )
    synthetic = replace(
        synthetic, targets=generation.soft_labels(synthetic.images, synthetic.labels, [class_probabilities])
    )
    generation.save(synthetic, tmp_path)
    reloaded = generation.load(tmp_path, data.classes)
    rows = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    np.testing.assert_array_equal(reloaded.targets, synthetic.targets)
    for row in (0, len(reloaded) - 1):
        condition, index = reloaded.conditions[row : row + 1], reloaded.indices[row : row + 1]
        if name == "prior":
            assert reloaded.latents is None and not (tmp_path / "latents.npy").exists()
            image = synthesizer.sample(condition, seed=reloaded.seed, indices=index).images
        else:
            assert f"latents.npy row {row}" in rows[row]["latent"]
            image = synthesizer.decode(reloaded.latents[row : row + 1], condition, indices=index)
        np.testing.assert_array_equal(image[0], reloaded.images[row])
    np.testing.assert_array_equal(synthetic.take(synthetic.accepted).targets, synthetic.targets[synthetic.accepted])
    noise = source(name, synthesizer, known(data), 2)
    if noise is not None:
        np.testing.assert_array_equal(noise(synthetic.conditions[1:2], synthetic.indices[1:2]), synthetic.latents[1:2])


def test_inversions_lie_between_images_of_the_class() -> None:
    synthesizer = tiny()
    real = synthesizer.sample([0] * 4 + [1] * 3, seed=9)
    data = replace(make((4, 3)), images=real.images)
    noise = source("inversions", synthesizer, known(data), 0)(np.zeros((6, 1), np.int64), np.arange(6))
    true = image_noise(9, np.arange(4), 4)
    directions = true / np.linalg.norm(true, axis=1, keepdims=True)
    for row in noise:  # in the span of two of the noises that drew the images of this class
        best = min(
            np.linalg.norm(row - directions[[i, j]].T @ np.linalg.lstsq(directions[[i, j]].T, row, rcond=None)[0])
            for i in range(4)
            for j in range(i)
        )
        assert best < 0.35 * np.linalg.norm(row)


def test_sampling_without_what_it_needs_is_refused() -> None:
    minimal = replace(known(make()), logits=None)
    with pytest.raises(SettingsError, match="none was given"):
        source("boundary", tiny(), minimal, 0)
    with pytest.raises(SettingsError, match="real images"):
        source("inversions", tiny(), None, 0)
    with pytest.raises(SettingsError, match="no sampling 'best'"):
        source("best", tiny(), minimal, 0)
    with pytest.raises(DataError, match=r"need \[2, 4\]"):
        tiny().decode(np.zeros((2, 3), np.float32), [0, 1])


def test_soft_labels_are_the_ensembles_mean_tempered_and_mixed() -> None:
    first, second = np.array([[0.9, 0.1], [0.5, 0.5]]), np.array([[0.7, 0.3], [0.1, 0.9]])
    images, labels = np.zeros((2, 1, 8, 8), np.uint8), np.array([0, 1])
    ensemble = [lambda x: first, lambda x: second]
    np.testing.assert_allclose(generation.soft_labels(images, labels, ensemble), [[0.8, 0.2], [0.3, 0.7]])
    warm = generation.soft_labels(images, labels, ensemble, temperature=2)
    np.testing.assert_allclose(warm[0], np.sqrt([0.8, 0.2]) / np.sqrt([0.8, 0.2]).sum())
    np.testing.assert_allclose(generation.soft_labels(images, labels, ensemble, hard=1), np.eye(2))
    half = generation.soft_labels(images, labels, ensemble, hard=0.5)
    np.testing.assert_allclose(half, [[0.9, 0.1], [0.15, 0.85]])
    for invalid in ({"temperature": 0}, {"hard": 2}):
        with pytest.raises(SettingsError, match="soft labels need"):
            generation.soft_labels(images, labels, ensemble, **invalid)
    with pytest.raises(SettingsError, match="at least one classifier"):
        generation.soft_labels(images, labels, [])
    with pytest.raises(SettingsError, match="not finite numbers"):
        generation.soft_labels(images, labels, [lambda x: first * np.nan])


def test_pseudo_labels_are_sure_above_the_threshold() -> None:
    p = np.array([[0.9, 0.1], [0.4, 0.6], [0.05, 0.95]])
    labels, is_confident = generation.pseudo_labels(np.zeros((3, 1, 8, 8), np.uint8), lambda x: p, 0.9)
    assert labels.tolist() == [0, 1, 1] and is_confident.tolist() == [True, False, True]
    with pytest.raises(SettingsError, match="threshold"):
        generation.pseudo_labels(np.zeros((3, 1, 8, 8), np.uint8), lambda x: p, 0)


def test_as_float_is_the_scale_of_the_classifier_given() -> None:
    images = make().images
    np.testing.assert_allclose(linear(as_float(images)).softmax(1).numpy(), class_probabilities(images), atol=1e-5)
