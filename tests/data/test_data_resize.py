"""The size policy against an independent NumPy resampling and against plain geometry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from augury.data import from_arrays, load
from augury.data.decoding.resize import fitted, target

Floats = npt.NDArray[np.float64]


def keys_cubic(x: Floats) -> Floats:
    """The cubic convolution kernel, a = -1/2 (Keys, 1981, eq. 15)."""
    x = np.abs(x)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def resampling(source: int, start: float, end: float, out: int) -> Floats:
    """Matrix [out, source] that resamples [begin, end) of a line of pixels, widened when it shrinks (antialiasing)."""
    step = (end - start) / out
    centres = start + (np.arange(out) + 0.5) * step
    weights = keys_cubic((np.arange(source) + 0.5 - centres[:, None]) / max(step, 1.0))
    return weights / weights.sum(axis=1, keepdims=True)


def picture(height: int, width: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng([height, width]).integers(60, 190, (height, width), np.uint8)


@settings(deadline=None, max_examples=40)
@given(*[st.integers(3, 90)] * 2, *[st.integers(2, 40)] * 2)
def test_crop_is_the_middle_resampled(height: int, width: int, h: int, w: int) -> None:
    source = picture(height, width)
    step = min(height / h, width / w)
    rows = resampling(height, (height - h * step) / 2, (height + h * step) / 2, h)
    columns = resampling(width, (width - w * step) / 2, (width + w * step) / 2, w)
    expected = (rows @ source @ columns.T).clip(0, 255)
    actual = np.asarray(fitted(Image.fromarray(source), (h, w), "crop"))
    assert actual.shape == (h, w) and np.abs(actual - expected).max() <= 1.5


@settings(deadline=None, max_examples=40)
@given(*[st.integers(3, 90)] * 2, *[st.integers(2, 40)] * 2)
def test_pad_is_the_whole_resampled_with_repeated_edges(height: int, width: int, h: int, w: int) -> None:
    source = picture(height, width)
    scale = min(h / height, w / width)
    inner_h, inner_w = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (h - inner_h) // 2, (w - inner_w) // 2
    inner = resampling(height, 0, height, inner_h) @ source @ resampling(width, 0, width, inner_w).T
    rows = (np.arange(h) - top).clip(0, inner_h - 1)
    columns = (np.arange(w) - left).clip(0, inner_w - 1)
    actual = np.asarray(fitted(Image.fromarray(source), (h, w), "pad"))
    assert np.abs(actual - inner[np.ix_(rows, columns)].clip(0, 255)).max() <= 1.5


@pytest.mark.parametrize(
    ("sizes", "requested", "expected"),
    [
        ([(28, 28)] * 3, None, (28, 28)),
        ([(60, 64)] * 2, None, (60, 64)),
        ([(65, 20)] * 2, None, (64, 64)),
        ([(28, 28), (28, 29)], None, (64, 64)),
        ([(28, 28)], (32, 48), (32, 48)),
    ],
)
def test_policy(sizes: list[tuple[int, int]], requested: tuple[int, int] | None, expected: tuple[int, int]) -> None:
    assert target(sizes, requested) == expected


def test_a_very_long_picture_costs_no_more_than_its_target() -> None:
    strip = Image.new("L", (60_000, 1), 7)
    for fit in ("crop", "pad"):
        actual = np.asarray(fitted(strip, (64, 64), fit))  # type: ignore[arg-type]
        assert actual.shape == (64, 64) and (actual == 7).all()


def test_a_checkerboard_shrinks_to_its_mean_instead_of_aliasing() -> None:
    board = (np.indices((128, 128)).sum(axis=0) % 2 * 255).astype(np.uint8)
    assert np.abs(np.asarray(fitted(Image.fromarray(board), (32, 32), "crop")).astype(int) - 127).max() <= 2


def test_folder_and_arrays_resize_alike(pets: Callable[..., Path]) -> None:
    root = pets(count=2, size=(90, 70), mode="RGB")
    for fit in ("crop", "pad"):
        from_files = load(root, size=(20, 24), fit=fit)  # type: ignore[arg-type]
        pixels = np.stack([np.asarray(Image.open(root / name)) for name in from_files.names])
        in_memory = from_arrays(pixels, from_files.labels, size=(20, 24), fit=fit)  # type: ignore[arg-type]
        assert np.array_equal(from_files.images, in_memory.images) and from_files.shape == (3, 20, 24)
