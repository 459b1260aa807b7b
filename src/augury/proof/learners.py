"""What is trained in a trial, by name or as an object."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from augury.errors import MissingExtraError, SettingsError
from augury.images import Images, LabelledImages
from augury.metrics import extractor, lite0_installed
from augury.networks import Classifier, ResNet
from augury.proof.adaptation import adapted
from augury.proof.classifiers import Build, fit_many, probabilities, stackable
from augury.proof.on_features import OnFeatures
from augury.proof.train_config import TrainConfig
from augury.proof.views import Views
from augury.training import choose_precision


@dataclass(frozen=True)
class Network:
    """`build` (channels, classes) -> a network on images [N, C, H, W] in [-1, 1], trained as `teach_each` says."""

    build: Build
    device: torch.device
    precision: str = "fp32"
    way: str = "auto"

    def refusal(self, config: TrainConfig) -> str:
        """Why it cannot be taught so; "" when it can."""
        last = config.smote == "features" or config.objective == "adversarial"
        return "has no known last layer" if last and not stackable(self.build) else ""

    def predicted(
        self, trains: Sequence[LabelledImages], config: TrainConfig, seeds: Sequence[int], images: Images
    ) -> Iterator[npt.NDArray[np.float64]]:
        """Class probabilities float64 [N, K] of `images` by the classifier of each seed, each as soon as it is there."""
        return fit_many(
            trains,
            config,
            seeds=seeds,
            device=self.device,
            then=lambda model: probabilities(model, images),
            build=self.build,
            precision=self.precision,
            way=self.way,
        )


@dataclass(frozen=True)
class Adapted:
    """A network of `build`, trained on labelled images for the domain of the unlabelled images `target` uint8 [M, C, H, W] by a
    `method` of `adaptation.adapted`."""

    build: Build
    device: torch.device
    target: Images
    method: str
    precision: str = "fp32"

    def refusal(self, config: TrainConfig) -> str:
        """Why it cannot be taught so; "" when it can."""
        return ""

    def predicted(
        self, trains: Sequence[LabelledImages], config: TrainConfig, seeds: Sequence[int], images: Images
    ) -> Iterator[npt.NDArray[np.float64]]:
        """Class probabilities float64 [N, K] of `images` by the classifier of each seed, each as soon as it is there."""
        for train, seed in zip(trains, seeds, strict=True):
            model = adapted(
                train, self.target, config, method=self.method, seed=seed, device=self.device, build=self.build
            )
            yield probabilities(model, images)


Learner = Network | OnFeatures | Adapted


def _forest() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(100)


def _neighbours() -> Any:
    from augury.proof.neighbours import WeightedNeighbours

    return WeightedNeighbours(5)


NETWORKS: dict[str, Build] = {"cnn": Classifier, "resnet": ResNet}
ESTIMATORS: dict[str, Callable[[], Any]] = {"forest": _forest, "neighbours": _neighbours}
CLASSIFIERS = (*NETWORKS, "probe", *ESTIMATORS)
"""Those after the networks take features: "probe:FEATURES" with a name of augury.metrics.EXTRACTORS."""


def learner(classifier: Any, shape: tuple[int, int, int], device: torch.device, precision: str = "auto") -> Learner:
    """What trains for images of `shape` (C, H, W): a name of CLASSIFIERS; a function or class (channels, classes) -> network;
    a network, copied with its weights for each training; an estimator of scikit-learn, on features; or a Learner itself.

    `precision` "auto" is bf16 where that is faster on a GPU, else fp32. Raises SettingsError for anything else.
    """
    if isinstance(classifier, Learner):
        return classifier
    if precision == "auto":
        precision = choose_precision(device) if device.type == "cuda" else "fp32"
    if isinstance(classifier, nn.Module):
        return Network(lambda channels, classes: copy.deepcopy(classifier), device, precision)
    if hasattr(classifier, "fit") and not isinstance(classifier, type):
        if not hasattr(classifier, "predict_proba"):
            raise SettingsError(
                f"{type(classifier).__name__} gives no probabilities; wrap it in sklearn.calibration.CalibratedClassifierCV"
            )
        return OnFeatures(_views("", shape, device), device, classifier)
    if callable(classifier):
        return Network(classifier, device, precision)
    name, _, features = str(classifier).partition(":")
    if name not in CLASSIFIERS or (features and name in NETWORKS):
        raise SettingsError(
            f"there is no classifier '{classifier}'; choose among: {', '.join(CLASSIFIERS)}; those after "
            f"{list(NETWORKS)[-1]} also with a name of features, such as probe:pixels"
        )
    if name in NETWORKS:
        return Network(NETWORKS[name], device, precision)
    try:
        estimator = ESTIMATORS[name]() if name in ESTIMATORS else None
    except ImportError as error:
        raise MissingExtraError(
            f"the classifier '{name}' needs scikit-learn; install it with: pip install 'augury[sklearn]', or use cnn"
        ) from error
    return OnFeatures(_views(features, shape, device), device, estimator)


def features_of(classifier: str) -> str:
    """The features that a classifier of this name is given, "" for one of images."""
    name, _, features = classifier.partition(":")
    return "" if name in NETWORKS else features or ("lite0" if lite0_installed() else "pixels")


def _views(features: str, shape: tuple[int, int, int], device: torch.device) -> Views:
    return Views(extractor(features_of(f"probe:{features}"), shape, device))
