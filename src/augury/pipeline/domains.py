"""Two domains, the second without labels: only its images have the second value of the attribute `domain`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from augury import proof
from augury.augment import policy
from augury.data.cells import LEAST
from augury.data.decoding.label_encoding import pixel_digest
from augury.data.target import TargetImages
from augury.errors import DataError, SettingsError
from augury.files import digest
from augury.images import Attribute, Codes, Images, LabelledImages, SyntheticImages
from augury.settings import RunSettings

DOMAIN = "domain"
"""The attribute that separates the domains."""
DOMAINS = ("source", "target")
"""Its values: of the labelled images, and of the target images."""
LABELLER = "mean_teacher"
"""The method of `augury.proof.adapted` that gives target images pseudo-labels for the translator's discriminator."""
JUDGE = "adabn+pseudo_labels+pseudo_labels+adabn"
"""The method whose classifier judges translations. It is trained apart from the labeller, with another seed."""
STEPS = 400
"""Training steps of both."""
AGREED = "It agrees with the pseudo-labels of {:.0%} of the real target images."
"""Accuracy of the judge, estimated without a target label."""


def settings_for_target(settings: RunSettings) -> RunSettings:
    """The settings of a run with `data.target`: a translator that changes the domain and never the class.

    Raises SettingsError for settings that contradict this.
    """
    if settings.data.target is None:
        return settings
    train = settings.train
    refusals = [
        (train.recipe not in ("auto", "translator"), f"recipe {train.recipe}", "images are translated into the other domain"),
        (train.condition not in ((), (DOMAIN,)), f"condition={','.join(train.condition)}", "the domain is the attribute"),
        (train.overrides.get("class_moves", False), "class_moves=true", "only the domain is changed"),
        (settings.data.fold is not None, "--folds", "the test images are the labelled ones of the target"),
        (settings.prove.resample != "none", f"prove.resample={settings.prove.resample}", "translations belong to their sources"),
    ]  # fmt: skip
    for wrong, name, why in refusals:
        if wrong:
            raise SettingsError(f"{name} does not go with a target (--target): {why}; leave it out")
    overrides = {**train.overrides, "class_moves": False}
    chosen = train.model_copy(update={"recipe": "translator", "condition": (DOMAIN,), "overrides": overrides})
    return settings.model_copy(update={"train": chosen})


def in_domain(images: LabelledImages, value: str) -> LabelledImages:
    """The images with the attribute `domain`, all of one value."""
    codes = np.full(len(images), DOMAINS.index(value), np.int64)
    return replace(images, attributes={**images.attributes, DOMAIN: Attribute(codes, DOMAINS)})


def with_target(train: LabelledImages, target: Images, labels: Codes) -> LabelledImages:
    """Labelled train images of the source, followed by target images uint8 [M, C, H, W] with pseudo-labels int64 [M].

    All attributes but `domain` are dropped, because those of the target images are unknown.
    """
    domain = np.repeat(np.arange(2, dtype=np.int64), [len(train), len(target)])
    return LabelledImages(
        np.concatenate([np.asarray(train.images[:]), target]),
        np.concatenate([train.labels, labels]),
        train.classes,
        {DOMAIN: Attribute(domain, DOMAINS)},
        fingerprint=digest([train.fingerprint, pixel_digest(target), labels.tolist()]),
        notes=train.notes,
    )


def stand_in(data: LabelledImages, target: Images) -> LabelledImages:
    """`with_target` before pseudo-labels exist: each class has enough images. Only for checks of settings."""
    labels = np.repeat(np.arange(len(data.classes), dtype=np.int64), LEAST)
    return with_target(data, target[np.resize(np.arange(len(target)), len(labels))], labels)


def check_pseudo_labels(labels: Codes, train: LabelledImages) -> None:
    """Raises DataError unless some class has enough labelled images and enough target images with its pseudo-label."""
    counts = np.bincount(labels, minlength=len(train.classes))
    if not ((counts >= LEAST) & (train.counts >= LEAST)).any():
        raise DataError(
            f"no class has {LEAST} labelled images and {LEAST} target images: of the {len(labels)} target images at most {int(counts.max())} "
            f"get the pseudo-label of one class, and the largest class has {int(train.counts.max())} labelled images; give more images"
        )


