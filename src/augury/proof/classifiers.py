"""Train one network, or one for each of many seeds, in the way that is fastest on the device."""

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
from augury.images import Codes, HasImages, SyntheticImages, as_images, as_labelled
from augury.networks import Classifier
from augury.proof.averaging import WeightAverage
from augury.proof.batch_sampler import BatchSampler, Labelled, shown
from augury.proof.objectives import TURNS, objective
from augury.proof.objectives import stackable as stacks
from augury.proof.recipe import Optimiser, recipe_of
from augury.proof.smote import Table, smoted
from augury.proof.stacked import stacked, unstacked
from augury.proof.train_config import Inputs, TrainConfig
from augury.randomness import derived_seed, stream, torch_seed
from augury.training import as_float, keep_memory, placed

Build = Callable[..., nn.Module]
"""(channels, classes) -> a new network that maps images [N, C, H, W] in [-1, 1] to logits [N, K].

Builds that can be stacked also take `copies=S` and return S networks side by side, as `Classifier` does. These networks
also have `last_inputs` and `last`. Networks with a `recipe` are trained by it."""
Result = TypeVar("Result")
WAYS = ("auto", "sequential", "threaded", "vectorised")
STACK = 16
"""Most classifiers in one stack."""
HEAD = 4
"""With SMOTE on features, one step in four is reserved for the last layer alone."""


def fit(
    train: Labelled,
    config: TrainConfig,
    *,
    seed: int,
    device: torch.device,
    build: Build = Classifier,
    precision: str = "fp32",
) -> Any:
    """Train a network.

    Parameters
    ----------
    train
        Labelled images, the accepted images of SyntheticImages, or a table of features.
    config
        Steps, batches, losses and augmentation.
    seed
        The same seed gives the same weights on the same device.
    device
        Where to train.
    build
        (channels, classes) -> a new network; by default the small `Classifier`.
    precision
        "fp32" or "bf16".

    Returns
    -------
    nn.Module
        The trained network in eval mode, without gradients.

    Raises
    ------
    SettingsError
        When `build` returns no network, or one without trainable parameters or with unsuitable output.
    """
    keep_memory()
    train = as_labelled(train) if isinstance(train, SyntheticImages) else train
    with seeded(seed, device, throughout=not _repeatable(build)):
        model = new_network(build, train, seed, device)
        return _fitted(model, train, config, seed, device, precision)


