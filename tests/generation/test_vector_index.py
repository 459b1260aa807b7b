"""Searches by an index against exact ones, and the filters that use it."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from augury.generation import FILTERS, vector_index
from augury.generation.vector_index import VectorNeighbours, nearest_earlier
from augury.metrics import nearest
from tests.helpers.generation_data import candidates, known, make, placed

with_faiss = pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="faiss is not installed")


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_index, "INDEXED", 200)
    monkeypatch.setattr(vector_index, "BLOCK", 300)


def clouds(n: int, seed: int) -> np.ndarray:
    """float32 [n, 24] around forty centres."""
    numbers = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(0, 4, (40, 24))
    return (centres[numbers.integers(0, 40, n)] + numbers.normal(0, 1, (n, 24))).astype(np.float32)


@with_faiss
@pytest.mark.usefixtures("small_limits")
def test_the_index_gives_true_distances_and_misses_few(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, queries = clouds(3000, 1), clouds(500, 2)
    indices, distances = VectorNeighbours(vectors, nearest).search(queries, 3)
    whole = cdist(queries.astype(float), vectors.astype(float))
    np.testing.assert_allclose(distances, np.take_along_axis(whole, indices, 1), rtol=1e-12)
    assert (indices == np.argsort(whole, 1)[:, :3]).mean() > 0.98
    assert (np.diff(distances, axis=1) >= 0).all()
    monkeypatch.setattr(vector_index, "INDEXED", 3000)
    assert VectorNeighbours(vectors, nearest).index is None


@with_faiss
@pytest.mark.usefixtures("small_limits")
def test_the_nearest_earlier_vector_is_found_while_the_index_grows() -> None:
    vectors = clouds(2000, 3)
    vectors[1500:1600] = vectors[:100]  # copies far behind the originals
    counts = np.random.default_rng(4).random(2000) < 0.7
    whole = cdist(vectors.astype(float), vectors.astype(float))
    expected = np.where(np.tri(2000, k=-1, dtype=bool) & counts, whole, np.inf).min(1)
    distances = nearest_earlier(vectors, counts)
    assert np.isinf(distances[0]) and (distances >= expected - 1e-4).all()
    assert np.isclose(distances, expected, atol=1e-4).mean() > 0.98
    copies = np.arange(1500, 1600)[counts[:100]]
    assert distances[copies].max() < 1e-6  # an index finds what is equal


@pytest.mark.usefixtures("small_limits")
def test_without_faiss_the_search_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, counts = clouds(700, 5), np.ones(700, bool)
    counts[::3] = False
    monkeypatch.setattr(vector_index, "inverted_file", lambda vectors: None)
    whole = cdist(vectors.astype(float), vectors.astype(float))
    expected = np.where(np.tri(700, k=-1, dtype=bool) & counts, whole, np.inf).min(1)
    np.testing.assert_allclose(nearest_earlier(vectors, counts), expected, atol=1e-4)
    assert VectorNeighbours(vectors, nearest).index is None


@with_faiss
@pytest.mark.parametrize("name", ["realism", "near_duplicate", "near_copy"])
def test_filters_of_many_images_score_as_of_few(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.random.default_rng(6)
    train = replace(make((400, 300)), images=placed(numbers.integers(0, 256, (700, 2))))
    images = candidates(placed(numbers.integers(0, 256, (600, 2))), numbers.integers(0, 2, 600))
    exact = FILTERS[name].score(images, known(train))
    monkeypatch.setattr(vector_index, "INDEXED", 200)
    monkeypatch.setattr("augury.generation.pixel_neighbours.INDEXED", 200)
    by_index = FILTERS[name].score(images, known(train))
    assert np.isclose(by_index, exact, rtol=1e-3, atol=1e-3).mean() > 0.95
