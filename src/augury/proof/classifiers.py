"""Training networks: one, or one for each of many seeds, in the way that is fastest where they train."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from augury.augment import POLICIES, Vary
from augury.augment.draws import Joined
from augury.errors import SettingsError, TrainingError
from augury.images import Codes
from augury.networks import Classifier
from augury.proof.batch_sampler import BatchSampler, Labelled, shown
from augury.proof.objectives import objective
from augury.proof.objectives import stackable as stacks
from augury.proof.smote import Table, smoted
from augury.proof.stacked import stacked, unstacked
from augury.proof.train_config import Inputs, TrainConfig
from augury.randomness import stream, torch_seed
from augury.training import as_float, keep_memory, placed
from augury.training.schedules import cosine

Build = Callable[..., nn.Module]
"""(channels, classes) -> a new network, images [N, C, H, W] in [-1, 1] -> logits [N, K]; of those that can be stacked also
`copies=S` -> S of them side by side, as `Classifier` says. Those have `last_inputs` and `last` too."""
Made = TypeVar("Made")
WAYS = ("auto", "sequential", "threaded", "vectorised")
STACK = 16
"""Most classifiers in one stack."""
HEAD = 4
"""With SMOTE of features every fourth step is kept for the last layer alone."""


def fit(
    train: Labelled,
    config: TrainConfig,
    *,
    seed: int,
    device: torch.device,
    build: Build = Classifier,
    precision: str = "fp32",
) -> Any:
    """A network, by default the small `Classifier`, trained on `train` as the config says, in eval mode; the same seed
    gives the same weights on the same device."""
    keep_memory()
    with seeded(seed, device, throughout=not _repeatable(build)):
        model = new_network(build, train, seed, device)
        return _fitted(model, train, config, seed, device, precision)


def fit_many(
    trains: Sequence[Labelled],
    config: TrainConfig,
    *,
    seeds: Sequence[int],
    device: torch.device,
    then: Callable[[Any], Made],
    build: Build = Classifier,
    precision: str = "fp32",
    way: str = "auto",
) -> Iterator[Made]:
    """What `then` makes of the network of each seed, taught on the train images of that seed; in their order, each as soon
    as it is there.

    `way`: "vectorised", all in one network; "threaded", a thread of one core for each; "sequential", each with all cores;
    "auto", see `fastest`. All give the same within rounding. Raises SettingsError for another, and for a way that the
    network or the augmentation cannot go.
    """
    chosen = fastest(config, device, build) if way == "auto" else way
    if chosen not in WAYS:
        raise SettingsError(f"there is no way '{way}' to train; choose among: {', '.join(WAYS)}")
    if chosen == "vectorised" and not stacks(config):
        raise SettingsError(f"the objective '{config.objective}' cannot be trained 'vectorised'; use 'threaded'")
    if chosen == "vectorised" and not stackable(build):
        raise SettingsError(
            "this classifier cannot be built with copies, and so not trained 'vectorised'; use 'threaded'"
        )
    if chosen != "sequential" and not (_repeatable(build) and _addressed(config)):
        raise SettingsError(
            f"this classifier or augmentation draws from PyTorch's own generator, and cannot be trained '{chosen}'; use 'sequential'"
        )
    keep_memory()
    if chosen == "sequential":
        for train, seed in zip(trains, seeds, strict=True):
            yield then(fit(train, config, seed=seed, device=device, build=build, precision=precision))
        return
    models = [new_network(build, train, seed, device) for train, seed in zip(trains, seeds, strict=True)]
    if chosen == "threaded":
        jobs = [
            partial(_fitted, model, train, config, seed, device, precision)
            for model, train, seed in zip(models, trains, seeds, strict=True)
        ]
        yield from _threaded([partial(_after, job, then) for job in jobs])
        return
    for at in range(0, len(models), STACK):
        part = slice(at, at + STACK)
        yield from map(
            then, _fitted_vectorised(models[part], trains[part], config, seeds[part], device, build, precision)
        )


def fastest(config: TrainConfig, device: torch.device, build: Build) -> str:
    """The quickest way there is: "vectorised" on CUDA, where small networks leave most of the processor idle, if the network can
    be; "threaded" on CPU, where a stack takes as long as one after another and small networks gain little from a second
    core; "sequential" elsewhere, and for networks and augmentations that draw from PyTorch's own generator."""
    if not (_repeatable(build) and _addressed(config)):
        return "sequential"
    stack = stackable(build) and stacks(config)
    return {"cuda": "vectorised" if stack else "sequential", "cpu": "threaded"}.get(device.type, "sequential")


