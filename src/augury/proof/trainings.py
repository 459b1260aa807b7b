"""The trainings of a trial: each runs once, and its measures are stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import nn

from augury.augment import policy
from augury.errors import SettingsError
from augury.images import Codes, Images, LabelledImages, SyntheticImages
from augury.proof import composition
from augury.proof.arms import ARMS, AUGMENTATIONS, CHOSEN, NOISE, OWN, UNLABELLED, Arm, augmentations, usual_arms
from augury.proof.auto_classifier import presumed
from augury.proof.cells import Holes
from augury.proof.checks import obstacle, refuse_arm
from augury.proof.colour_matching import joined
from augury.proof.composition import Composition
from augury.proof.cost import CHOICE_SEEDS, SEARCH_SEEDS
from augury.proof.learners import Adapted, Learner, Network, learner
from augury.proof.measures import VALIDATION, Floats, measures
from augury.proof.operating_point import OperatingPoint, operating_point, primary
from augury.proof.resampling import resampled
from augury.proof.train_config import TrainConfig
from augury.randomness import derived_seed, rng
from augury.settings import ProveSettings
from augury.stored import Joined
from augury.training import ALONE, PretrainedBackbone, World

SEARCH_RATIO = 0.25
"""Synthetic images per real image while rate and decay are chosen. The ratio is chosen afterwards."""
LAYERS_RATE = 1 / 3
"""Factor of the learning rate for a discriminator's layers, so that training preserves what they have learnt."""


@dataclass(frozen=True)
class FinalNetwork:
    """A trained network, images [N, C, H, W] in [-1, 1] -> logits [N, K].

    `blueprint` is plain JSON from which an untrained network of this kind is built. `images` counts the labelled images that it
    was trained on, without those that `config` adds.
    """

    network: nn.Module
    blueprint: dict[str, Any]
    config: TrainConfig
    images: int
    precision: str


NO_HOLES = "the trial names no attribute with empty cells"


