"""The batch of one update, whole or in micro-batches, and the address of each of its random numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from augury.errors import TrainingError
from augury.randomness import stream

Draw = Callable[[int], Any]
"""Number of a batch -> (real images [B, C, H, W] in [-1, 1], conditions int64 [B, K]), or a translator's `Pairs`."""


@dataclass(frozen=True)
class MicroBatch:
    """Real images [B, C, H, W] with their conditions int64 [B, K]; `progress` of the training is in [0, 1].

    `number` counts updates. A batch that is too large for the memory is processed as several micro-batches, `part` of
    `parts`. Fakes are drawn under the same conditions.
    """

    real: torch.Tensor
    conditions: torch.Tensor
    progress: float
    seed: int
    number: int
    part: int = 0
    parts: int = 1

    def draws(self, name: str) -> torch.Generator:
        """The random numbers for the purpose `name` in this micro-batch."""
        return stream(self.seed, name, self.number, self.part)

    def normal(self, name: str, *shape: int) -> torch.Tensor:
        """Standard normal numbers [B, *shape], on the device of the images."""
        return self._drawn(torch.randn, name, shape)

    def uniform(self, name: str, *shape: int) -> torch.Tensor:
        """Numbers in [0, 1) [B, *shape], on the device of the images."""
        return self._drawn(torch.rand, name, shape)

    def _drawn(self, draw: Callable[..., torch.Tensor], name: str, shape: tuple[int, ...]) -> torch.Tensor:
        """Draw on the GPU where the images are on one, since transferring millions of numbers would stall it; else on the
        CPU.
        """
        device = self.real.device
        at = device if device.type == "cuda" else torch.device("cpu")
        source = stream(self.seed, name, self.number, self.part, device=at)
        return draw(len(self.real), *shape, generator=source, device=at).to(device)


def refuse_parts(images: int, parts: int) -> None:
    """Raise TrainingError when one of so many micro-batches would have fewer than two images."""
    if images < 2 * parts:
        raise TrainingError(
            f"no memory is left even for {max(2, images // parts * 2)} images at a time; use a smaller --size, or a narrower "
            "network, for example --set 'train.overrides={\"width\": 8}'"
        )


def draw_micro_batches(draw: Draw, progress: float, seed: int, number: int, parts: int) -> list[MicroBatch]:
    """The batch of this number, split into `parts` micro-batches of nearly equal size. Raises TrainingError when one would
    have fewer than two images.
    """
    real, conditions = draw(number)
    refuse_parts(len(real), parts)
    pieces = zip(real.tensor_split(parts), conditions.tensor_split(parts), strict=True)
    return [
        MicroBatch(images, codes, progress, seed, number, part, parts) for part, (images, codes) in enumerate(pieces)
    ]


def means(reports: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The mean of each reported value over the micro-batches, without gradients."""
    return {name: torch.stack([report[name].detach() for report in reports]).mean() for name in reports[0]}
