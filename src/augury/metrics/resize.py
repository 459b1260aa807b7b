"""Resizing as in TensorFlow 1, with which FID and Inception Score were published."""

from __future__ import annotations

import torch
from torch import Tensor


def tensorflow1(x: Tensor, size: int) -> Tensor:
    """[N, C, H, W] -> [N, C, size, size], bilinear: pixel i of the result is sampled at i · H / size of the original.

    Neither corners nor pixel centres are aligned, so the image shifts by up to half a pixel. There is no smoothing
    before downscaling. This is wrong for images and correct for the FID (Parmar, Zhang & Zhu 2022, section 3).
    """
    return _along(_along(x, size, 3), size, 2)


def _along(x: Tensor, size: int, axis: int) -> Tensor:
    """Resize along one axis; positions in float32, as in TensorFlow."""
    before = x.shape[axis]
    coordinates = torch.arange(size, dtype=torch.float32, device=x.device) * torch.tensor(
        before / size, dtype=torch.float32
    )
    low = coordinates.long().clamp(max=before - 1)
    high = (low + 1).clamp(max=before - 1)
    share = (coordinates - low).to(x.dtype).view(-1, *[1] * (3 - axis))
    first, second = x.index_select(axis, low), x.index_select(axis, high)
    return first + (second - first) * share
