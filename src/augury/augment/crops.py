"""Crops: copied pixel for pixel, or resized."""

from __future__ import annotations

import torch
from torch import Tensor

from augury.augment.geometry import Mode, Padding, affine, picked


def cropped(images: Tensor, corners: Tensor, size: tuple[int, int], padding: Padding = "reflection") -> Tensor:
    """The region of `size` (height, width) that begins at `corners` int64 [N, 2], in pixels from the left and from the
    top.

    Images [N, C, H, W] have any dtype. A region may extend beyond the border; `padding` fills the rest. Returns [N, C,
    *size].
    """
    spans = (
        torch.arange(side, device=images.device) + corners[:, k, None].to(images.device)
        for k, side in ((1, size[0]), (0, size[1]))
    )
    rows, columns = spans
    return picked(
        images, rows[:, :, None].expand(-1, -1, size[1]), columns[:, None, :].expand(-1, size[0], -1), padding
    )


def resized(images: Tensor, boxes: Tensor, size: tuple[int, int], mode: Mode = "bilinear") -> Tensor:
    """The box of each image, resized to `size` (height, width).

    `boxes` [N, 4]: left, top, right, bottom as shares of width and height. Values are interpolated from the pixels in
    and around the box; the border is repeated. There is no smoothing before downscaling. Returns [N, C, *size].
    """
    return affine(images, box_maps(boxes, (images.shape[2], images.shape[3]), size), "border", mode, size)


def box_maps(boxes: Tensor, size: tuple[int, int], shown: tuple[int, int]) -> Tensor:
    """The maps [N, 2, 3] for `affine` that fill an image of size `shown` with the boxes of an image of `size`."""
    left, top, right, bottom = boxes.unbind(1)
    nil = torch.zeros_like(left)
    across = [(right - left) * (size[1] / shown[1]), nil, ((left + right) / 2 - 0.5) * size[1]]
    down = [nil, (bottom - top) * (size[0] / shown[0]), ((top + bottom) / 2 - 0.5) * size[0]]
    return torch.stack(across + down, dim=1).view(-1, 2, 3)


def boxes_within(
    draws: Tensor,
    area: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    aspect: float = 1.0,
) -> Tensor:
    """Random boxes inside the image, [N, 4] as for `resized` (Szegedy et al. 2015).

    `area` is the range of the covered share, uniform. `ratio` is the range of width over height, log-uniform, narrowed
    where a box would not fit. `aspect` is width over height of the image. `draws` are [4, N] in [0, 1).
    """
    share = area[0] + (area[1] - area[0]) * draws[0]
    low, high = (torch.log(share.new_tensor(r / aspect)) for r in ratio)
    limit = -torch.log(share)  # beyond it one side would be longer than the image
    shape = torch.exp((low + (high - low) * draws[1]).clamp(-limit, limit))
    wide, tall = torch.sqrt(share * shape).clamp(max=1), torch.sqrt(share / shape).clamp(max=1)
    left, top = draws[2] * (1 - wide), draws[3] * (1 - tall)
    return torch.stack([left, top, left + wide, top + tall], dim=1)
