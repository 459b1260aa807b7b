"""What a trial costs before it begins: its arms, its number of trainings, and the measured time of their steps."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import torch

from augury.augment import policy
from augury.images import LabelledImages
from augury.proof.adaptation import steps_of
from augury.proof.arms import ARMS, AUGMENTATIONS, CHOSEN, Arm, augmentations, usual_arms
from augury.proof.auto_classifier import candidates, is_pretrained, presumed
from augury.proof.checks import obstacle
from augury.proof.learners import Network, features_of, learner, lite0_side
from augury.proof.sequential import looks
from augury.proof.train_config import TrainConfig
from augury.proof.views import VIEWS
from augury.settings import AUTO, ProveSettings

CHOICE_SEEDS = 3
"""Number of seeds for choosing the ratio on validation, and the augmentation. They come from streams of their own."""
SEARCH_SEEDS = 2
"""Number of seeds for choosing learning rate and weight decay on validation. They come from a stream of their own."""
FIXMATCH = 2.4
"""A step of FixMatch as a multiple of a plain one: a second batch, and a third one without gradients."""
FEW_IMAGES = 512
"""Images that a measurement trains on; the time of a step does not depend on their number."""
MOST_STEPS = 50
"""Most steps of one measurement."""


def number_of_trainings(settings: ProveSettings, arms: Sequence[str], ratios: Sequence[float]) -> int:
    """How many classifiers a trial trains at most: every arm and seed, and those that choose ratio, rate and decay.

    Parameters
    ----------
    settings
        Settings of the trial.
    arms
        Names of its arms.
    ratios
        The ratios to choose from; with at most two there is nothing to choose.
    """
    generative_arms = sum(ARMS[name].generative for name in arms)
    seeds = looks(settings.seeds, settings.max_seeds, arms=generative_arms)[-1][0]
    pairs = len(settings.learning_rates) * len(settings.weight_decays)
    searches = pairs * SEARCH_SEEDS * len(arms) if pairs > 1 else 0
    candidates = len(augmentations(arms))
    choices = (len(ratios) if len(ratios) > 2 else 0) + (candidates if candidates > 1 else 0)
    return len(arms) * seeds + choices * CHOICE_SEEDS + searches


def relative_cost(arm: Arm) -> float:
    """Seconds of an arm's training, as a multiple of one training of the same network for the same steps."""
    trained = len(steps_of(arm.method)) if arm.method else 1
    return trained * (2 if arm.initialisation else 1) * (FIXMATCH if arm.objective == "fixmatch" else 1)


def expected_arms(
    settings: ProveSettings,
    shape: tuple[int, int, int],
    device: torch.device,
    sources: Collection[str] = (),
    without_layers: str = "",
    without_holes: str = "",
    target: bool = False,
) -> tuple[str, ...]:
    """The arms that a trial will train, as far as this is known before a generator exists. Parameters as of `check_trial`."""
    default = usual_arms(holes=not without_holes, target=target)
    model = learner(presumed(settings), shape, device)
    names: list[str] = []
    for name in settings.arms:
        meant = {"all": tuple(ARMS), "usual": default}.get(name)
        possible = [
            each
            for each in meant or ()
            if not obstacle(ARMS[each], sources, without_layers, model, without_holes, target)
        ]
        names += [name] if meant is None else possible
    return tuple(dict.fromkeys(names))


def feature_images(
    settings: ProveSettings,
    arms: Sequence[str],
    shape: tuple[int, int, int],
    device: torch.device,
    *,
    train: int,
    held_out: int,
    new: int,
    target: bool,
) -> tuple[int, int]:
    """Estimate how many images a trial extracts the features of, and the longer side in px at which the network sees them.

    With classifier "auto" this is the most: if the features are chosen.

    Parameters
    ----------
    settings, arms
        Settings of the trial, and the names of its arms.
    shape
        Shape (C, H, W) of the images that its classifiers see.
    device
        Where classifiers are trained.
    train, held_out, new
        Number of train images, of validation and test images, and of generated images.
    target
        Whether there are images of another domain.

    Returns
    -------
    (images, side). No images for a classifier on images.
    """
    if settings.classifier == AUTO:
        on_features = any(map(features_of, candidates(settings, shape, device, target=target)))
    else:
        on_features = is_pretrained(settings.classifier)
    if not on_features:
        return 0, 0
    views = dict.fromkeys((_kind(ARMS[name])[0] for name in arms), False)
    views |= {_kind(ARMS[name])[0]: True for name in arms if ARMS[name].shows}
    images = train + held_out + new
    images += sum(VIEWS * (train + new * shows) for augment, shows in views.items() if augment != "none")
    return images, lite0_side(shape)


def measure_steps(
    arms: Sequence[str],
    settings: ProveSettings,
    data: LabelledImages,
    *,
    device: torch.device,
    flips: bool,
    patience: float,
) -> dict[str, float]:
    """Measure the seconds of one training step of each arm, where several classifiers are trained at a time.

    Arms with the same augmentation are measured once. An arm that adapts to another domain trains several networks. The
    time of arms on features, and of those with the discriminator's layers, is 0 here: their steps are not those of the
    trial's classifier.

    Parameters
    ----------
    arms
        Names of the arms.
    settings
        Settings of the trial.
    data
        Images of the size that the trial trains on.
    device
        Where classifiers are trained.
    flips
        Whether augmentation may mirror images.
    patience
        Measure for about this many seconds in all.

    Returns
    -------
    Seconds by arm.
    """
    model = learner(presumed(settings), data.shape, device, settings.precision)
    networks = [name for name in arms if not (ARMS[name].network or ARMS[name].pretrained)]
    if not isinstance(model, Network) or not networks:
        return dict.fromkeys(arms, 0.0)
    few = data.take(np.arange(min(len(data), FEW_IMAGES)))
    together = range(min(settings.seeds, torch.get_num_threads()) if device.type == "cpu" else settings.seeds)
    kinds = sorted({_kind(ARMS[name]) for name in networks})
    seconds: dict[tuple[str, str], float] = {}
    for augment, mix in kinds:
        config = TrainConfig(
            batch=settings.batch,
            balanced=True,
            mix=mix,
            augment=None if augment == "none" else policy(augment, flips=flips),
        )

        def spent(steps: int, config: TrainConfig = config) -> float:
            started = time.perf_counter()
            list(model.predicted([few for _ in together], replace(config, steps=steps), together, few.images[:1]))
            return (time.perf_counter() - started) / (steps * len(together))

        share = patience / len(kinds) / len(together)
        first = spent(1)
        seconds[augment, mix] = first if first > share else spent(int(np.clip(share / first, 2, MOST_STEPS)))
    return {name: relative_cost(ARMS[name]) * seconds[_kind(ARMS[name])] if name in networks else 0.0 for name in arms}


def _kind(arm: Arm) -> tuple[str, str]:
    """(augmentation, mixing) that a step of the arm is measured with; of the augmentations to choose from, the slowest."""
    return AUGMENTATIONS[-1] if arm.augment == CHOSEN else arm.augment, arm.mix
