"""Which synthetic images to keep: each filter gives a score per image and says which to reject."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from augury.errors import SettingsError
from augury.images import Codes, Images, LabelledImages

Floats = npt.NDArray[np.float64]
Keep = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Evidence:
    """What filters may look at: real *training* images, and two functions that the caller passes in:
    `probabilities` uint8 [N, C, H, W] -> [N, K] by a classifier trained on real train images only, and
    `nearest` (queries [N, D], references [M, D], k) -> (indices [N, k], Euclidean distances [N, k])."""

    train: LabelledImages
    probabilities: Callable[[Images], Floats]
    nearest: Callable[[npt.NDArray[np.float32], npt.NDArray[np.float32], int], tuple[Codes, Floats]]


def agreement(images: Images, labels: Codes, evidence: Evidence) -> tuple[Floats, Keep]:
    """Score: the classifier's probability of the label asked for; kept when no other class is more probable."""
    p = evidence.probabilities(images)
    return p[np.arange(len(p)), labels], p.argmax(1) == labels


def near_copy(images: Images, labels: Codes, evidence: Evidence) -> tuple[Floats, Keep]:
    """Score: root mean square pixel distance (0 … 255) to the nearest training image; rejected when below the 1st
    percentile of the distances between each training image and its own nearest other one (exact duplicates left out)."""
    real, fake = _flat(evidence.train.images), _flat(images)
    scale = fake.shape[1] ** -0.5
    distances = evidence.nearest(fake, real, 1)[1][:, 0] * scale
    return distances, distances >= copy_threshold(real, evidence)


def copy_threshold(real: npt.NDArray[np.float32], evidence: Evidence) -> float:
    """RMS pixel distance under which an image counts as a copy, from the training images [N, D] themselves."""
    if len(real) < 2:
        return 0.0
    among = evidence.nearest(real, real, 2)[1][:, 1] * real.shape[1] ** -0.5
    apart = among[among > 1e-3]
    return float(np.quantile(apart, 0.01)) if len(apart) else 1e-3


def _flat(images: Images) -> npt.NDArray[np.float32]:
    return np.asarray(images, np.float32).reshape(len(images), -1)


FILTERS = {"agreement": agreement, "near_copy": near_copy}


def apply(
    names: tuple[str, ...], images: Images, labels: Codes, evidence: Evidence
) -> tuple[dict[str, Floats], list[str]]:
    """(scores of every filter, per image the first filter that rejects it or ""); SettingsError for an unknown filter."""
    unknown = [name for name in names if name not in FILTERS]
    if unknown:
        raise SettingsError(f"there is no filter '{unknown[0]}'; choose among: {', '.join(FILTERS)}")
    scores: dict[str, Floats] = {}
    reasons = np.full(len(images), "", dtype=object)
    for name in names:
        scores[name], keep = FILTERS[name](images, labels, evidence)
        reasons[(reasons == "") & ~keep] = name
    return scores, [str(r) for r in reasons]