def stackable(build: Build) -> bool:
    """Whether the network can be built with `copies`."""
    return "copies" in inspect.signature(build).parameters


def _repeatable(build: Build) -> bool:
    """Whether the network draws nothing from PyTorch's own generator while it learns, as those that can be stacked and those
    that say so (`draws` is False)."""
    return stackable(build) or not getattr(build, "draws", True)


@torch.inference_mode()
def probabilities(model: nn.Module, images: Inputs, batch: int = 256) -> npt.NDArray[np.float64]:
    """Class probabilities float64 [N, K] of uint8 images [N, C, H, W] (or of features, for a network of them). Raises
    TrainingError when the network gives a NaN or an infinity, SettingsError when it gives no logits."""
    device = next(model.parameters()).device
    parts = [
        _logits(model, input_tensor(images[i : i + batch], device)).double().softmax(1).cpu().numpy()
        for i in range(0, max(len(images), 1), batch)
    ]
    found = np.concatenate(parts)
    if not np.isfinite(found).all():
        raise TrainingError(
            f"the classifier gives no number for {int((~np.isfinite(found)).any(1).sum())} of {len(found)} images; lower its "
            "learning rate (--set prove.learning_rates=[0.001]) or check it for a division by zero"
        )
    return found


def new_network(build: Build, train: Labelled, seed: int, device: torch.device) -> Any:
    """A network before its training. Raises SettingsError when `build` gives none, or one that cannot learn."""
    channels, classes = train.images.shape[1], len(train.classes)
    with seeded(seed, device):
        made: Any = build(channels, classes)
        if not isinstance(made, nn.Module):
            raise SettingsError(
                f"asked for a classifier of {channels} channels and {classes} classes, {_called(build)} gives a "
                f"{type(made).__name__}; it must return a new network, a torch.nn.Module"
            )
        if not any(weights.requires_grad for weights in made.parameters()):
            raise SettingsError(
                f"the classifier {_called(made)} has no parameters that can be trained; give it a layer that has, or let "
                "some require gradients"
            )
        return placed(made, device)


def _called(what: Any) -> str:
    return str(getattr(what, "__name__", type(what).__name__))


def _logits(model: nn.Module, x: torch.Tensor, wanted: tuple[int, ...] = ()) -> torch.Tensor:
    """What the network gives for inputs `x` [N, ...]. Raises SettingsError unless it is a tensor [N, K], or as `wanted`."""
    found: Any = model(x)
    if not isinstance(found, torch.Tensor):
        raise SettingsError(
            f"for {len(x)} images the classifier gives a {type(found).__name__}; it must give one tensor, a logit of each "
            "class for each image: wrap it in a network that returns the logits alone"
        )
    fits = found.shape == wanted if wanted else found.ndim == 2 and len(found) == len(x)
    if not fits:
        classes = f" of {wanted[-1]} classes" if wanted else ""
        raise SettingsError(
            f"for {len(x)} images{classes} the classifier gives {list(found.shape)}; it must give a logit of each class for "
            "each image"
        )
    return found


@contextmanager
def seeded(seed: int, device: torch.device, throughout: bool = True) -> Iterator[None]:
    """PyTorch's own generators are seeded, and put back afterwards; nothing is done unless `throughout`."""
    if not throughout:
        yield
        return
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(torch_seed(seed, "classifier"))
        yield


def _addressed(config: TrainConfig) -> bool:
    """Whether the augmentation is one of Augury's, which draw from streams of their own."""
    inner = config.augment.func if isinstance(config.augment, partial) else config.augment
    return inner is None or inner in POLICIES.values() or isinstance(inner, Vary)


def _after(job: Callable[[], Any], then: Callable[[Any], Made]) -> Made:
    return then(job())


