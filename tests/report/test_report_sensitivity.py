"""The page of a trial about sensitivity: its metric, the threshold, and the specificity that it costs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from augury.report import render
from augury.verdict import Verdict
from tests.helpers.report_facts import facts, verdict
from tests.helpers.report_page import Page, words

POINT = {
    "class": "ring 1", "specificity": 0.9, "specificity_arm": 0.881, "specificity_comparator": 0.904, "difference": -0.023,
    "low": -0.06, "high": 0.014, "test": 114,
}  # fmt: skip


def sensitive() -> Verdict:
    """A verdict whose metric has other values than balanced accuracy."""
    usual = verdict("helps", ("ring 0", "ring 1"), (60, 30))
    arms = {
        name: arm | {"primary": [value - 0.3 for value in arm["balanced_accuracy"]], "specificity": [0.88] * 6}
        for name, arm in usual.arms.items()
    }
    return replace(usual, metric="sensitivity for ring 1 at 90 % specificity", operating_point=POINT, arms=arms)


def test_the_page_shows_the_metric_the_threshold_and_the_specificity() -> None:
    page = Page(render(replace(facts(classes=2), verdict=sensitive())))
    classes, arms = (words(page.text[name]) for name in ("classes", "arms"))
    assert "one threshold for ring 1, chosen on validation" in classes
    assert "on 114 test images of other classes their specificity is 88.1 % (gan) and 90.4 % (classical)" in classes
    assert "Sensitivity of each class at 90 % specificity" not in classes  # that threshold is chosen on the test images
    assert "sensitivity for ring 1 at 90 % specificity" in arms
    values = sensitive().values("balanced")
    assert f"{sum(values) / len(values):.3f}" in arms
    assert "images of ring 1 alone, at the threshold for 90 % specificity" in words(page.text["verdict"])


def test_values_are_those_of_the_metric() -> None:
    usual, other = verdict("helps", ("a", "b"), (3, 2)), sensitive()
    assert usual.values("gan") == usual.arms["gan"]["balanced_accuracy"]
    assert other.values("gan") == pytest.approx([value - 0.3 for value in usual.values("gan")], abs=0.1)
    assert other.values("gan") == other.arms["gan"]["primary"]
