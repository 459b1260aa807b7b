"""Checks that every score makes on its features."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from augury.errors import ScoreError

Floats = npt.NDArray[np.float64]
Features = npt.NDArray[Any]
ENOUGH = 4
"""Fewest images a side that allow an interval."""
ROWS = 1024


def checked(features: Features, least: int) -> Floats:
    """`features` [N, D] as float64; raises ScoreError unless 2-D, finite, and N at least `least`."""
    check_rows(features, least)
    return np.asarray(features, np.float64)


def checked_pair(x: Features, y: Features, least: int) -> tuple[Floats, Floats]:
    """Both sets as `checked` returns them; raises ScoreError also when their D differ."""
    check_pair_rows(x, y, least)
    return np.asarray(x, np.float64), np.asarray(y, np.float64)


def check_rows(features: Features, least: int) -> None:
    """Raises ScoreError unless `features` are [N, D], finite, and N at least `least`; copies 1024 rows at most."""
    if features.ndim != 2 or features.shape[1] == 0:
        raise ScoreError(f"features must be [N, D] D ≥ 1, but are {list(features.shape)}; give one row an image")
    if len(features) < least:
        raise ScoreError(f"this needs at least {least} images a side, but one side has {len(features)}; give it more")
    finite = np.ones(len(features), np.bool_)
    for start in range(0, len(features), ROWS):
        finite[start : start + ROWS] = np.isfinite(features[start : start + ROWS]).all(axis=1)
    bad = np.flatnonzero(~finite)
    if len(bad):
        raise ScoreError(
            f"the features of {len(bad)} of {len(features)} images hold NaN or infinity (first: image {bad[0]}); "
            "look at those images and the network's weights, or use other features"
        )


def check_pair_rows(x: Features, y: Features, least: int) -> None:
    """Apply `check_rows` to both; raises ScoreError also when their D differ."""
    check_rows(x, least)
    check_rows(y, least)
    if x.shape[1] != y.shape[1]:
        raise ScoreError(
            f"the two sides have {x.shape[1]} and {y.shape[1]} features an image; extract both with the same extractor"
        )
