"""The batch of each step, a function of (seed, step) alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from augury.augment import mixing
from augury.images import Codes
from augury.proof.train_config import Inputs, TrainConfig
from augury.randomness import rng, stream

Floats32 = npt.NDArray[np.float32]


class Labelled(Protocol):
    """Training data: LabelledImages, or a table of their features."""

    @property
    def images(self) -> Inputs:
        """[N, ...]."""
        ...

    @property
    def labels(self) -> Codes:
        """int64 [N]."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Their names."""
        ...


@dataclass(frozen=True)
class Batch:
    """One batch.

    Attributes
    ----------
    images
        [B, ...] as stored.
    targets
        float32 [B, K]; each row sums to 1.
    weights
        float32 [B], weight of each image in the loss.
    rows
        int64 [B], row of each image among the N real ones, or N + its row among the synthetic ones.
    """

    images: Inputs
    targets: Floats32
    weights: Floats32
    rows: Codes


@dataclass
class BatchSampler:
    """Draws the batches of one seed from its train images as the config says."""

    train: Labelled
    config: TrainConfig
    seed: int
    counts: Codes = field(init=False)

    def __post_init__(self) -> None:
        classes = len(self.train.classes)
        self.counts = np.bincount(self.train.labels, minlength=classes)
        self.present = np.flatnonzero(self.counts)
        self.order, self.begin = _by_class(self.train.labels, classes)
        config = self.config
        if config.cells is not None:
            self.cell_order, self.cell_begin = _by_class(config.cells, int(config.cells.max()) + 1)
            self.cells = np.flatnonzero(np.diff(self.cell_begin))
        self.targets = _smoothed(np.eye(classes, dtype=np.float32), config.smoothing)
        self.class_weights = np.ones(classes, np.float32)
        if config.class_weights:
            self.class_weights = (len(self.train.labels) / (classes * np.maximum(self.counts, 1))).astype(np.float32)
        if config.synthetic is not None:
            self.synthetic_order, self.synthetic_begin = _by_class(config.synthetic[1], classes)
            fitted = config.synthetic_targets
            soft = np.eye(classes, dtype=np.float32)[config.synthetic[1]] if fitted is None else fitted
            smoothing = config.smoothing if config.synthetic_smoothing is None else config.synthetic_smoothing
            self.synthetic_targets = _smoothed(np.asarray(soft, np.float32), smoothing)

    @property
    def shares(self) -> Floats32:
        """float32 [K], share of each class among the train images; an absent class counts as one image."""
        counts = np.maximum(self.counts, 1)
        return np.asarray(counts / counts.sum(), np.float32)

    def draw(self, step: int) -> Batch:
        """The batch of this step."""
        config = self.config
        random, batch, real = rng(self.seed, "lesson", step), config.batch, len(self.train.labels)
        if config.cells is not None:
            drawn = self.cells[random.integers(0, len(self.cells), batch)]
            rows = self.cell_order[_within(drawn, self.cell_begin, random)]
        elif config.balanced:
            drawn = self.present[random.integers(0, len(self.present), batch)]
            rows = self.order[_within(drawn, self.begin, random)]
        else:
            rows = random.integers(0, real, batch)
        images, labels = self.train.images[rows], self.train.labels[rows]
        targets, weights = self.targets[labels], self.class_weights[labels]
        share = config.share if config.schedule == "mixed" else float(step < round(config.share * config.steps))
        if config.synthetic is not None and share > 0:
            has_any = np.diff(self.synthetic_begin)[labels] > 0
            swap = np.flatnonzero((random.random(batch) < share) & has_any)
            picks = self.synthetic_order[_within(labels[swap], self.synthetic_begin, random)]
            images[swap], targets[swap] = config.synthetic[0][picks], self.synthetic_targets[picks]
            weights[swap] *= config.synthetic_weight
            rows[swap] = real + picks
        return Batch(images, targets, weights, rows)

    def mixed(self, images: Tensor, targets: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """The step's images float [B, C, H, W] (or features [B, D]) and targets [B, K] after mixing."""
        how = {"mixup": mixing.mixup, "cutmix": mixing.cutmix}[self.config.mix]
        wide = images.view(*images.shape, 1, 1) if images.ndim == 2 else images
        mixed, soft = how(wide, targets, stream(self.seed, "mixing", step))
        return mixed.view(images.shape), soft


def shown(samplers: Sequence[BatchSampler], step: int) -> tuple[Inputs, Tensor, Tensor, Codes]:
    """Join the batches of S samplers: (images [S·B, ...], targets float32 [S, B, K], weights float32 [S, B], rows int64 [S, B]).

    The weights of each sampler sum to 1.
    """
    drawn = [sampler.draw(step) for sampler in samplers]
    targets = torch.from_numpy(np.stack([each.targets for each in drawn]))
    weights = torch.from_numpy(np.stack([each.weights for each in drawn]))
    return (
        np.concatenate([each.images for each in drawn]),
        targets,
        weights / weights.sum(1, keepdim=True).clamp(min=1e-12),
        np.stack([each.rows for each in drawn]),
    )


def _smoothed(targets: Floats32, smoothing: float) -> Floats32:
    return np.asarray(targets * (1 - smoothing) + smoothing / targets.shape[1], np.float32)


def _by_class(labels: Codes, classes: int) -> tuple[Codes, Codes]:
    """(row numbers sorted by class, where each class begins [K + 1])."""
    counts = np.bincount(labels, minlength=classes)
    return np.argsort(labels, kind="stable"), np.concatenate([[0], np.cumsum(counts)])


def _within(labels: Codes, begin: Codes, random: np.random.Generator) -> Codes:
    """For each label, a position drawn uniformly among those of its class."""
    return begin[labels] + (random.random(len(labels)) * (begin[labels + 1] - begin[labels])).astype(np.int64)
