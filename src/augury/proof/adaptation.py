"""Domain adaptation without target labels and without a generator: methods by name, and their combinations.

A method is a sequence of steps, joined by "+": `colour_matching+adabn+pseudo_labels+adabn`. Steps before the first
training change the labelled images. A step that needs a network trains one on them first. Every method works on any labelled
images: real images of the source domain, translated images, or both. So each can be combined with translation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from augury.errors import DataError, SettingsError
from augury.images import AnyImages, Codes, Images, LabelledImages, as_images
from augury.networks import Classifier
from augury.proof.batch_norm import adapt_batch_norm
from augury.proof.classifiers import Build, fit, probabilities
from augury.proof.colour_matching import colour_matched
from augury.proof.target_training import DomainAdversarial, Make, MeanTeacher, fit_with_target
from augury.proof.train_config import TrainConfig
from augury.randomness import derived_seed

CONFIDENCE = 0.9
"""Probability from which a target image is used with its pseudo-label. Measured on USPS -> MNIST, even and long-tailed:
.97 loses 1.5 points; .7, or the same share of each class, loses 2."""
ALIGNED = 0.5
"""Power of the mean prediction. Probabilities are divided by it before they become pseudo-labels (distribution alignment,
Berthelot et al. 2020, section 3.1). Classes that are predicted too rarely gain. Measured: +0.8 points with an even target,
+1.8 with a long-tailed one. Power 1 gains no more, and is wrong for targets far from even."""
LONG = 2
"""Factor of the config's steps for trainings that use the target. It matches a stack with pseudo-labels, which trains
twice."""
FEWEST = 20
"""Fewest target images for statistics and pseudo-labels."""


@dataclass
class Task:
    """State that the steps of a method share.

    Attributes
    ----------
    labelled
        Images to train on.
    target
        Unlabelled target images, uint8 [M, C, H, W].
    few
        Labelled target images, if there are any.
    model
        The network trained last; None before the first training.
    trainings
        Number of trainings so far; each has its own seed.
    """

    labelled: LabelledImages
    target: Images
    config: TrainConfig
    seed: int
    device: torch.device
    build: Build
    few: LabelledImages | None = None
    model: nn.Module | None = None
    trainings: int = 0

    def next_seed(self) -> int:
        """Seed of the next training. The first training uses the seed itself, so that methods are paired."""
        self.trainings += 1
        return self.seed if self.trainings == 1 else derived_seed(self.seed, "adaptation", self.trainings)

    def trained(self) -> nn.Module:
        """The current network; if there is none, train one on the labelled images."""
        if self.model is None:
            self.fit(self.labelled, self.config)
        assert self.model is not None
        return self.model

    def beside(self, images: Images, labels: Codes) -> TrainConfig:
        """Add these target images to the config, in addition to target images that it already has.

        In each class, half of the images shown are target images.
        """
        if not len(images):
            return self.config
        previous = self.config.synthetic
        pair = (
            (images, labels)
            if previous is None
            else (np.concatenate([previous[0], images]), np.concatenate([previous[1], labels]))
        )
        return replace(self.config, synthetic=pair, ratio=1.0)

    def fit(self, labelled: LabelledImages, config: TrainConfig) -> None:
        """Train a new network."""
        self.model = fit(labelled, config, seed=self.next_seed(), device=self.device, build=self.build)

    def fit_with(self, make: Make) -> None:
        """Train a new network on the labelled images and the target."""
        longer = replace(self.config, steps=LONG * self.config.steps)
        self.model = fit_with_target(
            self.labelled, self.target, longer, make, seed=self.next_seed(), device=self.device, build=self.build
        )


@dataclass(frozen=True)
class AdaptationStep:
    """One step of a method. `note` says it in a few words; `first` steps must come before any training."""

    note: str
    run: Callable[[Task], Any]
    first: bool = False


def _adabn(task: Task) -> None:
    adapt_batch_norm(task.trained(), task.target, seed=task.seed)


def _pseudo_labels(task: Task) -> None:
    chosen, labels = confident(probabilities(task.trained(), task.target))
    # one pseudo-labelled image of the same class for each labelled one: the config draws the classes, each domain has one half
    task.fit(task.labelled, task.beside(task.target[chosen], labels))


def _mean_teacher(task: Task) -> None:
    task.fit_with(MeanTeacher())


def _dann(task: Task) -> None:
    task.fit_with(DomainAdversarial())


def _matched(how: str) -> Callable[[Task], None]:
    def run(task: Task) -> None:
        task.labelled = colour_matched(task.labelled, task.target, seed=task.seed, how=how)

    return run


def _few_labels(task: Task) -> None:
    if task.few is None or not len(task.few):
        raise SettingsError(
            "the method few_labels needs labelled target images; give 5 to 20 per class as few=, or leave the method out"
        )
    task.config = task.beside(task.few.images, task.few.labels)


STEPS: dict[str, AdaptationStep] = {
    "source_only": AdaptationStep("trained on the labelled images alone", Task.trained),
    "adabn": AdaptationStep("batch-norm statistics of the target (Li et al. 2018)", _adabn),
    "pseudo_labels": AdaptationStep(
        "trained again, with target images under the class that the last network predicts with confidence (Lee 2013)",
        _pseudo_labels,
    ),
    "mean_teacher": AdaptationStep("self-ensembling (French, Mackiewicz & Fisher 2018)", _mean_teacher),
    "dann": AdaptationStep("domain-adversarial features (Ganin & Lempitsky 2015)", _dann),
    "colour_matching": AdaptationStep(
        "in addition to each image, a copy with the channel means and deviations of a target image (Reinhard et al. 2001)",
        _matched("colour_matching"),
        first=True,
    ),
    "histogram_matching": AdaptationStep(
        "in addition to each image, a copy with the histograms of a target image",
        _matched("histogram_matching"),
        first=True,
    ),
    "few_labels": AdaptationStep(
        "a few labelled target images in addition to the others: an upper reference", _few_labels, first=True
    ),
}
ADAPTATIONS = (
    "source_only",
    "adabn",
    "pseudo_labels",
    "adabn+pseudo_labels",
    "adabn+pseudo_labels+adabn",
    "adabn+pseudo_labels+pseudo_labels+adabn",
    "mean_teacher",
    "dann",
    "colour_matching+adabn",
    "colour_matching+adabn+pseudo_labels+adabn",
)
"""Methods that need no target labels.

