"""Measure how alike two images are.

A perceptual hash finds candidates; a comparison of their details decides. Images are compared in grey, with at most
SIDE pixels on the shorter side, and then with at most FINE_SIDE. Brightness and contrast do not matter.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from augury.images import Images

Floats = npt.NDArray[np.float32]

SIDE = 32
"""Most pixels on the shorter side in the search. Noise of the camera and re-encoding change finer details."""
FINE_SIDE = 64
"""Most pixels on the shorter side in the check of fine details."""
SMALLEST = 16
"""Least pixels on the shorter side. Smaller images have too little detail to tell a copy from a similar image."""
FLAT = 1.0
"""Root mean square of the details, in grey levels, below which an image counts as blank."""
_FREQUENCIES = sorted(((a, b) for a in range(11) for b in range(11) if a + b), key=lambda f: (sum(f), f))[:64]
ODD = np.array([across % 2 == 1 for _, across in _FREQUENCIES])
"""Which coefficients of `spectrum` change sign when the image is mirrored left and right, bool [64]."""
_SOFT = 5.0
_EDGE = 2


def reduced(images: Images, side: int = SIDE) -> Floats:
    """uint8 [N, C, H, W] -> grey [N, h, w] in about [0, 255], reduced to a shorter side of at most `side` pixels.

    The reduction is bicubic with a support that grows with the factor. An average over areas lets more fine texture through
    as aliasing, which differs between two photographs of one surface.
    """
    grey: Floats = images.mean(axis=1, dtype=np.float32)
    return _at_most(_at_most(grey, FINE_SIDE), side)  # by way of FINE_SIDE, as previews are


def _at_most(grey: Floats, side: int) -> Floats:
    height, width = grey.shape[1:]
    factor = min(height, width) / side
    if factor <= 1:
        return grey
    return np.asarray(_reducing(height, round(height / factor)) @ grey @ _reducing(width, round(width / factor)).T)


def spectrum(grey: Floats) -> Floats:
    """Return the 64 lowest cosine-transform coefficients except the mean, [N, h, w] -> [N, 64].

    Their signs are the perceptual hash of Zauner (2010, section 3.2.1). His median is omitted, because positive and
    negative signs are equally frequent anyway.
    """
    height, width = grey.shape[1:]
    waves = _cosines(height, 11) @ grey @ _cosines(width, 11).T
    return np.stack([waves[:, a, b] for a, b in _FREQUENCIES], axis=1)


def roughness(grey: Floats) -> Floats:
    """Root mean square of the details of each image, [N, h, w] -> [N]."""
    return np.asarray(np.sqrt(np.square(_details(grey)).mean(axis=(1, 2))))


def likeness(first: Floats, second: Floats) -> Floats:
    """Correlate the details of image pairs, [N, h, w] twice -> [N], at most 1.

    The first image is shifted and zoomed onto the second, by two Gauss-Newton steps on smoothed images (Lucas & Kanade
    1981). Details are what remains after the surroundings are subtracted. They are divided by their local strength, so
    that no outline dominates, and correlated inside the margin. The result is the higher of the correlations with and
    without alignment.
    """
    moves = _steps(first, second)
    target = _normal(second)
    return np.maximum(_agreement(_normal(first), target), _agreement(_normal(_moved(first, moves)), target))


def _normal(grey: Floats) -> Floats:
    fine = _details(grey)
    strength = np.sqrt(np.maximum(_smoothed(fine * fine, 5), 0))
    return np.asarray(fine / (strength + _SOFT))


def _agreement(first: Floats, second: Floats) -> Floats:
    """Correlate [N, h, w] with [N, h, w] inside the margin; 0 where one is blank."""
    inside = np.s_[:, _EDGE:-_EDGE, _EDGE:-_EDGE]
    a, b = (x[inside].reshape(len(x), -1) for x in (first, second))
    a, b = _centred(a), _centred(b)
    sizes = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray(np.einsum("np,np->n", a, b) / np.maximum(sizes, 1e-3))


def _centred(rows: Floats) -> Floats:
    return np.asarray(rows - rows.mean(axis=1, keepdims=True))


def _steps(first: Floats, second: Floats) -> Floats:
    """Return the shifts down and right (pixels) and the zoom that bring `first` onto `second`, [N, 3].

    Shifts are at most 8 % of a side, the zoom at most 12 %.
    """
    height, width = first.shape[1:]
    first, second = _smoothed(first, 3), _smoothed(second, 3)
    most = np.array([0.08 * height, 0.08 * width, 0.12], np.float32)
    moves: Floats = np.zeros((len(first), 3), np.float32)
    for _ in range(2):
        moved = _moved(first, moves) if moves.any() else first
        moves = np.asarray(np.clip(moves + _step(moved, second), -most, most))
    return moves


def _step(first: Floats, second: Floats) -> Floats:
    """Solve second ≈ offset + gain · (first + shift · gradient + zoom · position · gradient) by least squares.

    Returns shift down, shift right and zoom, [N, 3].
    """
    inside = np.s_[:, _EDGE:-_EDGE, _EDGE:-_EDGE]
    height, width = first.shape[1:]
    down, right = (np.asarray(np.gradient(first, axis=axis), np.float32) for axis in (1, 2))
    y, x = np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2
    outward = down * y[:, None].astype(np.float32) + right * x.astype(np.float32)
    rows = np.stack([_centred(z[inside].reshape(len(z), -1)) for z in (first, down, right, outward)], axis=1)
    target = second[inside].reshape(len(second), -1)
    normal = (rows @ rows.transpose(0, 2, 1)).astype(np.float64)
    scale = np.maximum(np.sqrt(np.einsum("nii->ni", normal)), 1e-6)
    normal = normal / (scale[:, :, None] * scale[:, None]) + 1e-4 * np.eye(4)
    right_side = (rows @ target[:, :, None])[..., 0] / scale
    solution = np.linalg.solve(normal, right_side[..., None])[..., 0] / scale
    return np.asarray(solution[:, 1:] / np.maximum(solution[:, :1], 0.1), np.float32)


def _moved(grey: Floats, moves: Floats) -> Floats:
    """Sample [N, h, w] at positions shifted and zoomed by `moves` [N, 3], by cubic interpolation."""
    height, width = grey.shape[1:]
    rows, columns = (_sampling(n, moves[:, i], moves[:, 2]) for i, n in enumerate((height, width)))
    return np.asarray(rows @ grey @ columns.transpose(0, 2, 1))


def _sampling(size: int, shift: Floats, zoom: Floats) -> Floats:
    """Interpolation matrices [N, size, size]."""
    middle = (size - 1) / 2
    centred = np.arange(size, dtype=np.float32) - middle
    coordinates = np.clip(middle + centred * (1 + zoom[:, None]) + shift[:, None], 0, size - 1)
    weights = _bicubic(np.abs(coordinates[:, :, None] - np.arange(size, dtype=np.float32)))
    return np.asarray(weights / weights.sum(axis=2, keepdims=True))


def _bicubic(away: Floats) -> Floats:
    """Weights of a cubic interpolation at these distances in pixels (Keys 1981, equation 4 with a = -1/2)."""
    near = (1.5 * away - 2.5) * away * away + 1
    far = ((-0.5 * away + 2.5) * away - 4) * away + 2
    return np.asarray(np.where(away < 1, near, np.where(away < 2, far, np.float32(0))))


def _details(grey: Floats) -> Floats:
    return grey - _smoothed(grey, 5)


def _smoothed(grey: Floats, size: int) -> Floats:
    return np.asarray(_box(grey.shape[1], size) @ grey @ _box(grey.shape[2], size).T)


@cache
def _box(length: int, size: int) -> Floats:
    """Matrix [length, length] of a moving mean over `size`, edges repeated."""
    matrix = np.zeros((length, length), np.float32)
    for offset in range(-(size // 2), size // 2 + 1):
        np.add.at(matrix, (np.arange(length), np.clip(np.arange(length) + offset, 0, length - 1)), 1 / size)
    return matrix


@cache
def _reducing(length: int, size: int) -> Floats:
    """Matrix [size, length] of a bicubic reduction without aliasing."""
    factor = length / size
    middles = (np.arange(size) + 0.5) * factor - 0.5
    weights = _bicubic((np.abs(np.arange(length) - middles[:, None]) / factor).astype(np.float32))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


@cache
def _cosines(length: int, count: int) -> Floats:
    """First `count` rows of the orthonormal DCT-II of this length."""
    positions = (np.arange(length) + 0.5) / length
    return np.asarray(np.cos(np.pi * np.arange(count)[:, None] * positions) * np.sqrt(2 / length), np.float32)
