"""Classifiers on the features of images: a linear layer, or an estimator of scikit-learn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from augury.images import Images, LabelledImages
from augury.networks.classifier import side_by_side
from augury.proof.classifiers import fit_many, probabilities
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

    def predicted(
        self, trains: Sequence[LabelledImages], config: TrainConfig, seeds: Sequence[int], images: Images
    ) -> Iterator[Floats]:
        """Yield class probabilities float64 [N, K] of `images` for the classifier of each seed."""
        test_features, augment = self.views.extract(images), config.augment
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

    def _table(self, train: LabelledImages, config: TrainConfig, seed: int) -> Table:
        """The features to train on, with SMOTE on the pixels or on the features."""
        shown = smoted(train, seed) if config.smote == "inputs" else train
        features = self.views.extract(shown.images, config.augment)
        table = Table(features, np.resize(shown.labels, len(features)), train.classes)
        return smoted(table, seed) if config.smote == "features" else table
