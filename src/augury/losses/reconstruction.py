"""What an autoencoder minimises."""

from __future__ import annotations

import torch


def negative_likelihood(images: torch.Tensor, restored: torch.Tensor) -> torch.Tensor:
    """D/2 · log(mean squared error), nats an image of D numbers: a normal likelihood whose variance is the best one for the
    batch, so that it needs no weight against the divergence (Rybkin, Daniilidis & Levine 2021, eq. 6)."""
    error = (images - restored).square().mean()
    return images[0].numel() / 2 * torch.log(error + 1e-8)


def divergence(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """KL from N(mean, variance) to N(0, 1), nats, averaged over codes [N, Z] (Kingma & Welling 2014, appendix B)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
