"""The moving average of the generator, from which images are drawn."""

from __future__ import annotations

import copy

import torch
from torch import nn


class MovingAverage:
    """An exponential average of a module's weights and buffers, with a half-life that grows from zero with the images seen.

    half_life and ramp as in `Recipe`. With a half-life h in images and batch b, the old average keeps the share 0.5^(b/h)
    (Karras et al. 2020, appendix F of ADA).
    """

    def __init__(self, module: nn.Module, half_life: float, ramp: float) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.half_life, self.ramp = half_life, ramp

    @torch.no_grad()
    def update(self, module: nn.Module, batch: int, images_seen: int) -> None:
        """Move the average towards `module` after a step of `batch` images; `images_seen` counts all images before it."""
        half_life = min(self.half_life, self.ramp * images_seen)
        weight = 1 - 0.5 ** (batch / half_life) if half_life > 0 else 1.0
        mine, theirs = self.module.state_dict(), module.state_dict()
        floating = [k for k, v in mine.items() if v.is_floating_point()]
        torch._foreach_lerp_([mine[k] for k in floating], [theirs[k] for k in floating], weight)
        for k in mine.keys() - set(floating):
            mine[k].copy_(theirs[k])
