"""Networks that tell groups apart: trained once, then stored in the run folder."""

from __future__ import annotations

from pathlib import Path

import torch

from augury import generation, proof, training
from augury.files import read_json, write_json
from augury.images import LabelledImages
from augury.networks import Classifier
from augury.training import checkpoints


def current(files: Path, key: str) -> bool:
    """Whether the folder holds the networks with this key."""
    return (files / "done").exists() and bool(read_json(files / "done")["key"] == key)


def identity(
    files: Path,
    key: str,
    train: LabelledImages,
    condition: tuple[str, ...],
    *,
    seed: int,
    device: torch.device,
    flips: bool,
) -> generation.Identity:
    """The score of the filter "identity", by stored networks or by new ones, which are then stored.

    Parameters
    ----------
    files
        The folder of the networks.
    key
        Identifies what decides their weights.
    train, condition, seed, device, flips
        As for `proof.identity_networks`.
    """
    assert train.groups is not None, "images without groups have no identity"
    folds = generation.group_folds(train.groups, seed)
    names = [files / f"fold-{fold}.safetensors" for fold in range(generation.FOLDS)]
    if not current(files, key):
        networks = proof.identity_networks(train, condition, folds, seed=seed, device=device, flips=flips)
        for name, network in zip(names, networks, strict=True):
            checkpoints.save(name, network.state_dict(), {})
        write_json(files / "done", {"key": key})
    loaded = []
    for name in names:
        network = Classifier(train.shape[0], proof.DIMENSION)
        network.load_state_dict(checkpoints.load(name)[0])
        loaded.append(training.placed(network, device).eval().requires_grad_(False))
    return generation.Identity(train, condition, folds, lambda images, fold: proof.embedded(loaded, images, fold), seed)
