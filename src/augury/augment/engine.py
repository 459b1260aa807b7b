"""Applies steps that were drawn one by one together.

All geometry is one resampling, colour changes in sequence are one matrix, and images that a step does not concern are
not computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from augury.augment.colour import around_grey, followed, recolour, recoloured_means
from augury.augment.forms import centred, spread
from augury.augment.geometry import affine
from augury.augment.operators import KNOTS, Operator
from augury.augment.warps import warp


class Step(NamedTuple):
    """One operator applied to some images.

    `members` int64 [M] are their indices, ascending; `strengths` are [M]; `extra` [operator.draws, M] are uniform
    numbers. All are on the CPU.
    """

    operator: Operator
    members: Tensor
    strengths: Tensor
    extra: Tensor


class _Ready(NamedTuple):
    """A step that changes values. `tint` holds its colour matrices [M, C, C + 1] if it is a colour change."""

    operator: Operator
    members: Tensor
    strengths: Tensor
    extra: Tensor
    tint: Tensor | None

    def part(self, begin: int, end: int) -> _Ready:
        """The step for the images from `begin` to `end` alone; members are ascending."""
        low, high = torch.searchsorted(self.members, torch.tensor([begin, end])).tolist()
        tint = None if self.tint is None else self.tint[low:high]
        members = self.members[low:high] - begin
        return _Ready(self.operator, members, self.strengths[low:high], self.extra[:, low:high], tint)


def carried_out(images: Tensor, steps: Sequence[Step]) -> Tensor:
    """Apply all steps to `images` [N, C, H, W], float in [-1, 1] or uint8; the result is clamped where changed, of the
    same dtype.

    Values change in the order of the steps and are clamped before an operator that needs pixels. Geometry follows as
    one bilinear resampling; the image mirrored at its outer edge fills what lies outside. Images that no step concerns
    keep their bits.
    """
    n, channels = len(images), images.shape[1]
    maps, bends = places(images, steps)
    ready = [
        _Ready(*step, step.operator.change(step.strengths, channels) if step.operator.part == "tint" else None)
        for step in steps
        if step.operator.part in ("tint", "values") and len(step.members)
    ]
    few = max(1, VALUES // max(1, images[:1].numel())) if images.device.type == "cpu" else n
    if n <= few:
        return _part(images, ready, maps, bends)
    parts = []
    for begin in range(0, n, few):
        end = min(n, begin + few)
        own = [step.part(begin, end) for step in ready]
        parts.append(_part(images[begin:end], own, maps[begin:end], None if bends is None else bends[begin:end]))
    return torch.cat(parts)


VALUES = 2**21
"""Numbers processed at a time on a CPU, so that they fit into its cache."""


def _part(images: Tensor, steps: Sequence[_Ready], maps: Tensor, bends: Tensor | None) -> Tensor:
    half = images.dtype in (torch.float16, torch.bfloat16)
    floats = images.float() if half else centred(images, (-1.0, 1.0))
    values = _Values(floats, own=floats is not images)
    for step in steps:
        if not len(step.members):
            continue
        if step.tint is not None:
            values.tint(step, step.tint)
        else:
            values.change(step)
    values.apply(values.waiting.nonzero()[:, 0])
    flat = (maps[:, 2] == torch.tensor([0.0, 0.0, 1.0])).all(1)
    if bends is not None:
        flat &= (bends == 0).flatten(1).all(1)
    # An affine map alone is faster. Each image is decided separately, so that none depends on its batch.
    shifted = (flat & (maps != torch.eye(3)).flatten(1).any(1)).nonzero()[:, 0]
    bent = flat.logical_not().nonzero()[:, 0]
    if len(shifted):
        values.set(shifted, lambda some: affine(some, maps[shifted, :2].to(images.device)))
    if len(bent):
        moves = None if bends is None else bends[bent].to(images.device)
        values.set(bent, lambda some: warp(some, maps[bent].to(images.device), moves))
    return values.images.to(images.dtype) if half else spread(values.images, (-1.0, 1.0), images, clamped=True)


def places(images: Tensor, steps: Sequence[Step]) -> tuple[Tensor, Tensor | None]:
    """The geometry of each image: one projective map [N, 3, 3] that joins its steps, and the bending [N, 2, h, w]
    before it, if any.

    Both are on the CPU.
    """
    n, size = len(images), (images.shape[2], images.shape[3])
    # In float64: the vectorisation of cosines depends on their number, and must not change the result.
    maps, bends = torch.eye(3, dtype=torch.float64).repeat(n, 1, 1), None
    for operator, members, some, extra in steps:
        strengths = some.double()
        if operator.part == "place" and len(members):
            maps[members] = maps[members] @ operator.change(strengths, extra.double(), size)
        elif operator.part == "bend" and len(members):
            bends = torch.zeros(n, 2, KNOTS, KNOTS, dtype=torch.float64) if bends is None else bends
            bends[members] += operator.change(strengths, extra.double(), size)
    return maps.float(), None if bends is None else bends.float()


class _Values:
    """Images during changes of value, with colour matrices that are still to be applied.

    Only `own` images are written to; others are copied at the first write.
    """

    def __init__(self, images: Tensor, own: bool) -> None:
        self.images, self.own = images, own
        self.tints: Tensor | None = None
        self.waiting = torch.zeros(len(images), dtype=torch.bool)

    def tint(self, step: _Ready, tint: Tensor) -> None:
        """Multiply the colour matrix of each member into its pending one."""
        images, members = self.images, step.members.to(self.images.device)
        n, change = len(images), tint.to(images)
        if self.tints is None:
            self.tints = _neutral(n, images)
        before = self.tints.index_select(0, members)
        if step.operator.levels:
            some = images if len(members) == n else images.index_select(0, members)
            change = around_grey(change, recoloured_means(some.mean((2, 3)), before))
        self.tints = self.tints.index_copy(0, members, followed(before, change))
        self.waiting[step.members] = True

    def change(self, step: _Ready) -> None:
        """Compute new pixels for the members, after their pending colour matrices."""
        self.apply(step.members[self.waiting[step.members]])
        self.set(step.members, lambda some: step.operator.change(some, step.strengths, step.extra))

    def apply(self, members: Tensor) -> None:
        """Apply the pending colour matrices of the members."""
        if len(members) and self.tints is not None:
            at, tints = members.to(self.images.device), self.tints
            self.set(members, lambda some: recolour(some, tints[at]).clamp_(-1, 1))
            self.tints = tints.index_put((at,), _neutral(len(at), self.images))
            self.waiting[members] = False

    def set(self, members: Tensor, change: Callable[[Tensor], Tensor]) -> None:
        """Change the images of the members. Nothing is copied where all of them change."""
        if len(members) == len(self.images):
            self.images, self.own = change(self.images), True
            return
        at = members.to(self.images.device)
        if not self.own:
            self.images, self.own = self.images.clone(), True
        self.images.index_copy_(0, at, change(self.images.index_select(0, at)).to(self.images.dtype))


def _neutral(n: int, images: Tensor) -> Tensor:
    c = images.shape[1]
    return torch.eye(c, c + 1, device=images.device, dtype=images.dtype).repeat(n, 1, 1)
