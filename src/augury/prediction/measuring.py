"""The accuracy of one classifier on the test split, with intervals over test images."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from augury.images import LabelledImages
from augury.intervals import wilson
from augury.proof.crossed import effects
from augury.proof.measures import confusion
from augury.proof.operating_point import OperatingPoint
from augury.proof.recalls import alone, worth

Floats = npt.NDArray[np.float64]


def measured(test: LabelledImages, p: Floats) -> dict[str, Any]:
    """Measure class probabilities float64 [N, K] on the test split.

    Intervals have a confidence of 95 % and cover other test images of the same kind, not another training. Images of a group
    (person, patient) count together: by their effective number, or resampled as a group for the balanced accuracy.

    Returns
    -------
    dict
        {n, groups, accuracy, balanced_accuracy: [value, low, high], per_class: [{class, test, recall, low, high}], worst: {class,
        recall, low, high}, confusion: rows the truth}. Recall is None for a class without test images.
    """
    predicted = p.argmax(1)
    hits = (predicted == test.labels).astype(np.float64)
    rows = [_recall(test, hits, label) for label in range(len(test.classes))]
    tested = [row for row in rows if row["test"]]
    worst = min(tested, key=lambda row: float(row["recall"]))
    return {
        "n": len(test),
        "groups": None if test.groups is None else len(np.unique(test.groups)),
        "accuracy": _around(float(hits.mean()), *wilson(float(hits.mean()), worth(hits, test.groups))),
        "balanced_accuracy": _balanced(test, hits),
        "per_class": rows,
        "worst": {name: worst[name] for name in ("class", "recall", "low", "high")},
        "confusion": confusion(test.labels, predicted, len(test.classes)).tolist(),
    }


def detection(
    validation: LabelledImages, p_validation: Floats, test: LabelledImages, p: Floats, point: OperatingPoint
) -> dict[str, Any]:
    """Choose the threshold on validation and measure it on the test split; probabilities float64 [N, K].

    Returns
    -------
    dict
        {class, specificity: the stated one, threshold, sensitivity: [value, low, high], test_specificity: [value, low, high],
        positives, negatives: numbers of test images, validation: number of validation images of other classes}. Wilson's
        intervals as in `measured`.
    """
    threshold = point.threshold(validation.labels, p_validation)
    positive = test.labels == point.label
    right = ((p[:, point.label] > threshold) == positive).astype(np.float64)

    def rate(here: npt.NDArray[np.bool_]) -> list[float]:
        value = float(right[here].mean())
        return _around(value, *wilson(value, worth(right[here], None if test.groups is None else test.groups[here])))

    return {
        "class": point.name,
        "specificity": point.specificity,
        "threshold": threshold,
        "sensitivity": rate(positive),
        "test_specificity": rate(~positive),
        "positives": int(positive.sum()),
        "negatives": int((~positive).sum()),
        "validation": int((validation.labels != point.label).sum()),
    }


def _recall(test: LabelledImages, hits: Floats, label: int) -> dict[str, Any]:
    here = test.labels == label
    row: dict[str, Any] = {"class": test.classes[label], "test": int(here.sum())}
    if not here.any():
        return {**row, "recall": None, "low": None, "high": None}
    recall = float(hits[here].mean())
    interval = wilson(recall, worth(hits[here], None if test.groups is None else test.groups[here]))
    return {**row, **dict(zip(("recall", "low", "high"), _around(recall, *interval), strict=True))}


def _balanced(test: LabelledImages, hits: Floats) -> list[float]:
    """[value, low, high]: bootstrap over test images within classes, or over groups.

    Where a class has too few images for a variance, or all images are classified alike, Wilson's interval for the effective
    number of images.
    """
    effect = effects(hits[None], test.labels, test.groups)
    low, high = effect.interval()
    few = any(np.less(*alone(test, test.labels == label)) for label in np.unique(test.labels))
    if few or low == high:
        low, high = wilson(effect.value, worth(hits, test.groups))
    return _around(effect.value, low, high)


def _around(value: float, low: float, high: float) -> list[float]:
    """[value, low, high] within [0, 1], with the value inside in spite of rounding."""
    return [value, max(0.0, min(low, value)), min(1.0, max(high, value))]
