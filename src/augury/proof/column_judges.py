"""Classifiers of the class and of each attribute, trained without bias from empty cells, to judge translations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from augury.augment import policy
from augury.data.cells import Cells
from augury.images import Codes, LabelledImages
from augury.networks import Classifier
from augury.proof.classifiers import fit_many
from augury.proof.train_config import TrainConfig
from augury.randomness import derived_seed

STEPS = 400
MEMBERS = 2
"""Number of classifiers for each column; their probabilities are averaged."""


def unconfounded(conditions: Codes, table: Cells, column: int) -> npt.NDArray[np.bool_]:
    """Select images from which a classifier can learn `column` without learning the other columns, bool [N].

    The values of these images in the other columns occur with every value of this column. If there are no such images, all
    images are used.

    Parameters
    ----------
    conditions
        int64 [N, K].
    table
        Their cells.
    column
        0 for the class, then the attributes.
    """
    filled = table.counts >= table.least
    complete = np.asarray(filled.all(axis=column))
    others = np.delete(conditions, column, axis=1)
    mask: npt.NDArray[np.bool_] = np.broadcast_to(complete[tuple(others.T)], len(conditions))
    return mask if mask.any() else np.ones(len(conditions), bool)


def column_classifiers(
    train: LabelledImages,
    condition: tuple[str, ...],
    table: Cells,
    *,
    seed: int,
    device: torch.device,
    flips: bool,
    members: int = MEMBERS,
) -> list[list[Classifier]]:
    """Train classifiers for the class and for each attribute, with RandAugment.

    Parameters
    ----------
    train
        The train split, uint8 [N, C, H, W] with labels and attributes.
    condition
        Names of the attributes.
    table
        Cells of class × attribute.
    seed
        Determines the seeds of all classifiers.
    device
        Where to train.
    flips
        Whether augmentation may mirror images.
    members
        Number of classifiers for each column.

    Returns
    -------
    list of list of Classifier
        For each column, the class first, its `members` frozen classifiers.
    """
    conditions = train.conditions(condition)
    config = TrainConfig(steps=STEPS, balanced=True, augment=policy("randaugment", flips=flips))
    classifiers = []
    for column, (_, values) in enumerate(table.columns):
        part = train.take(unconfounded(conditions, table, column))
        part = replace(part, labels=part.conditions(condition)[:, column], classes=values)
        seeds = [derived_seed(seed, "column", column, member) for member in range(members)]
        classifiers.append(
            list(fit_many([part] * members, config, seeds=seeds, device=device, then=lambda model: model))
        )
    return classifiers