def fit_many(
    trains: Sequence[Labelled],
    config: TrainConfig,
    *,
    seeds: Sequence[int],
    device: torch.device,
    then: Callable[[Any], Result],
    build: Build = Classifier,
    precision: str = "fp32",
    way: str = "auto",
) -> Iterator[Result]:
    """Train one network for each seed, and apply `then` to each.

    Parameters
    ----------
    trains
        The train images of each seed.
    config
        The training config of all networks.
    seeds
        One for each of `trains`.
    device
        Where to train.
    then
        Function of a trained network; its results are returned.
    build, precision
        As for `fit`.
    way
        "vectorised": all in one network. "threaded": one thread on one core each. "sequential": one after another with all
        cores. "auto": see `fastest`. All give the same result within rounding.

    Yields
    ------
    object
        The result of `then` for each seed, in order, as soon as it is available.

    Raises
    ------
    SettingsError
        For an unknown way, and for a way that the network, augmentation or objective does not support.
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
    """The fastest way to train on this device.

    - "vectorised" on CUDA, if the network can be stacked: small networks leave most of the GPU idle.
    - "threaded" on CPU: a stack is no faster there, and small networks gain little from a second core.
    - "sequential" elsewhere, and for networks and augmentations that draw from PyTorch's own generator.
    """
    if not (_repeatable(build) and _addressed(config)):
        return "sequential"
    stack = stackable(build) and stacks(config)
    return {"cuda": "vectorised" if stack else "sequential", "cpu": "threaded"}.get(device.type, "sequential")


def stackable(build: Build) -> bool:
    """Whether the network can be built with `copies`."""
    return "copies" in inspect.signature(build).parameters


def _repeatable(build: Build) -> bool:
    """Whether the network draws nothing from PyTorch's own generator in training.

    This holds for networks that can be stacked, and for those with `draws` False.
    """
    return stackable(build) or not getattr(build, "draws", True)


@torch.inference_mode()
def probabilities(model: nn.Module, images: Inputs | HasImages, batch: int = 256) -> npt.NDArray[np.float64]:
    """Predict class probabilities.

    Parameters
    ----------
    model
        A network that returns logits.
    images
        uint8 [N, C, H, W] or a set of images; or features float32 [N, D] for a network on features.
    batch
        Images per forward pass.

    Returns
    -------
    float64 [N, K]
        Each row sums to 1.

    Raises
    ------
    TrainingError
        When the network returns NaN or infinity.
    SettingsError
        When it does not return logits.
    """
    device = next(model.parameters()).device
    inputs: Inputs = images if isinstance(images, np.ndarray) else as_images(images)
    parts = [
        checked_logits(model, input_tensor(inputs[i : i + batch], device)).double().softmax(1).cpu().numpy()
        for i in range(0, max(len(inputs), 1), batch)
    ]
    predictions = np.concatenate(parts)
    if not np.isfinite(predictions).all():
        raise TrainingError(
            f"the classifier gives no number for {int((~np.isfinite(predictions)).any(1).sum())} of {len(predictions)} images; lower its "
            "learning rate (--set prove.learning_rates=0.001) or check it for a division by zero"
        )
    return predictions


def new_network(build: Build, train: Labelled, seed: int, device: torch.device) -> Any:
    """Build an untrained network. Raises SettingsError when `build` returns no network, or one without trainable parameters."""
    with seeded(seed, device):
        return placed(new_model(build, train.images.shape[1], len(train.classes)), device)


def new_model(build: Build, channels: int, classes: int) -> nn.Module:
    """What `build` returns. Raises SettingsError as `new_network` does."""
    network: Any = build(channels, classes)
    if not isinstance(network, nn.Module):
        raise SettingsError(
            f"asked for a classifier of {channels} channels and {classes} classes, {_called(build)} gives a "
            f"{type(network).__name__}; it must return a new network, a torch.nn.Module"
        )
    if not any(weights.requires_grad for weights in network.parameters()):
        raise SettingsError(
            f"the classifier {_called(network)} has no parameters that can be trained; give it a layer that has, or let "
            "some require gradients"
        )
    return network


def _called(component: Any) -> str:
    return str(getattr(component, "__name__", type(component).__name__))


def checked_logits(model: nn.Module, x: torch.Tensor, shape: tuple[int, ...] = ()) -> torch.Tensor:
    """Output of the network for inputs `x` [N, ...]. Raises SettingsError unless it is a tensor [N, K], or of `shape`."""
    logits: Any = model(x)
    if not isinstance(logits, torch.Tensor):
        raise SettingsError(
            f"for {len(x)} images the classifier gives a {type(logits).__name__}; it must give one tensor, a logit of each "
            "class for each image: wrap it in a network that returns the logits alone"
        )
    fits = logits.shape == shape if shape else logits.ndim == 2 and len(logits) == len(x)
    if not fits:
        classes = f" of {shape[-1]} classes" if shape else ""
        raise SettingsError(
            f"for {len(x)} images{classes} the classifier gives {list(logits.shape)}; it must give a logit of each class for "
            "each image"
        )
    return logits


@contextmanager
def seeded(seed: int, device: torch.device, throughout: bool = True) -> Iterator[None]:
    """Seed PyTorch's own generators and restore them afterwards; do nothing unless `throughout`."""
    if not throughout:
        yield
        return
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(torch_seed(seed, "classifier"))
        yield


def _addressed(config: TrainConfig) -> bool:
    """Whether the augmentation is one of Augury's, which draw from their own streams."""
    inner = config.augment.func if isinstance(config.augment, partial) else config.augment
    return inner is None or inner in POLICIES.values() or isinstance(inner, Vary)


