"""Penalties on the discriminator's slope."""

from __future__ import annotations

import torch


def squared_slope(scores: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """E‖∂score/∂image‖² over the batch, differentiable in the weights: scores [N] of images [N, C, H, W] -> scalar.

    Half of it, times gamma, is R1 at real images and R2 at fake ones (Mescheder, Geiger & Nowozin 2018, eq. 9, 10).
    """
    (slope,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return slope.square().sum((1, 2, 3)).mean()
