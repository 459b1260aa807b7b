"""Folds and what is pooled from them: one trial whose test part is cut in pieces must give its own verdict again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augury.data import folds, split
from augury.errors import DataError, SettingsError
from augury.images import LabelledImages
from augury.proof import Fold, pooled
from augury.proof.judgement import judge
from augury.proof.measures import measures
from augury.proof.trial import result_name
from tests.helpers.proof_data import part, synthetic

TRAIN, TEST = part((30, 20), 0), part((90, 60), 2)
SHARES = {"none": 0.7, "classical": 0.75, "gan": 0.85}
SEEDS = tuple(range(7))


def as_results(rows: np.ndarray) -> dict[str, list[dict[str, object]]]:
    """Measures of each arm on the test images at `rows`, the same guesses whatever rows are asked for."""
    random, results = np.random.default_rng(5), {}
    for arm, share in SHARES.items():
        hits = random.random((len(SEEDS), len(TEST))) < share
        guesses = np.where(hits, TEST.labels, 1 - TEST.labels)[:, rows]
        results[arm] = [measures(TEST.labels[rows], np.eye(2)[guess]) for guess in guesses]
    return results


def cut(rows: np.ndarray, ratio: float, groups: np.ndarray | None = None) -> Fold:
    """A finished trial on those test images."""
    synthetic_images = synthetic(TRAIN.images[:10], TRAIN.labels[:10])
    test = replace(TEST, groups=groups).take(rows)
    per_arm = as_results(rows)
    verdict = judge(per_arm, SEEDS, ratio, (), TRAIN, synthetic_images, test)
    results = {f"{result_name(arm, ratio)}/{seed}": per_arm[arm][seed] for arm in per_arm for seed in SEEDS}
    return Fold(TRAIN, test, {"gan": synthetic_images}, verdict, results)


@pytest.mark.parametrize("pieces", [1, 2, 5])
@pytest.mark.parametrize("grouped", [False, True])
def test_pieces_of_one_test_part_give_the_verdict_on_the_whole(pieces: int, grouped: bool) -> None:
    groups = np.arange(len(TEST)) // 5 if grouped else None
    piece_of = (np.arange(len(TEST)) // 5) % pieces
    order = np.argsort(piece_of, kind="stable")
    whole_verdict = cut(order, 0.5, groups).verdict
    verdict = pooled([cut(np.flatnonzero(piece_of == k), 0.5, groups) for k in range(pieces)])
    assert verdict.folds == pieces and verdict.test_n == len(TEST)
    assert verdict.outcome == whole_verdict.outcome and verdict.p == whole_verdict.p
    assert [verdict.difference, verdict.low, verdict.high] == pytest.approx(
        [whole_verdict.difference, whole_verdict.low, whole_verdict.high]
    )
    for arm, values in whole_verdict.arms.items():
        for name in ("balanced_accuracy", "worst_recall"):
            assert verdict.arms[arm][name] == pytest.approx(values[name])
    assert [row["recall_arm"] for row in verdict.per_class] == pytest.approx(
        [r["recall_arm"] for r in whole_verdict.per_class]
    )
    assert [row["train"] for row in verdict.per_class] == [30, 20]
    assert ("folds" in verdict.sentence) == (pieces > 1)


def test_each_fold_may_have_chosen_its_own_ratio() -> None:
    first, second = np.arange(0, 150, 2), np.arange(1, 150, 2)
    verdict = pooled([cut(first, 0.25), cut(second, 1.0)])
    assert verdict.ratio == 0.625 and len(verdict.seeds) == 7


def test_many_folds_and_what_was_seen() -> None:
    fold_results = []
    for k in range(60):
        fold = cut(np.array([k, 90 + k]), 0.5)
        leaks = {"test_not_seen_by": ["filters", "generator"] if k else ["generator"], "left_out": k % 2}
        fold_results.append(replace(fold, verdict=replace(fold.verdict, leaks=leaks)))
    verdict = pooled(fold_results)
    assert verdict.test_n == 120 and verdict.folds == 60
    assert verdict.leaks == {"test_not_seen_by": ["generator"], "left_out": 30, "looked_for": True}


def test_seeds_and_arms_are_those_that_all_have() -> None:
    first, second = cut(np.arange(0, 150, 2), 0.5), cut(np.arange(1, 150, 2), 0.5)
    arms = {name: values for name, values in second.verdict.arms.items() if name != "none"}
    fewer_seeds = replace(second.verdict, seeds=SEEDS[1:], arms=arms)
    verdict = pooled([first, replace(second, verdict=fewer_seeds)])
    assert verdict.seeds == SEEDS[1:] and set(verdict.arms) == {"classical", "gan"}


def test_what_is_of_a_class_is_weighed_by_its_images() -> None:
    rows = np.r_[0:20, 90:140], np.r_[20:90, 140:150]
    pooled_verdict, each = pooled([cut(r, 0.5) for r in rows]), [cut(r, 0.5).verdict for r in rows]
    for arm in SHARES:
        for c, weights in enumerate(((20, 70), (50, 10))):
            parts = [[seed[c] for seed in verdict.arms[arm]["sensitivity"]] for verdict in each]
            expected = np.average(np.array(parts), axis=0, weights=weights)
            assert [seed[c] for seed in pooled_verdict.arms[arm]["sensitivity"]] == pytest.approx(expected)


def test_what_cannot_be_pooled_is_refused() -> None:
    half = cut(np.arange(0, 150, 2), 0.5)
    with pytest.raises(DataError, match="twice"):
        pooled([half, half])
    other = replace(half, train=replace(half.train, classes=("a", "b")))
    with pytest.raises(DataError, match="different classes"):
        pooled([half, other])
    remaining = cut(np.arange(1, 150, 2), 0.5)
    with pytest.raises(DataError, match="no seeds"):
        pooled([half, replace(remaining, verdict=replace(remaining.verdict, seeds=(90, 91)))])


def labelled_images(labels: np.ndarray, groups: np.ndarray | None = None) -> LabelledImages:
    names = tuple(f"class {c}" for c in range(int(labels.max()) + 1))
    return LabelledImages(np.zeros((len(labels), 1, 2, 2), np.uint8), labels.astype(np.int64), names, groups=groups)


@given(st.lists(st.integers(6, 40), min_size=2, max_size=5), st.integers(2, 6), st.integers(0, 99))
def test_every_image_is_tested_once_and_classes_are_spread_evenly(sizes: list[int], number: int, seed: int) -> None:
    data = labelled_images(np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes)))
    home = folds(data, number, seed=seed)
    table = np.array([np.bincount(data.labels[home == k], minlength=len(sizes)) for k in range(number)])
    assert (table.sum(0) == sizes).all() and (table.max(0) - table.min(0) <= 1).all()
    assert np.ptp(table.sum(1)) <= 1
    parts = np.array([split(data, seed=seed, fold=(k + 1, number)) for k in range(number)])
    assert ((parts == 2).sum(0) == 1).all() and (parts[home, np.arange(len(data))] == 2).all()
    assert all({0, 1, 2} == set(row.tolist()) for row in parts)


@settings(deadline=None)
@given(st.integers(8, 30), st.integers(2, 4), st.integers(0, 99))
def test_groups_and_near_duplicates_stay_in_one_fold(people: int, number: int, seed: int) -> None:
    groups = np.repeat(np.arange(people), 4)
    data = labelled_images(np.tile([0, 0, 1, 1], people), groups.astype(np.int64))
    home = folds(data, number, seed=seed, together=[(0, 4)])
    assert all(len(set(home[groups == person].tolist())) == 1 for person in range(people))
    assert home[0] == home[4]
    assert set(home.tolist()) == set(range(number))


def test_folds_that_cannot_be_are_refused() -> None:
    data = labelled_images(np.repeat([0, 1], [20, 3]))
    with pytest.raises(DataError, match=r"class 1.*3 images.*at most 3"):
        folds(data, 4)
    with pytest.raises(SettingsError, match="at least 2"):
        folds(data, 1)
    with pytest.raises(SettingsError, match="no fold 4 of 3"):
        split(data, fold=(4, 3))
    with pytest.raises(SettingsError, match="--split new"):
        split(replace(data, split=np.zeros(23, np.int8)), fold=(1, 2))
