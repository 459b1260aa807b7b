"""The policy of adaptive discriminator augmentation: many strong changes, each applied with a probability that training
adjusts.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from augury.augment.colour import colour_matrices, recolour
from augury.augment.draws import Source, normal, uniform, whole_shifts
from augury.augment.geometry import affine, chain, compose

TILT = 22.5
"""Degrees. Largest angle of each of the two rotations where flips are not allowed."""


def ada(images: Tensor, generator: Source, *, flips: bool = False, p: float | Tensor = 1.0) -> Tensor:
    """Apply the pixel, geometry and colour changes of Karras et al. 2020 (appendix B), each with probability `p`.

    All geometry is one affine map and one resampling; all colour is one matrix. The resampling is bilinear, where the
    paper uses wavelet filters. Images that do not move are returned unchanged. The result is not clamped: values can
    exceed [-1, 1].

    Parameters
    ----------
    images : Tensor
        Float [N, C, H, W] in [-1, 1].
    generator : Source
        The random numbers are drawn from it.
    flips : bool
        Allow mirroring, quarter turns and rotations up to ±180°.
    p : float or Tensor
        Probability of each change, in [0, 1].

    Returns
    -------
    Tensor
        [N, C, H, W], not clamped.
    """
    matrices = moves(images, generator, flips=flips, p=p)
    moving = (matrices != torch.eye(2, 3, device=images.device)).flatten(1).any(1)
    moved = torch.where(moving.view(-1, 1, 1, 1), affine(images, matrices, padding="reflection"), images)
    return recolour(moved, colours(images, generator, p=p))


def moves(images: Tensor, generator: Source, *, flips: bool, p: float | Tensor) -> Tensor:
    """One affine map per image [N, 2, 3], for `affine`.

    In order: shift by whole pixels up to 1/8 of each side, mirror left and right (half of the share `p`), turn by
    quarters, scale by 2^N(0, 0.2), rotate by up to ±180°, stretch by 2^N(0, 0.2) across and its inverse down, rotate
    again, shift by N(0, 0.125) of each side.

    The paper shifts by whole pixels third. Here the shift comes first, where it is a subtraction; on square images the
    outcomes are the same. Without `flips` nothing is mirrored or turned by quarters, and each rotation is at most
    `TILT`, so that both together stay within 45°. Digits and letters change their meaning when mirrored (b, d) or
    turned (6, 9; N, Z), and the discriminator sees the label.
    """
    size = (images.shape[2], images.shape[3])
    draws, sizes = uniform(images, generator, 13), normal(images, generator, 4)
    flip, turn, right, down = draws[:4]
    turned, shifted, scaled, stretched, drifted = draws[6:11] < p
    either = 1 - (1 - p) ** 0.5  # for each of two rotations: at least one is applied with probability p
    before, after = (180.0 if flips else TILT) * (2 * draws[4:6] - 1) * (draws[11:] < either)
    scale, stretch = torch.exp2(0.2 * sizes[:2] * torch.stack([scaled, stretched]))
    zero = torch.zeros_like(flip)
    rigid = compose(
        angles=90 * (4 * turn).long() * (turned & flips) + before,
        scales=scale,
        shears=zero,
        translations=torch.stack([zero, zero], dim=1),
        flips=(flip < 0.5 * p) & flips,
        size=size,
    )
    bent = compose(
        angles=after,
        scales=torch.stack([stretch, 1 / stretch], dim=1),
        shears=zero,
        translations=0.125 * (sizes[2:] * drifted).t(),
        flips=zero.bool(),
        size=size,
    )
    return chain(rigid, bent) - F.pad((whole_shifts(right, down, size) * shifted[:, None])[:, :, None], (2, 0))


def colours(images: Tensor, generator: Source, *, p: float | Tensor) -> Tensor:
    """One colour matrix per image [N, C, C + 1], for `recolour`.

    Brightness N(0, 0.2), contrast 2^N(0, 0.5), luma inverted (half of the share `p`), hue turned by ±180°, saturation
    2^N(0, 1).
    """
    draws = uniform(images, generator, 6)
    brighter, contrasted, turned, saturated = draws[2:] < p
    brightness, contrast, saturation = normal(images, generator, 3)
    return colour_matrices(
        images.shape[1],
        brightness=0.2 * brightness * brighter,
        contrast=torch.exp2(0.5 * contrast * contrasted),
        inverted=draws[0] < 0.5 * p,
        hue=180 * (2 * draws[1] - 1) * turned,
        saturation=torch.exp2(saturation * saturated),
    )
