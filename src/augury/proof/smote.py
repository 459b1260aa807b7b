"""SMOTE by imbalanced-learn, on the inputs of a classifier: pixels or features."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import numpy as np

from augury.errors import MissingExtraError
from augury.images import Codes
from augury.proof.batch_sampler import Labelled
from augury.proof.train_config import Inputs
from augury.randomness import torch_seed

NEIGHBOURS = 5


@dataclass(frozen=True)
class Table:
    """`images` [N, ...], pixels or features, with `labels` int64 [N] into `classes`."""

    images: Inputs
    labels: Codes
    classes: tuple[str, ...]


def smote_installed() -> bool:
    """Whether imbalanced-learn is installed; imports nothing."""
    return importlib.util.find_spec("imblearn") is not None


def smoted(train: Labelled, seed: int) -> Table:
    """Fill each class up to the size of the largest with SMOTE (Chawla et al. 2002).

    A new image lies between an image and one of its five nearest neighbours in the class, or fewer if the class has fewer. A
    class with one image stays unchanged. Pixels are rounded. Raises MissingExtraError without imbalanced-learn.
    """
    if not smote_installed():
        raise MissingExtraError(
            "the arms 'smote_pixels' and 'smote_features' need imbalanced-learn; install it with: pip install "
            "'augury[sklearn]', or leave them out of prove.arms"
        )
    from imblearn.over_sampling import SMOTE

    labels = train.labels
    counts = np.bincount(labels, minlength=len(train.classes))
    flat = np.asarray(train.images, np.float32).reshape(len(labels), -1)
    additions, added_labels = [], []
    for c in np.flatnonzero((counts > 1) & (counts < counts.max())):
        smote = SMOTE(
            sampling_strategy={int(c): int(counts.max())},
            k_neighbors=int(min(NEIGHBOURS, counts[c] - 1)),
            random_state=torch_seed(seed, "smote", int(c)) % 2**32,
        )
        new = smote.fit_resample(flat, labels)[0][len(flat) :]
        additions.append(new)
        added_labels.append(np.full(len(new), c, np.int64))
    if not additions:
        return Table(train.images, labels, train.classes)
    new = np.concatenate(additions).reshape(-1, *train.images.shape[1:])
    if train.images.dtype == np.uint8:
        new = np.rint(new).clip(0, 255).astype(np.uint8)
    return Table(np.concatenate([train.images, new]), np.concatenate([labels, *added_labels]), train.classes)
