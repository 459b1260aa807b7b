"""The batch of one update, whole or in micro-batches, and the address of each of its random numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from augury.augment.draws import Selected
from augury.errors import SettingsError, TrainingError
from augury.randomness import stream
from augury.training.distributed import ALONE, World

Draw = Callable[[int], Any]
"""Number of a batch -> (real images [B, C, H, W] in [-1, 1], conditions int64 [B, K]), or a translator's `Pairs`. Of several
processes each gets its own images, and the conditions of all."""
PENALTY_DRAWS = "augment slope"
"""Address of the random numbers that augment the images of a gradient penalty. "slope" is an earlier word for the gradient. It
stays, because another address gives other random numbers, and so another result of every training with such a penalty.
"""
Mean = Callable[[torch.Tensor], torch.Tensor]
"""Values [B, …] -> their mean over a micro-batch."""


@dataclass(frozen=True)
class MicroBatch:
    """Real images [B, C, H, W] with their conditions int64 [B, K]; `progress` of the training is in [0, 1].

    `number` counts updates. A batch that is too large for the memory is processed as several micro-batches, `part` of
    `parts`. Fakes are drawn under the same conditions.

    Of several processes, each has its rows of the micro-batch, and `whole` int64 [N, K] has the conditions of all rows.
    """

    real: torch.Tensor
    conditions: torch.Tensor
    progress: float
    seed: int
    number: int
    part: int = 0
    parts: int = 1
    world: World = ALONE
    whole: torch.Tensor | None = None

    @property
    def all_conditions(self) -> torch.Tensor:
        """int64 [N, K], those of the other processes included."""
        return self.conditions if self.whole is None else self.whole

    @property
    def total(self) -> int:
        """Number of images, those of the other processes included."""
        return len(self.all_conditions)

    @property
    def share(self) -> float:
        """Share of this process in the images."""
        return len(self.real) / self.total

    @property
    def divisor(self) -> float:
        """Divides a mean over the images of this process, so that the sum over processes and micro-batches is the mean over
        the batch.
        """
        return self.parts * self.total / len(self.real)

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """The mean of values [B, …] over the images of all processes."""
        return self.world.sum(values.mean() * self.share)

    def mean_row(self, values: torch.Tensor) -> torch.Tensor:
        """Values [B, D] -> their mean [1, D] over the images of all processes."""
        return self.world.sum(values.mean(0, keepdim=True) * self.share)

    def draws(self, name: str) -> torch.Generator | Selected:
        """The random numbers for the purpose `name` in this micro-batch."""
        whole = stream(self.seed, name, self.number, self.part)
        if self.world.size == 1:
            return whole
        return Selected(whole, torch.arange(self.total)[self.world.rows(self.total)], self.total)

    def normal(self, name: str, *shape: int, rows: slice | None = None) -> torch.Tensor:
        """Standard normal numbers [B, *shape], on the device of the images; or those of other rows of the micro-batch."""
        return self._drawn(torch.randn, name, shape, rows)

    def uniform(self, name: str, *shape: int) -> torch.Tensor:
        """Numbers in [0, 1) [B, *shape], on the device of the images."""
        return self._drawn(torch.rand, name, shape, None)

    def _drawn(
        self, draw: Callable[..., torch.Tensor], name: str, shape: tuple[int, ...], rows: slice | None
    ) -> torch.Tensor:
        """Draw on the GPU where the images are on one, since transferring millions of numbers would stall it; else on the
        CPU.
        """
        device = self.real.device
        at = device if device.type == "cuda" else torch.device("cpu")
        source = stream(self.seed, name, self.number, self.part, device=at)
        numbers = draw(self.total, *shape, generator=source, device=at)
        return numbers[self.world.rows(self.total) if rows is None else rows].to(device)


def refuse_parts(images: int, parts: int) -> None:
    """Raise TrainingError when one of so many micro-batches would have fewer than two images."""
    if images < 2 * parts:
        raise TrainingError(
            f"no memory is left even for {max(2, images // parts * 2)} images at a time; use a smaller --size, or a narrower "
            "network, for example --set 'train.overrides={\"width\": 8}'"
        )


def refuse_processes(images: int, processes: int) -> None:
    """Raise SettingsError when a process would have fewer than two images of a batch."""
    if images < 2 * processes:
        raise SettingsError(
            f"{processes} processes that share a batch need at least {2 * processes} images, two each, but {images} are to be "
            f"shared; use --set train.batch={2 * processes} or more, or start fewer processes"
        )


def draw_micro_batches(
    draw: Draw, progress: float, seed: int, number: int, parts: int, world: World = ALONE
) -> list[MicroBatch]:
    """The batch of this number, split into `parts` micro-batches of nearly equal size. Raises TrainingError when one would
    have fewer than two images for each process.
    """
    real, conditions = draw(number)
    refuse_parts(len(conditions), parts * world.size)
    batch = []
    for part, (images, codes) in enumerate(zip(real.tensor_split(parts), conditions.tensor_split(parts), strict=True)):
        own = codes[world.rows(len(codes))]
        batch.append(MicroBatch(images, own, progress, seed, number, part, parts, world, codes))
    return batch


def means(reports: Sequence[dict[str, torch.Tensor]], batch: Sequence[Any], world: World) -> dict[str, torch.Tensor]:
    """The mean of each reported value over the images of all micro-batches and processes, without gradients.

    Each micro-batch has a `share`, that of this process in its images.
    """
    values = {}
    for name in reports[0]:
        each = [report[name].detach() * micro.share for report, micro in zip(reports, batch, strict=True)]
        values[name] = torch.stack(each).mean()
    return world.sums(values)
