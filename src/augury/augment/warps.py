"""Geometry beyond affine maps: perspective and elastic deformation, in one grid and one resampling."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from augury.augment.geometry import Mode, Padding

CORNERS = ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))


def perspectives(offsets: Tensor, size: tuple[int, int]) -> Tensor:
    """The projective map that shows in each corner of the output the input at `offsets` from that corner.

    `offsets` [N, 4, 2] are right and down as shares of width and height, clockwise from the upper left corner; `size`
    is (height, width). Returns [N, 3, 3] in pixels from the centre, output to input, for `warp`. The 8 equations of 4
    point pairs (Hartley & Zisserman 2004, eq. 4.1) are solved exactly.
    """
    h, w = size
    half = offsets.new_tensor([w / 2, h / 2])
    corners = offsets.new_tensor(CORNERS) * half
    x, y = corners.expand_as(offsets).unbind(2)
    u, v = (corners + 2 * offsets * half).unbind(2)
    one, nil = torch.ones_like(x), torch.zeros_like(x)
    left = torch.stack([x, y, one, nil, nil, nil, -u * x, -u * y], dim=2)
    right = torch.stack([nil, nil, nil, x, y, one, -v * x, -v * y], dim=2)
    coefficients = torch.linalg.solve(torch.cat([left, right], dim=1), torch.cat([u, v], dim=1))
    return F.pad(coefficients, (0, 1), value=1.0).view(-1, 3, 3)


def homogeneous(matrices: Tensor) -> Tensor:
    """Affine maps [N, 2, 3] as projective maps [N, 3, 3]."""
    return torch.cat([matrices, matrices.new_tensor([[[0.0, 0.0, 1.0]]]).expand(len(matrices), 1, 3)], dim=1)


def warp(
    images: Tensor,
    maps: Tensor,
    bends: Tensor | None = None,
    padding: Padding = "reflection",
    mode: Mode = "bilinear",
) -> Tensor:
    """Resample once through one projective map per image, and a bending before it.

    Parameters
    ----------
    images : Tensor
        Float [N, C, H, W].
    maps : Tensor
        [N, 3, 3], as from `perspectives` or `homogeneous`.
    bends : Tensor, optional
            [N, 2, h, w], moves right and down as shares of width and height. The h × w control points are spread from
        corner to corner; values between them are bicubic. The output shows at p what `maps` shows at p + bend(p).
    padding, mode : str
        As in `geometry.affine`.

    Returns
    -------
    Tensor
        [N, C, H, W], of the dtype of `images`.
    """
    n, _, h, w = images.shape
    if images.dtype in (torch.float16, torch.bfloat16):
        return warp(images.float(), maps, bends, padding, mode).to(images.dtype)
    m = maps.to(images)
    x = (torch.arange(w, dtype=images.dtype, device=images.device) - (w - 1) / 2).expand(n, h, w)
    y = (torch.arange(h, dtype=images.dtype, device=images.device) - (h - 1) / 2).view(h, 1).expand(n, h, w)
    if bends is not None:
        moves = F.interpolate(bends.to(images), (h, w), mode="bicubic", align_corners=True)
        x, y = x + w * moves[:, 0], y + h * moves[:, 1]
    (a, b, c), (d, e, f), (g, i, j) = (row.t().view(3, n, 1, 1) for row in m.unbind(1))
    depth = g * x + i * y + j
    grid = torch.stack([(a * x + b * y + c) * (2 / w) / depth, (d * x + e * y + f) * (2 / h) / depth], dim=1)
    return F.grid_sample(images, grid.permute(0, 2, 3, 1), mode=mode, padding_mode=padding, align_corners=False)
