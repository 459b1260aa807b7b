"""The Inception Score: whether each image is clearly of one class, and all together of many classes, according to a
classifier.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy import special

from augury.errors import ScoreError
from augury.metrics.check import Features, Floats, checked
from augury.metrics.score import Score
from augury.metrics.sides import Sides
from augury.randomness import rng

SPLITS = 10
TINY = 1e-300


def split_scores(probabilities: Features, splits: int = SPLITS) -> Floats:
    """[splits]: exp of the mean divergence of p(class | image) from p(class), for each of `splits` equal portions of
    `probabilities` [N, K] in their order.

    Salimans et al. 2016, section 4. Raises ScoreError when N is below `splits`, or rows are not probabilities (≥ 0,
    summing to 1 within 1e-3).
    """
    p = checked(probabilities, least=splits)
    sums = p.sum(1)
    if (p < 0).any() or (np.abs(sums - 1) > 1e-3).any():
        raise ScoreError(
            f"class probabilities must be at least 0 and sum to 1, but rows run from {p.min():.3g} and sum to "
            f"{sums.min():.3g} … {sums.max():.3g}; give the softmax of the logits"
        )
    p = p / sums[:, None]
    logs = np.log(np.maximum(p, TINY))
    edges = np.arange(splits + 1) * len(p) // splits
    scores = []
    for start, stop in pairwise(edges):
        part = p[start:stop]
        divergence = (part * (logs[start:stop] - np.log(np.maximum(part.mean(0), TINY)))).sum(1)
        scores.append(np.exp(divergence.mean()))
    return np.array(scores)


def inception_value(sides: Sides) -> float:
    """`inception_score` as a number."""
    return float(split_scores(_shuffled(sides), _splits(sides)).mean())


def inception_score(sides: Sides, name: str) -> Score:
    """The mean over up to 10 splits of the fakes in random order, with value ± t · sd / √splits.

    Between 1 and the number of classes; no real image enters. It is biased downwards where a split has few images for
    its number of classes: compare only at the same N.
    """
    splits = _splits(sides)
    p = _shuffled(sides)
    each = split_scores(p, splits)
    value = float(each.mean())
    reach = float(special.stdtrit(splits - 1, 0.975) * each.std(ddof=1) / np.sqrt(splits))
    n, k = p.shape
    small = n < splits * k
    note = (
        f"not meaningful: {splits} splits of N={n} are small against {k} classes; go by the KID instead"
        if small
        else ""
    )
    if sides.name != "inception":
        judged = f"judged by {sides.name}, not by the Inception network: no Inception Score proper"
        note = f"{note}; {judged}" if note else judged
    low, high = max(1.0, value - reach), value + reach
    return sides.score(name, value, low, high, n=n, note=note, settings=f"{splits} splits", same_n=True)


def _splits(sides: Sides) -> int:
    return max(2, min(SPLITS, len(sides.fake) // 2))


def _shuffled(sides: Sides) -> Floats:
    """Class probabilities of the fakes in random order: images come sorted by class, and splits must mix the classes."""
    if sides.head is None:
        raise ScoreError(
            f"the Inception Score needs class probabilities, but the features '{sides.name}' give none; "
            "use inception, lite0 or a classifier with a head"
        )
    p = sides.head(sides.fake)
    return p[rng(sides.seed, "splits").permutation(len(p))]