Measured (`bench/domains.py`, 400 steps, balanced accuracy). USPS -> MNIST with 500 labels: source_only 76, the stacks 90 to 93,
mean_teacher 95, labels of the target 98. Fonts -> photographs: source_only 40, mean_teacher 61, two rounds of pseudo-labels 63,
labels of the target 82."""
REFERENCES = ("few_labels", "few_labels+adabn")
"""Upper references that use target labels. They are no comparators, since the other methods have no target labels."""


def adapted(
    labelled: LabelledImages,
    target: AnyImages,
    config: TrainConfig,
    *,
    method: str,
    seed: int,
    device: torch.device,
    build: Build = Classifier,
    few: LabelledImages | None = None,
) -> nn.Module:
    """Train a classifier on labelled images for a domain of which only unlabelled images are known.

    Parameters
    ----------
    labelled : LabelledImages
        Training images: images of the source domain, translated images with the labels of their sources, or both.
    target : uint8 [M, C, H, W], TargetImages or LabelledImages
        Target images, at least 20, of the same shape as the labelled ones. They must not include test images.
    config : TrainConfig
        Steps, batches, augmentation and balance of each training. It has no synthetic images: add these to `labelled`.
    method : str
        Names of `STEPS` joined by "+", such as one of `ADAPTATIONS`.
    seed : int
        The same seed gives the same weights on the same device. Methods with the same seed share their first training.
    device : torch.device
    build : callable
        (channels, classes) -> a new network; `adabn` needs batch norm, `dann` a last linear layer.
    few : LabelledImages, optional
        Labelled target images, for `few_labels` alone.

    Returns
    -------
    nn.Module
        The network in eval mode: images [N, C, H, W] in [-1, 1] -> logits [N, K]. See `augury.proof.probabilities`.

    Raises
    ------
    SettingsError
        For an unknown method, a config with synthetic images or SMOTE, or a network that a step cannot use.
    DataError
        For fewer than 20 target images, or images of another shape.
    """
    steps, target = steps_of(method), as_images(target)
    _check(labelled, target, config, few)
    task = Task(labelled, target, config, seed, device, build, few)
    for step in steps:
        STEPS[step].run(task)
    return task.trained().eval()


def _check(labelled: LabelledImages, target: Images, config: TrainConfig, few: LabelledImages | None) -> None:
    """Raises SettingsError or DataError as documented in `adapted`."""
    if config.synthetic is not None:
        raise SettingsError(
            f"the config has {len(config.synthetic[0])} synthetic images, but adaptation uses target images instead; add them "
            "to the labelled images"
        )
    if config.smote:
        raise SettingsError("SMOTE cannot be combined with adaptation; set smote=''")
    if len(target) < FEWEST:
        raise DataError(
            f"there are {len(target)} images of the target domain, but adaptation needs at least {FEWEST}; give more"
        )
    shapes = [target.shape[1:]] + ([] if few is None else [few.shape])
    for shape in shapes:
        if shape != labelled.shape:
            raise DataError(
                f"the labelled images have shape {list(labelled.shape)} and the target images {list(shape)}; read these with "
                "augury.data.read_target, which resizes them to one shape"
            )


def steps_of(method: str) -> tuple[str, ...]:
    """Split a method into its steps. Raises SettingsError for an unknown or misplaced step."""
    names = tuple(method.split("+"))
    unknown = [name for name in names if name not in STEPS]
    if unknown:
        raise SettingsError(
            f"there is no step '{unknown[0]}' of adaptation; choose among {', '.join(STEPS)}, joined by '+'"
        )
    trains = [i for i, name in enumerate(names) if not STEPS[name].first]
    late = [name for i, name in enumerate(names) if STEPS[name].first and trains and i > trains[0]]
    if late:
        raise SettingsError(
            f"'{late[0]}' changes the labelled images, so it must come before every training; put it first"
        )
    return names


def confident(p: npt.NDArray[np.float64], threshold: float = CONFIDENCE, align: float = ALIGNED) -> tuple[Codes, Codes]:
    """Rows int64 [n] and labels int64 [n] of predictions [M, K] whose aligned confidence is at least `threshold`."""
    moved = p / np.maximum(p.mean(0), 1e-12) ** align
    moved /= moved.sum(1, keepdims=True)
    rows = np.flatnonzero(moved.max(1) >= threshold)
    return rows.astype(np.int64), moved[rows].argmax(1).astype(np.int64)
