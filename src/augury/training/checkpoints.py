"""The training state on disk: one safetensors file with a checksum, replaced atomically."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from augury.errors import RunFolderError
from augury.files import atomic_path
from augury.training.train_state import finite

CHECKSUM = "sha256"
"""Name of the checksum among the facts of a file."""


def save(path: Path, tensors: dict[str, torch.Tensor], facts: dict[str, str]) -> None:
    """Write `tensors` and `facts` (step, key of the plan), atomically, with the checksum that `load` compares."""
    stored = {k: v.cpu().contiguous().clone() for k, v in tensors.items()}
    with atomic_path(path) as temporary:
        save_file(stored, temporary, metadata={**facts, CHECKSUM: checksum(stored, facts)})


def checksum(tensors: Mapping[str, torch.Tensor], facts: Mapping[str, str]) -> str:
    """SHA-256 over names, types, shapes and bytes of contiguous CPU tensors, and over the facts."""
    sha = hashlib.sha256(repr(sorted((k, v) for k, v in facts.items() if k != CHECKSUM)).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        sha.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def newest(folder: Path, key: str | None = None) -> tuple[dict[str, torch.Tensor], dict[str, str]] | None:
    """(tensors, facts) of the newest readable checkpoint in `folder` whose numbers are all finite.

    With a `key`, only checkpoints of that plan count. Returns None without such a checkpoint. Raises RunFolderError when
    there are checkpoints but none can be read.
    """
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
    """The checkpoints in a training folder, oldest first."""
    return sorted(folder.glob("checkpoint-*.safetensors"))


def load(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """(tensors on CPU, facts) of a file written by `save`; RunFolderError when it is damaged."""
    tensors, facts = read(path)
    if facts.pop(CHECKSUM, "") != checksum(tensors, facts):
        raise RunFolderError(f"{path}: damaged (its checksum differs); delete it and run the same command again")
    return tensors, facts


def read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """(tensors on CPU, metadata) of any safetensors file; RunFolderError when it cannot be read."""
    try:
        with safe_open(path, framework="pt") as file:
            return {k: file.get_tensor(k) for k in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise RunFolderError(f"{path}: damaged ({error}); delete it and run the same command again") from error
