"""The kernel distance (KID): unbiased at every N, so of use where the Fréchet distance is not."""

from __future__ import annotations

import numpy as np

from augury.metrics.check import ENOUGH, Features, Floats, checked_pair
from augury.metrics.score import Score
from augury.randomness import rng

RESAMPLES = 200
ROWS = 512
"""Kernel rows held at a time: memory is 8 · 512 · max(N, M) bytes a block, 41 MB at N = 10 000, beside the features."""


def kernel_distance(x: Features, y: Features) -> float:
    """Unbiased squared MMD of features [N, D] and [M, D] under k(x, y) = (x·y / D + 1)³ (Bińkowski et al. 2018).

    Over all pairs at once (Gretton et al. 2012, eq. 3), not averaged over blocks; can be below 0. Raises ScoreError for
    N or M below 2, NaN, or unequal D.
    """
    a, b = checked_pair(x, y, least=2)
    return float(_estimates(a, b, np.ones((1, len(a))), np.ones((1, len(b))))[0])


def kid(x: Features, y: Features, *, features: str, preprocessing: str, seed: int, name: str = "KID") -> Score:
    """The kernel distance of `x` [N, D] to the reference `y` [M, D] with a 95 % interval, as it is (not times 1000).

    The interval comes from 200 random halves of both sets, drawn without replacement: a bootstrap sample would pair
    images with their own copies, which are as alike as can be, and so be biased. Half a sample varies about the whole
    as the whole does about the truth where the sets differ, and √3 times as much where they do not (the U-statistic's
    degenerate part; Politis & Romano 1994), so the interval errs on the wide side there. Raises ScoreError for N or M
    below 4, NaN, or unequal D.
    """
    a, b = checked_pair(x, y, least=ENOUGH)
    random = rng(seed, "kid")
    halves = [np.concatenate([np.ones((1, len(s))), _halves(len(s), random)]) for s in (a, b)]
    estimates = _estimates(a, b, *halves)
    value = float(estimates[0])
    reach = 1.96 * float(np.sqrt(np.mean((estimates[1:] - value) ** 2)))
    n = min(len(a), len(b))
    return Score(name, value, value - reach, value + reach, n, "lower", features, preprocessing)


def _halves(n: int, random: np.random.Generator) -> Floats:
    """[RESAMPLES, n] of 0 and 1, floor(n / 2) ones a row."""
    ranks = random.random((RESAMPLES, n)).argsort(1).argsort(1)
    return (ranks < n // 2).astype(np.float64)


def _estimates(a: Floats, b: Floats, chosen_a: Floats, chosen_b: Floats) -> Floats:
    """[R]: the unbiased estimate on each row's choice (0 or 1 an image) of [R, N] and [R, M]."""
    n, m = chosen_a.sum(1), chosen_b.sum(1)
    within_a = _sums(a, a, chosen_a, chosen_a) - chosen_a @ _kernel_of_itself(a)
    within_b = _sums(b, b, chosen_b, chosen_b) - chosen_b @ _kernel_of_itself(b)
    across = _sums(a, b, chosen_a, chosen_b)
    estimates: Floats = within_a / (n * (n - 1)) + within_b / (m * (m - 1)) - 2 * across / (n * m)
    return estimates


def _sums(a: Floats, b: Floats, chosen_a: Floats, chosen_b: Floats) -> Floats:
    """[R]: the kernel summed over the chosen pairs of [N, D] and [M, D]."""
    total = np.zeros(len(chosen_a))
    for start in range(0, len(a), ROWS):
        rows = slice(start, start + ROWS)
        block = (a[rows] @ b.T / a.shape[1] + 1) ** 3
        total += ((chosen_a[:, rows] @ block) * chosen_b).sum(1)
    return total


def _kernel_of_itself(a: Floats) -> Floats:
    values: Floats = ((a**2).sum(1) / a.shape[1] + 1) ** 3
    return values
