"""Class agreement of translated images, and the advice."""

from __future__ import annotations

import json

import numpy as np
import pytest

from augury.errors import DataError, SettingsError
from augury.intervals import wilson
from augury.proof.kept_classes import kept_classes

CLASSES = ("zero", "one", "two")


def agreement(*right: int, n: int = 50, **options):
    """Of `n` images a class so many keep theirs; the others become the next one."""
    labels = np.repeat(np.arange(len(right)), n)
    predicted = np.concatenate([np.where(np.arange(n) < k, c, (c + 1) % 3) for c, k in enumerate(right)])
    return kept_classes(labels, np.eye(3)[predicted], CLASSES, **options)


def test_shares_are_a_class_and_their_mean_with_intervals() -> None:
    report = agreement(50, 45, 40)
    assert [report.classes[name].value for name in CLASSES] == [1.0, 0.9, 0.8]
    assert report.overall.value == pytest.approx(0.9) and report.overall.n == 150
    one = report.classes["one"]
    assert (one.low, one.high) == wilson(0.9, 50)
    assert (report.overall.low, report.overall.high) == pytest.approx(wilson(0.9, 150))
    assert report.advised and "may be used" in report.sentence
    json.dumps(report.as_dict())


def test_below_the_limit_it_is_advised_against_and_the_weak_classes_are_named() -> None:
    report = agreement(50, 40, 10, judge=0.93)
    assert not report.advised
    assert "not recommended" in report.sentence and "'two' (20%)" in report.sentence and "93%" in report.sentence
    assert agreement(50, 40, 10, limit=0.6).advised


def test_the_accuracy_of_the_judge_is_reported_in_a_sentence_of_its_own() -> None:
    assert "It classifies 93% of real held-out images correctly." in agreement(50, 45, 40, judge=0.93).sentence
    text = agreement(50, 45, 40, judge=0.93, known="Two judges agree on {:.0%}.").sentence
    assert "Two judges agree on 93%." in text and "held-out" not in text
    assert "{" not in agreement(50, 45, 40, known="Two judges agree on {:.0%}.").sentence  # not measured, not reported


def test_rare_classes_count_as_much_as_common_ones() -> None:
    labels = np.repeat([0, 1], (90, 10))
    predicted = np.where(labels == 0, 0, 2)
    report = kept_classes(labels, np.eye(3)[predicted], CLASSES)
    assert (report.overall.low, report.overall.high) == pytest.approx(wilson(0.5, 4 / (1 / 90 + 1 / 10)))
    assert report.overall.value == 0.5 and set(report.classes) == {"zero", "one"} and not report.advised


def test_bad_input_is_refused() -> None:
    with pytest.raises(SettingsError, match="limit of class agreement"):
        agreement(1, 1, 1, limit=0.0)
    with pytest.raises(DataError, match="0 translated images"):
        kept_classes(np.empty(0, int), np.empty((0, 3)), CLASSES)
    with pytest.raises(DataError, match="3 classes for the 2"):
        kept_classes(np.zeros(2, int), np.eye(3)[:2], ("a", "b"))
