"""Kernel distances, KID and CMMD: unbiased at every N, so usable where the Fréchet distance is not."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from augury.metrics.check import ENOUGH, Features, Floats, check_pair_rows
from augury.metrics.score import Score
from augury.randomness import rng

RESAMPLES = 200
TILE = 512, 1024
"""Kernel values held at a time, which stay in the processor's cache: 4 MB for any N and M, besides the features."""
CLIP_BANDWIDTH = 10.0
SCALE = 1000.0
Kernel = Callable[[Features, Features], Floats]
"""[n, D], [m, D] -> [n, m] in float64, from dot products in the precision of the features."""


def cubic(x: Features, y: Features) -> Floats:
    """(x·y / D + 1)³ (Bińkowski et al. 2018, section 4)."""
    block = np.asarray(x @ y.T, np.float64)
    block /= x.shape[1]
    block += 1
    square = block * block
    block *= square
    return block


def gaussian(bandwidth: float) -> Kernel:
    """exp(-|x - y|² / 2σ²) (Jayasumana et al. 2024, section 4)."""

    def kernel(x: Features, y: Features) -> Floats:
        block = np.asarray(x @ y.T, np.float64)
        block *= 2
        block -= np.einsum("ij,ij->i", x, x, dtype=np.float64)[:, None]
        block -= np.einsum("ij,ij->i", y, y, dtype=np.float64)
        np.minimum(block, 0, out=block)
        block /= 2 * bandwidth**2
        return np.exp(block, out=block)

    return kernel


def kernel_distance(x: Features, y: Features, kernel: Kernel = cubic) -> float:
    """Unbiased squared MMD under k(x, y) = (x·y / D + 1)³ (Bińkowski et al. 2018).

    Over all pairs at once (Gretton et al. 2012, eq. 3), not averaged over blocks.

    Parameters
    ----------
    x, y : array
        Features [N, D] and [M, D].
    kernel : callable
        Takes [n, D], [m, D] to [n, m].

    Returns
    -------
    float
        The distance; it can be below 0.

    Raises
    ------
    ScoreError
        For N or M below 2, NaN, or unequal D.
    """
    a, b = _features_of_both(x, y, least=2)
    return float(_estimates(kernel, a, b, np.ones((1, len(a))), np.ones((1, len(b))))[0])


def kid(x: Features, y: Features, *, features: str, preprocessing: str, seed: int, name: str = "KID") -> Score:
    """The kernel distance of `x` to the reference `y` with a 95 % interval, not multiplied by 1000.

    The interval comes from 200 random halves of both sets, drawn without replacement. A bootstrap sample would be
    biased, as it pairs images with their own copies. Where the sets differ, a half varies about the full sample as the
    full sample does about the truth. Where they do not differ, it varies √3 times as much (the degenerate term of the
    U-statistic; Politis & Romano 1994), so the interval is then too wide.

    Parameters
    ----------
    x, y : array
        Features [N, D] and [M, D].
    features, preprocessing : str
        Recorded in the score.
    seed : int
        Seed of the halves.
    name : str
        Name of the score.

    Returns
    -------
    Score
        The distance; lower is better.

    Raises
    ------
    ScoreError
        For N or M below 4, NaN, or unequal D.
    """
    value, reach = _halved(x, y, cubic, seed)
    n = min(len(x), len(y))
    return Score(name, value, value - reach, value + reach, n, "lower", features, preprocessing)


def cmmd(
    x: Features, y: Features, bandwidth: float, *, features: str, preprocessing: str, seed: int, name: str = "CMMD"
) -> Score:
    """1000 times the unbiased squared MMD under a Gaussian kernel (Jayasumana et al. 2024, eq. 4), with the interval of
    `kid`.

    The published CMMD has CLIP features and `bandwidth` 10; for other features use `usual_bandwidth`. The published
    code includes the pair of each image with itself. It is therefore biased upwards by about 1000 · (1 - mean kernel) ·
    (1/N + 1/M).

    Parameters
    ----------
    x, y : array
        Features [N, D] and [M, D].
    bandwidth : float
        σ of the kernel.
    features, preprocessing : str
        Recorded in the score.
    seed : int
        Seed of the halves.
    name : str
        Name of the score.

    Returns
    -------
    Score
        The distance; lower is better.

    Raises
    ------
    ScoreError
        For N or M below 4, NaN, or unequal D.
    """
    value, reach = _halved(x, y, gaussian(bandwidth), seed)
    n = min(len(x), len(y))
    low, value, high = SCALE * (value - reach), SCALE * value, SCALE * (value + reach)
    return Score(name, value, low, high, n, "lower", features, preprocessing, settings=f"σ={bandwidth:.4g}")


