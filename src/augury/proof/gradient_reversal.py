"""Gradient reversal, for features that must not reveal a domain or an attribute (Ganin & Lempitsky 2015)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * gradients[0], None


def reversed_gradient(x: Tensor, factor: float) -> Tensor:
    """Return `x` and multiply its gradient by -`factor` (Ganin & Lempitsky 2015, eq. 15 to 17)."""
    reversed_: Tensor = _Reversal.apply(x, factor)  # type: ignore[no-untyped-call]
    return reversed_


def reversal_strength(progress: float) -> float:
    """λ = 2 / (1 + exp(-10 p)) - 1 at the share p in [0, 1] of the steps (Ganin & Lempitsky 2015, section 4.3)."""
    return 2 / (1 + math.exp(-10 * progress)) - 1
