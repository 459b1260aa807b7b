"""Several processes on this machine that train together, as torchrun starts them, and what a step of each computes."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from augury.images import LabelledImages
from augury.networks import lite0_installed
from augury.training import ALONE, Plan, World, drop_labels, train_plan
from augury.training.distributed import start
from augury.training.pairs import Pairs
from augury.training.plan import set_up
from augury.training.recipes import RECIPES
from augury.training.train_state import TrainState
from tests.helpers import cell_data
from tests.helpers.training_data import planned, small

Tensors = dict[str, torch.Tensor]

BATCH = 16
VARIANTS: dict[str, dict[str, Any]] = {
    "rpgan with all regularisers": {
        "recipe": "rpgan",
        "overrides": {
            "feature_matching": 1.0,
            "mode_seeking": 0.1,
            "spectral_control": 0.1,
            "lecam": 0.3,
            "simultaneous": False,
        },
    },
    "rpgan in two parts": {"recipe": "rpgan", "parts": 2},
    "dcgan, auxiliary and smoothed": {
        "recipe": "dcgan",
        "overrides": {"conditioning": "auxiliary", "label_noise": 0.1, "instance_noise": 0.1, "augment_p": 0.5},
    },
    "dcgan, uneven": {"recipe": "dcgan", "batch": 11},
    "stylegan, path length and mixing": {
        "recipe": "stylegan",
        "overrides": {"path_length": 2.0, "style_mixing": 0.9, "width": 4, "latent": 16},
    },
    "translator of pairs": {
        "recipe": "translator",
        "batch": 15,
        "overrides": {"paired": 0.5, "width": 8},
        "flips": True,
    },
    "translator, uneven, with replay": {
        "recipe": "translator",
        "batch": 15,
        "overrides": {"replay": 2, "noise": 4, "mode_seeking": 0.1, "contrast": 0.1},
        "flips": True,
    },
}
"""Name -> settings of trainings that use every random number and every loss that depends on the whole batch."""
SMALL = {
    "r3gan": {"width": 4},
    "stylegan": {"width": 4, "latent": 16},
    "flow": {"width": 8},
    "projected": {"width": 4, "judge_width": 16},
    "translator": {"width": 8},
}
"""Recipe -> settings of networks that are quick to train."""


def cases() -> dict[str, dict[str, Any]]:
    """Name -> settings: every recipe, and the variants."""
    recipes = {
        name: {"recipe": name, "overrides": SMALL.get(name, {})}
        for name in RECIPES
        if name != "projected" or lite0_installed()
    }
    return recipes | VARIANTS


def data_of(recipe: str) -> LabelledImages:
    """Images that the recipe can be trained on."""
    if recipe != "translator":
        return small()
    data = cell_data.train(20)
    return replace(data, groups=np.arange(len(data)) % 10)


def plan_of(recipe: str, batch: int = BATCH, flips: bool = False, parts: int = 1, **settings: Any) -> Plan:
    """The plan of a case."""
    condition = ("ground",) if recipe == "translator" else ()
    plan = planned(data_of(recipe), recipe=recipe, batch=batch, condition=condition, **settings)
    return replace(plan, flips=flips)


@contextmanager
def in_double() -> Iterator[None]:
    """Everything is computed in double precision."""
    single = torch.Tensor.float
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.Tensor.float = single  # type: ignore[method-assign]
        torch.set_default_dtype(torch.float32)


@in_double()
def stepped(case: dict[str, Any], world: World = ALONE, steps: int = 1) -> Tensors:
    """The state after some steps in double precision, the values that the last one reports, and its gradient of each weight."""
    plan, data = plan_of(**case), data_of(case["recipe"])
    trainer, batches = set_up(plan, drop_labels(plan, data), world=world)
    trainer.state.extra["parts"].fill_(case.get("parts", 1))
    for network in (*trainer.state.networks.values(), trainer.state.average.module):
        network.double()

    def draw(number: int) -> Any:
        batch = batches.draw(number, trainer.device, world, trainer.state.parts)
        if isinstance(batch, Pairs):
            return replace(batch, images=batch.images.double(), real=batch.real.double())
        return batch[0].double(), batch[1]

    result: Tensors = {}

    def keep(network: str) -> Callable[..., None]:
        def hook(*call: Any) -> None:
            for name, parameter in trainer.state.networks[network].named_parameters():
                if parameter.grad is not None:
                    result[f"gradient.{network}.{name}"] = parameter.grad.clone()

        return hook

    for name, optimiser in trainer.state.optimisers.items():
        optimiser.register_step_pre_hook(keep(name))
    for step in range(steps):
        numbers = trainer.train_step(step, step / 100, draw)
    result |= {f"reported.{name}": value for name, value in numbers.items()}
    return {k: v.cpu().contiguous().clone() for k, v in (result | trainer.state.tensors()).items()}


def together(work: Callable[..., None], size: int, *arguments: Any) -> None:
    """Call `work(world, *arguments)` in `size` processes, and wait for them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_joined, (size, port, work, arguments), nprocs=size)


def _joined(rank: int, size: int, port: int, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    torch.set_num_threads(1)
    work(start(), *arguments)


def write_steps(world: World, folder: Path) -> None:
    """Write what one step of each case leaves in this process."""
    for name, case in cases().items():
        save_file(stepped(case, world), folder / f"{name}.{world.rank}.safetensors")


ADAPTIVE = {"recipe": "stylegan", "overrides": {"width": 4, "latent": 16, "ada_images": 1000, "ada_target": 0.05}}
"""A training in which the probability of augmentation moves within few steps."""


def write_adaptive(world: World, folder: Path) -> None:
    """Write the state after steps in which the probability of augmentation moves."""
    save_file(stepped(ADAPTIVE, world, steps=9), folder / f"adaptive.{world.rank}.safetensors")


def write_recovered(world: World, folder: Path) -> None:
    """Train in the folder of the first process, while the last one runs out of memory in one step, and later cannot decompose
    a matrix. Write the generator, the messages and the files of each process.
    """
    calls, backward, plan, data = itertools.count(), TrainState.backward, plan_of("dcgan", steps=12), small()

    def failing(state: TrainState, loss: torch.Tensor) -> None:
        call = next(calls)
        if world.rank == world.size - 1 and call == 5:
            raise torch.OutOfMemoryError("no room")
        if world.rank == world.size - 1 and call == 30:
            raise torch.linalg.LinAlgError("no decomposition")
        backward(state, loss)

    TrainState.backward = failing  # type: ignore[method-assign]
    events: list[str] = []
    own = folder / f"files-{world.rank}"
    own.mkdir()
    synthesizer = train_plan(
        plan,
        data,
        own if world.rank == 0 else None,
        assess=lambda generator: {"kid": 0.5, "kid_error": 0.1} if world.rank == 0 else {},
        world=world,
        on_event=events.append,
    )
    weights = {name: value.contiguous() for name, value in synthesizer.generator.state_dict().items()}
    save_file(weights, folder / f"recovered.{world.rank}.safetensors")
    (folder / f"events-{world.rank}.txt").write_text("\n".join(events))


def read_steps(folder: Path, name: str, size: int) -> list[Tensors]:
    """What `write_steps` has written for a case, by rank."""
    return [load_file(folder / f"{name}.{rank}.safetensors") for rank in range(size)]
