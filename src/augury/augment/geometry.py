"""Geometry: whole-pixel shifts and flips by indexing, everything else by one affine map and one resampling."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Padding = Literal["border", "reflection", "zeros"]
Mode = Literal["bilinear", "nearest", "bicubic"]


def translate(images: Tensor, shifts: Tensor, flips: Tensor | None = None) -> Tensor:
    """Shift by whole pixels; zeros fill what lies outside, as in DiffAugment (Zhao et al. 2020).

    Parameters
    ----------
    images : Tensor
        Float [N, C, H, W].
    shifts : Tensor
        int64 [N, 2], pixels to the right and down.
    flips : Tensor, optional
        bool [N], mirror left and right before the shift.

    Returns
    -------
    Tensor
        [N, C, H, W].
    """
    n, c, h, w = images.shape
    columns = torch.arange(w, device=images.device) - shifts[:, :1]
    rows = torch.arange(h, device=images.device) - shifts[:, 1:]
    if flips is not None:
        columns = torch.where(flips[:, None], w - 1 - columns, columns)
    outside = ((rows < 0) | (rows >= h))[:, :, None] | ((columns < 0) | (columns >= w))[:, None, :]
    source = rows.clamp(0, h - 1)[:, :, None] * w + columns.clamp(0, w - 1)[:, None, :]
    index = source.view(n, 1, h * w).expand(n, c, h * w)
    return images.reshape(n, c, h * w).gather(2, index).view(n, c, h, w).masked_fill(outside[:, None], 0)


def compose(
    angles: Tensor,
    scales: Tensor,
    shears: Tensor,
    translations: Tensor,
    flips: Tensor,
    size: tuple[int, int],
) -> Tensor:
    """One affine map per image: mirror left and right, then scale, shear, rotate and translate about the centre.

    Parameters
    ----------
    angles : Tensor
        [N] degrees, counter-clockwise.
    scales : Tensor
        [N], above 0, where 2 doubles the size of the content; or [N, 2], across and down.
    shears : Tensor
        [N], pixels to the right for each pixel down.
    translations : Tensor
        [N, 2], right and down as shares of width and height.
    flips : Tensor
        bool [N].
    size : (int, int)
        Height and width.

    Returns
    -------
    Tensor
        [N, 2, 3], for `affine`.
    """
    radians = torch.deg2rad(angles)
    cos, sin = radians.cos(), radians.sin()
    mirror = 1.0 - 2.0 * flips.to(angles.dtype)
    wide, tall = scales.unbind(1) if scales.dim() == 2 else (scales, scales)
    # The inverse of rotate · shear · scale · mirror: resampling maps output pixels to the input.
    a, b = (cos - shears * sin) * mirror / wide, (-sin - shears * cos) * mirror / wide
    c, d = sin / tall, cos / tall
    right, down = translations[:, 0] * size[1], translations[:, 1] * size[0]
    return torch.stack([a, b, -(a * right + b * down), c, d, -(c * right + d * down)], dim=1).view(-1, 2, 3)


def chain(*maps: Tensor) -> Tensor:
    """The map that applies the given maps in order.

    Parameters
    ----------
    *maps : Tensor
        Each [N, 2, 3], as from `compose`.

    Returns
    -------
    Tensor
        [N, 2, 3].
    """
    total = maps[0]
    for change in maps[1:]:
        # Summed explicitly, as autocast would round a matrix product to bf16 and shift pixels.
        product = (total[:, :, :2, None] * change[:, None]).sum(2)
        total = product + F.pad(total[:, :, 2:], (2, 0))
    return total


def affine(
    images: Tensor,
    matrices: Tensor,
    padding: Padding = "reflection",
    mode: Mode = "bilinear",
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Resample through one affine map per image. The maps are in pixels, so that a rotation remains one on non-square
    images.

    There is no smoothing before downscaling.

    Parameters
    ----------
    images : Tensor
        Float [N, C, H, W].
    matrices : Tensor
            [N, 2, 3]. They map (x, y, 1), the position of an output pixel from the centre of the image, to the input
        position that it shows.
    padding : str
        What lies outside: "border" (repeated), "reflection" (mirrored at the outer edge) or "zeros".
    mode : str
        Interpolation: "bilinear", "nearest" or "bicubic".
    size : (int, int), optional
        Height and width of the output; those of the input if None.

    Returns
    -------
    Tensor
        [N, C, *size], of the dtype of `images`.
    """
    n, _, h, w = images.shape
    tall, wide = size or (h, w)
    if images.dtype in (torch.float16, torch.bfloat16):
        return affine(images.float(), matrices, padding, mode, size).to(images.dtype)
    m = matrices.to(images.dtype)
    x = torch.arange(wide, dtype=images.dtype, device=images.device) - (wide - 1) / 2
    y = torch.arange(tall, dtype=images.dtype, device=images.device) - (tall - 1) / 2
    normalised = torch.stack([m[:, 0] * (2 / w), m[:, 1] * (2 / h)], dim=2)  # [N, 3, 2], output pixels to [-1, 1]
    # One plane of columns and one of rows, as writing pairs of numbers takes four times as long.
    across = normalised[:, 0, :, None] * x
    along = normalised[:, 1, :, None] * y + normalised[:, 2, :, None]
    grid = across.view(n, 2, 1, wide) + along.view(n, 2, tall, 1)
    return F.grid_sample(images, grid.permute(0, 2, 3, 1), mode=mode, padding_mode=padding, align_corners=False)


