"""The batch of one update, whole or in parts, and the address of every random number drawn for it."""

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
    """Real images [B, C, H, W] with their conditions int64 [B, K], and how far the training is, in [0, 1].

    `number` counts updates; a batch too large for the memory is played as several rounds, `part` of `parts`. Fakes are
    asked for under the same conditions.
    """

    real: torch.Tensor
    conditions: torch.Tensor
    progress: float
    seed: int
    number: int
    part: int = 0
    parts: int = 1

    def draws(self, name: str) -> torch.Generator:
        """The random numbers for what is called `name` in this round."""
        return stream(self.seed, name, self.number, self.part)

    def normal(self, name: str, *shape: int) -> torch.Tensor:
        """Standard normal numbers [B, *shape], where the images are."""
        return self._drawn(torch.randn, name, shape)

    def uniform(self, name: str, *shape: int) -> torch.Tensor:
        """Numbers in [0, 1) [B, *shape], where the images are."""
        return self._drawn(torch.rand, name, shape)

    def _drawn(self, draw: Callable[..., torch.Tensor], name: str, shape: tuple[int, ...]) -> torch.Tensor:
        """Made where they are needed on a GPU, which millions of numbers would keep waiting; else by the processor."""
        there = self.real.device
        at = there if there.type == "cuda" else torch.device("cpu")
        source = stream(self.seed, name, self.number, self.part, device=at)
        return draw(len(self.real), *shape, generator=source, device=at).to(there)


def refuse_parts(images: int, parts: int) -> None:
    """Raises TrainingError when one of so many parts of a batch would have fewer than two images."""
    if images < 2 * parts:
        raise TrainingError(
            f"no memory is left even for {max(2, images // parts * 2)} images at a time; use a smaller --size, or a narrower "
            "network, for example --set 'train.overrides={\"width\": 8}'"
        )


def rounds(draw: Draw, progress: float, seed: int, number: int, parts: int) -> list[MicroBatch]:
    """The batch of this number, divided into `parts` as equal as can be. Raises TrainingError when a part would have fewer
    than two images."""
    real, conditions = draw(number)
    refuse_parts(len(real), parts)
    pieces = zip(real.tensor_split(parts), conditions.tensor_split(parts), strict=True)
    return [
        MicroBatch(images, given, progress, seed, number, part, parts) for part, (images, given) in enumerate(pieces)
    ]
