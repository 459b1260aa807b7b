"""Nearest neighbours against scikit-learn."""

from importlib import import_module

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from augury.errors import ScoreError
from augury.metrics import nearest


@pytest.mark.parametrize("pairs", [50, 8_000_000])
@pytest.mark.parametrize("k", [1, 3, 40])
def test_agrees_with_sklearn(k: int, pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("augury.metrics.nearest"), "PAIRS", pairs)
    random = np.random.default_rng(0)
    queries, references = random.normal(size=(17, 6)).astype(np.float32), random.normal(size=(40, 6)).astype(np.float32)
    distances, indices = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(references).kneighbors(queries)
    neighbours, augury_distances = nearest(queries, references, k)
    np.testing.assert_array_equal(neighbours, indices)
    np.testing.assert_allclose(augury_distances, distances, rtol=1e-5)
    assert neighbours.dtype == np.int64 and augury_distances.dtype == np.float64


def test_copies_are_at_exactly_zero_and_near_copies_are_distinguished() -> None:
    references = np.random.default_rng(0).integers(0, 256, (50, 784)).astype(np.float32) + 1e4
    queries = references[[7, 3]].copy()
    queries[1, 0] += 1
    indices, distances = nearest(queries, references, 2)
    assert indices[:, 0].tolist() == [7, 3]
    assert distances[:, 0].tolist() == [0.0, 1.0]


def test_equal_references_come_in_their_order() -> None:
    indices, distances = nearest(np.zeros((1, 3)), np.ones((4, 3)), 4)
    assert indices.tolist() == [[0, 1, 2, 3]]
    np.testing.assert_allclose(distances, 3**0.5)


@pytest.mark.parametrize("k", [0, 5])
def test_k_beyond_the_references_is_refused(k: int) -> None:
    with pytest.raises(ScoreError, match=f"cannot find {k} nearest neighbours among 4 images; ask for 1 to 4"):
        nearest(np.zeros((1, 3)), np.ones((4, 3)), k)


def test_bad_features_are_refused() -> None:
    with pytest.raises(ScoreError, match="3 and 2 features"):
        nearest(np.zeros((1, 3)), np.ones((4, 2)), 1)
    with pytest.raises(ScoreError, match="one side has 0"):
        nearest(np.zeros((1, 3)), np.ones((0, 3)), 1)


@pytest.mark.parametrize("far", [0.0, 1e4])
@pytest.mark.parametrize("gap", [1.0, 1e-5])
def test_the_quick_order_is_never_believed_where_it_may_be_wrong(far: float, gap: float) -> None:
    random = np.random.default_rng(0)
    references = gap * random.normal(size=(900, 20))
    references[0] += far  # one outlier makes all others look alike to float32
    queries = references[100:140] + gap * 0.1 * random.normal(size=(40, 20))
    exact = np.sqrt(((queries[:, None] - references) ** 2).sum(2))
    order = np.argsort(exact, axis=1, kind="stable")[:, :5]
    indices, distances = nearest(queries, references, 5)
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_array_equal(distances, np.take_along_axis(exact, order, 1))


def test_copies_among_many_references_come_first_and_in_order() -> None:
    references = np.random.default_rng(0).normal(size=(1000, 6))
    references[[5, 77, 900]] = references[400]
    indices, distances = nearest(references[[400]], references, 4)
    assert indices.tolist() == [[5, 77, 400, 900]] and (distances == 0).all()
