"""Networks that tell groups apart: their loss, their pairs, and drawn patterns that a translation keeps or swaps."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from augury import proof
from augury.generation import Identity, group_folds
from augury.images import Attribute, LabelledImages
from augury.proof import identity_training
from augury.proof.identity_training import PAIRS, TEMPERATURE, pairs_of_groups, supervised_contrastive
from augury.randomness import rng

CPU = torch.device("cpu")


def patterns(signal: float, groups: int = 40, each: int = 6) -> LabelledImages:
    """16 × 16 images of patterns of 4 × 4 squares, one for each group, under noise; half of them in bright light."""
    random, group = np.random.default_rng(0), np.repeat(np.arange(groups), each)
    squares = random.choice([-1.0, 1.0], (groups, 4, 4)).repeat(4, 1).repeat(4, 2)
    light = np.tile(np.arange(each) % 2, groups)
    grey = 100 + 60 * light[:, None, None] + signal * squares[group] + random.normal(0, 12, (len(group), 16, 16))
    return LabelledImages(
        grey.clip(0, 255).astype(np.uint8)[:, None], np.zeros(len(group), np.int64), ("pattern",),
        {"light": Attribute(light, ("dark", "bright"))}, groups=group, fingerprint="p",
    )  # fmt: skip


def judged(data: LabelledImages, seed: int = 0) -> Identity:
    assert data.groups is not None
    folds = group_folds(data.groups, seed)
    networks = proof.identity_networks(data, ("light",), folds, seed=seed, device=CPU, flips=False)
    return Identity(data, ("light",), folds, lambda images, fold: proof.embedded(networks, images, fold), seed)


@pytest.fixture(autouse=True)
def briefly(monkeypatch) -> None:
    monkeypatch.setattr(identity_training, "IDENTITY_STEPS", 40)


def test_the_loss_is_that_of_the_paper() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(7, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    groups, total = [0, 0, 1, 1, 1, 2, 2], 0.0
    for i in range(7):
        e = [math.exp(float(vectors[i] @ vectors[a]) / TEMPERATURE) for a in range(7)]
        positive = [p for p in range(7) if p != i and groups[p] == groups[i]]
        total -= sum(math.log(e[p] / (sum(e) - e[i])) for p in positive) / len(positive)
    assert float(supervised_contrastive(vectors, torch.tensor(groups))) == pytest.approx(total / 7, rel=1e-5)


def test_pairs_are_of_one_group_and_differ_in_the_attribute_where_they_can() -> None:
    members = [np.array([0, 1, 2]), np.array([3, 4]), np.array([5, 6, 7, 8])]
    conditions = np.array([0, 0, 1, 0, 0, 0, 1, 1, 1])[:, None]
    first, second = pairs_of_groups(members, conditions, rng(1, "pairs"))
    group = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
    assert len(first) == PAIRS and (first != second).all() and (group[first] == group[second]).all()
    different = (conditions[first] != conditions[second])[:, 0]
    assert different[group[first] != 1].all() and not different[group[first] == 1].any()
    counts = np.bincount(group[first])
    assert counts.max() - counts.min() <= 1


def test_a_swapped_pattern_is_rejected_and_a_kept_one_is_not() -> None:
    data = patterns(signal=30)
    score = judged(data)
    recognition = score.recognitions[1]
    assert recognition.judges and recognition.auc is not None and recognition.auc > 0.95
    sources = np.flatnonzero(score.conditions[:, 1] == 0)
    target = score.conditions[sources] + [0, 1]
    translated = (data.images[sources].astype(int) + 60).clip(0, 255).astype(np.uint8)
    assert (score.scores(translated, target, sources) < 0.05).mean() < 0.1
    swapped = np.roll(translated, 3, axis=0)  # three sources of each group: the pattern of the group before
    assert (score.groups[sources] != score.groups[np.roll(sources, 3)]).all()
    assert (score.scores(swapped, target, sources) < 0.05).mean() > 0.9


def test_without_a_pattern_the_networks_do_not_judge() -> None:
    score = judged(patterns(signal=0))
    recognition = score.recognitions[1]
    assert recognition.auc is not None and recognition.auc < 0.65 and not recognition.judges


def test_the_same_seed_gives_the_same_networks_and_no_image_of_a_fold_trains_its_network(monkeypatch) -> None:
    monkeypatch.setattr(identity_training, "IDENTITY_STEPS", 4)
    data = patterns(signal=30, groups=12)
    first, repeated, other = judged(data), judged(data), judged(data, seed=1)
    np.testing.assert_array_equal(first.embedded, repeated.embedded)
    assert (first.embedded != other.embedded).any()
    changed_images = data.images.copy()
    changed_images[first.folds == 0] = 255 - changed_images[first.folds == 0]
    changed = LabelledImages(
        changed_images, data.labels, data.classes, data.attributes, groups=data.groups, fingerprint="q"
    )
    folds = group_folds(data.groups, 0)
    networks = proof.identity_networks(changed, ("light",), folds, seed=0, device=CPU, flips=False)
    in_first_fold = first.folds == 0
    np.testing.assert_array_equal(
        proof.embedded(networks, data.images[in_first_fold], 0), first.embedded[in_first_fold]
    )
