"""The augmentation of the images that a discriminator sees, and its current probability."""

from __future__ import annotations

import inspect

import torch

from augury.augment import Policy
from augury.augment.draws import like
from augury.errors import SettingsError
from augury.losses import AdversarialLoss
from augury.training.micro_batches import Mean, MicroBatch
from augury.training.recipes import Recipe
from augury.training.schedules import between

ADAPT_EVERY = 4
"""Updates of the discriminator between two changes of an adaptive probability."""


class AugmentPipe:
    """Augment images with the current probability, and add instance noise.

    The probability is fixed, follows the schedule, or adapts (ADA). In ADA, r = E sign D(real) measures how far the
    discriminator overfits. p moves up or down until r is `ada_target`; it takes at least `ada_images` images from 0 to 1
    (Karras et al. 2020b, section 3.1). A loss that compares pairs has r = E sign(D(real) − D(fake)). `extra` holds the
    state.
    """

    def __init__(
        self,
        augment: Policy,
        recipe: Recipe,
        loss: AdversarialLoss,
        extra: dict[str, torch.Tensor],
        device: torch.device,
    ) -> None:
        self.augment, self.recipe, self.loss, self.extra = augment, recipe, loss, extra
        moving = recipe.ada_target or (recipe.augment_p, recipe.final_augment_p) != (1.0, 1.0)
        if moving and "p" not in inspect.signature(augment).parameters:
            raise SettingsError(
                "ada_target, augment_p and final_augment_p change the probability of an augmentation, but this policy takes "
                "none; name one of augury.augment, or give your callable a keyword p"
            )
        if recipe.ada_target:
            if loss.critic:
                raise SettingsError(
                    f"ada_target uses the sign of scores, but those of loss={recipe.loss} have none; set ada_target=0 and an "
                    "augmentation of a fixed strength: --set train.augment=diffaugment_light"
                )
            extra |= {"p": torch.zeros((), device=device), "signs": torch.zeros(2, device=device)}
        self.moving = bool(moving)

    def __call__(self, images: torch.Tensor, name: str, micro: MicroBatch) -> torch.Tensor:
        """Augment images [N, C, H, W], with the random numbers called `name` of this micro-batch."""
        draws = micro.draws(name)
        seen = self.augment(images, draws, p=self._p(micro.progress)) if self.moving else self.augment(images, draws)
        deviation = self.recipe.instance_noise * (1 - micro.progress)
        if deviation > 0:
            seen = seen + deviation * like(seen, draws)
        return seen

    def _p(self, progress: float) -> float | torch.Tensor:
        rule = self.recipe
        if rule.ada_target:
            return self.extra["p"]
        return between(rule.schedule, progress, rule.augment_p, rule.final_augment_p)

    @torch.no_grad()
    def observe(self, on_real: torch.Tensor, on_fake: torch.Tensor, mean: Mean = torch.mean) -> None:
        """Record the scores [B, S] of one micro-batch, with the mean over it."""
        if self.recipe.ada_target:
            apart = on_real - (on_fake if self.loss.middle is None else self.loss.middle)
            self.extra["signs"] += torch.stack([mean(apart.sign()), torch.ones_like(self.extra["p"])])

    @torch.no_grad()
    def adapt(self, number: int, batch: int) -> None:
        """After update `number` on `batch` images: move p once every ADAPT_EVERY updates."""
        if self.recipe.ada_target and (number + 1) % ADAPT_EVERY == 0:
            total, count = self.extra["signs"]
            move = torch.sign(total / count - self.recipe.ada_target) * (ADAPT_EVERY * batch / self.recipe.ada_images)
            self.extra["p"].add_(move).clamp_(0, 1)
            self.extra["signs"].zero_()
