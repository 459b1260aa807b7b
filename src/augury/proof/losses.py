"""Losses of a classifier, one value for each image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

GAMMA = 2.0
"""Focusing of the focal loss; 2 works best in its paper (Lin et al. 2017, table 1b)."""

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(logits [..., K], targets [..., K] that sum to 1, shares [..., K]) -> loss of each image [...].

The shares are those of each class among the real images, each > 0."""


def cross_entropy(logits: Tensor, targets: Tensor, shares: Tensor) -> Tensor:
    """-Σ target · log p."""
    return -(targets * F.log_softmax(logits, -1)).sum(-1)


def focal(logits: Tensor, targets: Tensor, shares: Tensor) -> Tensor:
    """-Σ target · (1 - p)^γ · log p (Lin et al. 2017, eq. 4): images with confident correct predictions count little."""
    logs = F.log_softmax(logits, -1)
    return -(targets * (-torch.expm1(logs)).clamp(min=0) ** GAMMA * logs).sum(-1)


def logit_adjusted(logits: Tensor, targets: Tensor, shares: Tensor) -> Tensor:
    """Cross-entropy of logits + log share (Menon et al. 2021, eq. 10, τ = 1): the logits alone then rank by balanced error."""
    return cross_entropy(logits + shares.log(), targets, shares)


LOSSES: dict[str, Loss] = {f.__name__: f for f in (cross_entropy, focal, logit_adjusted)}
