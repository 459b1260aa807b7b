"""What every score asks of the features it is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from augury.errors import ScoreError

Floats = npt.NDArray[np.float64]
Features = npt.NDArray[Any]
ENOUGH = 4
"""Fewest images a side from which an interval can be told."""


def checked(features: Features, least: int) -> Floats:
    """`features` [N, D] as float64; raises ScoreError unless 2-D, finite, and N at least `least`."""
    if features.ndim != 2 or features.shape[1] == 0:
        raise ScoreError(f"features must be [N, D] D ≥ 1, but are {list(features.shape)}; give one row an image")
    if len(features) < least:
        raise ScoreError(f"this needs at least {least} images a side, but one side has {len(features)}; give it more")
    values = np.asarray(features, np.float64)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        raise ScoreError(
            f"the features of {len(bad)} of {len(values)} images hold NaN or infinity (first: image {bad[0]}); "
            "look at those images and the network's weights, or use other features"
        )
    return values


def checked_pair(x: Features, y: Features, least: int) -> tuple[Floats, Floats]:
    """Both sets as `checked` has them; raises ScoreError also when their D differ."""
    a, b = checked(x, least), checked(y, least)
    if a.shape[1] != b.shape[1]:
        raise ScoreError(
            f"the two sides have {a.shape[1]} and {b.shape[1]} features an image; extract both with the same extractor"
        )
    return a, b
