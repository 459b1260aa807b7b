"""Random numbers for policies: drawn on the device of the generator, returned on the device of the images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from augury.augment.philox import ImageDraws


@dataclass(frozen=True)
class Joined:
    """The streams of several batches of equal size, joined to be processed as one; each batch draws what it would draw
    alone.
    """

    streams: Sequence[torch.Generator]
    device = torch.device("cpu")

    def uniform(self, count: int, n: int) -> Tensor:
        """[count, n] in [0, 1)."""
        return self._each(torch.rand, count, n)

    def normal(self, count: int, n: int) -> Tensor:
        """[count, n], mean 0 and deviation 1."""
        return self._each(torch.randn, count, n)

    def _each(self, draw: Callable[..., Tensor], count: int, n: int) -> Tensor:
        own = n // len(self.streams)
        return torch.cat([draw(count, own, generator=s, device=s.device).cpu() for s in self.streams], dim=1)


@dataclass(frozen=True)
class Selected:
    """The stream of a batch of `total` images, for those of them at `rows` int64 [R]: each draws what it would draw in the
    batch. Several batches, one after another, have the same rows.
    """

    stream: torch.Generator
    rows: Tensor
    total: int

    @property
    def device(self) -> torch.device:
        """Where the numbers are drawn."""
        return self.stream.device

    def uniform(self, count: int, n: int) -> Tensor:
        """[count, n] in [0, 1)."""
        return self._drawn(torch.rand, count, n)

    def normal(self, count: int, n: int) -> Tensor:
        """[count, n], mean 0 and deviation 1."""
        return self._drawn(torch.randn, count, n)

    def field(self, shape: Sequence[int]) -> Tensor:
        """Normal numbers of `shape` [n, …]."""
        batches = shape[0] // len(self.rows)
        drawn = torch.randn(batches, self.total, *shape[1:], generator=self.stream, device=self.device)
        return drawn[:, self.rows.to(self.device)].flatten(0, 1)

    def _drawn(self, draw: Callable[..., Tensor], count: int, n: int) -> Tensor:
        batches = n // len(self.rows)
        drawn = draw(count, batches * self.total, generator=self.stream, device=self.device)
        return drawn.view(count, batches, self.total)[:, :, self.rows.to(self.device)].reshape(count, n)


Source = torch.Generator | ImageDraws | Joined | Selected
"""The source of a policy's random numbers: one stream for a batch, one for each of several batches, separate numbers for
each image, or those of some images of a batch.
"""


def sent(numbers: Tensor, device: torch.device) -> Tensor:
    """The same numbers on `device`. On a GPU the copy is asynchronous (unverified)."""
    if device.type == "cuda" and numbers.device.type == "cpu":
        return numbers.pin_memory().to(device, non_blocking=True)
    return numbers.to(device)


def uniform(images: Tensor, source: Source, count: int) -> Tensor:
    """[count, N] in [0, 1), at least float32."""
    return sent(numbers(len(images), source, count), images.device)


def normal(images: Tensor, source: Source, count: int) -> Tensor:
    """[count, N], mean 0 and deviation 1, at least float32."""
    if isinstance(source, ImageDraws):
        return sent(source.normal(count), images.device)
    if isinstance(source, Joined | Selected):
        return sent(source.normal(count, len(images)), images.device)
    return sent(torch.randn(count, len(images), generator=source, device=source.device), images.device)


def like(images: Tensor, source: torch.Generator | Selected) -> Tensor:
    """Normal numbers of the shape of `images`, of mean 0 and deviation 1."""
    if isinstance(source, Selected):
        return source.field(images.shape).to(images.device)
    return torch.randn(images.shape, generator=source).to(images.device)


def numbers(n: int, source: Source, count: int) -> Tensor:
    """[count, n] in [0, 1), on the device of the source."""
    if isinstance(source, ImageDraws):
        return source.uniform(count)
    if isinstance(source, Joined | Selected):
        return source.uniform(count, n)
    return torch.rand(count, n, generator=source, device=source.device)


def chosen(images: Tensor, source: Source, count: int, p: float | Tensor) -> Tensor:
    """bool [count, N], each true with probability `p`. A tensor `p` stays on its device, which avoids a
    synchronisation.

    The number 1 draws nothing, so that the generator continues as it would without a probability.
    """
    if not isinstance(p, Tensor) and p >= 1:
        return torch.ones(count, len(images), dtype=torch.bool, device=images.device)
    return uniform(images, source, count) < p


def fields(numbers: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Gaussian noise [M, *shape] of mean 0 and deviation 1, from one stream per image.

    Each stream is seeded by two uniform `numbers` [2, M], so that large fields need no large block of draws.
    """
    seeds = (numbers[:2].double() * 2**24).long().cpu()
    streams = [torch.Generator().manual_seed((int(high) << 24) + int(low)) for high, low in seeds.t()]
    return torch.stack([torch.randn(shape, generator=s) for s in streams]) if streams else torch.empty(0, *shape)


def whole_shifts(across: Tensor, down: Tensor, size: tuple[int, int]) -> Tensor:
    """int64 [N, 2], pixels to the right and down, uniform up to 1/8 of each side of `size` (height, width).

    `across` and `down` [N] lie in [0, 1).
    """
    reach = [int(side / 8 + 0.5) for side in (size[1], size[0])]
    return torch.stack([(u * (2 * r + 1)).long() - r for u, r in zip((across, down), reach, strict=True)], dim=1)
