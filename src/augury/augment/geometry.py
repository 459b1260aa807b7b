"""Moving pixels: whole-pixel shifts and flips by indexing, everything else by one affine map and one resampling."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Padding = Literal["border", "reflection", "zeros"]
Mode = Literal["bilinear", "nearest", "bicubic"]


def translate(images: Tensor, shifts: Tensor, flips: Tensor | None = None) -> Tensor:
    """Shift by whole pixels, zeros coming in from outside, as in DiffAugment (Zhao et al. 2020).

    `images` float [N, C, H, W]; `shifts` int64 [N, 2], pixels to the right and down; `flips` bool [N], mirror left and
    right before shifting. Returns [N, C, H, W].
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
    """One affine map an image: mirror left and right, then scale, shear, rotate and translate about the centre.

    `angles` [N] degrees, counter-clockwise as seen; `scales` [N], above 0, 2 doubles the size of things, or [N, 2] across
    and down; `shears` [N], pixels moved right for each pixel down; `translations` [N, 2], right and down as shares of
    width and height; `flips` bool [N]; `size` (height, width). Returns [N, 2, 3] for `affine`.
    """
    radians = torch.deg2rad(angles)
    cos, sin = radians.cos(), radians.sin()
    mirror = 1.0 - 2.0 * flips.to(angles.dtype)
    wide, tall = scales.unbind(1) if scales.dim() == 2 else (scales, scales)
    # The inverse of rotate · shear · scale · mirror, as resampling asks where each output pixel comes from.
    a, b = (cos - shears * sin) * mirror / wide, (-sin - shears * cos) * mirror / wide
    c, d = sin / tall, cos / tall
    right, down = translations[:, 0] * size[1], translations[:, 1] * size[0]
    return torch.stack([a, b, -(a * right + b * down), c, d, -(c * right + d * down)], dim=1).view(-1, 2, 3)


def chain(*maps: Tensor) -> Tensor:
    """The one map that makes these changes in this order; each [N, 2, 3] as from `compose`. Returns [N, 2, 3]."""
    total = maps[0]
    for change in maps[1:]:
        # Summed by hand, as autocast would round a matrix product to bf16 and shift pixels.
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
    """Resample through an affine map an image, in pixels, so that a rotation stays one on non-square images.

    `images` float [N, C, H, W]; `matrices` [N, 2, 3] take (x, y, 1), the place of an output pixel counted from the
    centre of the image, to the place in the input that it shows. `padding` is what lies outside: the border repeated,
    the image mirrored at its outer edge, or zeros. `mode` is the interpolation; `size` (height, width) that of the
    output, as the input if None. There is no smoothing before things shrink. Returns [N, C, *size] of the dtype of `images`.
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
    """Each image turned counter-clockwise by its number of quarters, `turns` int64 [N], pixel for pixel.

    The size stays: of an image that is not square, what turns out of the frame is cut off and `padding` is what comes in;
    where height and width differ by an odd number, no pixel can stay in the centre, and the image lies half a pixel to the
    upper left. Returns [N, C, H, W] of any dtype.
    """
    h, w = images.shape[2:]
    y, x = torch.meshgrid(*(torch.arange(s, device=images.device) for s in (h, w)), indexing="ij")
    # Twice the place from the centre, so that it is a whole number; [N, H, W] after turning.
    right, down = 2 * x - (w - 1), 2 * y - (h - 1)
    quarter = turns.to(images.device).remainder(4).view(-1, 1, 1)
    cos, sin = (quarter == 0).long() - (quarter == 2).long(), (quarter == 1).long() - (quarter == 3).long()
    column = (cos * right - sin * down + (w - 1)).div(2, rounding_mode="floor") + (h - w) % 2 * (sin < 0)
    row = (sin * right + cos * down + (h - 1)).div(2, rounding_mode="floor") + (h - w) % 2 * (sin > 0)
    return picked(images, row, column, padding)


def picked(images: Tensor, rows: Tensor, columns: Tensor, padding: Padding) -> Tensor:
    """The pixels at whole places `rows` and `columns` int64 [N, H', W'], beyond the border by `padding`: [N, C, H', W']."""
    n, c, h, w = images.shape
    outside = (rows < 0) | (rows >= h) | (columns < 0) | (columns >= w)
    y, x = (folded(places, side, padding) for places, side in ((rows, h), (columns, w)))
    index = (y * w + x).view(n, 1, -1).expand(n, c, -1)
    found = images.reshape(n, c, h * w).gather(2, index).view(n, c, *rows.shape[1:])
    return found.masked_fill(outside[:, None], 0) if padding == "zeros" else found


def folded(places: Tensor, side: int, padding: Padding) -> Tensor:
    """Whole places brought into 0 to side - 1: mirrored at the outer edge of the border for "reflection", else clamped."""
    if padding != "reflection":
        return places.clamp(0, side - 1)
    around = places.remainder(2 * side)
    return torch.minimum(around, 2 * side - 1 - around)
