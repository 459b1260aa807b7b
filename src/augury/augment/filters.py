"""Blur, sharpness and noise, each image with its own strength; images float [N, C, H, W]."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LARGE = 128 * 128
"""From this many pixels on, shifting an image is faster than a convolution on a CPU."""


def blurred(images: Tensor, sigmas: Tensor) -> Tensor:
    """Gaussian blur with deviations `sigmas` [N] in pixels, 0 for none.

    The kernel is cut off at 3 deviations (rounded up); the border is repeated.
    """
    radius = math.ceil(3 * float(sigmas.detach().max())) if len(sigmas) else 0
    if radius == 0:
        return images
    n, c, h, w = images.shape
    weights = gaussians(sigmas.to(images), radius)
    with_gradient = torch.is_grad_enabled() and (images.requires_grad or sigmas.requires_grad)
    if images.device.type == "cpu" and h * w >= LARGE and not with_gradient:
        return torch.stack(
            [_blurred_one(image, kernel) for image, kernel in zip(images, weights.tolist(), strict=True)]
        )
    weights = weights.repeat_interleave(c, 0)
    with torch.autocast(images.device.type, enabled=False):  # bf16 would round images that must not change
        padded = F.pad(images, (radius, radius, radius, radius), mode="replicate").reshape(1, n * c, h + 2 * radius, -1)
        down = F.conv2d(padded, weights.view(n * c, 1, -1, 1), groups=n * c)
        return F.conv2d(down, weights.view(n * c, 1, 1, -1), groups=n * c).view(n, c, h, w)


def _blurred_one(image: Tensor, kernel: list[float]) -> Tensor:
    """Blur one image [C, H, W] by the symmetric `kernel`: sums of shifted images, which a CPU's cache holds."""
    radius = len(kernel) // 2
    weights = [weight for weight in kernel[radius:] if weight]  # from the middle outwards
    total = F.pad(image, (radius, radius, radius, radius), mode="replicate")
    for axis in (1, 2):
        length = image.shape[axis]
        shifted = [total.narrow(axis, radius + at, length) for at in range(1 - len(weights), len(weights))]
        middle = len(weights) - 1
        blurred = shifted[middle] * weights[0]
        for distance, weight in enumerate(weights[1:], 1):
            blurred.add_(shifted[middle - distance], alpha=weight).add_(shifted[middle + distance], alpha=weight)
        total = blurred
    return total


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
    threes = (images[:, :, :-2] + images[:, :, 1:-1]).add_(images[:, :, 2:])
    nine = (threes[:, :, :, :-2] + threes[:, :, :, 1:-1]).add_(threes[:, :, :, 2:])
    away = (images[:, :, 1:-1, 1:-1] * 9).sub_(nine)  # 13 times the distance
    sharp = images.clone()
    sharp[:, :, 1:-1, 1:-1] += away * ((factors.to(images) - 1) / 13).view(-1, 1, 1, 1)
    return sharp


def noisy(images: Tensor, sigmas: Tensor, field: Tensor) -> Tensor:
    """Add `sigmas` [N] times the Gaussian noise `field` [N, C, H, W]."""
    return images + sigmas.to(images).view(-1, 1, 1, 1) * field.to(images)
