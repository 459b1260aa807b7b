"""The run's own classifier as an extractor: it knows the data's classes, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from scipy import special

from augury.errors import ScoreError
from augury.metrics.check import Features, Floats
from augury.metrics.features import Extractor, from_network
from augury.metrics.weights import tensors
from augury.networks import Classifier

FILE = "classifier.safetensors"
"""What a run folder calls it."""
HOW = "value / 127.5 - 1"


def of_classifier(model: Classifier, device: str | torch.device = "cpu") -> Extractor:
    """The means of the last maps, which it decides by: float32 [N, 4·width]."""
    return from_network("classifier", model, HOW, device, model.features, dimension=model.dimension)


def opinions(model: Classifier, device: str | torch.device = "cpu") -> Extractor:
    """Its logits float32 [N, K], with its class probabilities as head: for an Inception Score by this classifier."""

    def probabilities(logits: Features) -> Floats:
        return np.asarray(special.softmax(np.asarray(logits, np.float64), axis=1), np.float64)

    classes = model.last.out_features
    return from_network("classifier", model, f"{HOW}; logits", device, dimension=classes, head=probabilities)


def of_run(folder: Path, device: str | torch.device = "cpu", channels: int | None = None) -> Extractor:
    """`of_classifier` of a run folder, for images of `channels`. Raises ScoreError when there is none, or it is damaged."""
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
    return of_classifier(model.eval().requires_grad_(False), device)
