"""The trained networks, their optimisers and the generator's average: everything that a checkpoint must hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from augury.errors import SettingsError
from augury.training.averaging import MovingAverage
from augury.training.devices import placed
from augury.training.distributed import ALONE, World
from augury.training.recipes import Recipe
from augury.training.schedules import SCHEDULES, between, warmed
from augury.training.synchronised_norm import synchronised


class TrainState:
    """Networks by name ("generator" among them), with optimisers and average.

    `extra` holds further tensors of a method. Its "slower" is the factor on all learning rates, halved by each rollback.
    Its "parts" is the number of micro-batches into which a batch is split to fit into memory.

    Each network has its own optimiser. The learning rate is the recipe's `generator_lr` for the generator, and
    `discriminator_lr` for all others.

    The state is the same in all processes of a `world`: gradients are added up before each step.
    """

    def __init__(
        self, networks: dict[str, nn.Module], recipe: Recipe, device: torch.device, world: World = ALONE
    ) -> None:
        if recipe.schedule not in SCHEDULES:
            raise SettingsError(f"there is no schedule '{recipe.schedule}'; choose one of: {', '.join(SCHEDULES)}")
        self.networks = {name: placed(synchronised(network, world), device) for name, network in networks.items()}
        self.recipe, self.world = recipe, world
        self.extra: dict[str, torch.Tensor] = {"slower": torch.ones(()), "parts": torch.ones(())}
        self.average = MovingAverage(self.networks["generator"], recipe.half_life, recipe.ramp)
        self.rates = {
            name: recipe.generator_lr if name == "generator" else recipe.discriminator_lr for name in networks
        }
        self.optimisers = {
            name: optimiser(recipe, list(network.parameters()), self.rates[name], device)
            for name, network in self.networks.items()
        }

    @property
    def parts(self) -> int:
        """The number of micro-batches of a batch."""
        return int(self.extra["parts"])

    def schedule(self, progress: float) -> None:
        """Set learning rates and Adam's second beta for this progress."""
        rule = self.recipe
        factor = warmed(progress, rule.warmup) * SCHEDULES[rule.schedule](progress, rule.final_rate)
        second = between(rule.schedule, progress, rule.betas[1], rule.final_beta2 or rule.betas[1])
        for name, chosen in self.optimisers.items():
            for group in chosen.param_groups:
                group["lr"] = self.rates[name] * factor * float(self.extra["slower"])
                if "betas" in group:
                    group["betas"] = (rule.betas[0], second)

    def split_batch(self) -> None:
        """After a step that ran out of memory: drop its gradients, and split every batch into twice as many micro-batches."""
        self._forget()
        self.extra["parts"].mul_(2)

    def _forget(self) -> None:
        for chosen in self.optimisers.values():
            chosen.zero_grad(set_to_none=True)

    def all_finite(self) -> bool:
        """Whether every number of the state is finite: networks, average and optimiser states."""
        return finite(self.tensors())

    def backward(self, loss: torch.Tensor) -> None:
        """Accumulate the gradients of `loss` for the next step."""
        torch.autograd.backward(loss)

    def step(self, *names: str) -> None:
        """One optimiser step of these networks with the accumulated gradients."""
        for name in names:
            self.world.sum_gradients(self.networks[name].parameters())
            self.optimisers[name].step()
            self.optimisers[name].zero_grad(set_to_none=True)

    @torch.no_grad()
    def clamp(self, name: str, bound: float) -> None:
        """Clamp every weight of this network to [-bound, bound]."""
        parameters: list[torch.Tensor] = list(self.networks[name].parameters())
        torch._foreach_clamp_min_(parameters, -bound)
        torch._foreach_clamp_max_(parameters, bound)

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """The weights of this network take no gradients inside. An exception, such as out of memory, unfreezes them."""
        self.networks[name].requires_grad_(False)
        try:
            yield
        finally:
            self.networks[name].requires_grad_(True)

    def update_average(self, images: int, images_seen: int) -> None:
        """Move the average towards the generator after a step on `images` images, with `images_seen` images before it."""
        self.average.update(self.networks["generator"], images, images_seen)

    def _modules(self) -> dict[str, nn.Module]:
        return {**self.networks, "average": self.average.module}

    def tensors(self) -> dict[str, torch.Tensor]:
        """Every tensor of the state, by flat names."""
        flat = {f"{n}.{k}": v for n, module in self._modules().items() for k, v in module.state_dict().items()}
        for name, chosen in self.optimisers.items():
            for index, entry in chosen.state_dict()["state"].items():
                flat |= {f"optimiser.{name}.{index}.{k}": v for k, v in entry.items()}
        return {
            k: v.detach().contiguous() for k, v in (flat | {f"extra.{k}": v for k, v in self.extra.items()}).items()
        }

    def share(self) -> None:
        """Take the state of the first process."""
        if self.world.size > 1:
            stored = self.world.share_stored((self.tensors(), {}))
            assert stored is not None
            self.restore(stored[0])

    def restore(self, flat: dict[str, torch.Tensor]) -> None:
        """Load a state returned by `tensors`; gradients of an unfinished step are dropped."""
        self._forget()
        for name, module in self._modules().items():
            module.load_state_dict(_below(flat, name))
        self.extra |= {k: v.clone().to(self.extra[k].device) for k, v in _below(flat, "extra").items()}
        for name, chosen in self.optimisers.items():
            parameters = [p for group in chosen.param_groups for p in group["params"]]
            entries: dict[int, dict[str, Any]] = {}
            for k, v in _below(flat, f"optimiser.{name}").items():
                index, part = k.split(".")
                # the fused kernel walks memory, so a moment needs the memory layout of its parameter
                laid = v.clone() if v.dim() == 0 else torch.empty_like(parameters[int(index)]).copy_(v)
                entries.setdefault(int(index), {})[part] = laid.detach()
            chosen.load_state_dict({**chosen.state_dict(), "state": entries})


def finite(tensors: dict[str, torch.Tensor]) -> bool:
    """Whether every number is finite; with a single synchronisation per device."""
    checks: dict[torch.device, list[torch.Tensor]] = {}
    for tensor in tensors.values():
        checks.setdefault(tensor.device, []).append(tensor.isfinite().all())
    return all(bool(torch.stack(each).all()) for each in checks.values())


def _below(flat: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(f"{name}."): v for k, v in flat.items() if k.startswith(f"{name}.")}


def optimiser(
    recipe: Recipe, parameters: list[nn.Parameter], rate: float, device: torch.device
) -> torch.optim.Optimizer:
    """The recipe's optimiser; Adam is fused where PyTorch can. Raises SettingsError for an unknown name."""
    if recipe.optimiser == "adam":
        return torch.optim.Adam(parameters, lr=rate, betas=recipe.betas, fused=device.type in ("cpu", "cuda"))
    if recipe.optimiser == "rmsprop":
        return torch.optim.RMSprop(parameters, lr=rate)
    raise SettingsError(f"there is no optimiser '{recipe.optimiser}'; choose adam or rmsprop")
