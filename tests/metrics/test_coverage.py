"""Precision and recall against the definition written out, and sets whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import binomtest

from augury.errors import ScoreError
from augury.intervals import wilson
from augury.metrics.coverage import covered, precision_value, recall_value

RANDOM = np.random.default_rng(0)


def by_definition(queries: np.ndarray, references: np.ndarray, k: int) -> np.ndarray:
    radii = np.sort(cdist(references, references), axis=1)[:, k]  # the first is the point itself
    return (cdist(queries, references) <= radii).any(1)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_covered_is_the_definition(k: int) -> None:
    a, b = RANDOM.normal(size=(200, 6)), RANDOM.normal(size=(150, 6)) + 0.5
    np.testing.assert_array_equal(covered(a, b, k), by_definition(a, b, k))


def test_sets_whose_answer_is_known() -> None:
    real = RANDOM.normal(size=(100, 4))
    assert precision_value(real, real) == recall_value(real, real) == 1
    assert precision_value(np.ones((20, 4)), np.ones((20, 4))) == 1  # constant sets too
    assert precision_value(real + 100, real) == recall_value(real + 100, real) == 0
    half = real[real[:, 0] > 0]
    assert precision_value(half, real) == 1
    assert recall_value(half, real) < 0.9  # half of the real images is missing
    with pytest.raises(ScoreError, match="more than 5 images"):
        precision_value(real, real[:5])


def test_wilson_is_that_of_scipy() -> None:
    for successes, n in ((0, 10), (7, 10), (50, 50)):
        expected = binomtest(successes, n).proportion_ci(method="wilson")
        assert wilson(successes / n, n) == pytest.approx((expected.low, expected.high), abs=1e-6)
