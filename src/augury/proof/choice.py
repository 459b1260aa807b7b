"""How many synthetic images to show for each real one, chosen on validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from augury.images import LabelledImages
from augury.proof.crossed import effects
from augury.proof.measures import unpacked


def choose(
    found: Mapping[float, list[dict[str, Any]]], validation: LabelledImages
) -> tuple[float, list[dict[str, Any]]]:
    """The ratio, and the curve it was chosen from: rows {ratio, balanced_accuracy: one value a seed, behind, error}.

    `found` has the measures of every ratio tried, one a seed. Of the ratios above 0 the smallest is taken that lies behind
    the best of them by no more than the standard error of that paired difference, over seeds and validation images
    (Breiman et al. 1984, section 3.4.3: the 1 SE rule). A tail class has two or three validation images, so the best mean
    is mostly luck; among ratios that cannot be told apart fewer synthetic images are the smaller risk.

    0 is shown in the curve but never preferred: validation is too small to tell that the images are useless, and the trial
    itself must; shown at their mildest they get a fair hearing, and a verdict of no gain still advises to leave them out.
    """
    hits = {ratio: np.stack([unpacked(m["hits"], len(validation)) for m in each]) for ratio, each in found.items()}
    means = {ratio: float(np.mean([m["balanced_accuracy"] for m in each])) for ratio, each in found.items()}
    above = sorted(ratio for ratio in found if ratio > 0)
    best = max(above, key=lambda ratio: (means[ratio], -ratio))
    curve: list[dict[str, Any]] = []
    for ratio, each in sorted(found.items()):
        gap = effects(hits[best].astype(float) - hits[ratio], validation.labels, validation.groups)
        accuracies = [m["balanced_accuracy"] for m in each]
        curve.append({"ratio": ratio, "balanced_accuracy": accuracies, "behind": gap.value, "error": gap.error})
    chosen: float = next(row["ratio"] for row in curve if row["ratio"] > 0 and row["behind"] <= row["error"])
    return chosen, curve
