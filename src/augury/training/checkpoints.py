"""The state of training on disk: one safetensors file, replaced whole."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from augury.errors import RunFolderError
from augury.files import atomic_path
from augury.training.train_state import finite


def save(path: Path, tensors: dict[str, torch.Tensor], facts: dict[str, str]) -> None:
    """Write `tensors` and the `facts` beside them (step, key of the plan), atomically."""
    with atomic_path(path) as temporary:
        save_file({k: v.cpu().contiguous().clone() for k, v in tensors.items()}, temporary, metadata=facts)


def newest(folder: Path, key: str | None = None) -> tuple[dict[str, torch.Tensor], dict[str, str]] | None:
    """(tensors, facts) of the newest checkpoint in `folder` (of the plan with this `key`) that can be read and whose numbers
    are all finite; None if there is none. Raises RunFolderError when none of those there can be read."""
    damaged, read = None, False
    for file in reversed(files(folder)):
        try:
            tensors, facts = load(file)
        except RunFolderError as error:
            damaged = error
            continue
        read = True
        if key in (None, facts.get("key")) and finite(tensors):
            return tensors, facts
    if damaged is not None and not read:
        raise damaged
    return None


def files(folder: Path) -> list[Path]:
    """The checkpoints in a training's folder, the oldest first."""
    return sorted(folder.glob("checkpoint-*.safetensors"))


def load(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """(tensors on CPU, facts) of a file written by `save`; RunFolderError when it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            return {k: file.get_tensor(k) for k in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise RunFolderError(f"{path}: damaged ({error}); delete it and run the same command again") from error
