"""Blur, sharpness and noise, each image with its own strength; images float [N, C, H, W]."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def blurred(images: Tensor, sigmas: Tensor) -> Tensor:
    """Gaussian blur with deviations `sigmas` [N] in pixels, 0 for none.

    The kernel is cut off at 3 deviations (rounded up); the border is repeated.
    """
    radius = math.ceil(3 * float(sigmas.detach().max())) if len(sigmas) else 0
    if radius == 0:
        return images
    n, c, h, w = images.shape
    weights = gaussians(sigmas.to(images), radius).repeat_interleave(c, 0)
    with torch.autocast(images.device.type, enabled=False):  # bf16 would round images that must not change
        padded = F.pad(images, (radius, radius, radius, radius), mode="replicate").reshape(1, n * c, h + 2 * radius, -1)
        down = F.conv2d(padded, weights.view(n * c, 1, -1, 1), groups=n * c)
        return F.conv2d(down, weights.view(n * c, 1, 1, -1), groups=n * c).view(n, c, h, w)


def gaussians(sigmas: Tensor, radius: int) -> Tensor:
    """Weights [N, 2 radius + 1] that sum to 1.

    Each row is cut off at 3 of its own deviations, so that no image depends on the widest blur of its batch.
    """
    offsets = torch.arange(-radius, radius + 1, dtype=sigmas.dtype, device=sigmas.device)
    wide = sigmas.clamp(min=1e-3)[:, None]
    weights = torch.exp(-0.5 * (offsets / wide) ** 2) * (offsets.abs() <= torch.ceil(3 * sigmas.detach())[:, None])
    return weights / weights.sum(1, keepdim=True)


def sharpened(images: Tensor, factors: Tensor) -> Tensor:
    """Multiply the distance from a smoothed version by `factors` [N]: 0 is smooth, 1 unchanged, 2 sharp.

    The smoothing is 3 x 3, the centre with weight 5 and its neighbours with weight 1, as in Pillow. The outermost
    pixels stay.
    """
    if min(images.shape[2:]) < 3:
        return images
    threes = images[:, :, :-2] + images[:, :, 1:-1] + images[:, :, 2:]
    nine = threes[:, :, :, :-2] + threes[:, :, :, 1:-1] + threes[:, :, :, 2:]
    away = images[:, :, 1:-1, 1:-1] * 9 - nine  # 13 times the distance
    return images + F.pad(away * ((factors.to(images) - 1) / 13).view(-1, 1, 1, 1), (1, 1, 1, 1))


def noisy(images: Tensor, sigmas: Tensor, field: Tensor) -> Tensor:
    """Add `sigmas` [N] times the Gaussian noise `field` [N, C, H, W]."""
    return images + sigmas.to(images).view(-1, 1, 1, 1) * field.to(images)
