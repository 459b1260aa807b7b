"""Classifiers of the class and of each attribute that no empty cell has misled: they judge translations."""

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

STEPS = 400
MEMBERS = 2
"""Classifiers of each column; their probabilities are averaged."""


def unconfounded(conditions: Codes, table: Cells, column: int) -> npt.NDArray[np.bool_]:
    """bool [N]: the images from which a classifier of `column` can learn it and not the other columns.

    These are the images whose values in the other columns occur with every value of this column. Where there are none, all
    images count.

    Parameters
    ----------
    conditions
        int64 [N, K].
    table
        Their cells.
    column
        0 for the class, then the attributes.
    """
    known = table.counts >= table.least
    complete = np.asarray(known.all(axis=column))
    others = np.delete(conditions, column, axis=1)
    found: npt.NDArray[np.bool_] = np.broadcast_to(complete[tuple(others.T)], len(conditions))
    return found if found.any() else np.ones(len(conditions), bool)


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
    """`members` classifiers for each column of the condition, trained on the train part with RandAugment, frozen."""
    conditions = train.conditions(condition)
    config = TrainConfig(steps=STEPS, balanced=True, augment=policy("randaugment", flips=flips))
    found = []
    for column, (_, values) in enumerate(table.columns):
        part = train.take(unconfounded(conditions, table, column))
        part = replace(part, labels=part.conditions(condition)[:, column], classes=values)
        seeds = [seed + 600_011 * (column + 1) + member for member in range(members)]
        found.append(list(fit_many([part] * members, config, seeds=seeds, device=device, then=lambda model: model)))
    return found