def _after(job: Callable[[], Any], then: Callable[[Any], Result]) -> Result:
    return then(job())


def _threaded(jobs: Sequence[Callable[[], Result]]) -> Iterator[Result]:
    """Results in order. Each job always has one thread, so that its rounding never changes."""
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(max(1, min(threads, len(jobs))), initializer=torch.set_num_threads, initargs=(1,))
    awaited = True
    try:
        yield from pool.map(lambda job: job(), jobs)
    except (
        GeneratorExit,
        KeyboardInterrupt,
        SystemExit,
    ):  # the user does not wait for trainings whose results nobody reads
        awaited = False
        raise
    finally:
        pool.shutdown(wait=awaited, cancel_futures=True)
        torch.set_num_threads(threads)


def _fitted(model: Any, train: Labelled, config: TrainConfig, seed: int, device: torch.device, precision: str) -> Any:
    """The trained network."""
    config = recipe_of(model).adjusted(config)
    if config.initialisation:
        _learn_rotations(model, train, config, seed, device, precision)
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
    """The networks, trained together as copies in one network."""
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
    """Config for training all layers, and the batch sampler of each seed."""
    if config.smote == "inputs":
        trains = [smoted(train, seed) for train, seed in zip(trains, seeds, strict=True)]
    body = replace(config, steps=config.steps - config.steps // HEAD) if config.smote == "features" else config
    return body, [BatchSampler(train, body, seed) for train, seed in zip(trains, seeds, strict=True)]


def _finished(model: Any, train: Labelled, config: TrainConfig, seed: int, device: torch.device) -> Any:
    """The network in eval mode; its last layer is trained again if the config says so."""
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
    """Train a network or a stack in place, by the recipe of the network."""
    model.train()
    goal = objective(model, samplers, config, device, checked_logits)
    optimiser = Optimiser(model, config, device, goal.parameters())
    half = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
    prepare = partial(_prepared, samplers, config, device)
    average = WeightAverage(model, config.steps) if config.averaging else None
    for step in range(config.steps):
        optimiser.begin(step)
        x, targets, weights, rows = batch_tensors(samplers, config, step, device)
        optimiser.minimise(goal(x, targets, weights, rows, step, half, prepare))
        if average is not None:
            average.add(step)
    if average is not None and average.count:
        average.apply()


def _learn_rotations(
    model: Any, train: Labelled, config: TrainConfig, seed: int, device: torch.device, precision: str
) -> None:
    """Train all layers but the last on the turns of images, beneath a last layer that is then dropped."""
    last = model.last
    model.last = nn.utils.skip_init(nn.Linear, last.in_features, TURNS, device=device)  # type: ignore[no-untyped-call]
    draws, bound = stream(seed, "rotations"), last.in_features**-0.5
    with torch.no_grad():
        for weights in model.last.parameters():
            weights.copy_(torch.empty(weights.shape).uniform_(-bound, bound, generator=draws))
    own = replace(
        config, initialisation="", objective="rotation", averaging=False, mix="", smote="", synthetic=None, ratio=0.0
    )
    _play(model, [BatchSampler(train, own, derived_seed(seed, "rotations"))], own, device, precision)
    model.last = last


def batch_tensors(
    samplers: Sequence[BatchSampler], config: TrainConfig, step: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Codes]:
    """Batches of S samplers: (images [B, S·C, ...], targets [S, B, K], weights [S, B], rows int64 [S, B])."""
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
    """Convert stored images [S·B, ...] to float, and augment them with the random numbers of this step."""
    x = input_tensor(images, device)
    if config.augment is None:
        return x
    streams = [stream(sampler.seed, "classical", step) for sampler in samplers]
    return config.augment(x, streams[0] if len(streams) == 1 else Joined(streams))


def input_tensor(images: Inputs, device: torch.device) -> torch.Tensor:
    """Convert uint8 images to float in [-1, 1]; features stay unchanged."""
    return as_float(images, device) if images.dtype == np.uint8 else torch.from_numpy(images).to(device)
