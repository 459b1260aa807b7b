"""Labels from classifiers: class probabilities for synthetic images, classes for unlabelled ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from augury.errors import SettingsError
from augury.generation.filter_context import Floats, Keep
from augury.images import AnyImages, Codes, Images, as_images


def soft_labels(
    images: AnyImages,
    labels: Codes,
    ensemble: Sequence[Callable[[Images], Floats]],
    *,
    temperature: float = 1.0,
    hard: float = 0.0,
) -> Floats:
    """Compute soft targets for synthetic images.

    Parameters
    ----------
    images, labels
        uint8 [N, C, H, W] or SyntheticImages, and the requested labels int64 [N].
    ensemble
        Classifiers trained on real train images, each uint8 [N, C, H, W] -> [N, K].
    temperature
        Their mean probabilities are raised to 1 / `temperature` (Hinton, Vinyals & Dean 2015, eq. 1); above 1 is softer.
    hard
        Weight of the requested label in the result, in [0, 1].

    Returns
    -------
    float64 [N, K]; each row sums to 1.

    Raises
    ------
    SettingsError
        Without classifiers, for numbers out of range, and for probabilities that are not finite.
    """
    if not ensemble or not temperature > 0 or not 0 <= hard <= 1:
        raise SettingsError(
            f"soft labels need at least one classifier, a temperature above 0 and a hard share in [0, 1], but have "
            f"{len(ensemble)}, {temperature} and {hard}"
        )
    pixels = as_images(images)
    mean = np.mean([member(pixels) for member in ensemble], axis=0, dtype=np.float64)
    sharp = mean ** (1 / temperature)
    sharpened: Floats = sharp / sharp.sum(1, keepdims=True)
    if not np.isfinite(sharpened).all():
        raise SettingsError(
            "a classifier gives probabilities that are not finite numbers; train it again, or leave it out"
        )
    return hard * np.eye(sharpened.shape[1])[labels] + (1 - hard) * sharpened


def pseudo_labels(images: AnyImages, probabilities: Callable[[Images], Floats], threshold: float) -> tuple[Codes, Keep]:
    """Label unlabelled images with a classifier.

    Parameters
    ----------
    images
        uint8 [N, C, H, W], or a set of images whose labels are not used.
    probabilities
        The classifier, uint8 [N, C, H, W] -> [N, K].
    threshold
        In (0, 1] (Lee 2013; with a threshold Sohn et al. 2020, eq. 4).

    Returns
    -------
    The most probable class int64 [N], and bool [N]: whether its probability is at least `threshold`. Use only those images.

    Raises
    ------
    SettingsError
        For a threshold out of range.
    """
    if not 0 < threshold <= 1:
        raise SettingsError(
            f"the threshold of pseudo-labels is {threshold}, but a probability lies above 0 and at most at 1"
        )
    p = probabilities(as_images(images))
    return p.argmax(1).astype(np.int64), p.max(1) >= threshold
