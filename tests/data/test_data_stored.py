"""Images that stay in their file: what indexing gives is what an array gives, and memory does not grow with the set."""

from __future__ import annotations

import gc
import os
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from augury.errors import DataError
from augury.images import IN_MEMORY, LabelledImages
from augury.stored import Stored

PIXELS = np.random.default_rng(0).integers(0, 256, (50, 3, 5, 4), dtype=np.uint8)


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    (tmp_path / "images").write_bytes(b"ahead" + PIXELS.tobytes())
    return Stored(tmp_path / "images", 5, PIXELS.shape)


KEYS = [
    7, -1, slice(None), slice(3, 40, 7), slice(None, None, -1), slice(60, 70), [4, 5, 6, 2, 2, -1],
    np.array([], np.int64), np.arange(50) % 3 == 0, np.array([[1, 2], [3, 4]]), np.int64(9),
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_indexing_is_that_of_an_array(stored: Stored, key) -> None:
    np.testing.assert_array_equal(stored[key], PIXELS[key])
    order = np.random.default_rng(1).permutation(50)
    np.testing.assert_array_equal(stored.taken(order)[key], PIXELS[order][key])


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_indexing_needs_no_preadv(stored: Stored, key, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "preadv")
    np.testing.assert_array_equal(stored[key], PIXELS[key])


def test_threads_share_a_file_without_preadv(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "preadv")
    rows = [np.random.default_rng(i).integers(0, 50, 20) for i in range(100)]
    with ThreadPoolExecutor(8) as pool:
        for images, index in zip(pool.map(stored.__getitem__, rows), rows, strict=True):
            np.testing.assert_array_equal(images, PIXELS[index])


def test_it_behaves_like_an_array(stored: Stored) -> None:
    assert (stored.shape, stored.dtype, stored.ndim, len(stored), stored.nbytes) == (
        PIXELS.shape,
        np.uint8,
        4,
        50,
        3000,
    )
    np.testing.assert_array_equal(np.asarray(stored), PIXELS)
    np.testing.assert_array_equal(np.concatenate([stored[:2], stored]), np.concatenate([PIXELS[:2], PIXELS]))
    np.testing.assert_array_equal(list(stored), PIXELS)
    restored = pickle.loads(pickle.dumps(stored.taken(np.array([3, 1]))))  # noqa: S301  # our own, for worker processes
    np.testing.assert_array_equal(restored[:], PIXELS[[3, 1]])
    for key in (50, [0, 50]):
        with pytest.raises(IndexError):
            stored[key]


@pytest.mark.parametrize("positioned", [True, False])
def test_a_file_that_was_cut_off_is_reported(stored: Stored, positioned: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not positioned:
        monkeypatch.delattr(os, "preadv")
    stored.path.write_bytes(b"ahead")
    with pytest.raises(DataError, match="shorter than it was"):
        stored[3]


def test_taking_stays_in_the_file_where_it_is_much(stored: Stored, monkeypatch) -> None:
    data = LabelledImages(stored, np.arange(50) % 2, ("a", "b"))  # type: ignore[arg-type]
    assert isinstance(data.take(np.arange(10)).images, np.ndarray) and IN_MEMORY > 3000
    monkeypatch.setattr("augury.images.IN_MEMORY", 600)
    indices = np.arange(49, 0, -2)
    part = data.take(indices)
    assert isinstance(part.images, Stored)
    np.testing.assert_array_equal(part.images[:], PIXELS[indices])
    half = part.take(part.labels == 1)
    np.testing.assert_array_equal(half.images[:], PIXELS[indices][part.labels == 1])


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open descriptors are counted in /proc")
def test_files_are_closed_when_their_sets_are_collected(stored: Stored) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = descriptors()
    with warnings.catch_warnings(record=True) as recorded:
        warnings.simplefilter("always")
        sets = [LabelledImages(stored.taken(np.arange(4)), np.arange(4) % 2, ("a", "b"), {}) for _ in range(50)]
        for images in sets:
            images.__dict__["itself"] = images  # a cycle, which reference counts alone do not free
        assert descriptors() == before + 50
        del sets, images
        gc.collect()
    assert descriptors() == before
    assert not [warning for warning in recorded if issubclass(warning.category, ResourceWarning)]
