"""One training step of a flow (Lipman et al. 2023)."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from augury.augment import Policy
from augury.errors import SettingsError
from augury.losses import flow_matching
from augury.training.distributed import ALONE, World
from augury.training.micro_batches import Draw, draw_micro_batches, means
from augury.training.protocols import Flow
from augury.training.recipes import Recipe
from augury.training.train_state import TrainState

KINDS = ("flow_matching",)


class FlowTrainer:
    """Train a network to predict the velocity from noise to images.

    The times are logit-normal (Esser et al. 2024, eq. 19): the sigmoid of a normal number of mean `time_mean` and deviation
    `time_spread`. The share `label_dropout` of the images has no condition, which guidance needs. `augment` should keep
    images realistic, since augmented images are what the flow learns to draw.
    """

    def __init__(
        self,
        generator: nn.Module,
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
            raise SettingsError(f"there is no loss '{recipe.loss}' for a flow; choose one of: {', '.join(KINDS)}")
        self.state = TrainState({"generator": generator}, recipe, device, world)
        self.generator = cast(Flow, generator)
        self.recipe, self.augment, self.seed, self.device = recipe, augment, seed, device
        self.half = precision == "bf16"

    def train_step(self, step: int, progress: float, draw: Draw) -> dict[str, torch.Tensor]:
        """Update the network once. Returns the loss, the mean squared error of the velocity."""
        recipe, state = self.recipe, self.state
        state.schedule(progress)
        batch, reports = draw_micro_batches(draw, progress, self.seed, step, state.parts, state.world), []
        for micro in batch:
            # Noise, times, and the images whose condition is hidden.
            images = self.augment(micro.real, micro.draws("augment")).clamp(-1, 1)
            noise = micro.normal("noise", *images.shape[1:]).contiguous(memory_format=torch.channels_last)
            times = (recipe.time_mean + recipe.time_spread * micro.normal("time")).sigmoid()
            known = (micro.uniform("dropout") >= recipe.label_dropout).float() if recipe.label_dropout else None

            # The velocity at a point of the path, and its error.
            t = times[:, None, None, None]
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
                velocity = self.generator.velocity(torch.lerp(noise, images, t), times, micro.conditions, known)
            loss = flow_matching(velocity.float(), noise, images)
            state.backward(loss / micro.divisor)
            reports.append({"loss": loss})
        state.step("generator")

        # Average of the weights, and the value to report.
        images_seen = sum(micro.total for micro in batch)
        state.update_average(images_seen, step * images_seen)
        return means(reports, batch, state.world)