def refuse_domain_attribute(data: LabelledImages) -> None:
    """Raises DataError where the data have an attribute called `domain`."""
    if DOMAIN in data.attributes:
        raise DataError(f"the data already have an attribute called '{DOMAIN}'; rename it, or leave --target out")


def target_splits(splits: dict[str, LabelledImages], target: TargetImages) -> dict[str, LabelledImages]:
    """The splits of a run with a target.

    All labelled source images train, except those for validation. The labelled target images are the test split; without any
    it is empty. Raises DataError where a class has no labelled target image, because its test would say nothing.
    """
    train = proof.joined(splits["train"], splits["test"])
    test = target.test if target.test is not None else splits["test"].take(np.empty(0, np.int64))
    lacking = [name for name, count in zip(test.classes, test.counts.tolist(), strict=True) if not count]
    if len(test) and lacking:
        raise DataError(
            f"{len(lacking)} of {len(test.classes)} classes have no labelled target image for the test, such as '{lacking[0]}'; "
            "label some of each class, or give the target images without labels"
        )
    test = replace(test, attributes={}, split=None, names=test.names if len(test) else ())
    return {
        "train": in_domain(train, "source"),
        "validation": in_domain(splits["validation"], "source"),
        "test": in_domain(test, "target"),
    }


def config(flips: bool) -> proof.TrainConfig:
    """Training configuration of the target classifiers."""
    return proof.TrainConfig(steps=STEPS, balanced=True, augment=policy("randaugment", flips=flips))


def target_classifier(
    train: LabelledImages, target: Images, method: str, *, seed: int, flips: bool, device: torch.device
) -> nn.Module:
    """A classifier for target images, trained without their labels."""
    return proof.adapted(train, target, config(flips), method=method, seed=seed, device=device)


@dataclass(frozen=True)
class TargetLabels:
    """Pseudo-labels int64 [M] of the target images, and `mix`, the estimated share of each class."""

    labels: Codes
    mix: npt.NDArray[np.float64]

    def lines(self, classes: tuple[str, ...], source: Codes) -> list[str]:
        """Lines that show the estimated class mix beside that of the `source` counts."""
        shares = source / max(int(source.sum()), 1)
        width = max(map(len, classes))
        return [
            f"{name.ljust(width)}  labelled {share:6.1%}   target, estimated {mix:6.1%}"
            for name, share, mix in zip(classes, shares, self.mix, strict=True)
        ]


def label_target(classifier: nn.Module, target: Images) -> TargetLabels:
    """Pseudo-labels and class mix of target images, from a classifier that was adapted to them."""
    p = proof.probabilities(classifier, target)
    return TargetLabels(p.argmax(1).astype(np.int64), proof.class_mix(p))


def classes_kept_by_target(
    judge: nn.Module, synthetic: SyntheticImages, target: Images, labels: Codes
) -> proof.KeptClasses:
    """How many translations show the class of their source to an independent judge.

    The judge took no part in the translator's training. Its accuracy is estimated by its agreement with the pseudo-labels of
    real target images, class by class: two classifiers of the target that were trained separately. The limit is a share of
    that accuracy.
    """
    agreed = proof.probabilities(judge, target).argmax(1) == labels
    recognised = float(np.mean([agreed[labels == c].mean() for c in np.unique(labels)]))
    p = proof.probabilities(judge, synthetic.images)
    limit = proof.limit_for(recognised)
    return proof.kept_classes(synthetic.labels, p, synthetic.classes, limit=limit, judge=recognised, known=AGREED)


def describe_target(target: TargetImages, labelled: TargetLabels | None = None) -> dict[str, Any]:
    """What a run records of its target, as plain JSON values."""
    test = 0 if target.test is None else len(target.test)
    facts: dict[str, Any] = {"images": len(target.images), "test": test, "notes": list(target.notes)}
    return facts | ({} if labelled is None else {"class_mix": labelled.mix.tolist()})


def target_digest(target: TargetImages) -> str:
    """Digest that identifies these target images."""
    test = target.test
    return digest(
        [pixel_digest(target.images), *([] if test is None else [pixel_digest(test.images), test.labels.tolist()])]
    )
