"""Predictions for a set of images, as arrays and as the rows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from augury.images import Codes

Floats = npt.NDArray[np.float64]
LIMIT = 1.0
"""Distance above which an image is unlike the training images."""


@dataclass(frozen=True)
class Predictions:
    """Predictions for N images.

    Parameters
    ----------
    probabilities
        float64 [N, K], calibrated; each row sums to 1.
    classes
        Names of the K classes.
    distance
        float64 [N], distance to the training images as a multiple of the limit; above 1 an image is unlike them. See
        `augury.prediction.novelty`.
    names
        The origin of each image.
    truth
        int64 [N], the true classes where the images name them, else None.
    notes
        Sentences about what was done to the images.
    skipped
        {file: reason} of files that could not be read.

    Examples
    --------
    >>> predictions = augury.classifier("runs/photos").predict("new/")
    >>> predictions.predicted[0], predictions.confidence[0], predictions.unlike[0]
    ('bag', 0.93, False)
    """

    probabilities: Floats
    classes: tuple[str, ...]
    distance: Floats
    names: tuple[str, ...]
    truth: Codes | None = None
    notes: tuple[str, ...] = ()
    skipped: Mapping[str, str] | None = None

    def __len__(self) -> int:
        return len(self.probabilities)

    def __repr__(self) -> str:
        return f"Predictions({len(self):,} images, {len(self.classes):,} classes, {int(self.unlike.sum()):,} unlike the training images)"

    @property
    def labels(self) -> Codes:
        """int64 [N], the code of the most probable class."""
        return np.asarray(self.probabilities.argmax(1), np.int64)

    @property
    def predicted(self) -> list[str]:
        """The name of the most probable class of each image."""
        return [self.classes[label] for label in self.labels.tolist()]

    @property
    def confidence(self) -> Floats:
        """float64 [N], the probability of the most probable class."""
        return np.asarray(self.probabilities.max(1), np.float64)

    @property
    def unlike(self) -> npt.NDArray[np.bool_]:
        """Whether each image is unlike the training images, bool [N]. Its probabilities then mean little."""
        return np.asarray(self.distance > LIMIT)

    @property
    def columns(self) -> list[str]:
        """Names of the columns of `rows`; that of a class is p_CLASS."""
        return [
            "file",
            "predicted",
            "probability",
            "unlike_training",
            "distance",
            *(f"p_{name}" for name in self.classes),
        ]

    def rows(self) -> list[dict[str, Any]]:
        """One row per image, by column; numbers are rounded to six decimals."""
        own = zip(
            self.names, self.predicted, self.confidence, self.unlike, self.distance, self.probabilities, strict=True
        )
        return [
            dict(
                zip(
                    self.columns,
                    [file, label, _short(p), "yes" if odd else "no", _short(away), *map(_short, each)],
                    strict=True,
                )
            )
            for file, label, p, odd, away, each in own
        ]

    def summary(self) -> dict[str, Any]:
        """Counts as plain JSON: {images, classes: {name: number}, unlike_training, skipped: {file: reason}, notes}.

        With `truth` also accuracy, and confusion: rows the truth, columns the prediction, in the order of `classes`.
        """
        counts = np.bincount(self.labels, minlength=len(self.classes)).tolist()
        summary: dict[str, Any] = {
            "images": len(self),
            "classes": dict(zip(self.classes, counts, strict=True)),
            "unlike_training": int(self.unlike.sum()),
            "skipped": dict(self.skipped or {}),
            "notes": list(self.notes),
        }
        if self.truth is not None:
            k = len(self.classes)
            table = np.bincount(self.truth * k + self.labels, minlength=k * k).reshape(k, k)
            summary |= {"accuracy": float((self.truth == self.labels).mean()), "confusion": table.tolist()}
        return summary


def _short(value: float) -> float:
    return round(float(value), 6)
