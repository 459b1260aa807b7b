"""How unequal classes are, what levelling them would take, and unequal data made for experiments."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from augury.data.decoding.label_encoding import finished
from augury.errors import DataError, SettingsError
from augury.images import Codes, LabelledImages
from augury.randomness import rng


def effective_number(counts: Codes, overlap: float = 0.99) -> npt.NDArray[np.float64]:
    """counts [classes] -> how many images' worth of new information each class has, where each image overlaps with the
    others' neighbourhoods so that a class is worth at most 1 / (1 - overlap): (1 - overlap^n) / (1 - overlap) (Cui et al.
    2019, eq. 2)."""
    return np.asarray((1 - overlap ** counts.astype(np.float64)) / (1 - overlap))


def make_long_tailed(
    data: LabelledImages, ratio: float = 50, seed: int = 0, *, largest: int | None = None
) -> LabelledImages:
    """Data whose class sizes fall exponentially, the largest `ratio` times the smallest: the usual test of what helps rare
    classes (Cao et al. 2019, section 4.1).

    Class k of K, in a seeded order, keeps round(n · ratio^(-k / (K - 1))) of its train images (all images, where there is
    no split), n being `largest` or the size of the largest class; the seed draws which, and their order stays. Validation
    and test parts stay whole. Fashion-MNIST with ratio 50, seed 0 and largest 500 has the class sizes of the embedded sample.
    Raises SettingsError for a ratio below 1, DataError when a class has fewer images than it should keep, or keeps none.
    """
    if not ratio >= 1:
        raise SettingsError(
            f"ratio is {ratio}, but the largest class cannot be smaller than the smallest; use 1 or more"
        )
    learnt = np.ones(len(data), bool) if data.split is None else data.split == 0
    counts = np.bincount(data.labels[learnt], minlength=len(data.classes))
    most, last = largest or int(counts.max()), max(1, len(counts) - 1)
    kept = [np.flatnonzero(~learnt)]
    for k, label in enumerate(np.random.default_rng(seed).permutation(len(counts))):
        wanted = round(most * ratio ** (-k / last))
        name, members = data.classes[label], np.flatnonzero(learnt & (data.labels == label))
        if not 0 < wanted <= len(members):
            remedy = "lower `largest`, or choose another seed" if wanted else "lower the ratio"
            raise DataError(f"class '{name}' has {len(members)} images to keep {wanted} of; {remedy}")
        kept.append(rng(seed, "long tail", int(label)).choice(members, wanted, replace=False))
    return finished(data.take(np.sort(np.concatenate(kept))))
