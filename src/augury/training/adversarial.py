"""One round of the game between generator and discriminator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from augury.losses import ADVERSARIAL_LOSSES, squared_slope
from augury.randomness import stream
from augury.recipes import Recipe
from augury.training.averaging import MovingAverage
from augury.training.devices import placed
from augury.training.schedules import cosine

Policy = Callable[[torch.Tensor, torch.Generator], torch.Tensor]


class AdversarialGame:
    """Generator, discriminator, their optimisers and the generator's average; everything a checkpoint must hold.

    `augment` is what is done to every image, real or fake, before the discriminator sees it (Zhao et al. 2020).
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
        self.generator = placed(generator, device)
        self.discriminator = placed(discriminator, device)
        self.latent = int(generator.latent)  # type: ignore[arg-type]
        self.recipe, self.augment, self.seed, self.device = recipe, augment, seed, device
        self.loss = ADVERSARIAL_LOSSES[recipe.loss]
        self.half = precision == "bf16"
        self.average = MovingAverage(self.generator, recipe.half_life, recipe.ramp)
        self.rates = {"generator": recipe.generator_rate, "discriminator": recipe.discriminator_rate}
        fused = device.type in ("cpu", "cuda")
        self.optimisers = {
            name: torch.optim.Adam(player.parameters(), lr=self.rates[name], betas=recipe.betas, fused=fused)
            for name, player in (("generator", self.generator), ("discriminator", self.discriminator))
        }

    def play(self, step: int, progress: float, real: torch.Tensor, conditions: torch.Tensor) -> dict[str, torch.Tensor]:
        """One discriminator and one generator update on real [B, C, H, W] with conditions [B, K]; fakes share the
        conditions and serve both updates. Returns the losses and mean scores as scalars."""
        for name, optimiser in self.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = self.rates[name] * cosine(progress, self.recipe.final_rate)
        batch = len(real)
        noise = torch.randn(batch, self.latent, generator=stream(self.seed, "noise", step)).to(self.device)
        draws = stream(self.seed, "augment", step)

        with self.cast():
            fake = self.generator(noise, conditions)
        fake = fake.float()
        seen = self.augment(torch.cat([real, fake.detach()]), draws)
        with self.cast():
            scores = self.discriminator(seen, conditions.repeat(2, 1)).float()
        loss_d = self.loss.discriminator(scores[:batch], scores[batch:])
        total = loss_d
        if step % self.recipe.penalty_every == 0:
            for weight, images in ((self.recipe.r1, real), (self.recipe.r2, fake)):
                if weight:
                    leaf = images.detach().requires_grad_()
                    slope = squared_slope(self.discriminator(self.augment(leaf, draws), conditions), leaf)
                    total = total + weight / 2 * self.recipe.penalty_every * slope
        self.update("discriminator", total)

        self.discriminator.requires_grad_(False)
        with self.cast():
            fooled = self.discriminator(self.augment(fake, draws), conditions).float()
            against = (
                self.discriminator(self.augment(real, draws), conditions).float()
                if self.loss.paired
                else scores[:batch]
            )
        loss_g = self.loss.generator(against.detach(), fooled)
        self.update("generator", loss_g)
        self.discriminator.requires_grad_(True)
        self.average.update(self.generator, batch, step * batch)
        means = {"score_real": scores[:batch].mean(), "score_fake": scores[batch:].mean()}
        return {k: v.detach() for k, v in {"loss_d": loss_d, "loss_g": loss_g, **means}.items()}

    def cast(self) -> torch.autocast:
        """bf16 autocast when the plan says so."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)

    def update(self, name: str, loss: torch.Tensor) -> None:
        """One Adam step of the player `name` down `loss`."""
        optimiser = self.optimisers[name]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    def modules(self) -> dict[str, nn.Module]:
        """The three networks by name."""
        return {"generator": self.generator, "discriminator": self.discriminator, "average": self.average.module}

    def tensors(self) -> dict[str, torch.Tensor]:
        """Every tensor of the state under one flat naming, for a checkpoint."""
        flat = {f"{n}.{k}": v for n, module in self.modules().items() for k, v in module.state_dict().items()}
        for name, optimiser in self.optimisers.items():
            for index, entry in optimiser.state_dict()["state"].items():
                flat |= {f"adam.{name}.{index}.{k}": v for k, v in entry.items()}
        return {k: v.detach().contiguous() for k, v in flat.items()}

    def restore(self, flat: dict[str, torch.Tensor]) -> None:
        """Take up a state given by `tensors`."""
        for name, module in self.modules().items():
            module.load_state_dict({k.removeprefix(f"{name}."): v for k, v in flat.items() if k.startswith(f"{name}.")})
        for name, optimiser in self.optimisers.items():
            parameters = [p for group in optimiser.param_groups for p in group["params"]]
            entries: dict[int, dict[str, Any]] = {}
            for k, v in flat.items():
                if k.startswith(f"adam.{name}."):
                    index, part = k.removeprefix(f"adam.{name}.").split(".")
                    # the fused kernel walks memory, so a moment must lie in memory as its parameter does
                    laid = v if v.dim() == 0 else torch.empty_like(parameters[int(index)]).copy_(v)
                    entries.setdefault(int(index), {})[part] = laid.detach()
            optimiser.load_state_dict({**optimiser.state_dict(), "state": entries})
