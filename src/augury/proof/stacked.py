"""Many networks of one kind in one network: their tensors are concatenated along the first axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from augury.training import placed


def stacked(models: Sequence[nn.Module], build: Callable[..., nn.Module], device: torch.device) -> nn.Module:
    """The network `build(copies=len(models))` with the weights of all `models`, on `device`.

    Grouped convolutions, batch norms with S times the channels, and batched matrix products keep the S copies separate. So
    one step of the stack is one step of each network.
    """
    with torch.device("meta"):
        many = build(copies=len(models))
    each = [model.state_dict() for model in models]
    state = {
        name: torch.cat([own[name] for own in each]) if first.ndim else first.clone() for name, first in each[0].items()
    }
    many.load_state_dict(state, assign=True)
    return placed(many, device).requires_grad_()


@torch.no_grad()
def unstacked(many: nn.Module, models: Sequence[nn.Module]) -> None:
    """Give each of the `models` its part of the weights."""
    for name, value in many.state_dict().items():
        parts = value.chunk(len(models)) if value.ndim else [value] * len(models)
        for model, part in zip(models, parts, strict=True):
            model.state_dict()[name].copy_(part)
