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
    """Features [N, D] -> logits [N, K]: a linear layer behind a batch norm without weights (as He et al. 2022, appendix
    A.1, probe). With `copies` S, [N, S·D] -> [N, S, K]."""

    def __init__(self, dimension: int, classes: int, copies: int = 1) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(copies * dimension, affine=False)
        self.last, self.copies = nn.Linear(dimension, copies * classes), copies

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """features [N, D] -> logits [N, K]."""
        return side_by_side(self.last, self.norm(features), self.copies)


@dataclass(frozen=True)
class OnFeatures:
    """A classifier on the features of images: a linear layer taught as networks are, or an `estimator` of scikit-learn,
    fitted to what a network would have been shown. Augmentation is `VIEWS` changed copies of each image."""

    views: Views
    device: torch.device
    estimator: Any = None

    def refusal(self, config: TrainConfig) -> str:
        """Why it cannot be taught so; "" when it can."""
        if config.mix == "cutmix":
            return "sees features, and CutMix takes a box of pixels"
        if config.objective in ("adversarial", "consistency"):
            return "sees features, and this arm trains what makes them"
        if self.estimator is not None and (config.loss != "cross_entropy" or config.objective):
            return "has a loss of its own"
        if self.estimator is not None and config.schedule == "first":
            return "is fitted to all images at once, in no order"
        return ""

    def predicted(
        self, trains: Sequence[LabelledImages], config: TrainConfig, seeds: Sequence[int], images: Images
    ) -> Iterator[Floats]:
        """Class probabilities float64 [N, K] of `images` by the classifier of each seed."""
        asked, augment = self.views.extract(images), config.augment
        own = replace(config, augment=None, smote="")
        if config.cells is not None:
            own = replace(own, cells=np.tile(config.cells, 1 if augment is None else 1 + VIEWS))
        if config.synthetic is not None:
            found = self.views.extract(config.synthetic[0], augment)
            times, soft = 1 if augment is None else 1 + VIEWS, config.synthetic_targets
            given = (found, np.tile(config.synthetic[1], times))
            own = replace(own, synthetic=given, synthetic_targets=None if soft is None else np.tile(soft, (times, 1)))
        tables = [self._table(train, config, seed) for train, seed in zip(trains, seeds, strict=True)]
        if self.estimator is not None:
            for table, seed in zip(tables, seeds, strict=True):
                yield fitted(self.estimator, table, own, seed, asked)
            return
        yield from fit_many(
            tables,
            own,
            seeds=seeds,
            device=self.device,
            then=lambda model: probabilities(model, asked),
            build=Linear,
        )

    def _table(self, train: LabelledImages, config: TrainConfig, seed: int) -> Table:
        """The features to teach from, with what SMOTE makes of the pixels or of the features."""
        shown = smoted(train, seed) if config.smote == "inputs" else train
        found = self.views.extract(shown.images, config.augment)
        table = Table(found, np.resize(shown.labels, len(found)), train.classes)
        return smoted(table, seed) if config.smote == "features" else table
