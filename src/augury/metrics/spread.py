"""Variety within classes, from features alone."""

from __future__ import annotations

import numpy as np

from augury.errors import ScoreError
from augury.images import Codes
from augury.intervals import jackknife
from augury.metrics.check import ENOUGH, Features, check_pair_rows
from augury.metrics.score import Score
from augury.metrics.sides import Sides
from augury.randomness import rng

GROUPS = 10


def class_spreads(
    fake: Features, fake_labels: Codes, real: Features, real_labels: Codes, least: int = 2
) -> dict[int, float]:
    """Class -> variety of the fakes relative to that of the real images: 1 is as varied as real images, 0 is one image.

    It is the root mean squared distance to the class mean of `fake` [N, D], over that of `real` [M, D]. Each mean
    square is unbiased (over n − 1), so that small samples do not look less varied. Classes need at least `least` (two
    or more) images of both and real images that differ.
    """
    ratios = {}
    for label in np.intersect1d(fake_labels, real_labels):
        squares = [
            (((x := np.asarray(features[labels == label], np.float64)) - x.mean(0)) ** 2).sum() / max(len(x) - 1, 0.5)
            for features, labels in ((fake, fake_labels), (real, real_labels))
            if (labels == label).sum() >= least
        ]
        if len(squares) == 2 and squares[1] > 0:
            ratios[int(label)] = float(np.sqrt(squares[0] / squares[1]))
    return ratios


def relative_spread(fake: Features, fake_labels: Codes, real: Features, real_labels: Codes) -> float:
    """The mean of `class_spreads`.

    Parameters
    ----------
    fake, real : array
        Features [N, D] and [M, D].
    fake_labels, real_labels : array of int64
        Class of each image.

    Returns
    -------
    float
        1 is as varied as real images; NaN when no class has two images of both that differ.
    """
    ratios = class_spreads(fake, fake_labels, real, real_labels)
    return float(np.mean(list(ratios.values()))) if ratios else float("nan")


def spread_value(sides: Sides) -> float:
    """`relative_spread`; raises ScoreError when no class has two images of both that differ."""
    ratio = relative_spread(sides.fake, sides.fake_labels, sides.real, sides.real_labels)
    if np.isnan(ratio):
        raise ScoreError("no class has two fakes and two real images that differ; give more images a class")
    return ratio


def spread(sides: Sides, name: str) -> Score:
    """`relative_spread` with value ± t · se by the delete-a-group jackknife over up to 10 groups of both sides.

    Above 1, fakes are more varied than real images, which noise is too: near 1 is best.
    """
    check_pair_rows(sides.fake, sides.real, least=ENOUGH)
    value, groups = spread_value(sides), min(GROUPS, len(sides.fake), len(sides.real))
    of = [
        rng(sides.seed, "spread", i).permutation(np.arange(n) % groups)
        for i, n in enumerate((len(sides.fake), len(sides.real)))
    ]
    reach = jackknife(
        [
            relative_spread(
                sides.fake[of[0] != g],
                sides.fake_labels[of[0] != g],
                sides.real[of[1] != g],
                sides.real_labels[of[1] != g],
            )
            for g in range(groups)
        ]
    )
    note = "1 is as varied as real images; above it may be noise"
    return sides.score(name, value, max(0.0, value - reach), value + reach, note=note)
