"""Kernel distances, unbiased at every N, so of use where the Fréchet distance is not: KID and CMMD."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from augury.metrics.check import ENOUGH, Features, Floats, checked_pair
from augury.metrics.score import Score
from augury.randomness import rng

RESAMPLES = 200
ROWS = 512
"""Kernel rows held at a time: memory is 8 · 512 · max(N, M) bytes a block, 41 MB at N = 10 000, beside the features."""
CLIP_BANDWIDTH = 10.0
SCALE = 1000.0
Kernel = Callable[[Floats, Floats], Floats]
"""[n, D], [M, D] -> [n, M]."""


def cubic(x: Floats, y: Floats) -> Floats:
    """(x·y / D + 1)³ (Bińkowski et al. 2018, section 4)."""
    block: Floats = x @ y.T
    block /= x.shape[1]
    block += 1
    square = block * block
    block *= square
    return block


def gaussian(bandwidth: float) -> Kernel:
    """exp(-|x - y|² / 2σ²) (Jayasumana et al. 2024, section 4)."""

    def kernel(x: Floats, y: Floats) -> Floats:
        block: Floats = x @ y.T
        block *= 2
        block -= (x**2).sum(1)[:, None]
        block -= (y**2).sum(1)
        np.minimum(block, 0, out=block)
        block /= 2 * bandwidth**2
        return np.exp(block, out=block)

    return kernel


def kernel_distance(x: Features, y: Features, kernel: Kernel = cubic) -> float:
    """Unbiased squared MMD of features [N, D] and [M, D] under k(x, y) = (x·y / D + 1)³ (Bińkowski et al. 2018).

    Over all pairs at once (Gretton et al. 2012, eq. 3), not averaged over blocks; can be below 0. Raises ScoreError for
    N or M below 2, NaN, or unequal D.
    """
    a, b = checked_pair(x, y, least=2)
    return float(_estimates(kernel, a, b, np.ones((1, len(a))), np.ones((1, len(b))))[0])


def kid(x: Features, y: Features, *, features: str, preprocessing: str, seed: int, name: str = "KID") -> Score:
    """The kernel distance of `x` [N, D] to the reference `y` [M, D] with a 95 % interval, as it is (not times 1000).

    The interval comes from 200 random halves of both sets, drawn without replacement: a bootstrap sample would pair
    images with their own copies, which are as alike as can be, and so be biased. Half a sample varies about the whole
    as the whole does about the truth where the sets differ, and √3 times as much where they do not (the U-statistic's
    degenerate part; Politis & Romano 1994), so the interval errs on the wide side there. Raises ScoreError for N or M
    below 4, NaN, or unequal D.
    """
    value, reach = _halved(x, y, cubic, seed)
    n = min(len(x), len(y))
    return Score(name, value, value - reach, value + reach, n, "lower", features, preprocessing)


def cmmd(
    x: Features, y: Features, bandwidth: float, *, features: str, preprocessing: str, seed: int, name: str = "CMMD"
) -> Score:
    """1000 times the squared MMD under a Gaussian kernel, unbiased (Jayasumana et al. 2024, eq. 4), interval as `kid`.

    CMMD proper has CLIP features and `bandwidth` 10; over other features take `usual_bandwidth`. Their published code
    keeps each image's pair with itself and so is biased upwards by about 1000 · (1 - mean kernel) · (1/N + 1/M).
    """
    value, reach = _halved(x, y, gaussian(bandwidth), seed)
    n = min(len(x), len(y))
    low, value, high = SCALE * (value - reach), SCALE * value, SCALE * (value + reach)
    return Score(name, value, low, high, n, "lower", features, preprocessing, settings=f"σ={bandwidth:.4g}")


def usual_bandwidth(reference: Features, seed: int, most: int = 500) -> float:
    """The median distance between images of `reference` [M, D], of at most 500 by chance, to three digits; 1 if 0."""
    chosen = np.asarray(reference, np.float64)[rng(seed, "bandwidth").permutation(len(reference))[:most]]
    lengths = (chosen**2).sum(1)
    squares = (lengths[:, None] + lengths - 2 * chosen @ chosen.T)[np.triu_indices(len(chosen), 1)]
    return float(f"{np.sqrt(max(0.0, float(np.median(squares)))):.3g}") or 1.0


def _halved(x: Features, y: Features, kernel: Kernel, seed: int) -> tuple[float, float]:
    """(estimate, half the width of its interval)."""
    a, b = checked_pair(x, y, least=ENOUGH)
    random = rng(seed, "kid")
    halves = [np.concatenate([np.ones((1, len(s))), _halves(len(s), random)]) for s in (a, b)]
    estimates = _estimates(kernel, a, b, *halves)
    value = float(estimates[0])
    return value, 1.96 * float(np.sqrt(np.mean((estimates[1:] - value) ** 2)))


def _halves(n: int, random: np.random.Generator) -> Floats:
    """[RESAMPLES, n] of 0 and 1, floor(n / 2) ones a row."""
    ranks = random.random((RESAMPLES, n)).argsort(1).argsort(1)
    return (ranks < n // 2).astype(np.float64)


def _estimates(kernel: Kernel, a: Floats, b: Floats, chosen_a: Floats, chosen_b: Floats) -> Floats:
    """[R]: the unbiased estimate on each row's choice (0 or 1 an image) of [R, N] and [R, M]."""
    n, m = chosen_a.sum(1), chosen_b.sum(1)
    within_a, within_b = (_within(kernel, s, chosen) for s, chosen in ((a, chosen_a), (b, chosen_b)))
    across = np.zeros(len(n))
    for start in range(0, len(a), ROWS):
        rows = slice(start, start + ROWS)
        across += ((chosen_a[:, rows] @ kernel(a[rows], b)) * chosen_b).sum(1)
    estimates: Floats = within_a / (n * (n - 1)) + within_b / (m * (m - 1)) - 2 * across / (n * m)
    return estimates


def _within(kernel: Kernel, a: Floats, chosen: Floats) -> Floats:
    """[R]: the kernel summed over the chosen pairs of two different images; each pair is computed once."""
    total = np.zeros(len(chosen))
    for start in range(0, len(a), ROWS):
        rows, later = slice(start, start + ROWS), slice(start + ROWS, None)
        block = kernel(a[rows], a[start:])
        size = min(ROWS, len(a) - start)
        same = block[:, :size]
        np.fill_diagonal(same, 0)
        total += ((chosen[:, rows] @ same) * chosen[:, rows]).sum(1)
        if start + size < len(a):
            total += 2 * ((chosen[:, rows] @ block[:, size:]) * chosen[:, later]).sum(1)
    return total
