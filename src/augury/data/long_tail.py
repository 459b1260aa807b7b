"""Class imbalance: the effective number of images, and imbalanced data for experiments."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from augury.data.decoding.label_encoding import finished
from augury.errors import DataError, SettingsError
from augury.images import Codes, LabelledImages
from augury.randomness import rng


def effective_number(counts: Codes, overlap: float = 0.99) -> npt.NDArray[np.float64]:
    """Effective number of images per class: (1 - overlap^n) / (1 - overlap) (Cui et al. 2019, eq. 2).

    Parameters
    ----------
    counts : int array [classes]
        Images n of each class.
    overlap : float
        How far each further image repeats the earlier ones, in [0, 1). A class is worth at most 1 / (1 - overlap).

    Returns
    -------
    float64 array [classes]
        The number of non-redundant images in each class.
    """
    return np.asarray((1 - overlap ** counts.astype(np.float64)) / (1 - overlap))


def make_long_tailed(
    data: LabelledImages, ratio: float = 50, seed: int = 0, *, largest: int | None = None
) -> LabelledImages:
    """Subsample classes to exponentially falling sizes, the usual benchmark for rare classes (Cao et al. 2019, section
    4.1).

    Class k of K, in a seeded order, keeps round(n · ratio^(-k / (K - 1))) of its train images. The seed also selects
    which. The order of the images stays, and validation and test splits are kept whole. Without a split all images are
    subsampled. Fashion-MNIST with ratio 50, seed 0 and largest 500 has the class sizes of the embedded sample.

    Parameters
    ----------
    data : LabelledImages
    ratio : float
        Size of the largest class over that of the smallest; at least 1.
    seed : int
    largest : int, optional
        Size n of the largest class. None takes the size of the largest class in `data`.

    Returns
    -------
    LabelledImages

    Raises
    ------
    SettingsError
        When `ratio` is below 1.
    DataError
        When a class has fewer images than it should keep, or would keep none.
    """
    if not ratio >= 1:
        raise SettingsError(
            f"ratio is {ratio}, but the largest class cannot be smaller than the smallest; use 1 or more"
        )
    learnt = np.ones(len(data), bool) if data.split is None else data.split == 0
    counts = np.bincount(data.labels[learnt], minlength=len(data.classes))
    most, last = largest or int(counts.max()), max(1, len(counts) - 1)
    rows = [np.flatnonzero(~learnt)]
    for k, label in enumerate(np.random.default_rng(seed).permutation(len(counts))):
        target_size = round(most * ratio ** (-k / last))
        name, members = data.classes[label], np.flatnonzero(learnt & (data.labels == label))
        if not 0 < target_size <= len(members):
            remedy = "lower `largest`, or choose another seed" if target_size else "lower the ratio"
            raise DataError(f"class '{name}' has {len(members)} images to keep {target_size} of; {remedy}")
        rows.append(rng(seed, "long tail", int(label)).choice(members, target_size, replace=False))
    return finished(data.take(np.sort(np.concatenate(rows))))
