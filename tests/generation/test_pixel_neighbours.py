"""The nearest training images by pixels: tiles give what one search in memory gives, and an index finds near-copies."""

from __future__ import annotations

import importlib.util
import logging

import numpy as np
import pytest

from augury import data
from augury.generation import filter_context, pixel_neighbours
from augury.generation.pixel_neighbours import PixelNeighbours, areas
from augury.metrics import nearest
from tests.helpers.generation_data import known, make

pytestmark = pytest.mark.usefixtures("small_tiles")


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_neighbours, "TILE", 100)


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    """The train images of the embedded sample, uint8 [1401, 1, 28, 28]."""
    sample = data.sample()
    return np.ascontiguousarray(sample.images[sample.split == 0])


def distorted(images: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(2).normal(0, 6, images.shape)
    return (images * 0.97 + 2 + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("k", [1, 3])
def test_tiles_find_the_same_neighbours_at_the_same_distances(photos: np.ndarray, monkeypatch, k: int) -> None:
    queries = np.concatenate([photos[:30], distorted(photos[30:60])])
    whole = PixelNeighbours(photos, nearest).search(queries, k)
    monkeypatch.setattr(pixel_neighbours, "IN_MEMORY", 0)
    tiled = PixelNeighbours(photos, nearest).search(queries, k)
    apart = queries[:, None].astype(np.float64) - photos[whole[0]]
    np.testing.assert_allclose(whole[1], np.sqrt((apart**2).sum((2, 3, 4))), rtol=1e-12)
    np.testing.assert_array_equal(tiled[1], whole[1])  # bit for bit
    assert (tiled[0] == whole[0]).mean() > 0.99  # equal distances may be listed in another order


def test_areas_are_no_farther_apart_than_the_pixels() -> None:
    numbers = np.random.default_rng(0)
    for shape in ((1, 28, 28), (3, 13, 30), (3, 5, 9)):
        x, y = numbers.integers(0, 256, (2, 20, *shape), dtype=np.uint8)
        pixels = np.sqrt(((x.astype(float) - y) ** 2).sum((1, 2, 3)))
        assert (np.linalg.norm(areas(x) - areas(y), axis=1) <= pixels * (1 + 1e-6)).all()
    flat = np.full((1, 3, 16, 16), 7, np.uint8)
    np.testing.assert_allclose(np.linalg.norm(areas(flat)), 7 * np.sqrt(3 * 256), rtol=1e-6)


def test_without_an_index_many_images_are_searched_exactly_and_the_time_is_announced(
    photos: np.ndarray, monkeypatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = PixelNeighbours(photos, nearest).search(photos[:5], 2)
    monkeypatch.setattr(pixel_neighbours, "INDEXED", 1000)
    monkeypatch.setattr(pixel_neighbours, "IN_MEMORY", 0)
    monkeypatch.setattr(PixelNeighbours, "_index", None)
    with caplog.at_level(logging.WARNING, "augury"):
        result = PixelNeighbours(photos, nearest).search(photos[:5], 2)
    np.testing.assert_array_equal(result[1], expected[1])
    assert "1,401 training images are searched one by one" in caplog.text and "augury[index]" in caplog.text


@pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="faiss is not installed")
def test_the_index_finds_near_copies_and_gives_true_distances(photos: np.ndarray, monkeypatch) -> None:
    copies = distorted(photos[::7])
    monkeypatch.setattr(pixel_neighbours, "INDEXED", 1000)
    index = PixelNeighbours(photos, nearest)
    proposed, distances = index.search(copies, 1)
    exact, least = index.exact(copies, 1)
    assert (proposed == exact).mean() > 0.98
    apart = copies.astype(np.float64) - photos[proposed[:, 0]]
    np.testing.assert_allclose(distances[:, 0], np.sqrt((apart**2).sum((1, 2, 3))), rtol=1e-12)
    assert (distances >= least).all()
    again = PixelNeighbours(photos, nearest).search(copies, 1)
    np.testing.assert_array_equal(again[0], proposed)


def test_of_many_training_images_some_give_the_limit_of_copies(monkeypatch) -> None:
    train = make((300, 200))
    exact = known(train).copy_limit
    monkeypatch.setattr(filter_context, "SOME", 250)
    some = known(train)
    assert some.copy_limit == pytest.approx(exact, rel=0.05)
    assert (
        some.usual == pytest.approx(known(make((150, 100))).usual, rel=0.6) and len(filter_context.sampled(500)) == 250
    )
