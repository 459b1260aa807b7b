"""Doubling and halving the size by the filter [1, 3, 3, 1], which avoids stair-stepped edges (Karras et al. 2019)."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def doubled(x: torch.Tensor) -> torch.Tensor:
    """Twice the size by the filter [1, 3, 3, 1]: [N, C, H, W] -> [N, C, 2H, 2W]; bilinear weights are ¾ and ¼."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def halved(x: torch.Tensor) -> torch.Tensor:
    """Half the size by the filter [1, 3, 3, 1] / 8 = [1, 2, 1] / 4 * [1, 1] / 2: [N, C, 2H, 2W] -> [N, C, H, W]."""
    return F.avg_pool2d(_binomial(F.pad(x, (1, 1, 1, 1), mode="replicate")), 2)


def raised(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """A 3×3 convolution by weight [B, A, 3, 3] of x at twice the size: [N, A, H, W] -> [N, B, 2H, 2W].

    The convolution comes before the filter [1, 3, 3, 1] (they commute), as a transposed convolution at the small size:
    a quarter of the operations. The outside is zero, so that the outermost pixels differ from those of `doubled`.
    """
    y = F.pad(F.conv_transpose2d(x, 4 * weight.flip(2, 3).transpose(0, 1), stride=2), (1, 1, 1, 1))
    for _ in range(3):  # [1, 3, 3, 1] / 4 is [1, 1] / 2 applied three times, doubled along each side
        y = F.avg_pool2d(y, 2, stride=1)
    return y


def _binomial(x: torch.Tensor) -> torch.Tensor:
    """[1, 2, 1] / 4 along both sides: [N, C, H + 2, W + 2] -> [N, C, H, W]."""
    x = (x[:, :, :-2] + 2 * x[:, :, 1:-1] + x[:, :, 2:]) / 4
    return (x[..., :-2] + 2 * x[..., 1:-1] + x[..., 2:]) / 4
