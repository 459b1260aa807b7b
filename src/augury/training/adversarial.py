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
"""Decay of the moving averages of scores (LeCam), of path lengths (StyleGAN2 uses 1 − 0.01) and of pairwise accuracy."""


class AdversarialTrainer:
    """Train a generator against a discriminator.

    `augment` is applied to every discriminator input, real or fake (Zhao et al. 2020). `rarity` [classes] in [0, 1] is
    the weight of each class in the group spectral regularisation, 1 for the rarest (Rangwani et al. 2022).

    Random numbers are reproducible. Each stream is seeded by the run's seed, a purpose such as "noise", the number of the
    discriminator update and the micro-batch.

    Raises SettingsError for an unknown loss, or one that does not fit the networks.
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
        """Update the discriminator `critic_steps` times, then the generator once.

        The generator step reuses the last fakes when the batch fits into memory. Otherwise it generates them again.

        Returns losses and mean scores as scalars. `pairwise_accuracy` is the share of pairs in which the real image scores
        above a fake of the same condition, as a moving average. `p` is the augmentation probability of ADA, where used.
        """
        recipe, critic_steps = self.recipe, self.recipe.critic_steps
        self.state.schedule(progress)
        self._ramp_conditions(self._strength(progress))
        for number in range(step * critic_steps, (step + 1) * critic_steps):
            batch = rounds(draw, progress, self.seed, number, self.state.parts)
            final = number == (step + 1) * critic_steps - 1
            results = [self._discriminator_step(micro, final) for micro in batch]
            self.state.step("discriminator")
            if recipe.clip:
                with torch.no_grad():
                    torch._foreach_clamp_min_(list(self.discriminator.parameters()), -recipe.clip)
                    torch._foreach_clamp_max_(list(self.discriminator.parameters()), recipe.clip)
            self.view.adapt(number, sum(len(micro.real) for micro in batch))
        metrics = [values for values, _ in results]
        if not recipe.simultaneous:
            for micro, (values, fake) in zip(batch, results, strict=True):
                values["loss_g"] = self._generator_step(micro, fake)
        self.state.step("generator")
        images = sum(len(micro.real) for micro in batch)
        self.state.average.update(self.generator, images, step * images)
        means = {name: torch.stack([values[name].detach() for values in metrics]).mean() for name in metrics[0]}
        return means | {k: self.state.extra[k].clone() for k in ("pairwise_accuracy", "p") if k in self.state.extra}

    def _discriminator_step(
        self, micro: MicroBatch, final: bool
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
        """Accumulate the discriminator's gradients on one micro-batch, and in simultaneous training the generator's too.

        Returns the values to log, and the fakes [B, C, H, W]. The fakes are None if the generator step does not reuse them.

        Simultaneous training needs only one backward pass through the discriminator. The score of a fake depends on that
        fake alone. Both losses therefore have, with respect to each fake image, a gradient that is a multiple of the score's
        gradient. The pass yields the gradient of the discriminator's loss. A factor per image converts it into the gradient
        of the generator's loss.
        """
        recipe, batch = self.recipe, len(micro.real)
        reuse = final and (recipe.simultaneous or micro.parts == 1)
        with torch.set_grad_enabled(reuse), self.cast():
            fake = self._fakes(micro).float()
        fake_input, conditions = fake.detach().requires_grad_(recipe.simultaneous), micro.conditions.repeat(2, 1)
        with self.cast():
            augmented = self.view(torch.cat([micro.real, fake_input]), "augment", micro)
            features = self.discriminator.features(augmented, *self.apart)  # type: ignore[operator]
            scores = self.discriminator.head(features, conditions).float()  # type: ignore[operator]
            auxiliary_loss = self.discriminator.auxiliary_loss(features, conditions) if self.auxiliary else None  # type: ignore[operator]
        on_real, on_fake = torch.split(scores, batch)
        loss = self._judged(on_real, on_fake, micro)
        total = loss + self._penalty(micro, fake.detach(), on_real, on_fake)
        if auxiliary_loss is not None:
            total = total + 2 * recipe.auxiliary * self._strength(micro.progress) * auxiliary_loss
        self.state.backward(total / micro.parts)
        self._observe(on_real.detach(), on_fake.detach())
        values = {"loss_d": loss, "score_real": on_real.mean(), "score_fake": on_fake.mean()}
        if not recipe.simultaneous:
            return values, fake if reuse else None
        assert fake_input.grad is not None
        values["loss_g"], factor = self._loss_gradient(on_real.detach(), on_fake.detach().requires_grad_())
        # surrogate loss: by the chain rule, its gradient with respect to the weights equals that of the generator's loss
        self._regularise((fake * fake_input.grad * factor.view(-1, 1, 1, 1)).sum(), 1.0, fake, micro)
        return values, None

    def _judged(self, on_real: torch.Tensor, on_fake: torch.Tensor, micro: MicroBatch) -> torch.Tensor:
        """The discriminator's loss, with label smoothing and label noise if the recipe sets them."""
        recipe = self.recipe
        if self.loss.target is None or not (recipe.label_smoothing or recipe.label_noise):
            return self.loss.discriminator(on_real, on_fake)
        noise = 2 * micro.uniform("labels", *[1] * (on_real.dim() - 1)) - 1
        return self.loss.target(on_real, on_fake, 1 - recipe.label_smoothing + recipe.label_noise * noise)

    @torch.no_grad()
    def _observe(self, on_real: torch.Tensor, on_fake: torch.Tensor) -> None:
        """Update the statistics for ADA and the moving average of the pairwise accuracy. A tie counts as half."""
        self.view.observe(on_real, on_fake)
        accuracy = ((on_real > on_fake).float() + (on_real == on_fake).float() / 2).mean()
        self.state.extra["pairwise_accuracy"].lerp_(accuracy, 1 - USUAL)

    def _loss_gradient(self, on_real: torch.Tensor, on_fake: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The generator's loss, and for each fake ∂L_G/∂score divided by ∂L_D/∂score.

        The ratio is 0 where the discriminator's gradient vanishes.
        """
        loss = self.loss.generator(on_real, on_fake)
        (generator_gradient,) = torch.autograd.grad(loss, on_fake)
        (discriminator_gradient,) = torch.autograd.grad(self.loss.discriminator(on_real, on_fake), on_fake)
        return loss, torch.where(discriminator_gradient.abs() > 1e-20, generator_gradient / discriminator_gradient, 0.0)

    def _penalty(
        self, micro: MicroBatch, fake: torch.Tensor, on_real: torch.Tensor, on_fake: torch.Tensor
    ) -> torch.Tensor:
        """The weighted sum of LeCam, R1, R2 and gradient penalty.

        Gradients are computed in fp32 with respect to the images before augmentation. If an image has several scores, their
        mean is used. All but LeCam are computed every `penalty_every` updates, with their weight multiplied by that number.
        """
        recipe, total = self.recipe, on_real.new_zeros(())

        def scorer(images: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = self.discriminator(self.view(images, "augment slope", micro), micro.conditions)
            return scores.reshape(len(scores), -1).mean(1)

        if recipe.lecam:
            extra = self.state.extra
            for name, values in (("usual_real", on_real), ("usual_fake", on_fake)):
                extra[name].lerp_(values.detach().mean(), 1 - USUAL)
            total = total + recipe.lecam * lecam(on_real, on_fake, extra["usual_real"], extra["usual_fake"])
        if micro.number % recipe.penalty_every:
            return total
        weight = recipe.penalty_every * between(recipe.schedule, micro.progress, 1.0, recipe.final_penalty)
        if recipe.r1:
            total = total + weight * recipe.r1 * squared_gradient_norm(scorer, micro.real)
        if recipe.r2:
            total = total + weight * recipe.r2 * squared_gradient_norm(scorer, fake)
        if recipe.gradient_penalty:
            gradient = gradient_penalty(scorer, micro.real, fake, micro.uniform("mix"), recipe.centre)
            total = total + weight * recipe.gradient_penalty * gradient
        return total

    def _generator_step(self, micro: MicroBatch, fake: torch.Tensor | None) -> torch.Tensor:
        """Accumulate the generator's gradients on one micro-batch, scored by the updated discriminator. Returns the loss."""
        recipe = self.recipe
        if fake is None:
            with self.cast():
                fake = self._fakes(micro).float()
        with self._frozen_discriminator(), self.cast():
            features = self.discriminator.features(self.view(fake, "augment fake", micro))  # type: ignore[operator]
            on_fake = self.discriminator.head(features, micro.conditions).float()  # type: ignore[operator]
            auxiliary_loss = self.discriminator.auxiliary_loss(features, micro.conditions) if self.auxiliary else None  # type: ignore[operator]
        on_real, extra = on_fake.detach(), on_fake.new_zeros(())  # an unpaired loss ignores on_real
        if self.loss.paired or recipe.feature_matching:
            with torch.no_grad(), self.cast():
                real_features = self.discriminator.features(self.view(micro.real, "augment real", micro))  # type: ignore[operator]
                on_real = self.discriminator.head(real_features, micro.conditions).float()  # type: ignore[operator]
            if recipe.feature_matching:
                pairs = zip(real_features, features, strict=True)
                each = [feature_matching(a.float().flatten(1), b.float().flatten(1)) for a, b in pairs]
                extra = recipe.feature_matching * torch.stack(each).mean()
        if auxiliary_loss is not None:
            extra = extra + recipe.auxiliary * self._strength(micro.progress) * auxiliary_loss
        loss = self.loss.generator(on_real, on_fake)
        self._regularise(loss + extra, 1 / micro.parts, fake, micro)
        return loss

    @contextmanager
    def _frozen_discriminator(self) -> Iterator[None]:
        """Freeze the discriminator's weights inside the context. An exception, such as out of memory, unfreezes them."""
        self.discriminator.requires_grad_(False)
        try:
            yield
        finally:
            self.discriminator.requires_grad_(True)

    def _regularise(self, total: torch.Tensor, share: float, fake: torch.Tensor, micro: MicroBatch) -> None:
        """Accumulate the generator's gradients of `share` × `total` and of its regularisers."""
        recipe, extra = self.recipe, total.new_zeros(())
        if recipe.mode_seeking:
            noise, other = (micro.normal(name, self.latent) for name in ("noise", "other"))
            with self.cast():
                second = self.generator(other, micro.conditions).float()
            extra = extra + recipe.mode_seeking * mode_seeking(fake, second, noise, other)
        if recipe.path_length and micro.number // recipe.critic_steps % recipe.path_every == 0:
            extra = extra + recipe.path_length * recipe.path_every * self._path(micro)
        if recipe.spectral_control:
            extra = extra + recipe.spectral_control * self._spectral()
        self.state.backward(share * total + extra / micro.parts)

    def _path(self, micro: MicroBatch) -> torch.Tensor:
        """The path length penalty on half of the micro-batch, in fp32 (Karras et al. 2020a)."""
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
        """The group spectral regulariser (Rangwani et al. 2022): mean over classes and layers, weighted by rarity.

        It applies to the gains and biases of the conditional norms.
        """
        assert self.rarity is not None
        each = [(self.rarity * group_spectral(gain)).mean() for gain in self.generator.gains(len(self.rarity))]  # type: ignore[operator]
        return torch.stack(each).mean()

    def _fakes(self, micro: MicroBatch) -> torch.Tensor:
        """Generate fakes [B, C, H, W] for the conditions of the micro-batch.

        With style mixing, a share of the images uses a second style from a random layer on (Karras et al. 2019).
        """
        noise, conditions = micro.normal("noise", self.latent), micro.conditions
        if not self.recipe.style_mixing:
            images: torch.Tensor = self.generator(noise, conditions)
            return images
        first, second = (
            self.generator.styles(z, conditions)  # type: ignore[operator]
            for z in (noise, micro.normal("second", self.latent))
        )
        layers, uniform = first.shape[1], micro.uniform("styles", 2)
        crossover = torch.where(
            uniform[:, 0] < self.recipe.style_mixing, 1 + (uniform[:, 1] * (layers - 1)).long(), layers
        )
        use_first = torch.arange(layers, device=self.device) < crossover[:, None]
        mixed: torch.Tensor = self.generator.synthesise(torch.where(use_first[..., None], first, second), noise)  # type: ignore[operator]
        return mixed

    def _strength(self, progress: float) -> float:
        """Weight of the class condition at this progress of the training, from 0 to 1 (Shahbazi et al. 2022).

        It grows linearly during the share `late_conditioning` of the training. Without that setting it is 1.
        """
        return min(1.0, progress / self.recipe.late_conditioning) if self.recipe.late_conditioning else 1.0

    def _ramp_conditions(self, strength: float) -> None:
        """Set the weight of the condition in all networks."""
        if self.recipe.late_conditioning:
            for network in self.state.networks.values():
                for module in network.modules():
                    if isinstance(module, ConditionEmbedding):
                        module.strength.fill_(strength)

    def cast(self) -> torch.autocast:
        """Autocast to bf16 if the trainer's precision is "bf16"."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)


def _gains(generator: nn.Module) -> list[torch.Tensor]:
    """Conditional gains and biases of a generator for its first class; empty where it has none."""
    gains: list[torch.Tensor] = generator.gains(1) if hasattr(generator, "gains") else []  # type: ignore[operator]
    return gains
