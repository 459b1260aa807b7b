"""The images of each step of a translator: a function of (seed, step), so a resumed run sees the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from augury.augment.draws import sent
from augury.data.cells import Cells, Move, cells, members
from augury.images import LabelledImages
from augury.networks import KEEP
from augury.randomness import rng
from augury.training.batches import as_float


@dataclass(frozen=True)
class Pairs:
    """One batch or micro-batch of a translator.

    Parameters
    ----------
    images
        Source images, float [B, C, H, W] in [-1, 1].
    sources, targets
        int64 [B, K], the cell of each source image and the cell of its translation; they differ in one column. A
        translator takes `changes` and `returns` instead: the code of that column, and KEEP in the others.
    real
        float [A, C, H, W], a real image of the target cell of each of the first A sources. The discriminator sees these A
        sources only. The target cells of the others have too few real images.
    """

    images: torch.Tensor
    sources: torch.Tensor
    targets: torch.Tensor
    real: torch.Tensor

    @property
    def changes(self) -> torch.Tensor:
        """int64 [B, K], from source to target."""
        return torch.where(self.sources == self.targets, KEEP, self.targets)

    @property
    def returns(self) -> torch.Tensor:
        """int64 [B, K], from target back to source."""
        return torch.where(self.sources == self.targets, KEEP, self.sources)

    def split(self, parts: int) -> list[Pairs]:
        """Micro-batches of equal size, each with its share of sources with and without a real image."""
        if parts == 1:
            return [self]
        crossing, rows = len(self.real), torch.arange(len(self.images))
        groups = zip(rows[:crossing].tensor_split(parts), rows[crossing:].tensor_split(parts), strict=True)
        micro_batches = []
        for seen, unseen in groups:
            at = torch.cat([seen, unseen]).to(self.images.device)
            real = self.real[seen.to(self.real.device)]
            micro_batches.append(Pairs(self.images[at], self.sources[at], self.targets[at], real))
        return micro_batches


class PairSampler:
    """Draw `batch` source images per step, with targets.

    Moves between two known cells come in equal proportions and get a real image of their target. The discriminator then
    compares sets of the same class mix. The share `hole_share` of the batch is translated into cells without enough real
    images.

    Raises DataError where the cells leave nothing to learn (`Cells.check`).
    """

    def __init__(
        self,
        data: LabelledImages,
        condition: tuple[str, ...],
        batch: int,
        seed: int,
        hole_share: float,
        class_moves: bool = True,
    ) -> None:
        self.images, self.seed = data.images, seed
        self.cells: Cells = cells(data, condition, class_moves=class_moves)
        self.cells.check()
        self.members = members(data.conditions(condition), self.cells)
        self.crossing = [move for move in self.cells.moves if move.crosses]
        self.filling = [move for move in self.cells.moves if not move.crosses]
        self.fills = min(round(batch * hole_share), batch - 2) if self.filling else 0
        self.crosses = batch - self.fills

    def draw(self, step: int, device: torch.device) -> Pairs:
        """The batch of this step, on `device`."""
        random = rng(self.seed, "pairs", step)
        crossing, filling = (
            self._moves(self.crossing, self.crosses, random),
            self._moves(self.filling, self.fills, random),
        )
        moves = [*crossing, *filling]
        sources = self._members([move.source for move in moves], random)
        real = self._members([move.target for move in crossing], random)
        return Pairs(
            as_float(self.images[sources], device),
            sent(torch.tensor([move.source for move in moves]), device),
            sent(torch.tensor([move.target for move in moves]), device),
            as_float(self.images[real], device),
        )

    def _moves(self, among: Sequence[Move], number: int, random: np.random.Generator) -> list[Move]:
        """`number` of these moves in equal proportions; the remainder is drawn at random."""
        if not number:
            return []
        order = random.permutation(len(among))
        return [among[order[i % len(among)]] for i in range(number)]

    def _members(self, chosen: Sequence[tuple[int, ...]], random: np.random.Generator) -> npt.NDArray[np.int64]:
        """A random row of each of these cells."""
        picks = random.random(len(chosen))
        rows = [self.members[cell][int(u * len(self.members[cell]))] for cell, u in zip(chosen, picks, strict=True)]
        return np.array(rows, np.int64)
