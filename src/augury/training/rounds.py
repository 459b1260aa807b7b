"""The batch of one update, whole or in parts, and the address of every random number drawn for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch

from augury.errors import TrainingError
from augury.randomness import stream
from augury.training.cells import EmptyCells

Draw = Callable[[int], tuple[torch.Tensor, torch.Tensor]]
"""Number of a batch -> (real images [B, C, H, W] in [-1, 1], conditions int64 [B, K])."""


@dataclass(frozen=True)
class Round:
    """Real images [B, C, H, W] with their conditions int64 [B, K], and how far the training is, in [0, 1].

    `number` counts updates; a batch too large for the memory is played as several rounds, `part` of `parts`. Some fakes
    are `asked` for in `cells` that no real image has, where there are any.
    """

    real: torch.Tensor
    conditions: torch.Tensor
    progress: float
    seed: int
    number: int
    part: int = 0
    parts: int = 1
    cells: EmptyCells | None = None

    @cached_property
    def asked(self) -> torch.Tensor:
        """The conditions of the fakes, int64 [B, K]: those of the real images, but for some in empty cells."""
        return self.conditions if self.cells is None else self.cells.among(self.conditions, self.draws("cells"))

    def draws(self, name: str) -> torch.Generator:
        """The random numbers for what is called `name` in this round."""
        return stream(self.seed, name, self.number, self.part)

    def normal(self, name: str, *shape: int) -> torch.Tensor:
        """Standard normal numbers [B, *shape], where the images are."""
        return torch.randn(len(self.real), *shape, generator=self.draws(name)).to(self.real.device)

    def uniform(self, name: str, *shape: int) -> torch.Tensor:
        """Numbers in [0, 1) [B, *shape], where the images are."""
        return torch.rand(len(self.real), *shape, generator=self.draws(name)).to(self.real.device)


def rounds(
    draw: Draw, progress: float, seed: int, number: int, parts: int, cells: EmptyCells | None = None
) -> list[Round]:
    """The batch of this number, divided into `parts` as equal as can be. Raises TrainingError when a part would have fewer
    than two images."""
    real, conditions = draw(number)
    if len(real) < 2 * parts:
        raise TrainingError(
            f"no memory is left even for {len(real) // parts * 2} images at a time; use a smaller --size, or a narrower network, "
            "for example --set 'train.overrides={\"width\": 8}'"
        )
    pieces = zip(real.tensor_split(parts), conditions.tensor_split(parts), strict=True)
    return [
        Round(images, given, progress, seed, number, part, parts, cells) for part, (images, given) in enumerate(pieces)
    ]
