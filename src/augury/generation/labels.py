"""Labels that classifiers give: class probabilities for synthetic images, classes for unlabelled ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from augury.errors import SettingsError
from augury.generation.filter_context import Floats, Keep
from augury.images import Codes, Images


def soft_labels(
    images: Images,
    labels: Codes,
    ensemble: Sequence[Callable[[Images], Floats]],
    *,
    temperature: float = 1.0,
    hard: float = 0.0,
) -> Floats:
    """Targets float64 [N, K], each row summing to 1: the mean of the probabilities that the members of `ensemble` (uint8
    [N, C, H, W] -> [N, K], taught by real train images) give `images`, raised to 1 / `temperature` (Hinton, Vinyals & Dean
    2015, eq. 1: above 1 softer), and mixed with the label asked for, which weighs `hard` in [0, 1].

    Raises SettingsError without members, for numbers out of range, and for probabilities that are no numbers.
    """
    if not ensemble or not temperature > 0 or not 0 <= hard <= 1:
        raise SettingsError(
            f"soft labels need at least one classifier, a temperature above 0 and a hard share in [0, 1], but have "
            f"{len(ensemble)}, {temperature} and {hard}"
        )
    mean = np.mean([member(images) for member in ensemble], axis=0, dtype=np.float64)
    sharp = mean ** (1 / temperature)
    found: Floats = sharp / sharp.sum(1, keepdims=True)
    if not np.isfinite(found).all():
        raise SettingsError(
            "a classifier gives probabilities that are not finite numbers; train it again, or leave it out"
        )
    return hard * np.eye(found.shape[1])[labels] + (1 - hard) * found


def pseudo_labels(images: Images, probabilities: Callable[[Images], Floats], threshold: float) -> tuple[Codes, Keep]:
    """(labels int64 [N], sure bool [N]) of unlabelled `images`: the class that a classifier finds most probable, and whether
    its probability is at least `threshold` (Lee 2013; with a threshold Sohn et al. 2020, eq. 4). Use those that are sure.

    Raises SettingsError for a threshold that is not in (0, 1].
    """
    if not 0 < threshold <= 1:
        raise SettingsError(
            f"the threshold of pseudo-labels is {threshold}, but a probability lies above 0 and at most at 1"
        )
    p = probabilities(images)
    return p.argmax(1).astype(np.int64), p.max(1) >= threshold
