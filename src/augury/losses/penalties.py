"""Penalties on the discriminator: what keeps its slope, or its scores, within bounds."""

from __future__ import annotations

from collections.abc import Callable

import torch

Scorer = Callable[[torch.Tensor], torch.Tensor]
"""Images [N, C, H, W] -> scores [N]; whatever is done to images before they are seen belongs inside."""


def gradients(scorer: Scorer, images: torch.Tensor) -> torch.Tensor:
    """‖∂score/∂image‖² of each image, [N], differentiable in the scorer's weights."""
    leaf = images.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(scorer(leaf).sum(), leaf, create_graph=True)
    return gradient.square().flatten(1).sum(1)


def squared_gradient_norm(scorer: Scorer, images: torch.Tensor) -> torch.Tensor:
    """E‖∂score/∂image‖² / 2: R1 at real images, R2 at fake ones (Mescheder, Geiger & Nowozin 2018, eq. 9, 10)."""
    return gradients(scorer, images).mean() / 2


def gradient_penalty(
    scorer: Scorer, real: torch.Tensor, fake: torch.Tensor, mix: torch.Tensor, centre: float = 1.0
) -> torch.Tensor:
    """E(‖∂score/∂x‖ − centre)² at x = mix·real + (1 − mix)·fake, mix uniform [N].

    Centre 1 is WGAN-GP (Gulrajani et al. 2017, eq. 3), centre 0 the zero-centred form (Thanh-Tung et al. 2019, eq. 9).
    """
    share = mix.view(-1, 1, 1, 1)
    norms = (gradients(scorer, share * real + (1 - share) * fake) + 1e-12).sqrt()
    return (norms - centre).square().mean()


def lecam(real: torch.Tensor, fake: torch.Tensor, usual_real: torch.Tensor, usual_fake: torch.Tensor) -> torch.Tensor:
    """E(real − usual fake)² + E(fake − usual real)² of scores [N], "usual" being their moving averages: holds the
    discriminator back when images are few (Tseng et al. 2021, eq. 4)."""
    return (real - usual_fake).square().mean() + (fake - usual_real).square().mean()
