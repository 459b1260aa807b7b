"""The run's own classifier as an extractor; its features describe the classes of the data alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from scipy import special

from augury.errors import ScoreError
from augury.metrics.check import Features, Floats
from augury.metrics.features import Extractor, from_network
from augury.networks import Classifier
from augury.networks.weights import tensors

FILE = "classifier.safetensors"
"""Its name in a run folder."""
HOW = "value / 127.5 - 1"


def of_classifier(model: Classifier, device: str | torch.device = "cpu") -> Extractor:
    """The pooled last maps of a classifier, float32 [N, 4·width].

    Parameters
    ----------
    model : Classifier
        The classifier.
    device : str or torch.device
        Where it runs.

    Returns
    -------
    Extractor
        Named "classifier".
    """
    return from_network("classifier", model, HOW, device, model.features, dimension=model.dimension)


def opinions(model: Classifier, device: str | torch.device = "cpu") -> Extractor:
    """The logits of a classifier as features, float32 [N, K], with its class probabilities as head.

    Used for an Inception Score by this classifier.

    Parameters
    ----------
    model : Classifier
        The classifier.
    device : str or torch.device
        Where it runs.

    Returns
    -------
    Extractor
        Named "classifier".
    """

    def probabilities(logits: Features) -> Floats:
        return np.asarray(special.softmax(np.asarray(logits, np.float64), axis=1), np.float64)

    classes = model.last.out_features
    return from_network("classifier", model, f"{HOW}; logits", device, dimension=classes, head=probabilities)


def of_run(folder: Path, device: str | torch.device = "cpu", channels: int | None = None) -> Extractor:
    """`of_classifier` of a run folder, for images of `channels`. Raises ScoreError when the classifier is missing or
    damaged.
    """
    return of_classifier(classifier_of_run(folder, channels), device)


def classifier_of_run(folder: Path, channels: int | None = None) -> Classifier:
    """The classifier in a run folder, for images of `channels`; raises ScoreError as `of_run` does."""
    named, _ = tensors(folder / FILE)
    try:
        seen, classes = int(named["convolutions.0.weight"].shape[1]), len(named["last.bias"])
        model = Classifier(seen, classes, len(named["norms.0.weight"]))
        model.load_state_dict(named)
    except (KeyError, IndexError, RuntimeError) as error:
        raise ScoreError(
            f"{folder / FILE}: these are not the weights of a run's classifier; give a run folder"
        ) from error
    if channels not in (None, seen):
        raise ScoreError(
            f"{folder}: its classifier sees {seen} channels, but these images have {channels}; use other features"
        )
    return model.eval().requires_grad_(False)
