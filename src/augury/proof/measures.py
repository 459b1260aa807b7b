"""Measures of one trained classifier, and which images it classifies correctly."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from augury.errors import TrainingError
from augury.proof.calibration import brier_score, expected_calibration_error
from augury.proof.ranking import area_under_curve, macro, sensitivity_at

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

MEASURED = 3
"""Version of trainings and measures. It is raised when they change, so that older results are not reused."""
SCALARS = ("balanced_accuracy", "macro_f1", "worst_recall", "auc", "ece", "brier")
PER_CLASS = ("recall", "sensitivity")
"""Measures with one value for each class."""
VALIDATION = "validation"
"""Name of the metric on the validation split, measured with the same trained network."""


def confusion(truth: Codes, predicted: Codes, classes: int) -> Codes:
    """Counts int64 [K, K], rows the truth, columns the prediction."""
    return np.bincount(truth * classes + predicted, minlength=classes**2).reshape(classes, classes)


def measures(truth: Codes, p: Floats) -> dict[str, Any]:
    """Compute all measures of class probabilities.

    Parameters
    ----------
    truth
        int64 [N], true classes.
    p
        float64 [N, K], predicted class probabilities.

    Returns
    -------
    dict
        Plain JSON. balanced_accuracy (mean recall over the classes present), macro_f1, worst_recall, auc (one class against
        the rest, mean over classes), ece and brier. For each class recall (0 if absent) and sensitivity (at 90 %
        specificity; None if absent). hits: the images classified correctly, in the format of `packed`.

    Raises
    ------
    TrainingError
        When `p` does not hold probabilities.
    """
    check_probabilities(p, len(truth))
    classes = p.shape[1]
    predicted = p.argmax(1)
    matrix = confusion(truth, predicted, classes)
    right, truth_counts, predicted_counts = np.diag(matrix).astype(float), matrix.sum(1), matrix.sum(0)
    recall = right / np.maximum(truth_counts, 1)
    f1 = 2 * right / np.maximum(truth_counts + predicted_counts, 1)
    return {
        "balanced_accuracy": float(recall[truth_counts > 0].mean()),
        "macro_f1": float(f1[(truth_counts + predicted_counts) > 0].mean()),
        "worst_recall": float(recall[truth_counts > 0].min()),
        "auc": macro([area_under_curve(p[:, c], truth == c) for c in range(classes)]),
        "ece": expected_calibration_error(truth, p),
        "brier": brier_score(truth, p),
        "recall": recall.tolist(),
        "sensitivity": [sensitivity_at(p[:, c], truth == c) for c in range(classes)],
        "hits": packed(predicted == truth),
    }


def check_probabilities(p: Floats, n: int) -> None:
    """Raises TrainingError unless `p` is float [n, K], finite and not negative, and each row sums to 1."""
    if p.ndim != 2 or len(p) != n or p.shape[1] < 2:
        raise TrainingError(
            f"a classifier gave an array of shape {list(p.shape)} for {n} images, but must give one probability for each of "
            "two or more classes: [images, classes]"
        )
    broken = int((~np.isfinite(p)).any(1).sum())
    if broken:
        raise TrainingError(
            f"a classifier gave NaN or infinity for {broken} of {n} images; its training diverged or it divides by zero: "
            "lower its learning rate, or check its last layer"
        )
    sums = p.sum(1)
    if p.min(initial=0) < 0 or np.abs(sums - 1).max(initial=0) > 1e-3:
        raise TrainingError(
            f"a classifier gave rows that add up to {sums.min():.3g} … {sums.max():.3g} with values from {p.min():.3g}, but "
            "probabilities are not negative and add up to 1; end it with a softmax"
        )


def packed(hits: npt.NDArray[np.bool_]) -> str:
    """Encode bool [N] as hexadecimal digits, four images per digit."""
    return np.packbits(hits).tobytes().hex()


def unpacked(text: str, n: int) -> npt.NDArray[np.bool_]:
    """Decode the bool [n] that `packed` encoded."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8), count=n).astype(bool)
