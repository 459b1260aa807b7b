"""Choose the number of synthetic images per real image on validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from augury.images import LabelledImages
from augury.proof.crossed import effects
from augury.proof.measures import unpacked
from augury.proof.operating_point import OperatingPoint, hits_of, primary


def choose(
    measures_by_ratio: Mapping[float, list[dict[str, Any]]],
    validation: LabelledImages,
    point: OperatingPoint | None = None,
) -> tuple[float, list[dict[str, Any]]]:
    """Choose the ratio by the 1 SE rule.

    The rule takes the smallest ratio above 0 that is behind the best by at most one standard error (Breiman et al. 1984,
    section 3.4.3). The error is that of the paired difference, over seeds and validation images. A tail class has two or
    three validation images, so the best mean is mostly chance. Among indistinguishable ratios, fewer synthetic images are
    the smaller risk.

    The curve includes 0, but 0 is never chosen. Validation is too small to show that the images are useless; that is the
    task of the trial. A verdict of no gain still advises leaving the images out.

    Parameters
    ----------
    measures_by_ratio
        Ratio -> measures, one for each seed.
    validation
        The validation split.
    point
        Where the metric is measured; None for balanced accuracy.

    Returns
    -------
    tuple
        The ratio, and the curve: rows {ratio, values: the metric, one value for each seed, behind, error}.
    """
    hits = {
        ratio: np.stack([unpacked(hits_of(m), len(validation)) for m in each])
        for ratio, each in measures_by_ratio.items()
    }
    if point is not None:
        validation, inside = point.judged(validation)
        hits = {ratio: each[:, inside] for ratio, each in hits.items()}
    values = {ratio: [primary(m) for m in each] for ratio, each in measures_by_ratio.items()}
    means = {ratio: float(np.mean(each)) for ratio, each in values.items()}
    above = sorted(ratio for ratio in measures_by_ratio if ratio > 0)
    best = max(above, key=lambda ratio: (means[ratio], -ratio))
    curve: list[dict[str, Any]] = []
    for ratio, each in sorted(values.items()):
        gap = effects(hits[best].astype(float) - hits[ratio], validation.labels, validation.groups)
        curve.append({"ratio": ratio, "values": each, "behind": gap.value, "error": gap.error})
    chosen: float = next(row["ratio"] for row in curve if row["ratio"] > 0 and row["behind"] <= row["error"])
    return chosen, curve
