"""The filter "identity": its shares and scores against loops over the definition, and when it does not judge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from augury.errors import SettingsError
from augury.generation import FILTERS, Identity, described, filters_for_translations, group_folds, why_no_identity
from augury.generation.filters import FOR_TRANSLATIONS, apply
from augury.generation.identity import FALSE_REJECTIONS, LEAST_PROBES, TOLERATED, p_values, pairs_across
from augury.images import Attribute, LabelledImages
from augury.settings import GenerateSettings
from tests.helpers.generation_data import candidates, known

GROUPS, EACH = 16, 6
CONDITION = ("hat",)
ANGLES = np.cumsum(np.random.default_rng(9).uniform(0.3, 0.9, 256))
"""Degrees, less than 180, with uneven steps: no two distances are equal by chance."""


def circle(images: np.ndarray, fold: int = 0) -> np.ndarray:
    """Unit vectors [N, 2], whose angle is known for each grey level. No network is needed to know their similarity."""
    angle = np.deg2rad(ANGLES[images[:, 0, 0, 0]])
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def labelled_images(grey: np.ndarray, groups: np.ndarray, hats: np.ndarray, labels: np.ndarray) -> LabelledImages:
    images = np.asarray(grey, np.uint8)[:, None, None, None].repeat(8, 2).repeat(8, 3)
    return LabelledImages(
        images, labels.astype(np.int64), ("a", "b"), {"hat": Attribute(hats.astype(np.int64), ("no", "yes"))},
        groups=groups.astype(np.int64), fingerprint="i",
    )  # fmt: skip


def people(spread: float, seed: int = 0) -> LabelledImages:
    """Each group has a grey level of its own, ± `spread`, with and without a hat; the class is that of the group."""
    random, groups = np.random.default_rng(seed), np.repeat(np.arange(GROUPS), EACH)
    grey = 10 + 10 * groups + random.uniform(-spread, spread, len(groups))
    return labelled_images(grey.clip(0, 179).round(), groups, np.tile(np.arange(EACH) % 2, GROUPS), groups % 2)


def identity(train: LabelledImages, seed: int = 0) -> Identity:
    assert train.groups is not None
    return Identity(train, CONDITION, group_folds(train.groups, seed), circle, seed)


def share_by_loop(score: Identity, train: LabelledImages, grey: int, source: int) -> float:
    """The definition, written with loops and degrees: the nearer of two images is the one whose angle is."""
    levels, conditions = ANGLES[train.images[:, 0, 0, 0]], train.conditions(CONDITION)
    same_group, others = [], []
    for row in range(len(train)):
        if score.folds[row] == score.folds[source] and (conditions[row] == conditions[source]).all():
            if score.groups[row] != score.groups[source]:
                others.append(abs(levels[row] - ANGLES[grey]))
            elif row != source:
                same_group.append(abs(levels[row] - ANGLES[grey]))
    nearest = min(same_group or [abs(levels[source] - ANGLES[grey])])
    return float(np.mean([(d < nearest) + 0.5 * (d == nearest) for d in others]))


def test_the_share_is_that_of_other_groups_images_that_are_nearer() -> None:
    train = people(spread=14, seed=1)
    score, random = identity(train), np.random.default_rng(2)
    grey, sources = random.integers(0, 180, 200), random.integers(0, len(train), 200)
    embedded = circle(grey.astype(np.uint8)[:, None, None, None])
    expected = [share_by_loop(score, train, g, s) for g, s in zip(grey, sources, strict=True)]
    assert len(set(expected)) > 5
    np.testing.assert_allclose(score.shares(embedded, sources), expected)


def test_the_only_image_of_a_group_is_compared_itself() -> None:
    groups = np.array([0, 1, 2, 3, 4, 5, 6, 7])
    train = labelled_images(np.arange(8) * 20, groups, np.zeros(8), np.zeros(8))
    score = identity(train)
    np.testing.assert_array_equal(score.shares(score.embedded, np.arange(8)), 0)


def test_the_auc_is_that_of_the_rank_sum_test() -> None:
    train = people(spread=14, seed=3)
    score = identity(train)
    recognition = score.recognitions[1]
    probes, sources = pairs_across(score.groups, score.conditions, 1, seed=0)
    levels, areas = ANGLES[train.images[:, 0, 0, 0]], []
    for probe, source in zip(probes, sources, strict=True):
        block = (score.folds == score.folds[source]) & (score.conditions == score.conditions[source]).all(1)
        near = -np.abs(levels - levels[probe])
        same_group = block & (score.groups == score.groups[source]) & (np.arange(len(train)) != source)
        others = near[block & (score.groups != score.groups[source])]
        areas.append(mannwhitneyu(near[same_group], others).statistic / (same_group.sum() * len(others)))
    assert recognition.auc == pytest.approx(np.mean(areas)) and 0.8 < recognition.auc < 0.99
    assert (recognition.probes, recognition.groups) == (GROUPS * EACH, GROUPS)


def test_scores_are_shares_of_real_images_that_are_recognised_no_better() -> None:
    random = np.random.default_rng(0)
    real, shares = np.sort(random.random(37)), np.r_[random.random(50), 0, 1, TOLERATED]
    floored = np.maximum(real, TOLERATED)
    expected = [(1 + sum(floored >= max(s, TOLERATED))) / 38 for s in shares]
    np.testing.assert_allclose(p_values(shares, real), expected)
    np.testing.assert_array_equal(p_values(np.array([np.nan, 0, TOLERATED]), np.zeros(30)), 1)
    assert p_values(np.array([0.06]), np.zeros(LEAST_PROBES))[0] < FALSE_REJECTIONS


def test_another_groups_image_is_rejected_and_one_of_the_own_group_is_not() -> None:
    train = people(spread=3)
    score = identity(train)
    sources = np.flatnonzero(score.conditions[:, 1] == 0)
    target = score.conditions[sources] + [0, 1]
    assert score.recognitions[1].auc == 1 and score.recognitions[1].detected == 1
    np.testing.assert_array_equal(score.scores(train.images[sources], target, sources), 1)
    blocks = np.column_stack([score.folds, score.conditions])
    swapped_rows = np.array(
        [np.flatnonzero((blocks == blocks[s]).all(1) & (score.groups != score.groups[s]))[0] for s in sources]
    )
    assert (score.scores(train.images[swapped_rows], target, sources) < FALSE_REJECTIONS).all()
    context = known(train, identity=score.scores, identity_note=score.note([1]))
    images = replace(candidates(train.images[swapped_rows], target[:, 0]), conditions=target, sources=sources)
    assert apply(("identity",), images, context)[1] == ["identity"] * len(sources)
    assert "changes of 'hat' are judged: the AUC" in described(("identity",), context)["identity"]


def test_a_real_image_is_rejected_about_as_often_as_the_limit_says() -> None:
    """Other images of the same groups, which played no part in measuring, are translations that keep the identity."""
    train, unseen = people(spread=12, seed=5), people(spread=12, seed=6)
    score = identity(train)
    probes, sources = pairs_across(score.groups, score.conditions, 1, seed=1)
    rejected = score.scores(unseen.images[probes], unseen.conditions(CONDITION)[probes], sources) < 0.2
    assert score.recognitions[1].judges and 0.08 < rejected.mean() < 0.32


def test_changes_that_no_group_shows_are_not_judged() -> None:
    train = people(spread=3)
    score = identity(train)
    sources, opposite = np.arange(len(train)), score.conditions ^ [1, 0]
    assert not score.recognitions[0].judges
    np.testing.assert_array_equal(score.scores(train.images[::-1], opposite, sources), 1)
    assert "changes of 'label' are not judged and none is rejected, because it takes 20" in score.note([0, 1])
    assert why_no_identity(train, CONDITION, [1], 0) == ""
    assert "there are 0 images of 0 groups" in why_no_identity(train, CONDITION, [0], 0)
    assert (
        why_no_identity(replace(train, groups=None), CONDITION, [1], 0)
        == "not applied, because the data have no groups"
    )


def test_without_a_signal_of_the_groups_nothing_is_rejected() -> None:
    train = people(spread=80, seed=7)
    score = identity(replace(train, images=np.random.default_rng(0).permutation(train.images)))
    assert score.recognitions[1].auc < 0.7
    np.testing.assert_array_equal(score.scores(train.images[::-1], score.conditions ^ [0, 1], np.arange(len(train))), 1)
    assert "cannot tell groups apart" in score.recognitions[1].sentence and "below the limit of 0.8" in score.note([1])


def test_pairs_differ_in_one_column_alone() -> None:
    random = np.random.default_rng(0)
    groups, conditions = random.integers(0, 9, 120), random.integers(0, 3, (120, 2))
    for column in (0, 1):
        probes, sources = pairs_across(groups, conditions, column, seed=0)
        assert (groups[probes] == groups[sources]).all()
        differs = conditions[probes] != conditions[sources]
        assert differs[:, column].all() and not differs[:, 1 - column].any()
        number = sum(
            len({c for g, k, c in zip(groups, conditions[:, 1 - column], conditions[:, column], strict=True)
                 if (g, k) == (groups[i], conditions[i, 1 - column])} - {conditions[i, column]})
            for i in range(120)
        )  # fmt: skip
        assert len(probes) == number


def test_folds_hold_whole_groups_and_equally_many() -> None:
    groups = np.random.default_rng(0).integers(0, 31, 200)
    folds = group_folds(groups, seed=4)
    assert all(len(set(folds[groups == g])) == 1 for g in range(31))
    assert sorted(len(set(groups[folds == f])) for f in (0, 1)) == [15, 16]
    np.testing.assert_array_equal(folds, group_folds(groups, seed=4))
    assert (folds != group_folds(groups, seed=5)).any()


def test_images_from_noise_and_missing_networks_are_refused() -> None:
    train = people(spread=3)
    images = candidates(train.images, train.labels)
    with pytest.raises(SettingsError, match="these images have none; leave it"):
        FILTERS["identity"].score(images, known(train))
    with pytest.raises(SettingsError, match="needs networks that tell groups apart"):
        FILTERS["identity"].score(replace(images, sources=np.arange(len(train))), known(train, identity=None))


def test_translations_of_data_with_groups_keep_their_identity_by_default() -> None:
    default_filters = GenerateSettings().filters
    assert filters_for_translations(default_filters, groups=True) == (*FOR_TRANSLATIONS, "identity")
    assert filters_for_translations(default_filters, groups=False) == FOR_TRANSLATIONS
    assert filters_for_translations(("margin",), groups=True) == ("margin",)
