"""The draws behind a policy: made where the generator lives, handed over on the device of the images."""

from __future__ import annotations

import torch
from torch import Tensor


def uniform(images: Tensor, generator: torch.Generator, count: int) -> Tensor:
    """[count, N] in [0, 1), at least float32."""
    return torch.rand(count, len(images), generator=generator, device=generator.device).to(images.device)


def normal(images: Tensor, generator: torch.Generator, count: int) -> Tensor:
    """[count, N], mean 0 and deviation 1, at least float32."""
    return torch.randn(count, len(images), generator=generator, device=generator.device).to(images.device)


def chosen(images: Tensor, generator: torch.Generator, count: int, p: float | Tensor) -> Tensor:
    """bool [count, N], each true with probability `p`; a tensor stays on its device, so that nothing waits for it.

    The number 1 draws nothing, so that a generator that is used again goes on as if there were no probability.
    """
    if not isinstance(p, Tensor) and p >= 1:
        return torch.ones(count, len(images), dtype=torch.bool, device=images.device)
    return uniform(images, generator, count) < p


def whole_shifts(across: Tensor, down: Tensor, size: tuple[int, int]) -> Tensor:
    """int64 [N, 2], pixels to the right and down, by up to 1/8 of each side of `size` (height, width), all alike likely;
    `across` and `down` [N] in [0, 1)."""
    reach = [int(side / 8 + 0.5) for side in (size[1], size[0])]
    return torch.stack([(u * (2 * r + 1)).long() - r for u, r in zip((across, down), reach, strict=True)], dim=1)
