"""Variety within classes, from features alone."""

from __future__ import annotations

import numpy as np

from augury.images import Codes
from augury.metrics.check import Features


def relative_spread(fake: Features, fake_labels: Codes, real: Features, real_labels: Codes) -> float:
    """Root mean squared distance of fakes to their class's mean over that of real images, averaged over the classes that
    have at least two of both: 1 is as varied as real images, 0 one image a class. NaN when there is no such class.

    `fake` [N, D], `real` [M, D]. Each mean square is unbiased (over n − 1), so that few images do not look less varied.
    """
    ratios = []
    for label in np.intersect1d(fake_labels, real_labels):
        squares = [
            (((x := np.asarray(features[labels == label], np.float64)) - x.mean(0)) ** 2).sum() / max(len(x) - 1, 0.5)
            for features, labels in ((fake, fake_labels), (real, real_labels))
            if (labels == label).sum() >= 2
        ]
        if len(squares) == 2 and squares[1] > 0:
            ratios.append(float(np.sqrt(squares[0] / squares[1])))
    return float(np.mean(ratios)) if ratios else float("nan")
