"""Cells of the class × attribute table that no real image has: fakes are asked for in them too, so that they are played."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from augury.images import Codes, LabelledImages

Cell = tuple[int, ...]
"""A class and a value of each attribute."""


@dataclass(frozen=True)
class EmptyCells:
    """`conditions` int64 [E, K] of cells without real images, and the `share` of fakes that are asked for in them."""

    conditions: torch.Tensor
    share: float

    def among(self, conditions: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
        """`conditions` int64 [B, K] of real images, about `share` of the rows replaced by empty cells, each as likely."""
        chance, which = torch.rand(2, len(conditions), generator=draws)
        cells = self.conditions[(which * len(self.conditions)).long()].to(conditions.device)
        return torch.where((chance < self.share).to(conditions.device)[:, None], cells, conditions)


def empty_cells(data: LabelledImages, condition: tuple[str, ...]) -> Codes:
    """The cells int64 [E, K] that have no image although each of their values has some elsewhere, so that conditions which
    add up an embedding of each value can mean something there; none without attributes."""
    if not condition:
        return np.empty((0, 1), np.int64)
    counts = np.zeros(data.cardinalities(condition), np.int64)
    np.add.at(counts, tuple(data.conditions(condition).T), 1)
    known = np.ones_like(counts, dtype=bool)
    for axis in range(counts.ndim):
        others = tuple(i for i in range(counts.ndim) if i != axis)
        known &= counts.sum(axis=others, keepdims=True) > 0
    return np.argwhere((counts == 0) & known).astype(np.int64)


def played(cells: tuple[Cell, ...], data: LabelledImages, condition: tuple[str, ...], most: float) -> EmptyCells | None:
    """`cells` with the share of all cells played that they are, at most `most`; None when there are none."""
    if not cells or not most:
        return None
    filled = len(np.unique(data.conditions(condition), axis=0))
    return EmptyCells(torch.tensor(cells, dtype=torch.int64), min(most, len(cells) / (len(cells) + filled)))
