"""Adversarial losses on scores: each is a pair (discriminator's, generator's) of scores real [N], fake [N] -> scalar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import relu, softplus

Pair = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class AdversarialLoss:
    """`discriminator(real, fake)` and `generator(real, fake)`, both to be minimised.

    Parameters
    ----------
    discriminator, generator : callable
        (real [N], fake [N]) -> scalar.
    paired : bool
        The generator's loss also uses the real scores.
    target : callable, optional
            The discriminator's loss with the target of real images lowered from 1, one-sided label smoothing (Salimans
        et al. 2016, section 3.4): (real, fake, target [N] or scalar) -> scalar. None where real images have no target
        of their own: smoothing would only scale the scores of a Wasserstein critic, and a pair has no real image
        without its fake.
    critic : bool
            Scores are not probabilities. They are meaningful only while clipping, a penalty or spectral norm bounds the
        discriminator's gradient.
    middle : float, optional
            The score at which an image is equally likely real or fake; None where only differences of scores are
        meaningful.
    """

    discriminator: Pair
    generator: Pair
    paired: bool = False
    target: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor] | None = None
    critic: bool = False
    middle: float | None = 0.0


def _cross_entropy(real: torch.Tensor, fake: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return (target * softplus(-real) + (1 - target) * softplus(real)).mean() + softplus(fake).mean()


def _both_margins(real: torch.Tensor, fake: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return (target * relu(1 - real) + (1 - target) * relu(1 + real)).mean() + relu(1 + fake).mean()


minimax = AdversarialLoss(
    lambda real, fake: softplus(-real).mean() + softplus(fake).mean(),
    lambda real, fake: -softplus(fake).mean(),
    target=_cross_entropy,
)
"""Cross-entropy as a zero-sum game (Goodfellow et al. 2014, eq. 1); the generator's gradient vanishes while it is
losing.
"""

non_saturating = AdversarialLoss(
    lambda real, fake: softplus(-real).mean() + softplus(fake).mean(),
    lambda real, fake: softplus(-fake).mean(),
    target=_cross_entropy,
)
"""Cross-entropy with the generator's non-saturating form (Goodfellow et al. 2014, section 3)."""

wasserstein = AdversarialLoss(
    lambda real, fake: fake.mean() - real.mean(),
    lambda real, fake: -fake.mean(),
    critic=True,
    middle=None,
)
"""Wasserstein-1 distance by its dual (Arjovsky, Chintala & Bottou 2017, eq. 2, 3)."""

hinge = AdversarialLoss(
    lambda real, fake: relu(1 - real).mean() + relu(1 + fake).mean(),
    lambda real, fake: -fake.mean(),
    target=_both_margins,
)
"""Hinge loss (Lim & Ye 2017, eq. 6; Miyato et al. 2018). With smoothing it mixes the losses of a real and a fake image,
as smoothed cross-entropy does: real scores beyond the margin are pulled back to it.
"""

least_squares = AdversarialLoss(
    lambda real, fake: ((real - 1).square().mean() + fake.square().mean()) / 2,
    lambda real, fake: (fake - 1).square().mean() / 2,
    target=lambda real, fake, target: ((real - target).square().mean() + fake.square().mean()) / 2,
    middle=0.5,
)
"""Least squares with targets 0 and 1 (Mao et al. 2017, eq. 9)."""

relativistic = AdversarialLoss(
    lambda real, fake: softplus(fake - real).mean(),
    lambda real, fake: softplus(real - fake).mean(),
    paired=True,
    middle=None,
)
"""Relativistic pairing, RpGAN (Jolicoeur-Martineau 2019): each real is compared with a fake of the same condition."""
