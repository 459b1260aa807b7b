"""The tensors of a weights file, and its SHA-256; nothing else is loaded."""

from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from augury.errors import WeightsError


def tensors(path: Path, sha256: str = "") -> tuple[dict[str, Tensor], str]:
    """(name -> tensor, SHA-256 of the file) of a safetensors file or a PyTorch state dict; nothing in it is executed.

    `sha256` is the required beginning of the file's SHA-256. Raises WeightsError when it differs (before anything is
    loaded), when the file cannot be read, or when it holds more than tensors.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: the weights cannot be read ({error}); give the path of a weights file") from error
    digest = hashlib.sha256(content).hexdigest()
    if not digest.startswith(sha256.lower()):
        raise WeightsError(
            f"{path}: SHA-256 is {digest[:12]}…, but should be {sha256[:12]}…; give the right file, or leave "
            "the checksum out if these are the weights that you want"
        )
    try:
        if path.suffix == ".safetensors":
            named = safetensors.torch.load(content)
        else:
            named = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, safetensors.SafetensorError) as error:
        raise WeightsError(
            f"{path}: this holds something else than tensors, which is not loaded as it could run code; save the state "
            "dict alone, best as .safetensors"
        ) from error
    if not isinstance(named, dict) or not all(isinstance(value, Tensor) for value in named.values()):
        raise WeightsError(f"{path}: this is no state dict, name -> tensor; save the network's state_dict() alone")
    return named, digest
