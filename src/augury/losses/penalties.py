"""Penalties on the discriminator that bound its gradient or its scores."""

from __future__ import annotations

from collections.abc import Callable

import torch

Scorer = Callable[[torch.Tensor], torch.Tensor]
"""Images [N, C, H, W] -> scores [N]; any transform of the images before the discriminator belongs inside."""


def gradients(scorer: Scorer, images: torch.Tensor) -> torch.Tensor:
    """‖∂score/∂image‖² of each image, [N], differentiable in the scorer's weights."""
    leaf = images.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(scorer(leaf).sum(), leaf, create_graph=True)
    return gradient.square().flatten(1).sum(1)


def squared_gradient_norm(scorer: Scorer, images: torch.Tensor) -> torch.Tensor:
    """E‖∂score/∂image‖² / 2: R1 for real images, R2 for fake ones (Mescheder, Geiger & Nowozin 2018, eq. 9, 10).

    Parameters
    ----------
    scorer : callable
        Images [N, C, H, W] -> scores [N].
    images : Tensor
        [N, C, H, W].

    Returns
    -------
    Tensor
        Scalar.
    """
    return gradients(scorer, images).mean() / 2


def gradient_penalty(
    scorer: Scorer, real: torch.Tensor, fake: torch.Tensor, mix: torch.Tensor, centre: float = 1.0
) -> torch.Tensor:
    """E(‖∂score/∂x‖ − centre)² at x = mix·real + (1 − mix)·fake.

    Centre 1 is WGAN-GP (Gulrajani et al. 2017, eq. 3), centre 0 the zero-centred form (Thanh-Tung et al. 2019, eq. 9).

    Parameters
    ----------
    scorer : callable
        Images [N, C, H, W] -> scores [N].
    real, fake : Tensor
        [N, C, H, W].
    mix : Tensor
        [N], uniform in [0, 1).
    centre : float
        Target of the norm.

    Returns
    -------
    Tensor
        Scalar.
    """
    share = mix.view(-1, 1, 1, 1)
    norms = (gradients(scorer, share * real + (1 - share) * fake) + 1e-12).sqrt()
    return (norms - centre).square().mean()


def lecam(real: torch.Tensor, fake: torch.Tensor, usual_real: torch.Tensor, usual_fake: torch.Tensor) -> torch.Tensor:
    """E(real − usual fake)² + E(fake − usual real)², a regulariser of the discriminator for few images (Tseng et al.
    2021, eq. 4).

    Parameters
    ----------
    real, fake : Tensor
        Scores [N].
    usual_real, usual_fake : Tensor
        Moving averages of the scores.

    Returns
    -------
    Tensor
        Scalar.
    """
    return (real - usual_fake).square().mean() + (fake - usual_real).square().mean()