def usual_bandwidth(reference: Features, seed: int, most: int = 500) -> float:
    """The median distance between images of `reference` [M, D], to three digits; 1 if it is 0.

    At most 500 images enter, chosen at random.
    """
    chosen = np.asarray(reference, np.float64)[rng(seed, "bandwidth").permutation(len(reference))[:most]]
    lengths = (chosen**2).sum(1)
    squares = (lengths[:, None] + lengths - 2 * chosen @ chosen.T)[np.triu_indices(len(chosen), 1)]
    return float(f"{np.sqrt(max(0.0, float(np.median(squares)))):.3g}") or 1.0


def _halved(x: Features, y: Features, kernel: Kernel, seed: int) -> tuple[float, float]:
    """(estimate, half the width of its interval)."""
    a, b = _features_of_both(x, y, least=ENOUGH)
    random = rng(seed, "kid")
    halves = [np.concatenate([np.ones((1, len(s))), _halves(len(s), random)]) for s in (a, b)]
    estimates = _estimates(kernel, a, b, *halves)
    value = float(estimates[0])
    return value, 1.96 * float(np.sqrt(np.mean((estimates[1:] - value) ** 2)))


def _features_of_both(x: Features, y: Features, least: int) -> tuple[Features, Features]:
    """Both sets after the checks: float32 where both are float32, else float64.

    float32 products take half the time. Their rounding errors are unbiased and leave the mean over all pairs within
    1e-6 of that in float64.
    """
    check_pair_rows(x, y, least)
    kind = np.float32 if x.dtype == y.dtype == np.float32 else np.float64
    return np.asarray(x, kind), np.asarray(y, kind)


def _halves(n: int, random: np.random.Generator) -> Floats:
    """[RESAMPLES, n] of 0 and 1, with floor(n / 2) ones per row."""
    ranks = random.random((RESAMPLES, n)).argsort(1).argsort(1)
    return (ranks < n // 2).astype(np.float64)


def _estimates(kernel: Kernel, a: Features, b: Features, chosen_a: Floats, chosen_b: Floats) -> Floats:
    """[R]: the unbiased estimate for the selection in each row (0 or 1 per image) of [R, N] and [R, M]."""
    n, m = chosen_a.sum(1), chosen_b.sum(1)
    within_a, within_b = (_within(kernel, s, chosen) for s, chosen in ((a, chosen_a), (b, chosen_b)))
    across = np.zeros(len(n))
    for rows, columns in _tiles(len(a), len(b)):
        across += ((chosen_a[:, rows] @ kernel(a[rows], b[columns])) * chosen_b[:, columns]).sum(1)
    estimates: Floats = within_a / (n * (n - 1)) + within_b / (m * (m - 1)) - 2 * across / (n * m)
    return estimates


def _within(kernel: Kernel, a: Features, chosen: Floats) -> Floats:
    """[R]: the kernel summed over the selected pairs of two different images; tiles below the diagonal are skipped."""
    total = np.zeros(len(chosen))
    for rows, columns in _tiles(len(a), len(a)):
        if columns.stop <= rows.start:
            continue
        block = kernel(a[rows], a[columns])
        if columns.start < rows.stop:  # on the diagonal: each pair once
            block[np.arange(rows.start, rows.stop)[:, None] >= np.arange(columns.start, columns.stop)] = 0
        total += 2 * ((chosen[:, rows] @ block) * chosen[:, columns]).sum(1)
    return total


def _tiles(n: int, m: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of each tile of an [n, m] table."""
    high, wide = TILE
    for row, column in itertools.product(range(0, n, high), range(0, m, wide)):
        yield slice(row, min(row + high, n)), slice(column, min(column + wide, m))
