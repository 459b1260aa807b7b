"""Filters on images whose answer is known, and against closed forms and brute force."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch.nn import functional as F

from augury.errors import SettingsError
from augury.generation import FILTERS, FilterContext
from augury.generation.filters import apply
from augury.images import LabelledImages
from augury.metrics import nearest
from augury.settings import GenerateSettings
from tests.helpers.generation_data import candidates, class_probabilities, halves, known, make, placed


def scored(name: str, images, context) -> np.ndarray:
    return FILTERS[name].score(images, context)


def ring(n: int = 30) -> LabelledImages:
    """Class 0 bright on the left, class 1 on the right, at whole grey values."""
    random = np.random.default_rng(5)
    points = random.integers(0, 40, (n, 2)) + np.where(np.arange(n)[:, None] % 2, [20, 160], [160, 20])
    return LabelledImages(placed(points), np.arange(n) % 2, ("left", "right"), fingerprint="ring")


def test_filters_reject_the_other_class_and_the_copy() -> None:
    data = make()
    fake = np.stack([data.images[0], 255 - data.images[1], 255 - data.images[2]])
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    context = FilterContext(data, lambda images: p, nearest)
    scores, reasons = apply(("agreement", "near_copy"), candidates(fake, [0, 0, 0]), context)
    assert reasons == ["near_copy", "agreement", ""]
    np.testing.assert_allclose(scores["agreement"], [1, 0.25, 1])
    assert scores["near_copy"][0] == pytest.approx(0, abs=1e-2)
    by_hand = np.sqrt(((fake[2].astype(float) - data.images.astype(float)) ** 2).mean((1, 2, 3))).min()
    assert scores["near_copy"][2] == pytest.approx(by_hand, rel=1e-4)


def test_confidence_and_margin_by_hand() -> None:
    p = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    context = FilterContext(make((4, 4, 4)), lambda images: p, nearest)
    proposed = candidates(placed([(1, 2), (3, 4)]), [0, 1])
    np.testing.assert_allclose(scored("confidence", proposed, context), [0.5, 0.2])
    np.testing.assert_allclose(scored("margin", proposed, context), [0.2, -0.5])
    np.testing.assert_allclose(scored("agreement", proposed, context), [1, 2 / 7])


def test_class_distance_is_one_where_real_images_are() -> None:
    data = ring(200)
    real = scored("class_distance", candidates(data.images, data.labels), known(data))
    assert np.sqrt((real**2).mean()) == pytest.approx(1, abs=0.02)
    wrong_labels = scored("class_distance", candidates(data.images, 1 - data.labels), known(data))
    assert wrong_labels.min() > 5
    single_image = replace(data, labels=np.r_[0, np.ones(199, np.int64)])
    assert np.isfinite(
        scored("class_distance", candidates(data.images, single_image.labels), known(single_image))
    ).all()


def test_realism_is_the_ratio_of_the_equation() -> None:
    data, random = ring(), np.random.default_rng(0)
    fake = placed(random.integers(0, 255, (20, 2)))
    real = halves(data.images)
    within = np.sort(cdist(real, real), axis=1)[:, 3]
    balls = within <= np.median(within)
    expected = (within[balls] / np.maximum(cdist(halves(fake), real[balls]), 1e-12)).max(1)
    np.testing.assert_allclose(
        scored("realism", candidates(fake, np.zeros(20)), known(data)), np.minimum(expected, 1000), rtol=1e-6
    )


def test_of_a_collapsed_generator_one_image_stays_by_default() -> None:
    data = ring()
    images = placed([(10, 10)] * 40)
    names = GenerateSettings().filters
    assert names[-1] == "near_duplicate"
    reasons = apply(names[-1:], candidates(images, np.zeros(40)), known(data))[1]
    assert reasons == [""] + ["near_duplicate"] * 39


def test_near_duplicates_of_earlier_images_go_and_the_first_stays() -> None:
    data = ring()
    images = placed([(10, 10), (200, 100), (10, 10), (200, 101), (90, 90)])
    context = known(data)
    scores, reasons = apply(("near_duplicate>0.5",), candidates(images, [0, 0, 1, 0, 0]), context)
    assert reasons == ["", "", "near_duplicate", "near_duplicate", ""]
    assert scores["near_duplicate"][3] == pytest.approx(1 / context.usual)
    rejected = candidates(images, [0, 0, 1, 0, 0], passed=[False, True, True, True, True])
    assert apply(("near_duplicate>0.5",), rejected, context)[1] == ["", "", "", "near_duplicate", ""]


def test_k_center_is_within_twice_the_best_radius() -> None:
    """Gonzalez 1985: the greedy radius is at most twice the smallest possible one, here found by trying all sets."""
    points = np.random.default_rng(2).integers(0, 256, (11, 2))
    images = candidates(placed(points), np.zeros(11), quota=4)
    accepted = np.array([not r for r in apply(("k_center",), images, known(ring()))[1]])
    distances = cdist(points, points)
    best = min(distances[:, list(chosen)].min(1).max() for chosen in combinations(range(11), 4))
    assert accepted.sum() == 4 and distances[:, accepted].min(1).max() <= 2 * best + 1e-9


def test_the_determinantal_choice_is_the_greedy_one_by_determinants() -> None:
    points = np.random.default_rng(4).integers(0, 256, (12, 2))
    images = candidates(placed(points), np.zeros(12), quota=5)
    scores = scored("determinantal", images, known(ring()))
    distances = cdist(points, points)
    alike = np.exp(-((distances / np.median(distances[np.triu_indices(12, 1)])) ** 2) / 2)
    selection: list[int] = []
    for _ in range(5):
        each = [
            -1.0 if i in selection else np.linalg.det(alike[np.ix_([*selection, i], [*selection, i])])
            for i in range(12)
        ]
        before = np.linalg.det(alike[np.ix_(selection, selection)]) if selection else 1.0
        selection.append(int(np.argmax(each)))
        assert scores[selection[-1]] == pytest.approx(each[selection[-1]] / before, rel=1e-6)
    accepted = [i for i, r in enumerate(apply(("determinantal",), images, known(ring()))[1]) if not r]
    assert accepted == sorted(selection)


def test_a_selection_passes_over_what_was_rejected_before() -> None:
    points = [(0, 0), (250, 0), (0, 250), (120, 120), (121, 121)]
    images = candidates(placed(points), np.zeros(5), quota=2, passed=[False, True, True, False, False])
    for name in ("k_center", "determinantal"):
        reasons = apply((name,), images, known(ring()))[1]
        assert [reasons[1], reasons[2]] == ["", ""]


def test_influence_is_the_cosine_of_the_gradients_of_autograd() -> None:
    train, validation = make((6, 6)), make((5, 3))
    weights = torch.randn(2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def inputs(images: np.ndarray) -> np.ndarray:
        return (halves(images) / 100).astype(np.float32)

    def logits(images: np.ndarray, w: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(np.c_[inputs(images), np.ones(len(images))]).double() @ w.T

    def gradient_of(images: np.ndarray, labels: np.ndarray, weight: np.ndarray) -> torch.Tensor:
        w = weights.clone().requires_grad_()
        loss = F.cross_entropy(logits(images, w), torch.from_numpy(labels), reduction="none")
        (weight_gradient,) = torch.autograd.grad((loss * torch.from_numpy(weight)).sum(), w)
        return weight_gradient.flatten()

    context = FilterContext(
        train,
        lambda images: logits(images, weights).softmax(1).numpy(),
        nearest,
        validation=validation,
        last_inputs=inputs,
    )
    proposed = candidates(train.images, train.labels)
    target_gradient = gradient_of(validation.images, validation.labels, 1 / validation.counts[validation.labels])
    each = [gradient_of(train.images[[i]], train.labels[[i]], np.ones(1)) for i in range(12)]
    expected = [float(F.cosine_similarity(image_gradient, target_gradient, dim=0)) for image_gradient in each]
    np.testing.assert_allclose(scored("influence", proposed, context), expected, atol=1e-6)


def test_influence_tells_right_labels_from_wrong_ones() -> None:
    data = ring()
    uncertain = replace(known(data), probabilities=lambda images: 0.5 + 0.2 * (class_probabilities(images) - 0.5))
    right_labels = scored("influence", candidates(data.images, data.labels), uncertain)
    wrong_labels = scored("influence", candidates(data.images, 1 - data.labels), uncertain)
    assert (right_labels > 0).mean() > 0.9 and (wrong_labels < 0).mean() > 0.9


def test_the_discriminator_score_is_the_place_among_held_out_images() -> None:
    held_out = LabelledImages(placed([(10, 0), (20, 0), (30, 0), (40, 0)]), np.array([0, 1, 0, 1]), ("a", "b"))
    context = known(ring(), validation=held_out)
    images = candidates(placed([(5, 0), (20, 0), (35, 0), (99, 0)]), [0, 0, 0, 0])
    np.testing.assert_allclose(scored("discriminator", images, context), [0, 0.5, 0.75, 1])
    without = replace(context, discriminator=None, why_no_discriminator="the recipe vae trains none")
    with pytest.raises(SettingsError, match="the recipe vae trains none"):
        scored("discriminator", images, without)


def test_unknown_and_missing_things_are_refused_in_words() -> None:
    minimal, images = FilterContext(make(), class_probabilities, nearest), candidates(placed([(1, 2)]), [0])
    with pytest.raises(SettingsError, match="needs features"):
        apply(("realism",), images, minimal)
    with pytest.raises(SettingsError, match="needs validation images"):
        apply(("influence",), images, minimal)
