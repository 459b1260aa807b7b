"""The values that become black and white, where an array or a file does not have 8 bits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Range = tuple[float, float]
SCALES = (1, 255, 65535)
"""Usual values of white. Whole numbers and fractions both use the first that is not exceeded, fractions only 1."""


def chosen_range(low: float, high: float, whole: bool) -> Range:
    """Choose the values of black and white for numbers that lie between `low` and `high`.

    Parameters
    ----------
    low, high : float
        The least and the greatest value.
    whole : bool
        Whether all values are whole numbers.

    Returns
    -------
    (float, float)
        (0, white) where the values use more than half of a usual scale: 0 to 1, and for whole numbers also 0 to 255 and
        0 to 65535. Otherwise (low, high), so that 0 to 16 is not read as nearly black.
    """
    scale = next((scale for scale in (SCALES if whole else SCALES[:1]) if high <= scale), None)
    if scale is not None and low >= 0 and high > scale / 2:
        return 0.0, float(scale)
    return low, high if high > low else low + 1


def to_bytes(values: npt.NDArray[np.float64], limits: Range) -> npt.NDArray[np.uint8]:
    """Scale float [...] linearly so that `limits` become 0 and 255; values outside are clipped, NaN becomes 0."""
    low, high = limits
    share = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(np.rint(np.nan_to_num(share) * 255).astype(np.uint8))
