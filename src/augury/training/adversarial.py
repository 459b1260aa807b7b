"""One round of the game between generator and discriminator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from augury.augment import Policy
from augury.errors import SettingsError
from augury.losses import (
    ADVERSARIAL_LOSSES,
    feature_matching,
    gradient_penalty,
    lecam,
    mode_seeking,
    path_length,
    squared_slope,
)
from augury.networks import ConditionEmbedding
from augury.randomness import stream
from augury.recipes import Recipe
from augury.training.players import Players

Draw = Callable[[int], tuple[torch.Tensor, torch.Tensor]]
"""Number of a batch -> (real images [B, C, H, W] in [-1, 1], conditions int64 [B, K])."""

USUAL = 0.99
"""How much the moving averages of scores (LeCam) and of path lengths keep at each step (path lengths: StyleGAN2's .01)."""


class AdversarialGame:
    """Generator against discriminator.

    `augment` is what is done to every image, real or fake, before the discriminator sees it (Zhao et al. 2020). Every
    random number has an address (seed, what for, number of the discriminator's update). Raises SettingsError for a loss
    that does not exist or does not fit the networks.
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
    ) -> None:
        if recipe.loss not in ADVERSARIAL_LOSSES:
            raise SettingsError(f"there is no loss '{recipe.loss}'; choose one of: {', '.join(ADVERSARIAL_LOSSES)}")
        norms = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in discriminator.modules())
        if norms and (recipe.gradient_penalty or recipe.r1 or recipe.r2):
            raise SettingsError(
                "a slope penalty looks at one image alone, but this discriminator has batch norm; use another"
            )
        self.players = Players({"generator": generator, "discriminator": discriminator}, recipe, device)
        self.generator, self.discriminator = self.players.networks.values()
        self.latent = int(generator.latent)  # type: ignore[arg-type]
        self.recipe, self.augment, self.seed, self.device = recipe, augment, seed, device
        self.loss = ADVERSARIAL_LOSSES[recipe.loss]
        self.half = precision == "bf16"
        if recipe.lecam:
            self.players.extra |= {name: torch.zeros((), device=device) for name in ("usual_real", "usual_fake")}
        if recipe.path_length:
            self.players.extra["usual_length"] = torch.zeros((), device=device)

    def play(self, step: int, progress: float, draw: Draw) -> dict[str, torch.Tensor]:
        """`critic_steps` updates of the discriminator and one of the generator, whose fakes are the discriminator's last.
        Returns losses and mean scores as scalars."""
        self.players.schedule(progress)
        self._ramp_conditions(progress)
        for number in range(step * self.recipe.critic_steps, (step + 1) * self.recipe.critic_steps):
            real, conditions = draw(number)
            noise = self._noise("noise", number, len(real))
            with self.cast():
                fake = self._fakes(noise, conditions, number).float()
            told, pull = self._criticise(real, fake.detach(), conditions, number, progress)
        if pull is None:
            told["loss_g"], total = self._fooled(real, fake, conditions, number, progress)
        else:
            total = (fake * pull).sum()  # whose slope in the weights is the loss's, by the chain rule
        self._generate(total, fake, noise, conditions, number)
        self.players.average.update(self.generator, len(real), step * len(real))
        return {k: v.detach() for k, v in told.items()}

    def _criticise(
        self, real: torch.Tensor, fake: torch.Tensor, conditions: torch.Tensor, number: int, progress: float
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
        """One update of the discriminator; what to tell, and in simultaneous play the slope of the generator's loss at the
        fakes [B, C, H, W].

        Scores of different images do not depend on each other, so that both losses' slopes at a fake are multiples of its
        score's: one backward pass gives the discriminator's, a factor for each image turns it into the generator's.
        """
        rule, batch = self.recipe, len(real)
        fake.requires_grad_(rule.simultaneous)
        with self.cast():
            scores = self.discriminator(
                self._seen(torch.cat([real, fake]), "augment", number, progress), conditions.repeat(2, 1)
            ).float()
        on_real, on_fake = torch.split(scores, batch)
        if self.loss.target is not None and (rule.label_smoothing or rule.label_noise):
            shake = 2 * torch.rand(batch, generator=stream(self.seed, "labels", number)).to(self.device) - 1
            loss = self.loss.target(on_real, on_fake, 1 - rule.label_smoothing + rule.label_noise * shake)
        else:
            loss = self.loss.discriminator(on_real, on_fake)
        self.players.update(loss + self._penalty(real, fake.detach(), scores, conditions, number), "discriminator")
        if rule.clip:
            with torch.no_grad():
                torch._foreach_clamp_min_(list(self.discriminator.parameters()), -rule.clip)
                torch._foreach_clamp_max_(list(self.discriminator.parameters()), rule.clip)
        told = {"loss_d": loss, "score_real": on_real.mean(), "score_fake": on_fake.mean()}
        if fake.grad is None:
            return told, None
        told["loss_g"], factor = self._turn(on_real.detach(), on_fake.detach().requires_grad_())
        return told, fake.grad * factor.view(-1, 1, 1, 1)

    def _turn(self, on_real: torch.Tensor, on_fake: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The generator's loss, and for each fake [B] the ratio of the losses' slopes in its score, generator's to
        discriminator's."""
        loss = self.loss.generator(on_real, on_fake)
        (wanted,) = torch.autograd.grad(loss, on_fake)
        (given,) = torch.autograd.grad(self.loss.discriminator(on_real, on_fake), on_fake)
        return loss, torch.where(given.abs() > 1e-20, wanted / given, 0.0)

    def _penalty(
        self, real: torch.Tensor, fake: torch.Tensor, scores: torch.Tensor, conditions: torch.Tensor, number: int
    ) -> torch.Tensor:
        """All penalties, weighted; slopes are taken in fp32 at images as they were before the augmentation."""
        rule, total = self.recipe, scores.new_zeros(())

        def scorer(images: torch.Tensor) -> torch.Tensor:
            seen = self.augment(images, stream(self.seed, "augment slope", number))
            found: torch.Tensor = self.discriminator(seen, conditions)
            return found

        if rule.lecam:
            on_real, on_fake = torch.split(scores, len(real))
            extra = self.players.extra
            for name, values in (("usual_real", on_real), ("usual_fake", on_fake)):
                extra[name].lerp_(values.detach().mean(), 1 - USUAL)
            total = total + rule.lecam * lecam(on_real, on_fake, extra["usual_real"], extra["usual_fake"])
        if number % rule.penalty_every:
            return total
        if rule.r1:
            total = total + rule.penalty_every * rule.r1 * squared_slope(scorer, real)
        if rule.r2:
            total = total + rule.penalty_every * rule.r2 * squared_slope(scorer, fake)
        if rule.gradient_penalty:
            mix = torch.rand(len(real), generator=stream(self.seed, "mix", number)).to(self.device)
            slope = gradient_penalty(scorer, real, fake, mix, rule.centre)
            total = total + rule.penalty_every * rule.gradient_penalty * slope
        return total

    def _fooled(
        self, real: torch.Tensor, fake: torch.Tensor, conditions: torch.Tensor, number: int, progress: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(the generator's loss, the same with feature matching) by a pass of the updated discriminator."""
        rule = self.recipe
        self.discriminator.requires_grad_(False)
        with self.cast():
            features = self.discriminator.features(self._seen(fake, "augment fake", number, progress))  # type: ignore[operator]
            on_fake = self.discriminator.head(features, conditions).float()  # type: ignore[operator]
        on_real, real_features = on_fake.detach(), features.detach()
        if self.loss.paired or rule.feature_matching:
            with torch.no_grad(), self.cast():
                real_features = self.discriminator.features(self._seen(real, "augment real", number, progress))  # type: ignore[operator]
                on_real = self.discriminator.head(real_features, conditions).float()  # type: ignore[operator]
        self.discriminator.requires_grad_(True)
        loss = self.loss.generator(on_real, on_fake)
        if not rule.feature_matching:
            return loss, loss
        return loss, loss + rule.feature_matching * feature_matching(real_features.float(), features.float())

    def _generate(
        self, total: torch.Tensor, fake: torch.Tensor, noise: torch.Tensor, conditions: torch.Tensor, number: int
    ) -> None:
        """One update of the generator down `total` and its regularisers."""
        rule = self.recipe
        if rule.mode_seeking:
            other = self._noise("other", number, len(noise))
            with self.cast():
                second = self._fakes(other, conditions, number).float()
            total = total + rule.mode_seeking * mode_seeking(fake, second, noise, other)
        if rule.path_length and number % rule.path_every == 0:
            total = total + rule.path_length * rule.path_every * self._path(noise, conditions, number)
        self.players.update(total, "generator")

    def _path(self, noise: torch.Tensor, conditions: torch.Tensor, number: int) -> torch.Tensor:
        """The path length penalty over half the batch, in fp32."""
        half = slice(0, max(1, len(noise) // 2))
        styles = self.generator.styles(noise[half], conditions[half])  # type: ignore[operator]
        images = self.generator.synthesise(styles, noise[half])  # type: ignore[operator]
        direction = torch.randn(images.shape, generator=stream(self.seed, "path", number)).to(self.device)
        usual = self.players.extra["usual_length"]
        penalty, length = path_length(images, styles, direction, usual)
        usual.lerp_(length, 1 - USUAL)
        return penalty

    def _fakes(self, noise: torch.Tensor, conditions: torch.Tensor, number: int) -> torch.Tensor:
        """noise [B, Z], conditions [B, K] -> fakes [B, C, H, W]; a share of them with two styles, changed at a layer."""
        if not self.recipe.style_mixing:
            images: torch.Tensor = self.generator(noise, conditions)
            return images
        draws = stream(self.seed, "styles", number)
        first = self.generator.styles(noise, conditions)  # type: ignore[operator]
        second = self.generator.styles(self._noise("second", number, len(noise)), conditions)  # type: ignore[operator]
        layers = first.shape[1]
        mixed = torch.rand(len(noise), generator=draws) < self.recipe.style_mixing
        change = torch.where(mixed, torch.randint(1, layers, (len(noise),), generator=draws), layers).to(self.device)
        styles = torch.where((torch.arange(layers, device=self.device) < change[:, None])[..., None], first, second)
        found: torch.Tensor = self.generator.synthesise(styles, noise)  # type: ignore[operator]
        return found

    def _noise(self, name: str, number: int, batch: int) -> torch.Tensor:
        return torch.randn(batch, self.latent, generator=stream(self.seed, name, number)).to(self.device)

    def _seen(self, images: torch.Tensor, name: str, number: int, progress: float) -> torch.Tensor:
        """What the discriminator sees of images: augmented, and under instance noise while there is any; both are drawn
        at the address (seed, name, number)."""
        draws = stream(self.seed, name, number)
        seen = self.augment(images, draws)
        deviation = self.recipe.instance_noise * (1 - progress)
        if deviation > 0:
            seen = seen + deviation * torch.randn(seen.shape, generator=draws).to(self.device)
        return seen

    def _ramp_conditions(self, progress: float) -> None:
        """Let the condition weigh from 0 to 1 over the first share of the training."""
        if self.recipe.late_conditioning:
            strength = min(1.0, progress / self.recipe.late_conditioning)
            for network in self.players.networks.values():
                for module in network.modules():
                    if isinstance(module, ConditionEmbedding):
                        module.strength.fill_(strength)

    def cast(self) -> torch.autocast:
        """bf16 autocast when the plan says so."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)
