"""One training step of an autoencoder, plain or variational."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from augury.augment import Policy
from augury.errors import SettingsError
from augury.losses import divergence, negative_likelihood
from augury.training.distributed import ALONE, World
from augury.training.micro_batches import Draw, draw_micro_batches, means
from augury.training.protocols import Decoder
from augury.training.recipes import Recipe
from augury.training.train_state import TrainState

KINDS = ("variational", "plain")


class ReconstructionTrainer:
    """Train an encoder and a decoder to reconstruct images.

    A variational one also makes its codes normal. The decoder of a plain one stores the distribution of the codes. Images
    are augmented before encoding, and the augmented image is the target. `augment` should therefore keep images realistic.
    """

    def __init__(
        self,
        generator: nn.Module,
        encoder: nn.Module,
        recipe: Recipe,
        augment: Policy,
        *,
        seed: int,
        device: torch.device,
        precision: str,
        rarity: torch.Tensor | None = None,
        world: World = ALONE,
    ) -> None:
        if recipe.loss not in KINDS:
            raise SettingsError(
                f"there is no loss '{recipe.loss}' for an autoencoder; choose one of: {', '.join(KINDS)}"
            )
        self.state = TrainState({"generator": generator, "encoder": encoder}, recipe, device, world)
        self.generator, self.encoder = cast(Decoder, generator), encoder
        self.recipe, self.augment, self.seed, self.device = recipe, augment, seed, device
        self.half = precision == "bf16"

    def train_step(self, step: int, progress: float, draw: Draw) -> dict[str, torch.Tensor]:
        """Update both networks once.

        Returns the loss in nats per image, the root mean squared error on the scale [-1, 1], and for a variational one the
        divergence in nats.
        """
        recipe, state = self.recipe, self.state
        state.schedule(progress)
        batch, reports = draw_micro_batches(draw, progress, self.seed, step, state.parts, state.world), []
        for micro in batch:
            # Encode the augmented images, and decode their codes.
            seen = self.augment(micro.real, micro.draws("augment")).clamp(-1, 1)
            with self.autocast():
                mean, log_variance = (part.float() for part in self.encoder(seen, micro.conditions))
                codes = mean
                if recipe.loss == "variational":
                    codes = mean + micro.normal("noise", mean.shape[1]) * (log_variance / 2).exp()
                restored = self.generator.decode(codes, micro.conditions).float()

            # Likelihood of the images, and for a variational autoencoder the divergence of its codes from the normal.
            loss = negative_likelihood(seen, restored, micro.mean)
            report = {"error": micro.mean((seen - restored).detach().square()).sqrt()}
            if recipe.loss == "variational":
                report["divergence"] = divergence(mean, log_variance)
                loss = loss + recipe.kl * report["divergence"]
            else:
                every_code = state.world.gather(codes, micro.total)
                self.generator.observe(every_code, micro.all_conditions, max(0.02, 1 / (step + 1)))
            state.backward(loss / micro.divisor)
            reports.append({"loss": loss, **report})
        state.step("generator", "encoder")

        # Average of the decoder's weights, and the values to report.
        images = sum(micro.total for micro in batch)
        state.update_average(images, step * images)
        return means(reports, batch, state.world)

    def autocast(self) -> torch.autocast:
        """Autocast to bf16 if the trainer's precision is "bf16"."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)
