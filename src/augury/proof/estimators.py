"""Estimators of scikit-learn, fitted to the images that a network would be trained on."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from augury.errors import SettingsError, TrainingError
from augury.proof.batch_sampler import BatchSampler
from augury.proof.smote import Table
from augury.proof.train_config import TrainConfig
from augury.randomness import rng, torch_seed

Floats = npt.NDArray[np.float64]
MOST = 4096
"""Most images that are drawn when images are mixed or the estimator accepts no weights."""


def fitted(estimator: Any, table: Table, config: TrainConfig, seed: int, features: npt.NDArray[np.float32]) -> Floats:
    """Fit a copy of the estimator, and predict class probabilities float64 [N, K] of `features` [N, D].

    The copy is fitted once to each image in the batches of all steps, weighted by how often the image is shown. An image
    with soft targets appears once for each class. An estimator that accepts no weights is fitted to MOST images drawn with
    these weights, with replacement.

    Raises TrainingError when it returns NaN or infinity, SettingsError when it does not return a probability of each class.
    """
    from sklearn.base import clone

    x, targets, weights = _shown(BatchSampler(table, config, seed), config)
    rows, classes = np.nonzero(targets)
    weights = weights[rows] * targets[rows, classes]
    copied = clone(estimator)
    drawing = [name for name in copied.get_params() if name.endswith("random_state")]
    copied.set_params(**dict.fromkeys(drawing, torch_seed(seed, "estimator") % 2**32))
    keyword = _weighing(copied)
    if keyword:
        copied.fit(x[rows], classes, **{keyword: weights * len(weights) / weights.sum()})
    else:
        again = rng(seed, "estimator").choice(len(rows), MOST, p=weights / weights.sum())
        copied.fit(x[rows[again]], classes[again])
    predictions = np.zeros((len(features), targets.shape[1]))
    estimates = _class_probabilities(copied, features)
    predictions[:, copied.classes_] = estimates
    if not np.isfinite(predictions).all():
        raise TrainingError(
            f"{type(estimator).__name__} gives no number for {int((~np.isfinite(predictions)).any(1).sum())} of {len(predictions)} images; "
            "check its settings"
        )
    return predictions


def _class_probabilities(estimator: Any, features: npt.NDArray[np.float32]) -> Any:
    """Probabilities [N, number of classes in the fit] that the fitted estimator predicts for features [N, D].

    Raises SettingsError for another shape.
    """
    name = type(estimator).__name__
    if not hasattr(estimator, "classes_"):
        raise SettingsError(
            f"{name} does not report the classes of its fit; let its fit set classes_, as scikit-learn's do"
        )
    estimates, shape = np.asarray(estimator.predict_proba(features)), (len(features), len(estimator.classes_))
    if estimates.shape != shape:
        raise SettingsError(
            f"for {shape[0]} images of {shape[1]} classes predict_proba of {name} gives "
            f"{list(estimates.shape)}; it must give a probability of each class for each image, in the order of classes_"
        )
    return estimates


def _shown(sampler: BatchSampler, config: TrainConfig) -> tuple[npt.NDArray[np.float32], Floats, Floats]:
    """(features [M, D], targets [M, K], weights [M]) of all images shown. Each image appears once; mixed images all differ."""
    if config.mix:
        batches = [sampler.draw(step) for step in range(min(config.steps, -(-MOST // config.batch)))]
        mixed = [
            sampler.mixed(torch.from_numpy(b.images), torch.from_numpy(b.targets), step)
            for step, b in enumerate(batches)
        ]
        x, targets = (np.concatenate([each[i].numpy() for each in mixed]) for i in (0, 1))
        return x, targets.astype(np.float64), np.concatenate([b.weights for b in batches]).astype(np.float64)
    drawn = [(b.rows, b.targets, b.weights) for b in map(sampler.draw, range(config.steps))]
    rows, targets, weights = (np.concatenate([each[i] for each in drawn]) for i in range(3))
    at, first, again = np.unique(rows, return_index=True, return_inverse=True)
    x, real = np.empty((len(at), *sampler.train.images.shape[1:]), np.float32), at < len(sampler.train.labels)
    x[real] = sampler.train.images[at[real]]
    if config.synthetic is not None:
        x[~real] = config.synthetic[0][at[~real] - len(sampler.train.labels)]
    counted: Floats = np.bincount(again, weights.astype(np.float64), len(at)).astype(np.float64)
    return x, targets[first].astype(np.float64), counted


def _weighing(estimator: Any) -> str:
    """Keyword of `fit` for image weights, in a pipeline that of its last step; "" if there is none."""
    steps = getattr(estimator, "steps", None)
    last, prefix = (steps[-1][1], f"{steps[-1][0]}__") if steps else (estimator, "")
    return f"{prefix}sample_weight" if "sample_weight" in inspect.signature(last.fit).parameters else ""
