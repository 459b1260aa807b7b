"""Beginning with the weights of another training instead of random ones."""

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
"""What a weight under spectral norm is called."""


def source(start: str) -> Path:
    """The synthesizer's folder that `start`, a run folder or that folder itself, names."""
    folder = synthesizer_folder(start)
    if not (folder / "card.json").exists():
        raise RunFolderError(
            f"{start}: no synthesizer to start from (no card.json); give a run folder, or its synthesizer"
        )
    return folder


def fingerprint(start: str) -> str:
    """A digest of the weights that `start` names: the generator's, and its partner's where there are any."""
    found = hashlib.sha256((source(start) / "weights.safetensors").read_bytes())
    for file in checkpoints.files(Path(start) / "train")[-1:]:
        found.update(file.read_bytes())
    return found.hexdigest()[:16]


@torch.no_grad()
def transfer(
    start: str, networks: tuple[nn.Module, ...], network: str, data: LabelledImages, condition: tuple[str, ...]
) -> None:
    """Give generator and partner the weights of `start` wherever name and shape agree; the partner's come from the last
    checkpoint of a run folder, where there is one. What is known of a class or attribute value goes to that of the same
    name; a new one begins at the mean of those there are.

    Raises RunFolderError when there is no synthesizer, and SettingsError when it is of another network or image shape, or fits
    by less than half of its weights.
    """
    card, weights = read_json(source(start) / "card.json"), checkpoints.load(source(start) / "weights.safetensors")[0]
    if card["network"] != network or tuple(card["shape"]) != data.shape:
        there, here = "×".join(map(str, card["shape"])), "×".join(map(str, data.shape))
        raise SettingsError(
            f"--start-from {start}: a {card['network']} of {there} images (channels, height, width), but this training is a "
            f"{network} of {here}; use a recipe of that network and --size {card['shape'][1]}x{card['shape'][2]}"
        )
    known = {"label": card["classes"], **dict(zip(card["condition_names"], card["condition_values"], strict=True))}
    columns = {"label": data.classes, **{name: data.attributes[name].values for name in condition}}
    states = [weights]
    if found := checkpoints.newest(Path(start) / "train"):
        states += [{k.split(".", 1)[1]: v for k, v in found[0].items() if k.startswith(("discriminator.", "encoder."))}]
    for which, (module, state) in enumerate(zip(networks, states, strict=False)):
        taken, total = _fill(module, state, known, columns)
        if not which and taken < total / 2:
            raise SettingsError(
                f"--start-from {start}: only {taken:,} of {total:,} weights of the generator have a counterpart there; its network "
                f"has the settings {card['settings']}: give the same with --set train.overrides"
            )


def _fill(
    module: nn.Module, state: dict[str, torch.Tensor], known: dict[str, Any], columns: dict[str, tuple[str, ...]]
) -> tuple[int, int]:
    """(weights taken over, weights there are)."""
    named, taken, total = list(columns.items()), 0, 0
    tables: dict[str, int] = {}
    for name, part in module.named_modules():
        if isinstance(part, ConditionEmbedding):
            tables |= {f"{name}.tables.{i}.weight": i for i in range(len(part.tables))}
        elif isinstance(part, AuxiliaryHead):
            kinds = ("weight", "bias", SPECTRAL)
            tables |= {f"{name}.classes.{i}.{kind}": i for i in range(len(part.classes)) for kind in kinds}
    ramped = {f"{name}.strength" for name, part in module.named_modules() if isinstance(part, ConditionEmbedding)}
    for name, tensor in module.state_dict().items():
        total += tensor.numel()
        if name in ramped:  # how far that training had come with conditioning late
            continue
        if name in tables:
            attribute, values = named[tables[name]]
            rows = _table(state, name, known, attribute)
            if rows and next(iter(rows.values())).shape == tensor.shape[1:]:
                usual = torch.stack(list(rows.values())).mean(0)
                tensor.copy_(torch.stack([rows.get(value, usual) for value in values]))
                taken += tensor.numel()
        elif name in state and state[name].shape == tensor.shape:
            tensor.copy_(state[name])
            taken += tensor.numel()
    return taken, total


def _table(state: dict[str, torch.Tensor], name: str, known: dict[str, Any], attribute: str) -> dict[str, torch.Tensor]:
    """Value -> what the other training knows of this value of the attribute; empty when it did not have it."""
    if attribute not in known:
        return {}
    stem, index, kind = (
        (*name.removesuffix(f".{SPECTRAL}").rsplit(".", 1), SPECTRAL)
        if name.endswith(SPECTRAL)
        else name.rsplit(".", 2)
    )
    assert index.isdigit(), "a part for each column of the condition"
    table = state.get(f"{stem}.{list(known).index(attribute)}.{kind}")
    return {} if table is None else dict(zip(known[attribute], table, strict=True))
