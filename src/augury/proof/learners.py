"""The learners of a trial, by name or as an object."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from augury.errors import MissingExtraError, SettingsError
from augury.images import Images, LabelledImages
from augury.metrics import extractor, in_bf16, lite0
from augury.metrics.lite0 import SIDE
from augury.networks import Backbone, Classifier, ResNet, lite0_installed
from augury.proof.adaptation import adapted
from augury.proof.classifiers import Build, fit, fit_many, probabilities, stackable
from augury.proof.finetune import PretrainedBuild, pretrained_build
from augury.proof.on_features import OnFeatures
from augury.proof.train_config import TrainConfig
from augury.proof.user_network import names_function, source_of, user_network
from augury.proof.views import Views
from augury.settings import AUTO
from augury.training import PretrainedBackbone, choose_precision


@dataclass(frozen=True)
class Network:
    """`build` (channels, classes) -> a network on images [N, C, H, W] in [-1, 1], trained by `fit_many`."""

    build: Build
    device: torch.device
    precision: str = "fp32"
    way: str = "auto"

    def refusal(self, config: TrainConfig) -> str:
        """Why this config cannot be used; "" if it can."""
        last = config.smote == "features" or config.objective == "adversarial" or config.initialisation
        known = stackable(self.build) or isinstance(self.build, PretrainedBuild)
        return "has no known last layer" if last and not known else ""

    @property
    def unstorable(self) -> str:
        """Why a trained classifier cannot be stored; "" if it can."""
        return ""

    @property
    def blueprint(self) -> dict[str, Any]:
        """Plain JSON that `augury.prediction.networks.rebuild` builds an untrained network from."""
        return blueprint(self.build)

    def trained(self, train: LabelledImages, config: TrainConfig, seed: int) -> nn.Module:
        """Train one network, images [N, C, H, W] in [-1, 1] -> logits [N, K]."""
        network: nn.Module = fit(
            train, config, seed=seed, device=self.device, build=self.build, precision=self.precision
        )
        return network

    def predicted(
        self, trains: Sequence[LabelledImages], config: TrainConfig, seeds: Sequence[int], images: Images
    ) -> Iterator[npt.NDArray[np.float64]]:
        """Yield class probabilities float64 [N, K] of `images` for the classifier of each seed, as soon as available.

        Of pretrained networks, which are large, only as many are in memory at a time as there are threads.
        """
        together = max(1, torch.get_num_threads() if isinstance(self.build, PretrainedBuild) else len(seeds))
        for at in range(0, len(seeds), together):
            part = slice(at, at + together)
            yield from fit_many(
                trains[part],
                config,
                seeds=seeds[part],
                device=self.device,
                then=lambda model: probabilities(model, images),
                build=self.build,
                precision=self.precision,
                way=self.way,
            )


@dataclass(frozen=True)
class Adapted:
    """A network of `build`, adapted to another domain by a `method` of `adaptation.adapted`.

    It is trained on labelled images. `target` holds unlabelled images of the domain, uint8 [M, C, H, W].
    """

    build: Build
    device: torch.device
    target: Images
    method: str

    def refusal(self, config: TrainConfig) -> str:
        """Why this config cannot be used; "" if it can."""
        return ""

    @property
    def unstorable(self) -> str:
        """Why a trained classifier cannot be stored; "" if it can."""
        return ""

    @property
    def blueprint(self) -> dict[str, Any]:
        """Plain JSON that `augury.prediction.networks.rebuild` builds an untrained network from."""
        return blueprint(self.build)

    def trained(self, train: LabelledImages, config: TrainConfig, seed: int) -> nn.Module:
        """Train one network, images [N, C, H, W] in [-1, 1] -> logits [N, K]."""
        return adapted(train, self.target, config, method=self.method, seed=seed, device=self.device, build=self.build)

    def predicted(
        self, trains: Sequence[LabelledImages], config: TrainConfig, seeds: Sequence[int], images: Images
    ) -> Iterator[npt.NDArray[np.float64]]:
        """Yield class probabilities float64 [N, K] of `images` for the classifier of each seed, as soon as available."""
        for train, seed in zip(trains, seeds, strict=True):
            yield probabilities(self.trained(train, config, seed), images)


@dataclass(frozen=True)
class Copies:
    """Builds copies of a network with its weights; the numbers of channels and classes are those of the network."""

    network: nn.Module

    def __call__(self, channels: int, classes: int) -> nn.Module:
        """A copy of the network."""
        return copy.deepcopy(self.network)


def blueprint(build: Build) -> dict[str, Any]:
    """Plain JSON that describes the networks of `build`: a name of NETWORKS, a discriminator's layers, or a builder.

    A builder of the user's is described by its import path. It is for the user to read; nothing imports it.
    """
    name = next((name for name, known in NETWORKS.items() if known is build), None)
    if name is not None:
        return {"kind": "network", "name": name}
    if isinstance(build, PretrainedBuild):
        return build.blueprint
    if isinstance(build, PretrainedBackbone):
        shape = list(build.shape)
        return {"kind": "discriminator", "network": build.network, "settings": build.settings, "shape": shape}
    named: Any = type(build.network) if isinstance(build, Copies) else build
    named = named if hasattr(named, "__qualname__") else type(named)
    return {"kind": "builder", "builder": f"{named.__module__}:{named.__qualname__}"}


Learner = Network | OnFeatures | Adapted


def _forest() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(100)


def _neighbours() -> Any:
    from augury.proof.neighbours import WeightedNeighbours

    return WeightedNeighbours(5)


NETWORKS: dict[str, Build] = {"cnn": Classifier, "resnet": ResNet}
ESTIMATORS: dict[str, Callable[[], Any]] = {"forest": _forest, "neighbours": _neighbours}
LITE0_LEAST = 128
"""Smaller images are enlarged to this many pixels for Lite0."""
CLASSIFIERS = (*NETWORKS, "finetune", "linear_probe", *ESTIMATORS)
"""Names of classifiers.

