"""Random numbers by address: the draws of image `index` in an epoch do not depend on its batch or process."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from augury.randomness import torch_seed

Words = npt.NDArray[np.uint64]
MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
INCREMENTS = (0x9E3779B9, 0xBB67AE85)
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


def philox(counter: tuple[Words, Words, Words, Words], key: tuple[int, int]) -> tuple[Words, Words, Words, Words]:
    """Philox4x32-10 (Salmon et al. 2011, section 4.3): four 32-bit words for each counter of four, under one key of two.

    All arrays are uint64 of one shape and hold 32-bit numbers.
    """
    a, b, c, d = counter
    for turn in range(10):
        first, second = (np.uint64((k + turn * step) & 0xFFFFFFFF) for k, step in zip(key, INCREMENTS, strict=True))
        left, right = a * MULTIPLIERS[0], c * MULTIPLIERS[1]
        a, b, c, d = (right >> HALF) ^ b ^ first, right & LOW, (left >> HALF) ^ d ^ second, left & LOW
    return a, b, c, d


class ImageDraws:
    """Separate random numbers for each image, addressed (seed, epoch, index). Takes the place of a generator for a
    policy.

    Like a generator it advances: each call returns new numbers. The n-th call gives an image the same numbers in every
    batch.

    Parameters
    ----------
    seed, epoch : int
        Address of the draws.
    indices : array of int64 [N]
        The images.
    """

    device = torch.device("cpu")

    def __init__(self, seed: int, epoch: int, indices: npt.ArrayLike | Tensor) -> None:
        key = torch_seed(seed, "augment", epoch)
        self._key = (key & 0xFFFFFFFF, key >> 32)
        self._indices: Words = np.asarray(indices).reshape(-1).astype(np.int64).astype(np.uint64)
        self._drawn = 0

    def __len__(self) -> int:
        return len(self._indices)

    def uniform(self, count: int) -> Tensor:
        """float32 [count, N] in [0, 1), multiples of 2^-24."""
        blocks = -(-count // 4)
        numbers = np.arange(self._drawn, self._drawn + blocks, dtype=np.uint64)[:, None]
        self._drawn += blocks
        shape = (blocks, len(self))
        counter = (self._indices & LOW, self._indices >> HALF, numbers, np.zeros_like(numbers))
        words = np.stack(philox(tuple(np.broadcast_to(c, shape) for c in counter), self._key), axis=1)  # type: ignore[arg-type]
        bits = (words.reshape(4 * blocks, len(self))[:count] >> np.uint64(8)).astype(np.float32)
        return torch.from_numpy(bits * np.float32(2**-24))

    def normal(self, count: int) -> Tensor:
        """float32 [count, N], mean 0 and deviation 1 (Box & Muller 1958)."""
        first, second = self.uniform(2 * count).double().chunk(2)
        return (torch.sqrt(-2 * torch.log1p(-first)) * torch.cos(2 * torch.pi * second)).float()
