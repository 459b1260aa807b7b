"""Changes drawn one by one, made together: all that moves pixels in one resampling, colours that follow each other in one
matrix, and nothing computed for images that it does not concern."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from augury.augment.colour import followed, recolour, recoloured_means
from augury.augment.geometry import affine
from augury.augment.operators import KNOTS, Operator
from augury.augment.warps import warp


class Step(NamedTuple):
    """One operator made to some images: `members` int64 [M] which, `strengths` [M], `extra` [operator.draws, M] uniform
    numbers; all on the CPU."""

    operator: Operator
    members: Tensor
    strengths: Tensor
    extra: Tensor


def carried_out(images: Tensor, steps: Sequence[Step]) -> Tensor:
    """`images` float [N, C, H, W] in [-1, 1] after all steps, clamped where changed.

    Values change in the order of the steps, clamped before an operator that needs pixels; places after all of them, joined
    into one bilinear resampling that mirrors the image at its outer edge. Images that nothing concerns keep their bits.
    """
    values = _Values(images.float() if images.dtype in (torch.float16, torch.bfloat16) else images)
    for step in steps:
        if len(step.members) and step.operator.part == "tint":
            values.tint(step)
        elif len(step.members) and step.operator.part == "values":
            values.change(step)
    values.apply(values.waiting.nonzero()[:, 0])
    maps, bends = places(images, steps)
    flat = (maps[:, 2] == torch.tensor([0.0, 0.0, 1.0])).all(1)
    if bends is not None:
        flat &= (bends == 0).flatten(1).all(1)
    bent, shifted = ~flat, flat & (maps != torch.eye(3)).flatten(1).any(1)
    at = shifted.nonzero()[:, 0]  # affine alone is faster; apart for each image, so that none depends on its batch
    if len(at):
        values.set(at, lambda some: affine(some, maps[at, :2].to(images.device)))
    rest = bent.nonzero()[:, 0]
    if len(rest):
        moves = None if bends is None else bends[rest].to(images.device)
        values.set(rest, lambda some: warp(some, maps[rest].to(images.device), moves))
    return values.images.to(images.dtype)


def places(images: Tensor, steps: Sequence[Step]) -> tuple[Tensor, Tensor | None]:
    """The one projective map [N, 3, 3] of each image that joins all steps that move pixels, and the bending [N, 2, h, w]
    before it, if any; on the CPU."""
    n, size = len(images), (images.shape[2], images.shape[3])
    # In float64, so that how cosines are vectorised, which depends on how many there are, leaves no trace.
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
    """Images on their way through changes of value, with colour matrices that are still to be applied."""

    def __init__(self, images: Tensor) -> None:
        self.images, self.own = images, False
        self.tints: Tensor | None = None
        self.waiting = torch.zeros(len(images), dtype=torch.bool)

    def tint(self, step: Step) -> None:
        """Join the colour matrix of each member to those that wait."""
        images, members = self.images, step.members.to(self.images.device)
        n, c = images.shape[:2]
        if self.tints is None:
            self.tints = _neutral(n, images)
        before = self.tints[members]
        levels = step.strengths.to(images)
        if step.operator.levels:
            some = images if len(members) == n else images.index_select(0, members)
            levels = recoloured_means(some.mean((2, 3)), before)
        change = step.operator.change(step.strengths.to(images), levels, c)
        self.tints = self.tints.index_put((members,), followed(before, change))
        self.waiting[step.members] = True

    def change(self, step: Step) -> None:
        """New pixels for the members, after the tints that wait for them."""
        self.apply(step.members[self.waiting[step.members]])
        self.set(step.members, lambda some: step.operator.change(some, step.strengths, step.extra))

    def apply(self, members: Tensor) -> None:
        """Those of the members that wait get their colour matrices."""
        if len(members) and self.tints is not None:
            at, tints = members.to(self.images.device), self.tints
            self.set(members, lambda some: recolour(some, tints[at]).clamp_(-1, 1))
            self.tints = tints.index_put((at,), _neutral(len(at), self.images))
            self.waiting[members] = False

    def set(self, members: Tensor, change: Callable[[Tensor], Tensor]) -> None:
        """Change the images of these; copied when first written to, and not at all when it is all of them."""
        if len(members) == len(self.images):
            self.images, self.own = change(self.images), True
            return
        at = members.to(self.images.device)
        if not self.own:
            self.images, self.own = self.images.clone(), True
        self.images[at] = change(self.images.index_select(0, at)).to(self.images.dtype)


def _neutral(n: int, images: Tensor) -> Tensor:
    c = images.shape[1]
    return torch.eye(c, c + 1, device=images.device, dtype=images.dtype).repeat(n, 1, 1)
