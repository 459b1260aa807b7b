"""The images of each step of a translator: a function of (seed, step), so a resumed run sees the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from augury.augment.draws import sent
from augury.data.cells import Cell, Cells, Move, cells, members
from augury.errors import DataError
from augury.images import Codes, LabelledImages
from augury.networks import KEEP
from augury.randomness import rng
from augury.training.batches import as_float
from augury.training.distributed import ALONE, World


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
    matched
        bool [A], whether the real image shows the same group (person, patient) as the source.
    world
        The processes; the rows are those of this one.
    whole
        Number of sources with a real image, and without, over all processes; None where this process has all.
    """

    images: torch.Tensor
    sources: torch.Tensor
    targets: torch.Tensor
    real: torch.Tensor
    matched: torch.Tensor
    world: World = ALONE
    whole: tuple[int, int] | None = None

    @property
    def changes(self) -> torch.Tensor:
        """int64 [B, K], from source to target."""
        return torch.where(self.sources == self.targets, KEEP, self.targets)

    @property
    def returns(self) -> torch.Tensor:
        """int64 [B, K], from target back to source."""
        return torch.where(self.sources == self.targets, KEEP, self.sources)

    @property
    def totals(self) -> tuple[int, int]:
        """Number of sources with a real image, and without, over all processes."""
        return (len(self.real), len(self.images) - len(self.real)) if self.whole is None else self.whole

    def split(self, parts: int) -> list[Pairs]:
        """Micro-batches of equal size, each with its share of sources with and without a real image."""
        if parts == 1:
            return [self]
        crossing, rows = len(self.real), torch.arange(len(self.images))
        groups = zip(rows[:crossing].tensor_split(parts), rows[crossing:].tensor_split(parts), strict=True)
        micro_batches = []
        for part, (seen, unseen) in enumerate(groups):
            at = torch.cat([seen, unseen]).to(self.images.device)
            seen = seen.to(self.real.device)
            known, holes = (total // parts + (part < total % parts) for total in self.totals)
            micro_batches.append(
                Pairs(
                    self.images[at],
                    self.sources[at],
                    self.targets[at],
                    self.real[seen],
                    self.matched[seen],
                    self.world,
                    (known, holes),
                )
            )
        return micro_batches


@dataclass(frozen=True)
class Counterparts:
    """Images of the same group in another cell.

    Parameters
    ----------
    groups
        int64 [N].
    others
        int64 [N, A], the attributes that are not in the condition.
    rows
        (cell, group) -> its images.
    """

    groups: Codes
    others: Codes
    rows: dict[tuple[Cell, int], Codes]

    @classmethod
    def of(
        cls,
        data: LabelledImages,
        condition: tuple[str, ...],
        members: dict[Cell, Codes],
        crossing: Sequence[Move],
    ) -> Counterparts:
        """Those of `data`; `crossing` are the moves between two known cells. Raises DataError where there are none."""
        groups = data.groups
        if groups is None:
            raise DataError(
                "paired compares translations with real images of the same group (person, patient), and these data have no "
                "groups; name their column with --group (setting data.group), or leave paired out"
            )
        names = [name for name in data.attributes if name not in condition]
        others = np.array([data.attributes[name].codes for name in names], np.int64).reshape(len(names), len(groups)).T
        rows: dict[tuple[Cell, int], Codes] = {}
        for cell, images in members.items():
            ordered = images[np.argsort(groups[images], kind="stable")]
            for block in np.split(ordered, np.flatnonzero(np.diff(groups[ordered])) + 1) if len(ordered) else ():
                rows[cell, int(groups[block[0]])] = block
        pairs = {(move.source, move.target) for move in crossing}
        if not any((target, group) in rows for source, target in pairs for cell, group in rows if cell == source):
            raise DataError(
                "paired compares translations with real images of the same group, and no group has images on both sides of a "
                "change; leave paired out"
            )
        return cls(groups, others, rows)

    def __call__(self, source: int, target: Cell) -> Codes:
        """The images of the source's group in the cell `target` that share most other attributes with it; may be empty."""
        rows = self.rows.get((target, int(self.groups[source])))
        if rows is None:
            return np.empty(0, np.int64)
        shared = (self.others[rows] == self.others[source]).sum(1)
        alike: Codes = rows[shared == shared.max()]
        return alike


class PairSampler:
    """Draw `batch` source images per step, with targets.

    Moves between two known cells come in equal proportions and get a real image of their target. The discriminator then
    compares sets of the same class mix. The share `hole_share` of the batch is translated into cells without enough real
    images.

    With `paired`, the real image shows the group (person, patient) of the source where the target cell has such an image,
    and agrees with the source in as many other attributes as possible.

    Raises DataError where the cells leave nothing to learn (`Cells.check`), and with `paired` where no group has images on
    both sides of a change.
    """

    def __init__(
        self,
        data: LabelledImages,
        condition: tuple[str, ...],
        batch: int,
        seed: int,
        hole_share: float,
        class_moves: bool = True,
        paired: bool = False,
    ) -> None:
        self.images, self.seed = data.images, seed
        self.cells: Cells = cells(data, condition, class_moves=class_moves)
        self.cells.check()
        self.members = members(data.conditions(condition), self.cells)
        self.crossing = [move for move in self.cells.moves if move.crosses]
        self.filling = [move for move in self.cells.moves if not move.crosses]
        self.fills = min(round(batch * hole_share), batch - 2) if self.filling else 0
        self.crosses = batch - self.fills
        self.counterparts = Counterparts.of(data, condition, self.members, self.crossing) if paired else None

    def draw(self, step: int, device: torch.device, world: World = ALONE, parts: int = 1) -> Pairs:
        """The batch of this step, on `device`; of several processes, the rows of this one, in so many micro-batches."""
        random = rng(self.seed, "pairs", step)
        crossing, filling = (
            self._moves(self.crossing, self.crosses, random),
            self._moves(self.filling, self.fills, random),
        )
        moves = [*crossing, *filling]
        sources = self._members([move.source for move in moves], random)
        real = self._members([move.target for move in crossing], random)
        matched = np.zeros(len(real), bool)
        if self.counterparts is not None:
            picks = random.random(len(real))
            for i, (source, move, u) in enumerate(zip(sources[: len(real)], crossing, picks, strict=True)):
                same = self.counterparts(int(source), move.target)
                if len(same):
                    real[i], matched[i] = same[int(u * len(same))], True
        seen = world.rows_of_parts(len(crossing), parts)
        own = np.concatenate([seen, len(crossing) + world.rows_of_parts(len(filling), parts)])
        return Pairs(
            as_float(self.images[sources[own]], device),
            sent(torch.tensor([moves[i].source for i in own]), device),
            sent(torch.tensor([moves[i].target for i in own]), device),
            as_float(self.images[real[seen]], device),
            sent(torch.from_numpy(matched[seen]), device),
            world,
            (len(crossing), len(filling)),
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
