"""Brightness, contrast and saturation of each image, in one pass."""

from __future__ import annotations

from torch import Tensor


def adjust(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """Brightness, then saturation, then contrast, as in DiffAugment (Zhao et al. 2020), composed into one weighted sum.

    `images` float [N, C, H, W]. `brightness` [N] is added; `saturation` [N] multiplies the distance of each pixel from
    the mean of its channels (one channel: no effect); `contrast` [N] multiplies the distance from the mean of the
    image. Neutral: 0, 1, 1. Returns [N, C, H, W], not clamped.
    """
    b, c, s = (p.to(images.dtype).view(-1, 1, 1, 1) for p in (brightness, contrast, saturation))
    if images.shape[1] == 1:
        return images * c + (images.mean((1, 2, 3), keepdim=True) * (1 - c) + b)
    grey = images.mean(1, keepdim=True)
    return images * (c * s) + (grey * (c * (1 - s)) + (grey.mean((2, 3), keepdim=True) * (1 - c) + b))
