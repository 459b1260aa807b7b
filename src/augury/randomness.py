"""Random streams with an address: (seed, "noise", 12) always gives the same numbers, regardless of earlier draws."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch


def _entropy(seed: int, address: tuple[str | int, ...]) -> int:
    text = "/".join([str(int(seed)), *map(str, address)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


def rng(seed: int, *address: str | int) -> np.random.Generator:
    """A NumPy generator for this address."""
    return np.random.Generator(np.random.Philox(key=_entropy(seed, address)))


def torch_seed(seed: int, *address: str | int) -> int:
    """A 63-bit seed for a `torch.Generator` at this address."""
    return _entropy(seed, address) >> 65


def derived_seed(seed: int, *address: str | int) -> int:
    """A seed in 0 to 2**31 - 1 for this address, which PyTorch, NumPy and scikit-learn accept.

    Seeds obtained by addition would overlap: trials with seeds 0 and 1 would share six of seven trainings.
    """
    return _entropy(seed, address) >> 97


def stream(seed: int, *address: str | int, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator for this address, on `device`."""
    import torch

    return torch.Generator(device=device).manual_seed(torch_seed(seed, *address))


def image_noise(seed: int, indices: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.float32]:
    """Standard normal noise float32 [len(indices), size]; row i depends on (seed, indices[i]) alone."""
    rows = [rng(seed, "image", int(index)).standard_normal(size, dtype=np.float32) for index in indices]
    return np.stack(rows) if rows else np.empty((0, size), np.float32)
