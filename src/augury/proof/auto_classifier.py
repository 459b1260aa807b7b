"""The classifier of a trial: named in the settings, or chosen on validation between a pretrained and a small network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from augury.data.decoding.resize import resized
from augury.images import LabelledImages, SyntheticImages
from augury.networks import lite0_installed
from augury.proof.arms import ARMS
from augury.proof.learners import Learner, features_of, learner
from augury.proof.operating_point import primary
from augury.proof.train_config import TrainConfig
from augury.randomness import derived_seed
from augury.settings import AUTO, ProveSettings

NETWORK, FEATURES, FINETUNED = "cnn", "linear_probe:lite0", "finetune:lite0"
PRETRAINED = (FINETUNED, FEATURES, NETWORK)
"""What "auto" chooses between where lite0 is installed; on a CPU without fine-tuning, which takes minutes a training there."""
CONTEST_SEEDS = 2
"""Trainings of each for the choice. Their seeds come from a stream of their own."""


@dataclass(frozen=True)
class Splits:
    """Train, validation and test split, with images of one size."""

    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in px."""
        return self.train.shape[1], self.train.shape[2]


def at_size(images: SyntheticImages, size: tuple[int, int]) -> SyntheticImages:
    """The images, resized to `size` (height, width), bicubic."""
    return replace(images, images=resized(np.asarray(images.images), size, "crop"))


@dataclass(frozen=True)
class Choice:
    """What the arms of a trial train: a `classifier` as `learner` takes it, on these `splits`.

    `record` is {name, size: [height, width], why, validation: {name: balanced accuracy}} for the verdict.
    """

    classifier: Any
    splits: Splits
    record: dict[str, Any]


Contest = Callable[[str, Learner, Splits, str, Sequence[int]], list[dict[str, Any]]]
"""(name, learner, splits, arm, seeds) -> metrics on validation, one for each seed."""


def choose_classifier(
    settings: ProveSettings,
    splits: Splits,
    own_size: Splits | None,
    contest: Contest,
    *,
    classifier: Any,
    device: torch.device,
    target: bool,
    seed: int,
) -> Choice:
    """Choose what the arms of a trial train.

    Parameters
    ----------
    settings
        `classifier` may be "auto": of the candidates, the one that classifies validation images better when it is trained on
        the real images alone. A tie goes to the pretrained features.
    splits
        Images of the size that the generator has.
    own_size
        The same images in another size, for classifiers that are pretrained on larger images, and for all if the settings
        have a `judge_size`; None: there are none.
    contest
        Trains a candidate.
    classifier
        The caller's own, instead of that of the settings.
    device, target, seed
        As of `prove`; `target` says whether there is a target domain.
    """
    sized = splits if own_size is None or settings.judge_size is None else own_size
    if classifier is not None:
        return Choice(classifier, sized, _record(type(classifier).__name__, sized, "given in Python"))
    enlarged = own_size or splits
    if settings.classifier != AUTO:
        chosen = enlarged if is_pretrained(settings.classifier) else sized
        return Choice(settings.classifier, chosen, _record(settings.classifier, chosen, "prove.classifier"))
    names = candidates(settings, splits.train.shape, device, target=target)
    shown = {name: enlarged if is_pretrained(name) else sized for name in names}
    learners = {name: learner(name, shown[name].train.shape, device, settings.precision) for name in names}
    if len(names) == 1:
        why = (
            "the only one that all arms allow"
            if lite0_installed()
            else "the package of EfficientNet-Lite0 is not installed"
        )
        return Choice(learners[names[0]], shown[names[0]], _record(names[0], shown[names[0]], why))
    seeds = [derived_seed(seed, "classifier of the trial", i) for i in range(CONTEST_SEEDS)]
    accuracy = {
        name: float(np.mean([primary(m) for m in contest(name, learners[name], shown[name], contest_arm(name), seeds)]))
        for name in names
    }
    best = max(names, key=accuracy.__getitem__)
    return Choice(learners[best], shown[best], _record(best, shown[best], "the best one on validation", accuracy))


def _record(name: str, splits: Splits, why: str, validation: dict[str, float] | None = None) -> dict[str, Any]:
    return {"name": name, "size": list(splits.size), "why": why, "validation": validation or {}}


def candidates(
    settings: ProveSettings, shape: tuple[int, int, int], device: torch.device, *, target: bool
) -> tuple[str, ...]:
    """The classifiers that "auto" chooses from, by default the simplest last.

    By default, pretrained ones are left out where the lite0 package is not installed, and fine-tuning on a CPU. In a trial with a
    target domain, whose arms adapt a network, the small network is the only one. Classifiers on features are left out where the
    settings name an arm that they do not allow.
    """
    if target:
        return (NETWORK,)
    names = settings.candidates
    if not names:
        names = PRETRAINED if lite0_installed() else (NETWORK,)
        names = tuple(name for name in names if device.type != "cpu" or name != FINETUNED)
    if any(map(features_of, names)) and refused_arms(settings, shape, device):
        names = tuple(name for name in names if not features_of(name))
    return names or (NETWORK,)


def may_fine_tune(settings: ProveSettings, *, target: bool) -> bool:
    """Whether fine-tuning is one of the default candidates, or would be if there were time for it."""
    return settings.classifier == AUTO and not settings.candidates and not target and lite0_installed()


def contest_arm(name: str) -> str:
    """How a candidate is trained for the choice. Augmented copies cost time on features and gain little."""
    return "balanced" if features_of(name) else "classical"


def refused_arms(settings: ProveSettings, shape: tuple[int, int, int], device: torch.device) -> list[str]:
    """The arms named in the settings that cannot be trained on features."""
    on_features = learner(FEATURES, shape, device)
    named = [ARMS[name] for name in settings.arms if name in ARMS]
    networks = [arm for arm in named if not (arm.network or arm.pretrained)]
    return [arm.note for arm in networks if arm.method or on_features.refusal(TrainConfig(**arm.config()))]


def is_pretrained(classifier: Any) -> bool:
    """Whether a classifier sees images in their own resolution: its network was trained on larger images."""
    if not isinstance(classifier, str):
        return False
    return classifier.partition(":")[0] == "finetune" or features_of(classifier) not in ("", "pixels")


def presumed(settings: ProveSettings) -> str:
    """The name of a classifier that allows all arms, where "auto" has not chosen yet."""
    return NETWORK if settings.classifier == AUTO else settings.classifier