"finetune:NAME" takes a name of `augury.networks.BACKBONES`, by default lite0. The classifiers after it use features:
"linear_probe:FEATURES" with a name of `augury.metrics.EXTRACTORS`."""


def learner(classifier: Any, shape: tuple[int, int, int], device: torch.device, precision: str = "auto") -> Learner:
    """The learner for images of `shape` (C, H, W).

    `classifier` is one of these:

    - a name of CLASSIFIERS
    - a name of the form "package.module:function", for such a function
    - a function or class (channels, classes) -> network
    - a network, copied with its weights for each training
    - a pretrained `Backbone`, fine-tuned with a new last layer
    - an estimator of scikit-learn, fitted to features
    - a Learner itself

    `precision` "auto" is bf16 on a GPU with bf16 units, else fp32. Raises SettingsError for anything else.
    """
    if isinstance(classifier, Learner):
        return classifier
    if precision == "auto":
        precision = choose_precision(device) if device.type == "cuda" else "fp32"
    if isinstance(classifier, Backbone):
        return Network(PretrainedBuild(classifier, shape), device, precision)
    if isinstance(classifier, nn.Module):
        return Network(Copies(classifier), device, precision)
    if hasattr(classifier, "fit") and not isinstance(classifier, type):
        if not hasattr(classifier, "predict_proba"):
            raise SettingsError(
                f"{type(classifier).__name__} gives no probabilities; wrap it in sklearn.calibration.CalibratedClassifierCV"
            )
        return OnFeatures(views("", shape, device), device, classifier)
    if callable(classifier):
        return Network(classifier, device, precision)
    name, _, option = str(classifier).partition(":")
    if name not in CLASSIFIERS and names_function(str(classifier)):
        return Network(user_network(str(classifier), shape), device, precision)
    if name not in CLASSIFIERS or (option and name in NETWORKS):
        raise SettingsError(
            f"there is no classifier '{classifier}'; choose among: {', '.join(CLASSIFIERS)}; finetune also with a pretrained "
            "network, such as finetune:timm:NAME; those after it with features, such as linear_probe:pixels; or name a "
            "function of your own as package.module:function"
        )
    if name in NETWORKS:
        return Network(NETWORKS[name], device, precision)
    if name == "finetune":
        return Network(pretrained_build(option or "lite0", shape), device, precision)
    try:
        estimator = ESTIMATORS[name]() if name in ESTIMATORS else None
    except ImportError as error:
        raise MissingExtraError(
            f"the classifier '{name}' needs scikit-learn; install it with: pip install 'augury[sklearn]', or use cnn"
        ) from error
    return OnFeatures(views(option, shape, device), device, estimator)


def features_of(classifier: str) -> str:
    """Name the features that a classifier uses.

    Parameters
    ----------
    classifier
        A name of CLASSIFIERS, such as "linear_probe" or "linear_probe:pixels", or of the user's own function.

    Returns
    -------
    str
        A name of augury.metrics.EXTRACTORS, or "" for a classifier on images.
    """
    name, _, features = classifier.partition(":")
    on_features = name in ("linear_probe", *ESTIMATORS)
    return (features or ("lite0" if lite0_installed() else "pixels")) if on_features else ""


def code_of(classifier: str) -> str:
    """Text that decides what a classifier is, apart from its name and Augury: "" for most.

    Parameters
    ----------
    classifier
        A name, as for `learner`.

    Returns
    -------
    str
        The source of the module of a user's function, the SHA-256 of a file of weights, or the features that are used.
    """
    name, _, option = classifier.partition(":")
    if classifier == AUTO:
        return "lite0" if lite0_installed() else ""
    if name not in CLASSIFIERS:
        return source_of(classifier) if names_function(classifier) else ""
    file = Path(option.partition("=")[2])
    if name == "finetune":
        return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
    return features_of(classifier)


def views(features: str, shape: tuple[int, int, int], device: torch.device) -> Views:
    """The features of this name, as a trial on images of `shape` (C, H, W) computes them; "" means the default ones."""
    name = features_of(f"linear_probe:{features}")
    if name != "lite0":
        return Views(extractor(name, shape, device))
    network = lite0(device, longest=lite0_side(shape))
    return Views(in_bf16(network, device) if choose_precision(device) == "bf16" else network)


def lite0_side(shape: tuple[int, int, int]) -> int:
    """The longer side in px at which Lite0 sees images of `shape` (C, H, W) in a trial: their own, from 128 to 224.

    Measured on flowers with a linear layer on 800 train images: balanced accuracy on validation .69 at 64 px, .73 at 128,
    .74 at 224, which takes five times as long as 128.
    """
    return min(max(*shape[1:], LITE0_LEAST), SIDE)
