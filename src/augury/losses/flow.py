"""The loss of a flow."""

from __future__ import annotations

import torch


def flow_matching(velocity: torch.Tensor, noise: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Mean squared error of the velocity along straight paths from noise to images.

    It is the conditional objective of Lipman et al. 2023, eq. 9 and 23 with a final deviation of 0. Its minimiser at (x, t) is
    the mean of images - noise over all pairs whose path goes through x at time t.

    Parameters
    ----------
    velocity, noise, images : Tensor
        [N, C, H, W].

    Returns
    -------
    Tensor
        Scalar.
    """
    return (velocity - (images - noise)).square().mean()