def _threaded(jobs: Sequence[Callable[[], Made]]) -> Iterator[Made]:
    """The results in order; each job has one thread whatever their number, so that its rounding never changes."""
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(max(1, min(threads, len(jobs))), initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield from pool.map(lambda job: job(), jobs)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


def _fitted(model: Any, train: Labelled, config: TrainConfig, seed: int, device: torch.device, precision: str) -> Any:
    """The network after its training."""
    body, samplers = _whole_network([train], config, [seed])
    _play(model, samplers, body, device, precision)
    return _finished(model, train, config, seed, device)


def _fitted_vectorised(
    models: Sequence[Any],
    trains: Sequence[Labelled],
    config: TrainConfig,
    seeds: Sequence[int],
    device: torch.device,
    build: Build,
    precision: str,
) -> list[Any]:
    """The networks after their training, which took place in one network with as many copies."""
    body, samplers = _whole_network(trains, config, seeds)
    many = stacked(models, partial(build, trains[0].images.shape[1], len(trains[0].classes)), device)
    _play(many, samplers, body, device, precision)
    unstacked(many, models)
    return [
        _finished(model, train, config, seed, device) for model, train, seed in zip(models, trains, seeds, strict=True)
    ]


def _whole_network(
    trains: Sequence[Labelled], config: TrainConfig, seeds: Sequence[int]
) -> tuple[TrainConfig, list[BatchSampler]]:
    """The config of the training of the whole network, and the batch sampler of each seed."""
    if config.smote == "inputs":
        trains = [smoted(train, seed) for train, seed in zip(trains, seeds, strict=True)]
    body = replace(config, steps=config.steps - config.steps // HEAD) if config.smote == "features" else config
    return body, [BatchSampler(train, body, seed) for train, seed in zip(trains, seeds, strict=True)]


def _finished(model: Any, train: Labelled, config: TrainConfig, seed: int, device: torch.device) -> Any:
    """The network in eval mode, its last layer trained again where the config says so."""
    model.eval()
    if config.smote == "features" and config.steps >= HEAD:
        with torch.inference_mode():
            parts = [
                model.last_inputs(input_tensor(train.images[i : i + 256], device)).cpu().numpy()
                for i in range(0, len(train.labels), 256)
            ]
        table = smoted(Table(np.concatenate(parts), train.labels, train.classes), seed)
        rest = replace(config, steps=config.steps // HEAD, augment=None, mix="", smote="", synthetic=None, ratio=0.0)
        _play(model.last, [BatchSampler(table, rest, seed)], rest, device, "fp32")
    return model.requires_grad_(False)


def _play(
    model: nn.Module, samplers: Sequence[BatchSampler], config: TrainConfig, device: torch.device, precision: str
) -> None:
    """Train a network, or the stack of one for each deck, in place: AdamW (Loshchilov & Hutter 2019), cosine schedule."""
    model.train()
    goal = objective(model, samplers, config, device, _logits)
    optimiser = torch.optim.AdamW(
        [*model.parameters(), *goal.parameters()],
        lr=config.rate,
        weight_decay=config.decay,
        fused=device.type in ("cpu", "cuda"),
    )
    half = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
    prepare = partial(_prepared, samplers, config, device)
    for step in range(config.steps):
        for group in optimiser.param_groups:
            group["lr"] = config.rate * cosine(step / config.steps, 0.02)
        x, targets, weights, rows = batch_tensors(samplers, config, step, device)
        total = goal(x, targets, weights, rows, step, half, prepare)
        optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def batch_tensors(
    samplers: Sequence[BatchSampler], config: TrainConfig, step: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Codes]:
    """What S decks show: (images [B, S·C, ...], targets [S, B, K], weights [S, B], rows int64 [S, B])."""
    images, targets, weights, rows = shown(samplers, step)
    x = _prepared(samplers, config, device, images, step)
    targets, weights = targets.to(device), weights.to(device)
    if config.mix:
        mixed = [
            sampler.mixed(own, soft, step)
            for sampler, own, soft in zip(samplers, x.chunk(len(samplers)), targets, strict=True)
        ]
        x, targets = torch.cat([own for own, _ in mixed]), torch.stack([soft for _, soft in mixed])
    if len(samplers) > 1:
        x = x.reshape(len(samplers), -1, *x.shape[1:]).transpose(0, 1).flatten(1, 2)
    return (x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x), targets, weights, rows


def _prepared(
    samplers: Sequence[BatchSampler], config: TrainConfig, device: torch.device, images: Inputs, step: int
) -> torch.Tensor:
    """Images [S·B, ...] as stored -> float, augmented with the random numbers of this step."""
    x = input_tensor(images, device)
    if config.augment is None:
        return x
    streams = [stream(sampler.seed, "classical", step) for sampler in samplers]
    return config.augment(x, streams[0] if len(streams) == 1 else Joined(streams))


def input_tensor(images: Inputs, device: torch.device) -> torch.Tensor:
    """uint8 images as float in [-1, 1]; features as they are."""
    return as_float(images, device) if images.dtype == np.uint8 else torch.from_numpy(images).to(device)
