"""The losses of an autoencoder."""

from __future__ import annotations

from collections.abc import Callable

import torch


def negative_likelihood(
    images: torch.Tensor, restored: torch.Tensor, mean: Callable[[torch.Tensor], torch.Tensor] = torch.mean
) -> torch.Tensor:
    """D/2 · log(mean squared error), in nats per image of D numbers.

    It is a normal likelihood with the optimal variance for the batch, so that it needs no weight relative to the
    divergence (Rybkin, Daniilidis & Levine 2021, eq. 6).

    Parameters
    ----------
    images, restored : Tensor
        [N, C, H, W].
    mean : callable
        The mean over the batch, of which these images may be a part.

    Returns
    -------
    Tensor
        Scalar.
    """
    error = mean((images - restored).square())
    return images[0].numel() / 2 * torch.log(error + 1e-8)


def divergence(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """KL from N(mean, variance) to N(0, 1), in nats, averaged over codes (Kingma & Welling 2014, appendix B).

    Parameters
    ----------
    mean, log_variance : Tensor
        [N, Z].

    Returns
    -------
    Tensor
        Scalar.
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
