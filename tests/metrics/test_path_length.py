"""Perceptual path length against its closed form for a linear generator and linear features."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from augury.errors import ScoreError
from augury.metrics import Extractor, feature_map, perceptual_path_length, phash, pixels
from augury.networks import build
from augury.randomness import image_noise
from augury.training import Card, Synthesizer, path_pairs
from tests.helpers.linear_generator import SHAPE, SIZE, LinearFeatures, linear_synthesizer
from tests.helpers.training_data import NEEDS_LITE0


def linear_features(seed: int = 0) -> tuple[Extractor, np.ndarray]:
    weights = np.random.default_rng(seed).standard_normal((5, 64)) * 0.3
    return Extractor("linear", "none", "", 5, lambda images: images, network=LinearFeatures(weights)), weights


@pytest.mark.parametrize("sampling", ["full", "end"])
def test_a_linear_generator_has_the_closed_form(sampling: str) -> None:
    synthesizer, (extractor, weights) = linear_synthesizer(), linear_features()
    conditions = np.tile([[0, 1], [1, 0]], (200, 1))
    pairs = path_pairs(synthesizer, conditions, epsilon=1e-3, sampling=sampling, seed=7)
    score = perceptual_path_length(pairs, extractor, epsilon=1e-3, settings="space=w")
    generator = synthesizer.generator
    together = weights @ generator.matrix.detach().double().numpy() @ generator.spread.detach().double().numpy()
    first, second = (image_noise(7, 2 * np.arange(400) + end, SIZE)[:, :SIZE] for end in range(2))
    lengths = np.square((second - first).astype(float) @ together.T).sum(1)  # of every path, the same everywhere on it
    low, high = np.percentile(lengths, [1, 99])
    assert score.value == pytest.approx(lengths[(lengths >= low) & (lengths <= high)].mean(), rel=2e-3)
    assert lengths.mean() == pytest.approx(2 * np.square(together).sum(), rel=0.2)  # E‖A(z₂ - z₁)‖² = 2 tr(AᵀA)
    assert score.low < score.value < score.high and score.better == "lower" and score.n == 400
    assert score.name == "PPL-linear" and score.settings == "space=w, epsilon=0.001"


def test_features_that_double_quadruple_the_length_and_epsilon_does_not_matter() -> None:
    synthesizer, (extractor, weights) = linear_synthesizer(), linear_features()
    conditions = np.tile([[0, 1]], (60, 1))

    def length(used: Extractor, epsilon: float) -> float:
        pairs = path_pairs(synthesizer, conditions, epsilon=epsilon, space="w")
        return perceptual_path_length(pairs, used, epsilon=epsilon).value

    twice = Extractor("linear", "none", "", 5, lambda images: images, network=LinearFeatures(2 * weights))
    assert length(twice, 1e-3) == pytest.approx(4 * length(extractor, 1e-3), rel=1e-3)
    assert length(extractor, 1e-4) == pytest.approx(length(extractor, 1e-2), rel=1e-2)


def test_a_path_through_noise_is_an_arc_with_the_speed_of_its_angle() -> None:
    torch.manual_seed(0)
    generator = build("mlp", {"hidden": 8, "latent": 5}, (1, 4, 4), (2,))[0]

    class Noise(torch.nn.Module):  # the image is the noise
        latent = 16

        def forward(self, noise: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
            return noise.reshape(-1, 1, 4, 4)

    noise = Noise()
    noise.register_parameter("p", torch.nn.Parameter(torch.zeros(1)))
    card = Card("mlp", {}, (1, 4, 4), ("a", "b"), (), (), "x", "gan", 0, 1, 1, "fp32")
    assert generator.latent == 5
    whole = Extractor("whole", "none", "", 16, lambda images: images, network=LinearFeatures(np.eye(16)))
    pairs = path_pairs(Synthesizer(card, noise), np.zeros((80, 1), np.int64), epsilon=1e-3, sampling="end", seed=2)
    score = perceptual_path_length(pairs, whole, epsilon=1e-3)
    a, b = (image_noise(2, 2 * np.arange(80) + end, 16).astype(float) for end in range(2))
    norms = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    angle = np.arccos((a * b).sum(1) / norms[0] / norms[1])
    # derivative at t = 0 of sin((1 - t)θ)/sin θ · a + sin(tθ)/sin θ · b
    velocity = (-np.cos(angle) / np.sin(angle) * angle)[:, None] * a + (angle / np.sin(angle))[:, None] * b
    lengths = np.square(velocity).sum(1)
    low, high = np.percentile(lengths, [1, 99])
    assert score.value == pytest.approx(lengths[(lengths >= low) & (lengths <= high)].mean(), rel=1e-2)


@NEEDS_LITE0
def test_lite0_measures_in_single_precision_what_it_measures_in_double() -> None:
    from augury.metrics import lite0

    synthesizer, extractor = linear_synthesizer(gain=0.7), lite0(longest=64)
    pairs = list(path_pairs(synthesizer, np.tile([[0, 1]], (24, 1)), epsilon=1e-4))
    single = perceptual_path_length(pairs, extractor, epsilon=1e-4)
    network = extractor.network.double()
    length = [((network(a.double()) - network(b.double())).square().sum(1) / 1e-8).detach().numpy() for a, b in pairs]
    lengths = np.concatenate(length)
    low, high = np.percentile(lengths, [1, 99])
    assert single.value == pytest.approx(lengths[(lengths >= low) & (lengths <= high)].mean(), rel=0.02)


def test_features_without_a_network_and_few_paths_are_refused() -> None:
    synthesizer = linear_synthesizer()
    few = path_pairs(synthesizer, np.tile([[0, 1]], (5, 1)))
    with pytest.raises(ScoreError, match="needs at least 20 paths, but there are 5"):
        perceptual_path_length(few, pixels(SHAPE), epsilon=1e-4)
    with pytest.raises(ScoreError, match=r"'phash' take 8-bit images only.* use lite0, pixels"):
        feature_map(phash())