@dataclass
class Trainings:
    """State that all trainings of one trial share.

    Attributes
    ----------
    synthetic
        The images to judge: (uint8 [M, C, H, W], labels int64 [M]).
    results
        The measures of each training by name, so that an interrupted trial can resume.
    validation
        Chooses learning rate and weight decay when the settings give several.
    targets
        Source -> class probabilities float [M, K] that replace the labels of its images.
    extra
        Source -> images of another generator with their labels.
    classifier
        Replaces the name in the settings; see `learner`.
    layers
        The discriminator's layers, or the reason why there are none.
    holes
        The empty cells that the trial studies, or the reason why it studies none.
    images_by_source
        Source -> its synthetic images with their conditions and sources.
    target
        Unlabelled images of the tested domain, uint8 [M, C, H, W], if that is another domain.
    unlabelled
        All images without labels, uint8 [U, C, H, W]; None: those with a confident class, in `extra`.
    seed
        Seed of the trial, from which those of the trainings are drawn.
    world
        The processes that share the trainings of each arm, with the same results in all of them.
    """

    train: LabelledImages
    synthetic: tuple[Images, Codes] | None
    settings: ProveSettings
    flips: bool
    device: torch.device
    results: MutableMapping[str, Any]
    on_result: Callable[[int, str], None]
    done: int = 0
    validation: LabelledImages | None = None
    targets: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, tuple[Images, Codes]] = field(default_factory=dict)
    classifier: Any = None
    layers: PretrainedBackbone | str = "none was given"
    arms: Mapping[str, Arm] = field(default_factory=lambda: ARMS)
    holes: Holes | str = NO_HOLES
    images_by_source: Mapping[str, SyntheticImages] = field(default_factory=dict)
    target: Images | None = None
    unlabelled: Images | None = None
    seed: int = 0
    world: World = ALONE
    _composed: dict[str, Composition] = field(default_factory=dict, init=False)
    _choices: dict[str, tuple[float, float]] = field(default_factory=dict, init=False)

    @cached_property
    def learner(self) -> Learner:
        """What arms train by default. Raises SettingsError for an unknown classifier."""
        chosen = presumed(self.settings) if self.classifier is None else self.classifier
        return learner(chosen, self.train.shape, self.device, self.settings.precision)

    @cached_property
    def point(self) -> OperatingPoint | None:
        """Where the metric is measured; None for balanced accuracy. Raises SettingsError for an unknown metric."""
        return operating_point(self.settings.metric, self.train.classes)

    @cached_property
    def _pretrained(self) -> Learner:
        """A linear layer on ImageNet features, shared by all arms because it caches the features of each image."""
        return learner("linear_probe:lite0", self.train.shape, self.device)

    @cached_property
    def _grid(self) -> list[tuple[float, float]]:
        return list(product(self.settings.learning_rates, self.settings.weight_decays))

    def select(self, names: Sequence[str]) -> tuple[str, ...]:
        """The arms of these names; "all" and "usual" stand for all of these arms that can be trained here.

        Raises SettingsError for an unknown name, and for an arm that this classifier or these images do not allow. Several
        rates or decays without a validation split raise it too.
        """
        if len(self._grid) > 1 and self.validation is None:
            raise SettingsError(
                f"{len(self._grid)} pairs of learning rate and weight decay are given, but no validation split to choose on; give one of each"
            )
        usual = usual_arms(holes=isinstance(self.holes, Holes), target=self.target is not None)
        selected: list[str] = []
        for name in names:
            if name in ("all", "usual"):
                meant = self.arms if name == "all" else usual
                selected += [each for each in meant if not self._obstacle(each)]
            elif name not in self.arms:
                raise SettingsError(f"there is no arm '{name}'; choose among: all, usual, {', '.join(self.arms)}")
            else:
                refuse_arm(name, self._obstacle(name))
                selected.append(name)
        return tuple(dict.fromkeys(selected))

    def of_further_sources(self) -> tuple[str, ...]:
        """The arms that show images of a further source, such as those without labels, and can be trained here."""
        return tuple(name for name, arm in self.arms.items() if arm.source in self.extra and not self._obstacle(name))

    def _obstacle(self, name: str) -> str:
        """Why an arm cannot be trained here, and how to fix it; "" if it can."""
        arm, layers = self.arms[name], self.layers
        if arm.network and not isinstance(layers, str) and not layers.fits(self.train.shape):
            mine, theirs = list(self.train.shape), list(layers.shape)
            return f"its layers were trained on images [C, H, W] {theirs}, and these images are {mine}; give layers of a run with such images"
        why = self.holes if isinstance(self.holes, str) else ""
        without_layers = layers if isinstance(layers, str) else ""
        if reason := obstacle(arm, self.extra, without_layers, self.learner, why, self.target is not None):
            return reason
        if isinstance(self.holes, str):
            return ""
        if arm.cells:
            return composition.obstacle(arm, self.train, self._generated_images(arm), self.holes)
        if arm.shows and arm.ratio is None:
            return "it shows a number of images chosen on validation, which has no image of an empty cell; use filled"
        return ""

    def _generated_images(self, arm: Arm) -> SyntheticImages | None:
        """The generated images that an arm for holes shows. Without a generator, the images whose plan it follows."""
        return self.images_by_source.get(arm.source or OWN)

    def composed(self, name: str) -> Composition:
        """Training images of an arm for holes; only the latest composition is cached."""
        if name not in self._composed:
            assert isinstance(self.holes, Holes), "select() was not asked"
            self._composed.clear()
            self._composed[name] = composition.compose(
                self.arms[name], self.train, self._generated_images(self.arms[name]), self.holes
            )
        return self._composed[name]

    def _fitted(self, name: str) -> Learner:
        """The learner of this arm."""
        arm, usual = self.arms[name], self.learner
        if arm.method:
            assert isinstance(usual, Network) and self.target is not None, "select() was not asked"
            return Adapted(usual.build, self.device, self.target, arm.method)
        if arm.pretrained:
            return self._pretrained
        if not arm.network:
            return usual
        assert isinstance(self.layers, PretrainedBackbone), "select() was not asked"
        precision = usual.precision if isinstance(usual, Network) else "fp32"
        return Network(replace(self.layers, random_init=not arm.trained_weights), self.device, precision)

    def has(self, name: str) -> bool:
        """Whether the source of this arm has any image."""
        return (images := self._source(self.arms[name].source)) is not None and len(images[0]) > 0

    def measured(
        self, prefix: str, arm: str, ratio: float, seeds: Sequence[int], part: LabelledImages
    ) -> list[dict[str, Any]]:
        """Measure one classifier of the arm for each seed on `part`.

        The name of a result is `prefix`/seed. Seeds without a result are trained together. On another part than
        validation, `validation` of the measures is the metric of the same network on the validation split.
        """
        rate, decay = self._chosen(arm)
        return self._measured(prefix, arm, self.config(arm, ratio, rate, decay), seeds, part)

    def _measured(
        self, prefix: str, arm: str, config: TrainConfig, seeds: Sequence[int], part: LabelledImages
    ) -> list[dict[str, Any]]:
        lacking = [seed for seed in seeds if f"{prefix}/{seed}" not in self.results]
        own = lacking[self.world.rank :: self.world.size]
        trains = [self.train_part(arm, seed) for seed in own]
        also = None if part is self.validation else self.validation
        images: Any = part.images if also is None else Joined(part.images, also.images)
        ready = self._fitted(arm).predicted(trains, config, own, images) if own else iter(())
        for seed in seeds:
            name = f"{prefix}/{seed}"
            if seed in lacking and seed not in own:
                continue
            if name not in self.results:
                p = next(ready)
                self.results[name] = self._measures(part.labels, p[: len(part)], also, p[len(part) :])
            self.done += 1
            self.on_result(self.done, name)
        of_others = self._of_other_processes({f"{prefix}/{seed}" for seed in own}) if lacking else {}
        for name, measured in of_others.items():
            self.results[name] = measured
            self.done += 1
            self.on_result(self.done, name)
        return [self.results[f"{prefix}/{seed}"] for seed in seeds]

    def _of_other_processes(self, own: set[str]) -> dict[str, Any]:
        """The results of the other processes, in exchange for those of this one."""
        every = self.world.shared({name: self.results[name] for name in own}) if self.world.size > 1 else {}
        return {name: measured for name, measured in every.items() if name not in own}

    def _measures(
        self, labels: Codes, p: Floats, validation: LabelledImages | None, p_validation: Floats
    ) -> dict[str, Any]:
        """Measures of one network, those at the operating point included. Without `validation`, the images are of that split."""
        measured = measures(labels, p)
        truth = labels if validation is None else validation.labels
        chooses = p if validation is None else p_validation
        point, threshold = self.point, 0.0
        if point is not None:
            threshold = point.threshold(truth, chooses)
            measured |= point.at(threshold, labels, p)
        if validation is not None:
            measured[VALIDATION] = primary(
                measures(truth, chooses) if point is None else point.at(threshold, truth, chooses)
            )
        return measured

    def trained(self, arm: str, ratio: float, seed: int) -> FinalNetwork:
        """Train one classifier of the arm on the whole train split, without resampling.

        Raises SettingsError when the arm's classifier is no network.
        """
        rate, decay = self._chosen(arm)
        config, fitted = self.config(arm, ratio, rate, decay), self._fitted(arm)
        if fitted.unstorable:
            raise SettingsError(f"the classifier of the arm {arm} cannot be stored: {fitted.unstorable}")
        composed = self.arms[arm].cells or self.arms[arm].method
        train = self.train_part(arm, seed) if composed else self.train
        network, precision = fitted.trained(train, config, seed), getattr(fitted, "precision", "fp32")
        return FinalNetwork(network, fitted.blueprint, config, len(train), precision)

    def unstorable(self, arm: str) -> str:
        """Why the classifier of an arm cannot be stored; "" if it can."""
        return self._fitted(arm).unstorable

    def train_part(self, arm: str, seed: int) -> LabelledImages:
        """The train images of this seed, and the images that the arm pools with them."""
        if self.arms[arm].cells:
            return self.composed(arm).train
        if self.arms[arm].method:
            return self._pooled(arm)
        return resampled(self.train, self.settings.resample, seed)

    def _pooled(self, arm: str) -> LabelledImages:
        """The train images, and the images of the arm's source as if they were real."""
        source = self._source(self.arms[arm].source)
        if source is None:
            return self.train
        shown = LabelledImages(source[0], source[1], self.train.classes, fingerprint=f"{self.train.fingerprint}, {arm}")
        return joined(self.train, shown)

    def _chosen(self, arm: str) -> tuple[float, float]:
        """(rate, decay) with the highest value of the metric on validation. The search is the same for every arm."""
        if len(self._grid) == 1:
            return self._grid[0]
        if arm in self._choices:
            return self._choices[arm]
        assert self.validation is not None, "select() was not asked"
        means, seeds = [], [derived_seed(self.seed, "search", i) for i in range(SEARCH_SEEDS)]
        for rate, decay in self._grid:
            name = f"search/{arm}, rate {rate:g}, decay {decay:g}"
            results = self._measured(name, arm, self.config(arm, SEARCH_RATIO, rate, decay), seeds, self.validation)
            means.append(float(np.mean([primary(each) for each in results])))
        self._choices[arm] = self._grid[int(np.argmax(means))]
        return self._choices[arm]

    def config(self, name: str, ratio: float, rate: float, decay: float) -> TrainConfig:
        """The training config of this arm."""
        arm = self.arms[name]
        matches = arm.objective == "fixmatch"
        source = None if arm.cells or arm.method or matches else self._source(arm.source)
        augment = self.augmentation if arm.augment == CHOSEN else arm.augment
        return TrainConfig(
            steps=self.settings.steps,
            batch=self.settings.batch,
            rate=rate * LAYERS_RATE if arm.network else rate,
            decay=decay,
            augment=None if augment == "none" else policy(augment, flips=self.flips),
            unlabelled=self._unlabelled if matches else None,
            synthetic=source,
            synthetic_targets=None if source is None else self.targets.get(arm.source),
            ratio=0.0 if source is None else ratio if arm.ratio is None else arm.ratio,
            **arm.config(),
            **(self._of_cells(name) if arm.cells else {}),
        )

    @property
    def augmentation(self) -> str:
        """The augmentation of arms that add images: of those that the trial compares with, the best on validation.

        Each is trained without these images, with the first learning rate and decay.
        """
        curve = self.augmentation_curve
        if curve:
            return max(curve, key=lambda name: float(np.mean(curve[name])))
        return (augmentations(self.settings.arms) or AUGMENTATIONS)[0]

    @cached_property
    def augmentation_curve(self) -> dict[str, list[float]]:
        """The metric on validation by augmentation, a value for each seed; empty where there is no choice."""
        candidates = augmentations(self.settings.arms)
        if self.validation is None or len(candidates) < 2:
            return {}
        seeds = [derived_seed(self.seed, "augmentation", i) for i in range(CHOICE_SEEDS)]
        return {
            name: [
                primary(each)
                for each in self._measured(
                    f"augmentation/{name}", name, self.config(name, 0.0, *self._grid[0]), seeds, self.validation
                )
            ]
            for name in candidates
        }

    @property
    def _unlabelled(self) -> Images:
        """All images without labels, whether or not a classifier is confident of their class."""
        return self.unlabelled if self.unlabelled is not None else self.extra[UNLABELLED][0]

    def _of_cells(self, name: str) -> dict[str, Any]:
        """The arrays that a config for holes needs."""
        arm, composed = self.arms[name], self.composed(name)
        return {
            "cells": composed.cells if arm.by_cell else None,
            "attributes": composed.attributes if arm.objective == "adversarial" else None,
            "pairs": composed.pairs if arm.objective == "consistency" else None,
        }

    def _source(self, name: str) -> tuple[Images, Codes] | None:
        if name == NOISE:
            return self._noise
        return self.synthetic if name == OWN else self.extra[name] if name else None

    @cached_property
    def _noise(self) -> tuple[Images, Codes]:
        """Uniform noise: as many images as the train split has, classes equally often."""
        shape = (len(self.train), *self.train.shape)
        labels = np.resize(np.flatnonzero(self.train.counts), len(self.train)).astype(np.int64)
        return rng(0, "noise images").integers(0, 256, shape, dtype=np.uint8), labels
