"""Classifiers on the features of images: a linear layer, or an estimator of scikit-learn."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from augury.images import Images, LabelledImages
from augury.networks.classifier import side_by_side
from augury.proof.classifiers import fit, fit_many, probabilities
from augury.proof.estimators import Floats, fitted
from augury.proof.smote import Table, smoted
from augury.proof.train_config import TrainConfig
from augury.proof.views import VIEWS, Views


class Linear(nn.Module):
    """Features [N, D] -> logits [N, K]: batch norm without weights, then a linear layer.

    This is the probe of He et al. 2022, appendix A.1. With `copies` S, [N, S·D] -> [N, S, K].
    """

    def __init__(self, dimension: int, classes: int, copies: int = 1) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(copies * dimension, affine=False)
        self.last, self.copies = nn.Linear(dimension, copies * classes), copies

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """features [N, D] -> logits [N, K]."""
        return side_by_side(self.last, self.norm(features), self.copies)


class FeatureClassifier(nn.Module):
    """Images [N, C, H, W] in [-1, 1] -> logits [N, K]: a network that computes features, and a linear layer on them."""

    def __init__(self, backbone: nn.Module, head: Linear) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    @property
    def last(self) -> nn.Linear:
        """The last layer."""
        return self.head.last

    def last_inputs(self, images: torch.Tensor) -> torch.Tensor:
        """Images [N, C, H, W] in [-1, 1] -> the input of the last layer: normalised features [N, D]."""
        normalised: torch.Tensor = self.head.norm(self.backbone(images))
        return normalised

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """images [N, C, H, W] in [-1, 1] -> logits [N, K]."""
        logits: torch.Tensor = self.last(self.last_inputs(images))
        return logits


@dataclass(frozen=True)
class OnFeatures:
    """A classifier on the features of images.

    It is a linear layer trained like a network, or an `estimator` of scikit-learn fitted to the same images. Augmentation
    consists of `VIEWS` augmented copies of each image.
    """

    views: Views
    device: torch.device
    estimator: Any = None

    def refusal(self, config: TrainConfig) -> str:
        """Why this config cannot be used; "" if it can."""
        if config.mix == "cutmix":
            return "sees features, and CutMix takes a box of pixels"
        if config.objective in ("adversarial", "consistency", "fixmatch") or config.initialisation:
            return "sees features, and this arm trains what makes them"
        if self.estimator is not None and (config.loss != "cross_entropy" or config.objective):
            return "has a loss of its own"
        if self.estimator is not None and config.averaging:
            return "is fitted without steps, so there are no weights to average"
        if self.estimator is not None and config.schedule == "first":
            return "is fitted to all images at once, in no order"
        return ""

    @property
    def unstorable(self) -> str:
        """Why a trained classifier cannot be stored; "" if it can."""
        if self.estimator is not None:
            return f"{type(self.estimator).__name__} is an estimator of scikit-learn and no network"
        if self.views.features.network is None:
            return f"the features '{self.views.features.name}' are not computed by a network that can be stored"
        return ""

    @property
    def blueprint(self) -> dict[str, Any]:
        """Plain JSON that `augury.prediction.networks.rebuild` builds an untrained network from."""
        features = self.views.features
        return {"kind": "features", "features": features.name, "dimension": features.dimension}

    def trained(self, train: LabelledImages, config: TrainConfig, seed: int) -> nn.Module:
        """Train the linear layer on the features; returns the whole network, images [N, C, H, W] in [-1, 1] -> logits [N, K]."""
        assert self.views.features.network is not None and self.estimator is None, "unstorable was not asked"
        own = self._on_features(config)
        head = fit(self._table(train, config, seed), own, seed=seed, device=self.device, build=Linear)
        return FeatureClassifier(copy.deepcopy(self.views.features.network), head).eval().requires_grad_(False)

    def predicted(
        self, trains: Sequence[LabelledImages], config: TrainConfig, seeds: Sequence[int], images: Images
    ) -> Iterator[Floats]:
        """Yield class probabilities float64 [N, K] of `images` for the classifier of each seed."""
        test_features, own = self.views.extract(images), self._on_features(config)
        tables = [self._table(train, config, seed) for train, seed in zip(trains, seeds, strict=True)]
        if self.estimator is not None:
            for table, seed in zip(tables, seeds, strict=True):
                yield fitted(self.estimator, table, own, seed, test_features)
            return
        yield from fit_many(
            tables,
            own,
            seeds=seeds,
            device=self.device,
            then=lambda model: probabilities(model, test_features),
            build=Linear,
        )

    def _on_features(self, config: TrainConfig) -> TrainConfig:
        """The config of the linear layer, with features in place of images and augmented copies in place of augmentation."""
        augment = config.augment
        own = replace(config, augment=None, smote="")
        if config.cells is not None:
            own = replace(own, cells=np.tile(config.cells, 1 if augment is None else 1 + VIEWS))
        if config.synthetic is not None:
            synthetic_features = self.views.extract(config.synthetic[0], augment)
            times, soft = 1 if augment is None else 1 + VIEWS, config.synthetic_targets
            synthetic = (synthetic_features, np.tile(config.synthetic[1], times))
            own = replace(
                own, synthetic=synthetic, synthetic_targets=None if soft is None else np.tile(soft, (times, 1))
            )
        return own

    def _table(self, train: LabelledImages, config: TrainConfig, seed: int) -> Table:
        """The features to train on, with SMOTE on the pixels or on the features."""
        shown = smoted(train, seed) if config.smote == "inputs" else train
        features = self.views.extract(shown.images, config.augment)
        table = Table(features, np.resize(shown.labels, len(features)), train.classes)
        return smoted(table, seed) if config.smote == "features" else table
