"""What will be trained, settled before the first step and recorded: the same plan gives the same weights."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from augury.augment import policy
from augury.images import LabelledImages
from augury.networks import NETWORKS, build
from augury.randomness import torch_seed
from augury.recipes import Recipe, recipe
from augury.settings import TrainSettings
from augury.training.adversarial import AdversarialGame
from augury.training.batches import Batches
from augury.training.devices import choose_precision
from augury.training.reconstruction import Reconstruction


@dataclass(frozen=True)
class Plan:
    """A training settled in every number. `images_per_second` was measured when it was made, or is None."""

    recipe: str
    rule: Recipe
    steps: int
    batch: int
    condition: tuple[str, ...]
    label_sampling: str
    augment: str
    flips: bool
    precision: str
    device: str
    seed: int
    images_per_second: float | None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Plan:
        """The plan that `as_dict` described."""
        rule = Recipe(**{**stored["rule"], "betas": tuple(stored["rule"]["betas"])})
        return cls(**{**stored, "rule": rule, "condition": tuple(stored["condition"])})


Game = AdversarialGame | Reconstruction
METHODS: dict[str, type[AdversarialGame] | type[Reconstruction]] = {
    "adversarial": AdversarialGame,
    "reconstruction": Reconstruction,
}


def set_up(plan: Plan, data: LabelledImages) -> tuple[Game, Batches]:
    """The game at step 0 and its batches, a function of the plan and the data alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(plan.seed, "weights"))
        networks = build(plan.rule.network, plan.rule.settings, data.shape, data.cardinalities(plan.condition))
    device = torch.device(plan.device)
    game = METHODS[NETWORKS[plan.rule.network].method](
        *networks,
        plan.rule,
        policy(plan.augment, flips=plan.flips),
        seed=plan.seed,
        device=device,
        precision=plan.precision,
    )
    return game, Batches(data, plan.condition, plan.label_sampling, plan.batch, plan.seed)


def make_plan(data: LabelledImages, settings: TrainSettings, *, seed: int, device: torch.device, flips: bool) -> Plan:
    """Settle precision by measurement, and steps from --steps, from --budget and measured throughput, or from the recipe."""
    rule = recipe(settings.recipe, settings.overrides)
    plan = Plan(
        recipe=settings.recipe,
        rule=rule,
        steps=settings.steps or rule.steps,
        batch=settings.batch,
        condition=settings.condition,
        label_sampling=settings.label_sampling,
        augment=settings.augment,
        flips=flips,
        precision=choose_precision(device) if settings.precision == "auto" else settings.precision,
        device=device.type,
        seed=seed,
        images_per_second=None,
    )
    if settings.steps is None and settings.budget is not None:
        rate = throughput(plan, data, patience=min(6.0, settings.budget / 10))
        plan = replace(plan, steps=max(1, int(settings.budget * rate / plan.batch)), images_per_second=round(rate, 1))
    return plan


def throughput(plan: Plan, data: LabelledImages, patience: float) -> float:
    """Images a second of this plan, measured over about `patience` seconds on a game that is then thrown away."""
    game, batches = set_up(plan, data)
    device = torch.device(plan.device)
    synchronise: Callable[[], None] = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    for step in range(3):
        game.play(step, 0.0, lambda number: batches.draw(number, device))
    synchronise()
    begun, step = time.perf_counter(), 0
    while step == 0 or time.perf_counter() - begun < patience:
        game.play(step, 0.0, lambda number: batches.draw(number, device))
        step += 1
        synchronise()
    return step * plan.batch / (time.perf_counter() - begun)
