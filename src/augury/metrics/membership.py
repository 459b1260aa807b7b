"""Membership inference: whether the generated images reveal which images were in the training set."""

from __future__ import annotations

import numpy as np
from scipy import stats

from augury.errors import ScoreError
from augury.metrics.check import Floats
from augury.metrics.nearest import nearest
from augury.metrics.score import Score
from augury.metrics.sides import Sides


def auc_interval(members: Floats, others: Floats) -> tuple[float, float, float]:
    """(AUC, low, high): how often the value of a member is above that of another image, ties counting half, with a 95 %
    interval.

    DeLong, DeLong & Clarke-Pearson 1988, by placements as in Sun & Xu 2014. At perfect separation DeLong's variance is
    0; the interval then reaches 3 / the smaller count inwards (Hanley & Lippman-Hand 1983). Raises ScoreError below 2 a
    side.
    """
    n, m = len(members), len(others)
    if min(n, m) < 2:
        raise ScoreError(f"an AUC needs 2 images a side, but there are {n} members and {m} others; give more")
    ranks = stats.rankdata(np.concatenate([members, others]))
    above = (ranks[:n] - stats.rankdata(members)) / m  # share of others below each member
    below = 1 - (ranks[n:] - stats.rankdata(others)) / n  # share of members above each other
    auc = float(above.mean())
    error = float(np.sqrt(above.var(ddof=1) / n + below.var(ddof=1) / m))
    reach = 1.959964 * error if error > 0 else min(1.0, 3 / min(n, m))
    return auc, max(0.0, auc - reach), min(1.0, auc + reach)


def membership(sides: Sides, name: str) -> Score:
    """AUC of a classifier that separates training images from held-out ones by the distance to the nearest fake.

    Chen et al. 2020, GAN-Leaks, black-box attack: 0.5 reveals nothing, 1 reveals everyone. An attacker with more
    knowledge may do better.
    """
    train, unseen = (-nearest(side, sides.fake)[1][:, 0] for side in (sides.trained, sides.unseen))
    auc, low, high = auc_interval(train, unseen)
    n = min(len(train), len(unseen))
    note = f"0.5 reveals nothing; moves with the number of fakes, here {len(sides.fake)}"
    return sides.score(name, auc, low, high, "lower", n=n, note=note, settings=f"{len(sides.fake)} fakes")
