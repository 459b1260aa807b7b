"""Initialise networks with the weights of another training."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

from augury.errors import RunFolderError, SettingsError
from augury.files import read_json
from augury.images import LabelledImages
from augury.networks import AuxiliaryHead, ConditionEmbedding
from augury.training import checkpoints
from augury.training.synthesizer import synthesizer_folder

SPECTRAL = "parametrizations.weight.original"
"""Name of a weight under spectral norm."""


def source(start: str) -> Path:
    """The synthesizer's folder of `start`, which is a run folder or that folder itself."""
    folder = synthesizer_folder(start)
    if not (folder / "card.json").exists():
        raise RunFolderError(
            f"{start}: no synthesizer to start from (no card.json); give a run folder, or its synthesizer"
        )
    return folder


def fingerprint(start: str) -> str:
    """Digest of the weights of a training to start from.

    Parameters
    ----------
    start
        A run folder, or its synthesizer.

    Returns
    -------
    A digest of the generator's weights, and of its partner's where a checkpoint exists.

    Raises
    ------
    RunFolderError
        When there is no synthesizer.
    """
    sha = hashlib.sha256((source(start) / "weights.safetensors").read_bytes())
    for file in checkpoints.files(Path(start) / "train")[-1:]:
        sha.update(file.read_bytes())
    return sha.hexdigest()[:16]


@torch.no_grad()
def transfer(
    start: str, networks: tuple[nn.Module, ...], network: str, data: LabelledImages, condition: tuple[str, ...]
) -> None:
    """Copy the weights of `start` to generator and partner wherever name and shape agree.

    The partner's weights come from the last checkpoint of a run folder, where there is one. Rows of a class or attribute
    value are copied by name. A new value starts at the mean of the existing ones.

    Raises RunFolderError when there is no synthesizer. Raises SettingsError when its network or image shape differs, or
    when fewer than half of its weights fit.
    """
    card, weights = read_json(source(start) / "card.json"), checkpoints.read(source(start) / "weights.safetensors")[0]
    if card["network"] != network or tuple(card["shape"]) != data.shape:
        theirs, ours = "×".join(map(str, card["shape"])), "×".join(map(str, data.shape))
        raise SettingsError(
            f"--start-from {start}: a {card['network']} of {theirs} images (channels, height, width), but this training is a "
            f"{network} of {ours}; use a recipe of that network and --size {card['shape'][1]}x{card['shape'][2]}"
        )
    trained_columns = {
        "label": card["classes"],
        **dict(zip(card["condition_names"], card["condition_values"], strict=True)),
    }
    columns = {"label": data.classes, **{name: data.attributes[name].values for name in condition}}
    states = [weights]
    if partner := checkpoints.newest(Path(start) / "train"):
        states += [
            {k.split(".", 1)[1]: v for k, v in partner[0].items() if k.startswith(("discriminator.", "encoder."))}
        ]
    for which, (module, state) in enumerate(zip(networks, states, strict=False)):
        taken, total = _fill(module, state, trained_columns, columns)
        if not which and taken < total / 2:
            raise SettingsError(
                f"--start-from {start}: only {taken:,} of {total:,} weights of the generator have a counterpart there; its network "
                f"has the settings {card['settings']}: give the same with --set train.overrides"
            )


def _fill(
    module: nn.Module,
    state: dict[str, torch.Tensor],
    trained_columns: dict[str, Any],
    columns: dict[str, tuple[str, ...]],
) -> tuple[int, int]:
    """(number of weights copied, number of weights in total)."""
    named, taken, total = list(columns.items()), 0, 0
    tables: dict[str, int] = {}
    for name, submodule in module.named_modules():
        if isinstance(submodule, ConditionEmbedding):
            tables |= {f"{name}.tables.{i}.weight": i for i in range(len(submodule.tables))}
        elif isinstance(submodule, AuxiliaryHead):
            kinds = ("weight", "bias", SPECTRAL)
            tables |= {f"{name}.classes.{i}.{kind}": i for i in range(len(submodule.classes)) for kind in kinds}
    ramped = {
        f"{name}.strength" for name, submodule in module.named_modules() if isinstance(submodule, ConditionEmbedding)
    }
    for name, tensor in module.state_dict().items():
        total += tensor.numel()
        if name in ramped:  # the progress of that training's late conditioning
            continue
        if name in tables:
            attribute, values = named[tables[name]]
            rows = _table(state, name, trained_columns, attribute)
            if rows and next(iter(rows.values())).shape == tensor.shape[1:]:
                usual = torch.stack(list(rows.values())).mean(0)
                tensor.copy_(torch.stack([rows.get(value, usual) for value in values]))
                taken += tensor.numel()
        elif name in state and state[name].shape == tensor.shape:
            tensor.copy_(state[name])
            taken += tensor.numel()
    return taken, total


def _table(
    state: dict[str, torch.Tensor], name: str, trained_columns: dict[str, Any], attribute: str
) -> dict[str, torch.Tensor]:
    """Value -> its weights in the other training; empty when that training did not have the attribute."""
    if attribute not in trained_columns:
        return {}
    stem, index, kind = (
        (*name.removesuffix(f".{SPECTRAL}").rsplit(".", 1), SPECTRAL)
        if name.endswith(SPECTRAL)
        else name.rsplit(".", 2)
    )
    assert index.isdigit(), "a part for each column of the condition"
    table = state.get(f"{stem}.{list(trained_columns).index(attribute)}.{kind}")
    return {} if table is None else dict(zip(trained_columns[attribute], table, strict=True))
