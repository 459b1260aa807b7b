"""What a search improves: a number for one generator, computed on the validation split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from augury import generation, metrics, proof
from augury.augment import policy
from augury.generation import FilterContext
from augury.images import Codes, LabelledImages, SyntheticImages, as_labelled
from augury.metrics import Extractor
from augury.networks import Classifier
from augury.proof.measures import confusion
from augury.randomness import derived_seed
from augury.settings import RunSettings
from augury.training import Synthesizer

LARGEST = 2000
"""Most images that GAN-train draws, and most that the kernel distance compares."""
SURPLUS = 2.0
"""Most images drawn for each one that the filters have to pass."""
PAIRS = 2
"""Paired classifiers of the uplift."""


@dataclass(frozen=True)
class Judge:
    """The images and networks that objectives use. The test split is not among them.

    Parameters
    ----------
    train, held
        Real images: those that the generator was trained on, and those that judge it.
    classifier
        Trained on `train` alone; filters generated images.
    features
        Features of that classifier.
    flips
        Whether images may be mirrored.
    device
        Where classifiers are trained.
    seed
        Seed of the drawing and of the classifiers. It is the same for all generators, so that differences come from these.
    """

    train: LabelledImages
    held: LabelledImages
    classifier: Classifier
    features: Extractor
    flips: bool
    device: torch.device
    seed: int

    def context(self, condition: tuple[str, ...]) -> FilterContext:
        """The data and models that filters may use."""
        model = self.classifier
        inputs = metrics.from_network(
            "classifier's last layer", model, "", self.device, model.last_inputs, dimension=model.last.in_features
        )
        return FilterContext(
            self.train,
            lambda images: proof.probabilities(model, images),
            lambda queries, references, k: metrics.nearest(queries, references, k),
            features=self.features.extract,
            validation=self.held,
            last_inputs=inputs.extract,
            logits=model,
            condition=condition,
            why_no_discriminator="a search has none",
        )

    def drawn(self, synthesizer: Synthesizer, amounts: Codes, settings: RunSettings) -> LabelledImages:
        """Images that have passed the filters, about so many of each cell as `amounts` says."""
        g = settings.generate
        images: SyntheticImages = generation.draw(
            synthesizer,
            amounts,
            seed=derived_seed(self.seed, "images"),
            surplus=min(g.surplus, SURPLUS),
            truncation=g.truncation,
            filters=g.filters,
            context=self.context(settings.train.condition),
            sampling=g.sampling,
        )
        return as_labelled(images)

    def accuracy(self, model: Classifier) -> float:
        """Balanced accuracy of a classifier on the held-out images."""
        predicted = proof.probabilities(model, self.held.images).argmax(1)
        matrix = confusion(self.held.labels, predicted, len(self.held.classes))
        present = matrix.sum(1) > 0
        return float((np.diag(matrix)[present] / matrix.sum(1)[present]).mean())

    def fitted(self, images: LabelledImages, config: proof.TrainConfig, member: int = 0) -> float:
        """Balanced accuracy of a classifier that is trained on `images`."""
        seed = derived_seed(self.seed, "classifier", member)
        return self.accuracy(proof.fit(images, config, seed=seed, device=self.device))

    @cached_property
    def without(self) -> dict[tuple[int, int, int], float]:
        """Accuracies of classifiers trained on real images alone, by (steps, batch, member)."""
        return {}


def gan_train(judge: Judge, synthesizer: Synthesizer, settings: RunSettings) -> float:
    """Balanced accuracy on held-out images of a classifier trained on generated images alone (Shmelkov et al. 2018)."""
    train, present = judge.train, np.flatnonzero(judge.train.counts)
    each = -(-min(len(train), LARGEST) // len(present))
    rows = np.concatenate([np.resize(np.flatnonzero(train.labels == c), each) for c in present])
    condition = settings.train.condition
    images = judge.drawn(synthesizer, generation.table(train.take(rows), condition), settings)
    return judge.fitted(images, _config(settings)) if len(images) else 0.0


def kernel_distance(judge: Judge, synthesizer: Synthesizer, settings: RunSettings) -> float:
    """Kernel distance (KID) between generated and held-out images, with the features of the run's classifier."""
    conditions = judge.held.conditions(settings.train.condition)
    rows = np.resize(np.arange(len(conditions)), min(LARGEST, max(500, len(conditions))))
    drawn = synthesizer.sample(
        conditions[rows], seed=derived_seed(judge.seed, "images"), truncation=settings.generate.truncation
    )
    fake, real = (judge.features.extract(images) for images in (drawn.images, judge.held.images))
    return float(metrics.kid(fake, real, features="", preprocessing="", seed=judge.seed).value)


def uplift(judge: Judge, synthesizer: Synthesizer, settings: RunSettings) -> float:
    """Balanced accuracy on held-out images with the generated images minus that without, averaged over paired classifiers."""
    strategy, condition, train = settings.generate.sampling_strategy, settings.train.condition, judge.train
    amounts = generation.amounts(train, "tail" if strategy == "auto" else strategy, condition).numbers
    images = judge.drawn(synthesizer, amounts, settings)
    plain, differences = _config(settings, augment=policy("classical", flips=judge.flips)), []
    shown = {"synthetic": (np.asarray(images.images), images.labels), "ratio": settings.prove.ratios[-1]}
    for member in range(PAIRS):
        key = (plain.steps, plain.batch, member)
        if key not in judge.without:
            judge.without[key] = judge.fitted(train, plain, member)
        with_images = (
            judge.fitted(train, _config(settings, augment=plain.augment, **shown), member)
            if len(images)
            else judge.without[key]
        )
        differences.append(with_images - judge.without[key])
    return float(np.mean(differences))


def _config(settings: RunSettings, **more: Any) -> proof.TrainConfig:
    return proof.TrainConfig(steps=settings.prove.steps, batch=settings.prove.batch, balanced=True, **more)


@dataclass(frozen=True)
class Objective:
    """One objective: its name in words, the function that computes it, and whether more is better."""

    title: str
    measure: Callable[[Judge, Synthesizer, RunSettings], float]
    higher: bool


OBJECTIVES = {
    "gan_train": Objective("accuracy on validation of a classifier trained on generated images alone", gan_train, True),
    "kid": Objective("kernel distance to the validation images", kernel_distance, False),
    "uplift": Objective("gain of accuracy on validation through the images", uplift, True),
}
"""Name -> objective. None of them reads the test split."""
