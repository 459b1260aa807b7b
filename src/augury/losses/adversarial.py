"""Adversarial losses on scores: each is a pair (discriminator's, generator's) of scores real [N], fake [N] -> scalar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import relu, softplus


@dataclass(frozen=True)
class AdversarialLoss:
    """`discriminator(real, fake)` and `generator(real, fake)`, both to be minimised; `paired` when the generator's
    loss reads the real scores too."""

    discriminator: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    generator: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    paired: bool = False


non_saturating = AdversarialLoss(
    lambda real, fake: softplus(-real).mean() + softplus(fake).mean(),
    lambda real, fake: softplus(-fake).mean(),
)
"""Cross-entropy with the generator's non-saturating form (Goodfellow et al. 2014, section 3)."""

hinge = AdversarialLoss(
    lambda real, fake: relu(1 - real).mean() + relu(1 + fake).mean(),
    lambda real, fake: -fake.mean(),
)
"""Hinge loss (Lim & Ye 2017, eq. 6; Miyato et al. 2018)."""

relativistic = AdversarialLoss(
    lambda real, fake: softplus(fake - real).mean(),
    lambda real, fake: softplus(real - fake).mean(),
    paired=True,
)
"""Relativistic pairing, RpGAN (Jolicoeur-Martineau 2019): each real is compared with a fake of the same condition."""
