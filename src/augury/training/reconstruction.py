"""One training step of an autoencoder, plain or variational."""

from __future__ import annotations

import torch
from torch import nn

from augury.augment import Policy
from augury.errors import SettingsError
from augury.losses import divergence, negative_likelihood
from augury.training.micro_batches import Draw, MicroBatch, rounds
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
    ) -> None:
        if recipe.loss not in KINDS:
            raise SettingsError(
                f"there is no loss '{recipe.loss}' for an autoencoder; choose one of: {', '.join(KINDS)}"
            )
        self.state = TrainState({"generator": generator, "encoder": encoder}, recipe, device)
        self.generator, self.encoder = self.state.networks.values()
        self.recipe, self.augment, self.seed, self.device = recipe, augment, seed, device
        self.half = precision == "bf16"

    def train_step(self, step: int, progress: float, draw: Draw) -> dict[str, torch.Tensor]:
        """Update both networks once.

        Returns the loss in nats per image, the root mean squared error on the scale [-1, 1], and for a variational one the
        divergence in nats.
        """
        self.state.schedule(progress)
        batch = rounds(draw, progress, self.seed, step, self.state.parts)
        report = [self._restore(micro) for micro in batch]
        self.state.step("generator", "encoder")
        images = sum(len(micro.real) for micro in batch)
        self.state.average.update(self.generator, images, step * images)
        return {name: torch.stack([numbers[name].detach() for numbers in report]).mean() for name in report[0]}

    def _restore(self, micro: MicroBatch) -> dict[str, torch.Tensor]:
        """Add the gradients of one micro-batch; returns the values to report."""
        seen = self.augment(micro.real, micro.draws("augment")).clamp(-1, 1)
        variational = self.recipe.loss == "variational"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            mean, log_variance = (part.float() for part in self.encoder(seen, micro.conditions))
            codes = mean
            if variational:
                codes = mean + micro.normal("noise", mean.shape[1]) * (log_variance / 2).exp()
            restored = self.generator.decode(codes, micro.conditions).float()  # type: ignore[operator]
        loss = negative_likelihood(seen, restored)
        report = {"error": (seen - restored).square().mean().sqrt()}
        if variational:
            report["divergence"] = divergence(mean, log_variance)
            loss = loss + self.recipe.kl * report["divergence"]
        else:
            self.generator.observe(codes.detach(), micro.conditions, max(0.02, 1 / (micro.number + 1)))  # type: ignore[operator]
        self.state.backward(loss / micro.parts)
        return {"loss": loss, **report}