def quarter_turns(images: Tensor, turns: Tensor, padding: Padding = "reflection") -> Tensor:
    """Rotate each image counter-clockwise by its number of quarter turns, `turns` int64 [N], without resampling.

    The size stays. Of an image that is not square, what leaves the frame is cut off and `padding` fills the rest. Where
    height and width differ by an odd number, no pixel can stay in the centre: the image lies half a pixel to the upper
    left. Returns [N, C, H, W] of any dtype.
    """
    h, w = images.shape[2:]
    y, x = torch.meshgrid(*(torch.arange(s, device=images.device) for s in (h, w)), indexing="ij")
    # Twice the position from the centre, which is an integer; [N, H, W] after the rotation.
    right, down = 2 * x - (w - 1), 2 * y - (h - 1)
    quarter = turns.to(images.device).remainder(4).view(-1, 1, 1)
    cos, sin = (quarter == 0).long() - (quarter == 2).long(), (quarter == 1).long() - (quarter == 3).long()
    column = (cos * right - sin * down + (w - 1)).div(2, rounding_mode="floor") + (h - w) % 2 * (sin < 0)
    row = (sin * right + cos * down + (h - 1)).div(2, rounding_mode="floor") + (h - w) % 2 * (sin > 0)
    return picked(images, row, column, padding)


def picked(images: Tensor, rows: Tensor, columns: Tensor, padding: Padding) -> Tensor:
    """The pixels at integer positions `rows` and `columns` int64 [N, H', W']; `padding` applies beyond the border.
    Returns [N, C, H', W'].
    """
    n, c, h, w = images.shape
    outside = (rows < 0) | (rows >= h) | (columns < 0) | (columns >= w)
    y, x = (folded(coordinates, side, padding) for coordinates, side in ((rows, h), (columns, w)))
    index = (y * w + x).view(n, 1, -1).expand(n, c, -1)
    pixels = images.reshape(n, c, h * w).gather(2, index).view(n, c, *rows.shape[1:])
    return pixels.masked_fill(outside[:, None], 0) if padding == "zeros" else pixels


def folded(coordinates: Tensor, side: int, padding: Padding) -> Tensor:
    """Integer positions mapped into 0 to side - 1: mirrored at the outer edge of the border for "reflection", else
    clamped.
    """
    if padding != "reflection":
        return coordinates.clamp(0, side - 1)
    around = coordinates.remainder(2 * side)
    return torch.minimum(around, 2 * side - 1 - around)
