"""One training step of generator and discriminator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from augury.augment import Policy
from augury.errors import SettingsError
from augury.losses import (
    ADVERSARIAL_LOSSES,
    feature_matching,
    gradient_penalty,
    group_spectral,
    lecam,
    mode_seeking,
    path_length,
    squared_gradient_norm,
)
from augury.networks import ConditionEmbedding
from augury.training.augment_pipe import AugmentPipe
from augury.training.micro_batches import Draw, MicroBatch, rounds
from augury.training.recipes import Recipe
from augury.training.schedules import between
from augury.training.train_state import TrainState

USUAL = 0.99
"""Decay of the moving averages of scores (LeCam), of path lengths (StyleGAN2's .01) and of the pairwise accuracy."""


class AdversarialTrainer:
    """Train a generator against a discriminator.

    `augment` is applied to every image, real or fake, before the discriminator sees it (Zhao et al. 2020). `rarity`
    [classes] in [0, 1] weights the spectral control of each class, 1 for the rarest. Every random number has an address:
    (seed, purpose, number of the discriminator's update, micro-batch). Raises SettingsError for a loss that does not exist
    or does not fit the networks.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        recipe: Recipe,
        augment: Policy,
        *,
        seed: int,
        device: torch.device,
        precision: str,
        rarity: torch.Tensor | None = None,
    ) -> None:
        if recipe.loss not in ADVERSARIAL_LOSSES:
            raise SettingsError(f"there is no loss '{recipe.loss}'; choose one of: {', '.join(ADVERSARIAL_LOSSES)}")
        norms = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in discriminator.modules())
        if norms and (recipe.gradient_penalty or recipe.r1 or recipe.r2):
            raise SettingsError(
                "a gradient penalty needs each image by itself, but this discriminator has batch norm; use another"
            )
        if recipe.spectral_control and not (rarity is not None and _gains(generator)):
            raise SettingsError(
                "spectral_control holds conditional norms, but this generator has none; use recipe rpgan or dcgan, with "
                "conditional_norm=true"
            )
        self.state = TrainState({"generator": generator, "discriminator": discriminator}, recipe, device)
        self.generator, self.discriminator = self.state.networks.values()
        self.latent = int(generator.latent)  # type: ignore[arg-type]
        self.recipe, self.seed, self.device = recipe, seed, device
        self.loss = ADVERSARIAL_LOSSES[recipe.loss]
        self.auxiliary = bool(getattr(discriminator, "auxiliary", False))
        self.apart = (2,) if getattr(discriminator, "compares", False) else ()
        self.rarity = None if rarity is None else rarity.to(device)
        self.half = precision == "bf16"
        extra = self.state.extra
        extra["pairwise_accuracy"] = torch.full((), 0.5, device=device)
        self.view = AugmentPipe(augment, recipe, self.loss, extra, device)
        if recipe.lecam:
            extra |= {name: torch.zeros((), device=device) for name in ("usual_real", "usual_fake")}
        if recipe.path_length:
            extra["usual_length"] = torch.zeros((), device=device)

    def train_step(self, step: int, progress: float, draw: Draw) -> dict[str, torch.Tensor]:
        """Update the discriminator `critic_steps` times and the generator once, on the discriminator's last fakes.

        Returns losses and mean scores as scalars. `pairwise_accuracy` is the share of real images that score above a fake
        of the same condition.
        """
        rule, several = self.recipe, self.recipe.critic_steps
        self.state.schedule(progress)
        self._ramp_conditions(self._strength(progress))
        for number in range(step * several, (step + 1) * several):
            batch = rounds(draw, progress, self.seed, number, self.state.parts)
            final = number == (step + 1) * several - 1
            results = [self._discriminator_step(micro, final) for micro in batch]
            self.state.step("discriminator")
            if rule.clip:
                with torch.no_grad():
                    torch._foreach_clamp_min_(list(self.discriminator.parameters()), -rule.clip)
                    torch._foreach_clamp_max_(list(self.discriminator.parameters()), rule.clip)
            self.view.adapt(number, sum(len(micro.real) for micro in batch))
        report = [numbers for numbers, _ in results]
        if not rule.simultaneous:
            for micro, (numbers, fake) in zip(batch, results, strict=True):
                numbers["loss_g"] = self._generator_step(micro, fake)
        self.state.step("generator")
        images = sum(len(micro.real) for micro in batch)
        self.state.average.update(self.generator, images, step * images)
        means = {name: torch.stack([numbers[name].detach() for numbers in report]).mean() for name in report[0]}
        return means | {k: self.state.extra[k].clone() for k in ("pairwise_accuracy", "p") if k in self.state.extra}

    def _discriminator_step(
        self, micro: MicroBatch, final: bool
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
        """Add the discriminator's gradients on one micro-batch, and in simultaneous training the generator's too.

        Returns the values to report, and the fakes [B, C, H, W] where the generator step that follows needs them.

        Scores of different images do not depend on each other. The gradients of both losses at a fake are therefore
        multiples of the gradient of its score. One backward pass gives the discriminator's gradient, and a factor for each
        image turns it into the generator's.
        """
        rule, batch = self.recipe, len(micro.real)
        keep = final and (rule.simultaneous or micro.parts == 1)
        with torch.set_grad_enabled(keep), self.cast():
            fake = self._fakes(micro).float()
        shown, both = fake.detach().requires_grad_(rule.simultaneous), micro.conditions.repeat(2, 1)
        with self.cast():
            seen = self.view(torch.cat([micro.real, shown]), "augment", micro)
            features = self.discriminator.features(seen, *self.apart)  # type: ignore[operator]
            scores = self.discriminator.head(features, both).float()  # type: ignore[operator]
            auxiliary_loss = self.discriminator.auxiliary_loss(features, both) if self.auxiliary else None  # type: ignore[operator]
        on_real, on_fake = torch.split(scores, batch)
        loss = self._judged(on_real, on_fake, micro)
        total = loss + self._penalty(micro, fake.detach(), on_real, on_fake)
        if auxiliary_loss is not None:
            total = total + 2 * rule.auxiliary * self._strength(micro.progress) * auxiliary_loss
        self.state.backward(total / micro.parts)
        self._observe(on_real.detach(), on_fake.detach())
        report = {"loss_d": loss, "score_real": on_real.mean(), "score_fake": on_fake.mean()}
        if not rule.simultaneous:
            return report, fake if keep else None
        assert shown.grad is not None
        report["loss_g"], factor = self._loss_gradient(on_real.detach(), on_fake.detach().requires_grad_())
        # by the chain rule, the sum has the loss's gradient with respect to the weights
        self._regularise((fake * shown.grad * factor.view(-1, 1, 1, 1)).sum(), 1.0, fake, micro)
        return report, None

    def _judged(self, on_real: torch.Tensor, on_fake: torch.Tensor, micro: MicroBatch) -> torch.Tensor:
        """The discriminator's loss, with smoothed targets where the recipe asks for them."""
        rule = self.recipe
        if self.loss.target is None or not (rule.label_smoothing or rule.label_noise):
            return self.loss.discriminator(on_real, on_fake)
        shake = 2 * micro.uniform("labels", *[1] * (on_real.dim() - 1)) - 1
        return self.loss.target(on_real, on_fake, 1 - rule.label_smoothing + rule.label_noise * shake)

    @torch.no_grad()
    def _observe(self, on_real: torch.Tensor, on_fake: torch.Tensor) -> None:
        self.view.observe(on_real, on_fake)
        apart = ((on_real > on_fake).float() + (on_real == on_fake).float() / 2).mean()
        self.state.extra["pairwise_accuracy"].lerp_(apart, 1 - USUAL)

    def _loss_gradient(self, on_real: torch.Tensor, on_fake: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The generator's loss, and for each fake the ratio of two gradients with respect to its score: that of the
        generator's loss to that of the discriminator's.
        """
        loss = self.loss.generator(on_real, on_fake)
        (generator_gradient,) = torch.autograd.grad(loss, on_fake)
        (discriminator_gradient,) = torch.autograd.grad(self.loss.discriminator(on_real, on_fake), on_fake)
        return loss, torch.where(discriminator_gradient.abs() > 1e-20, generator_gradient / discriminator_gradient, 0.0)

    def _penalty(
        self, micro: MicroBatch, fake: torch.Tensor, on_real: torch.Tensor, on_fake: torch.Tensor
    ) -> torch.Tensor:
        """All penalties, weighted. Gradients are taken in fp32 with respect to the images before augmentation. Where an
        image has several scores, the mean score is used.
        """
        rule, total = self.recipe, on_real.new_zeros(())

        def scorer(images: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = self.discriminator(self.view(images, "augment slope", micro), micro.conditions)
            return scores.reshape(len(scores), -1).mean(1)

        if rule.lecam:
            extra = self.state.extra
            for name, values in (("usual_real", on_real), ("usual_fake", on_fake)):
                extra[name].lerp_(values.detach().mean(), 1 - USUAL)
            total = total + rule.lecam * lecam(on_real, on_fake, extra["usual_real"], extra["usual_fake"])
        if micro.number % rule.penalty_every:
            return total
        weight = rule.penalty_every * between(rule.schedule, micro.progress, 1.0, rule.final_penalty)
        if rule.r1:
            total = total + weight * rule.r1 * squared_gradient_norm(scorer, micro.real)
        if rule.r2:
            total = total + weight * rule.r2 * squared_gradient_norm(scorer, fake)
        if rule.gradient_penalty:
            gradient = gradient_penalty(scorer, micro.real, fake, micro.uniform("mix"), rule.centre)
            total = total + weight * rule.gradient_penalty * gradient
        return total

    def _generator_step(self, micro: MicroBatch, fake: torch.Tensor | None) -> torch.Tensor:
        """Add the generator's gradients on one micro-batch, by a pass of the updated discriminator; returns its loss."""
        rule = self.recipe
        if fake is None:
            with self.cast():
                fake = self._fakes(micro).float()
        with self._frozen_discriminator(), self.cast():
            features = self.discriminator.features(self.view(fake, "augment fake", micro))  # type: ignore[operator]
            on_fake = self.discriminator.head(features, micro.conditions).float()  # type: ignore[operator]
            auxiliary_loss = self.discriminator.auxiliary_loss(features, micro.conditions) if self.auxiliary else None  # type: ignore[operator]
        on_real, extra = on_fake.detach(), on_fake.new_zeros(())
        if self.loss.paired or rule.feature_matching:
            with torch.no_grad(), self.cast():
                real_features = self.discriminator.features(self.view(micro.real, "augment real", micro))  # type: ignore[operator]
                on_real = self.discriminator.head(real_features, micro.conditions).float()  # type: ignore[operator]
            if rule.feature_matching:
                pairs = zip(real_features, features, strict=True)
                each = [feature_matching(a.float().flatten(1), b.float().flatten(1)) for a, b in pairs]
                extra = rule.feature_matching * torch.stack(each).mean()
        if auxiliary_loss is not None:
            extra = extra + rule.auxiliary * self._strength(micro.progress) * auxiliary_loss
        loss = self.loss.generator(on_real, on_fake)
        self._regularise(loss + extra, 1 / micro.parts, fake, micro)
        return loss

    @contextmanager
    def _frozen_discriminator(self) -> Iterator[None]:
        """The discriminator takes no gradients inside, also when memory runs out there."""
        self.discriminator.requires_grad_(False)
        try:
            yield
        finally:
            self.discriminator.requires_grad_(True)

    def _regularise(self, total: torch.Tensor, share: float, fake: torch.Tensor, micro: MicroBatch) -> None:
        """Add the generator's gradients of `share` of `total`, and those of its regularisers."""
        rule, extra = self.recipe, total.new_zeros(())
        if rule.mode_seeking:
            noise, other = (micro.normal(name, self.latent) for name in ("noise", "other"))
            with self.cast():
                second = self.generator(other, micro.conditions).float()
            extra = extra + rule.mode_seeking * mode_seeking(fake, second, noise, other)
        if rule.path_length and micro.number // rule.critic_steps % rule.path_every == 0:
            extra = extra + rule.path_length * rule.path_every * self._path(micro)
        if rule.spectral_control:
            extra = extra + rule.spectral_control * self._spectral()
        self.state.backward(share * total + extra / micro.parts)

    def _path(self, micro: MicroBatch) -> torch.Tensor:
        """The path length penalty over half the batch, in fp32."""
        half = slice(0, max(1, len(micro.real) // 2))
        noise, conditions = micro.normal("noise", self.latent)[half], micro.conditions[half]
        styles = self.generator.styles(noise, conditions)  # type: ignore[operator]
        images = self.generator.synthesise(styles, noise)  # type: ignore[operator]
        direction = micro.normal("path", *images.shape[1:])[half]
        usual = self.state.extra["usual_length"]
        penalty, length = path_length(images, styles, direction, usual)
        usual.lerp_(length, 1 - USUAL)
        return penalty

    def _spectral(self) -> torch.Tensor:
        """Group spectral norms of every class's gains and biases, weighted by the rarity of the class, as a mean over
        layers.
        """
        assert self.rarity is not None
        each = [(self.rarity * group_spectral(gain)).mean() for gain in self.generator.gains(len(self.rarity))]  # type: ignore[operator]
        return torch.stack(each).mean()

    def _fakes(self, micro: MicroBatch) -> torch.Tensor:
        """Fakes [B, C, H, W] for the conditions of the micro-batch. A share of them has two styles, switched at a random
        layer.
        """
        noise, conditions = micro.normal("noise", self.latent), micro.conditions
        if not self.recipe.style_mixing:
            images: torch.Tensor = self.generator(noise, conditions)
            return images
        first, second = (
            self.generator.styles(z, conditions)  # type: ignore[operator]
            for z in (noise, micro.normal("second", self.latent))
        )
        layers, chance = first.shape[1], micro.uniform("styles", 2)
        change = torch.where(chance[:, 0] < self.recipe.style_mixing, 1 + (chance[:, 1] * (layers - 1)).long(), layers)
        mine = torch.arange(layers, device=self.device) < change[:, None]
        mixed: torch.Tensor = self.generator.synthesise(torch.where(mine[..., None], first, second), noise)  # type: ignore[operator]
        return mixed

    def _strength(self, progress: float) -> float:
        """Weight of the condition: it grows from 0 to 1 over the recipe's first share of the training."""
        return min(1.0, progress / self.recipe.late_conditioning) if self.recipe.late_conditioning else 1.0

    def _ramp_conditions(self, strength: float) -> None:
        if self.recipe.late_conditioning:
            for network in self.state.networks.values():
                for module in network.modules():
                    if isinstance(module, ConditionEmbedding):
                        module.strength.fill_(strength)

    def cast(self) -> torch.autocast:
        """bf16 autocast when the plan says so."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)


def _gains(generator: nn.Module) -> list[torch.Tensor]:
    """Conditional gains and biases of a generator for its first class; empty where it has none."""
    gains: list[torch.Tensor] = generator.gains(1) if hasattr(generator, "gains") else []  # type: ignore[operator]
    return gains
