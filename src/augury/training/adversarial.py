"""One training step of generator and discriminator."""

from __future__ import annotations

from typing import cast

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
from augury.networks.discriminator import Features
from augury.training.augment_pipe import AugmentPipe
from augury.training.distributed import ALONE, World
from augury.training.micro_batches import PENALTY_DRAWS, Draw, MicroBatch, draw_micro_batches, means
from augury.training.protocols import AuxiliaryDiscriminator, ConditionallyNormed, Discriminator, Generator, Styled
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
        world: World = ALONE,
    ) -> None:
        if recipe.loss not in ADVERSARIAL_LOSSES:
            raise SettingsError(f"there is no loss '{recipe.loss}'; choose one of: {', '.join(ADVERSARIAL_LOSSES)}")
        norms = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in discriminator.modules())
        if norms and (recipe.gradient_penalty or recipe.r1 or recipe.r2):
            raise SettingsError(
                "a gradient penalty needs each image by itself, but this discriminator has batch norm; use another"
            )
        conditional = isinstance(generator, ConditionallyNormed) and generator.gains(1)
        if recipe.spectral_control and (rarity is None or not conditional):
            raise SettingsError(
                "spectral_control holds conditional norms, but this generator has none; use recipe rpgan or dcgan, with "
                "conditional_norm=true"
            )
        self.state = TrainState({"generator": generator, "discriminator": discriminator}, recipe, device, world)
        self.generator, self.discriminator = cast(Generator, generator), cast(Discriminator, discriminator)
        classifies = isinstance(discriminator, AuxiliaryDiscriminator) and discriminator.auxiliary
        self.classifier = cast(AuxiliaryDiscriminator, discriminator) if classifies else None
        self.recipe, self.seed, self.device = recipe, seed, device
        self.loss = ADVERSARIAL_LOSSES[recipe.loss]
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

        The generator phase reuses the last fakes when the batch fits into memory. Otherwise it generates them again.

        Simultaneous training updates the generator by the same backward pass through the discriminator. The score of a fake
        depends on that fake alone. Both losses therefore have, with respect to each fake image, a gradient that is a multiple
        of the score's gradient. A factor per image converts the discriminator's gradient into the generator's.

        Returns losses and mean scores as scalars. `pairwise_accuracy` is the share of pairs in which the real image scores
        above a fake of the same condition, as a moving average. `p` is the augmentation probability of ADA, where used.
        """
        recipe, state, parts = self.recipe, self.state, self.state.parts
        state.schedule(progress)
        self._ramp_conditions(self._strength(progress))

        # Discriminator phase: real images score above fakes of the same conditions.
        last = (step + 1) * recipe.critic_steps - 1
        for number in range(step * recipe.critic_steps, last + 1):
            reports: list[dict[str, torch.Tensor]] = []
            fakes: list[torch.Tensor | None] = []
            batch = draw_micro_batches(draw, progress, self.seed, number, parts, state.world)
            for micro in batch:
                with torch.set_grad_enabled(number == last and (recipe.simultaneous or parts == 1)):
                    fake = self._fakes(micro)
                shown = fake.detach().requires_grad_(recipe.simultaneous)
                scores, features = self._scores(torch.cat([micro.real, shown]), "augment", micro, apart=2)
                on_real, on_fake = scores.chunk(2)
                loss = self._judged(on_real, on_fake, micro)
                auxiliary = self._auxiliary_loss(features, micro, apart=2)
                penalty = self._penalty(micro, fake.detach(), on_real, on_fake)
                state.backward((loss + penalty + auxiliary) / micro.divisor)
                self._observe(on_real.detach(), on_fake.detach(), micro)
                reports.append({"loss_d": loss, "score_real": on_real.mean(), "score_fake": on_fake.mean()})
                fakes.append(fake if parts == 1 else None)

                # Generator phase of simultaneous training. By the chain rule, the gradient of the surrogate with respect to
                # the weights equals that of the generator's loss.
                if recipe.simultaneous:
                    assert shown.grad is not None
                    loss_g, factor = self._loss_gradient(on_real.detach(), on_fake.detach().requires_grad_())
                    surrogate = (fake * shown.grad * factor.view(-1, 1, 1, 1)).sum()
                    state.backward(surrogate + self._regularisers(fake, micro) / micro.divisor)
                    reports[-1]["loss_g"] = loss_g
            state.step("discriminator")
            if recipe.clip:
                state.clamp("discriminator", recipe.clip)
            self.view.adapt(number, sum(micro.total for micro in batch))

        # Generator phase: fakes score high in the updated discriminator.
        if not recipe.simultaneous:
            for micro, report, reusable in zip(batch, reports, fakes, strict=True):
                fake = self._fakes(micro) if reusable is None else reusable
                with state.frozen("discriminator"):
                    on_fake, features = self._scores(fake, "augment fake", micro)
                    auxiliary = self._auxiliary_loss(features, micro)
                on_real, matching = self._real_scores(micro, on_fake, features)
                report["loss_g"] = loss_g = self.loss.generator(on_real, on_fake)
                state.backward((loss_g + matching + auxiliary + self._regularisers(fake, micro)) / micro.divisor)
        state.step("generator")

        # Average of the generator's weights, and the values to report.
        images = sum(micro.total for micro in batch)
        state.update_average(images, step * images)
        running = {k: state.extra[k].clone() for k in ("pairwise_accuracy", "p") if k in state.extra}
        return means(reports, batch, state.world) | running

    def _fakes(self, micro: MicroBatch) -> torch.Tensor:
        """Generate fakes [B, C, H, W] for the conditions of the micro-batch.

        With style mixing, a share of the images uses a second style from a random layer on (Karras et al. 2019).
        """
        generator, mixing, conditions = self.generator, self.recipe.style_mixing, micro.conditions
        noise = micro.normal("noise", generator.latent)
        with self.autocast():
            if not mixing:
                return generator(noise, conditions).float()
            assert isinstance(generator, Styled)
            first, second = (generator.styles(z, conditions) for z in (noise, micro.normal("second", generator.latent)))
            layers, uniform = first.shape[1], micro.uniform("styles", 2)
            crossover = torch.where(uniform[:, 0] < mixing, 1 + (uniform[:, 1] * (layers - 1)).long(), layers)
            use_first = torch.arange(layers, device=self.device) < crossover[:, None]
            return generator.synthesise(torch.where(use_first[..., None], first, second), noise).float()

    def _scores(
        self, images: torch.Tensor, name: str, micro: MicroBatch, apart: int = 1
    ) -> tuple[torch.Tensor, Features]:
        """Augment and score images: `apart` batches, each with the conditions of the micro-batch.

        Returns the scores [N, S] in fp32, and the features. `name` is the purpose of the augmentation's random numbers.
        """
        with self.autocast():
            features = self.discriminator.features(self.view(images, name, micro), apart)
            return self.discriminator.head(features, micro.conditions.repeat(apart, 1)).float(), features

    def _auxiliary_loss(self, features: Features, micro: MicroBatch, apart: int = 1) -> torch.Tensor:
        """The weighted class loss, summed over `apart` batches; 0 for a discriminator that does not classify."""
        if self.classifier is None:
            return torch.zeros((), device=self.device)
        with self.autocast():
            loss = self.classifier.auxiliary_loss(features, micro.conditions.repeat(apart, 1))
        return apart * self.recipe.auxiliary * self._strength(micro.progress) * loss

    def _judged(self, on_real: torch.Tensor, on_fake: torch.Tensor, micro: MicroBatch) -> torch.Tensor:
        """The discriminator's loss, with label smoothing and label noise if the recipe sets them."""
        recipe = self.recipe
        if self.loss.target is None or not (recipe.label_smoothing or recipe.label_noise):
            return self.loss.discriminator(on_real, on_fake)
        noise = 2 * micro.uniform("labels", *[1] * (on_real.dim() - 1)) - 1
        return self.loss.target(on_real, on_fake, 1 - recipe.label_smoothing + recipe.label_noise * noise)

    @torch.no_grad()
    def _observe(self, on_real: torch.Tensor, on_fake: torch.Tensor, micro: MicroBatch) -> None:
        """Update the statistics for ADA and the moving average of the pairwise accuracy. A tie counts as half."""
        self.view.observe(on_real, on_fake, micro.mean)
        accuracy = micro.mean((on_real > on_fake).float() + (on_real == on_fake).float() / 2)
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
            scores = self.discriminator(self.view(images, PENALTY_DRAWS, micro), micro.conditions)
            return scores.reshape(len(scores), -1).mean(1)

        if recipe.lecam:
            extra = self.state.extra
            for name, values in (("usual_real", on_real), ("usual_fake", on_fake)):
                extra[name].lerp_(micro.mean(values.detach()), 1 - USUAL)
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

    def _real_scores(
        self, micro: MicroBatch, on_fake: torch.Tensor, features: Features
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The scores of real images where the generator's loss uses them, and the weighted feature matching loss.

        A loss that uses none gets the scores of the fakes, and ignores them.
        """
        weight, matching = self.recipe.feature_matching, on_fake.new_zeros(())
        if not (self.loss.paired or weight):
            return on_fake.detach(), matching
        with torch.no_grad():
            on_real, real_features = self._scores(micro.real, "augment real", micro)
        if weight:
            pairs = zip(real_features, features, strict=True)
            rows = ([micro.mean_row(x.float().flatten(1)) for x in pair] for pair in pairs)
            each = [feature_matching(real, fake) for real, fake in rows]
            matching = weight * torch.stack(each).mean()
        return on_real, matching

    def _regularisers(self, fake: torch.Tensor, micro: MicroBatch) -> torch.Tensor:
        """The weighted sum of mode seeking, path length and spectral control."""
        recipe, total = self.recipe, fake.new_zeros(())
        if recipe.mode_seeking:
            noise, other = (micro.normal(name, self.generator.latent) for name in ("noise", "other"))
            with self.autocast():
                second = self.generator(other, micro.conditions).float()
            total = total + recipe.mode_seeking * mode_seeking(fake, second, noise, other)
        if recipe.path_length and micro.number // recipe.critic_steps % recipe.path_every == 0:
            total = total + recipe.path_length * recipe.path_every * self._path(micro)
        if recipe.spectral_control:
            total = total + recipe.spectral_control * self._spectral()
        return total

    def _path(self, micro: MicroBatch) -> torch.Tensor:
        """The path length penalty on half of the micro-batch, in fp32 (Karras et al. 2020a). All processes share the half."""
        generator, half = self.generator, max(1, micro.total // 2)
        assert isinstance(generator, Styled)
        rows = micro.world.rows(half)
        noise, conditions = micro.normal("noise", generator.latent, rows=rows), micro.all_conditions[rows]
        styles = generator.styles(noise, conditions)
        images = generator.synthesise(styles, noise)
        direction = micro.normal("path", *images.shape[1:], rows=rows)
        usual, share = self.state.extra["usual_length"], len(noise) / half
        penalty, length = path_length(images, styles, direction, usual)
        usual.lerp_(micro.world.sum(length * share), 1 - USUAL)
        return penalty * (share / micro.share)

    def _spectral(self) -> torch.Tensor:
        """The group spectral regulariser (Rangwani et al. 2022): mean over classes and layers, weighted by rarity.

        It applies to the gains and biases of the conditional norms.
        """
        assert self.rarity is not None and isinstance(self.generator, ConditionallyNormed)
        each = [(self.rarity * group_spectral(gain)).mean() for gain in self.generator.gains(len(self.rarity))]
        return torch.stack(each).mean()

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

    def autocast(self) -> torch.autocast:
        """Autocast to bf16 if the trainer's precision is "bf16"."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)
