"""Occlusion: hiding a region of each image."""

from __future__ import annotations

import torch
from torch import Tensor


def cutout(images: Tensor, centres: Tensor, fraction: float = 0.5, hidden: Tensor | None = None) -> Tensor:
    """Set a box of each image to zero (DeVries & Taylor 2017; size and position as in DiffAugment, Zhao et al. 2020).

    Parameters
    ----------
    images : Tensor
        Float [N, C, H, W].
    centres : Tensor
        [N, 2] in [0, 1), position of the box across and down. The box is cut off at the border of the image.
    fraction : float
        Share of each side that the box covers, in [0, 1].
    hidden : Tensor, optional
        bool [N], the images that get a box; all if None.

    Returns
    -------
    Tensor
        [N, C, H, W].
    """
    h, w = images.shape[2:]
    columns, rows = _within(centres[:, 0], w, fraction), _within(centres[:, 1], h, fraction)
    if hidden is not None:
        rows = rows & hidden[:, None]
    return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)


def _within(centres: Tensor, side: int, fraction: float) -> Tensor:
    """bool [N, side]: the pixels of one side that the box covers."""
    length = int(side * fraction + 0.5)
    begin = (centres * (side + 1 - length % 2)).long() - length // 2
    distance = torch.arange(side, device=centres.device) - begin[:, None]
    return (distance >= 0) & (distance < length)


def erased(images: Tensor, boxes: Tensor, fill: Tensor | float = 0.0) -> Tensor:
    """Fill a box of each image (random erasing, Zhong et al. 2020).

    `boxes` [N, 4]: left, top, right, bottom as shares of width and height, rounded to whole pixels. `fill` is a number,
    or a tensor that broadcasts to [N, C, H, W]. Returns [N, C, H, W].
    """
    h, w = images.shape[2:]
    left, top, right, bottom = (
        (boxes.to(images.device) * boxes.new_tensor([w, h, w, h]).to(images.device) + 0.5).floor().t()[..., None]
    )
    x, y = torch.arange(w, device=images.device), torch.arange(h, device=images.device)
    columns, rows = (x >= left) & (x < right), (y >= top) & (y < bottom)
    inside = (rows[:, :, None] & columns[:, None, :])[:, None]
    return torch.where(inside, torch.as_tensor(fill, dtype=images.dtype, device=images.device), images)
