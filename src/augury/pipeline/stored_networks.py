"""Networks that judge translations, of columns and of groups: trained once, then stored in the run folder."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import torch

from augury import generation, proof, training
from augury.data.cells import Cells
from augury.files import read_json, write_json
from augury.images import LabelledImages
from augury.networks import Classifier
from augury.training import checkpoints


def current(files: Path, key: str) -> bool:
    """Whether the folder holds the networks with this key."""
    return (files / "done").exists() and bool(read_json(files / "done")["key"] == key)


def column_classifiers(
    files: Path,
    key: str,
    train: LabelledImages,
    condition: tuple[str, ...],
    table: Cells,
    *,
    seed: int,
    device: torch.device,
    flips: bool,
) -> list[list[Classifier]]:
    """Stored classifiers of the class and of each attribute of the condition, or new ones, which are then stored.

    Parameters
    ----------
    files
        The folder of the networks.
    key
        Identifies what decides their weights.
    train, condition, table, seed, device, flips
        As for `proof.column_classifiers`.
    """
    columns = range(1 + len(condition))
    names = [[files / f"{column}-{member}.safetensors" for member in range(proof.MEMBERS)] for column in columns]
    if not current(files, key):
        classifiers = proof.column_classifiers(train, condition, table, seed=seed, device=device, flips=flips)
        _store(files, key, chain(*names), chain(*classifiers))
    return [
        [_loaded(name, Classifier(train.shape[0], len(values)), device) for name in of_column]
        for of_column, (_, values) in zip(names, table.columns, strict=True)
    ]


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
        _store(files, key, names, networks)
    loaded = [_loaded(name, Classifier(train.shape[0], proof.DIMENSION), device) for name in names]
    return generation.Identity(train, condition, folds, lambda images, fold: proof.embedded(loaded, images, fold), seed)


def _store(files: Path, key: str, names: Iterable[Path], networks: Iterable[Classifier]) -> None:
    """Write the weights, and then the key, so that a folder counts only where all of them are complete."""
    for name, network in zip(names, networks, strict=True):
        checkpoints.save(name, network.state_dict(), {})
    write_json(files / "done", {"key": key})


def _loaded(file: Path, network: Classifier, device: torch.device) -> Classifier:
    """The network with the stored weights, for evaluation."""
    network.load_state_dict(checkpoints.load(file)[0])
    return training.placed(network, device).eval().requires_grad_(False)
