"""How the weights of a network are optimised: parameter groups, learning rates, and what is frozen in a step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from augury.proof.train_config import TrainConfig
from augury.training.schedules import cosine

LAST_RATE = 0.02
"""The learning rate at the end of training, as a share of the highest one."""


class Recipe:
    """All parameters together, with a cosine schedule. A network with an attribute `recipe` is trained by that one instead."""

    def adjusted(self, config: TrainConfig) -> TrainConfig:
        """The config that the network is trained with."""
        return config

    def groups(self, model: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
        """Parameter groups of the optimiser. `scale` is the factor on the learning rate."""
        return [{"params": list(model.parameters()), "scale": 1.0, "weight_decay": config.decay}]

    def factor(self, step: int, steps: int) -> float:
        """The learning rate of a step, as a share of the highest one."""
        return cosine(step / steps, LAST_RATE)

    def begin(self, model: nn.Module, config: TrainConfig, step: int) -> None:
        """Prepare the network for a step."""


def recipe_of(model: nn.Module) -> Recipe:
    """The recipe that a network is trained by."""
    recipe = getattr(model, "recipe", None)
    return recipe if isinstance(recipe, Recipe) else PLAIN


class Optimiser:
    """AdamW (Loshchilov & Hutter 2019), as the recipe of the network says.

    Parameters
    ----------
    model
        The network, or a stack of networks.
    config
        Training config with learning rate, decay and number of steps.
    device
        Device of the network.
    more
        Parameters of the objective, trained at the full learning rate.
    """

    def __init__(
        self, model: nn.Module, config: TrainConfig, device: torch.device, more: Iterable[nn.Parameter] = ()
    ) -> None:
        self.model, self.config, self.recipe = model, config, recipe_of(model)
        groups, others = self.recipe.groups(model, config), list(more)
        if others:
            groups.append({"params": others, "scale": 1.0, "weight_decay": config.decay})
        self.adamw = torch.optim.AdamW(
            groups, lr=config.rate, weight_decay=config.decay, fused=device.type in ("cpu", "cuda")
        )

    def begin(self, step: int) -> None:
        """Set the learning rates of a step, and what is frozen in it."""
        self.recipe.begin(self.model, self.config, step)
        rate = self.config.rate * self.recipe.factor(step, self.config.steps)
        for group in self.adamw.param_groups:
            group["lr"] = rate * group["scale"]

    def minimise(self, total: torch.Tensor) -> None:
        """Take one step against the gradient of `total`."""
        self.adamw.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        self.adamw.step()


PLAIN = Recipe()
