"""The mean of the weights over the last steps of a training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SHARE = 0.5
"""Share of the steps whose weights are averaged, counted from the end."""


class WeightAverage:
    """The mean of a network's weights after each of the last `SHARE` of its steps.

    This is the dense averaging of SWAD (Cha et al. 2021), over a fixed share of the steps instead of one chosen by the loss on
    validation, and with the usual schedule of the learning rate. Running statistics of batch norm are averaged as well.

    Parameters
    ----------
    model
        The network, or a stack of networks.
    steps
        Number of steps of the training.
    """

    def __init__(self, model: nn.Module, steps: int) -> None:
        self.model, self.first, self.count = model, steps - max(1, round(SHARE * steps)), 0
        self.sums: list[Tensor] = []

    def _values(self) -> list[Tensor]:
        named = [*self.model.parameters(), *self.model.buffers()]
        return [value.detach() for value in named if value.is_floating_point()]

    @torch.no_grad()
    def add(self, step: int) -> None:
        """Add the weights after this step."""
        if step < self.first:
            return
        values = self._values()
        if not self.count:
            self.sums = [torch.zeros_like(value, dtype=torch.float32) for value in values]
        torch._foreach_add_(self.sums, values)
        self.count += 1

    @torch.no_grad()
    def apply(self) -> None:
        """Give the network the mean of the weights added."""
        for value, total in zip(self._values(), self.sums, strict=True):
            value.copy_(total / self.count)
