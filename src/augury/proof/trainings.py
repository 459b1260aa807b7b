"""The trainings of a trial: each is done once, its measures are kept."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from augury.augment import Policy
from augury.images import Codes, Images, LabelledImages
from augury.proof.arms import ARMS
from augury.proof.classifiers import Lesson, probabilities, teach
from augury.proof.measures import measures
from augury.proof.resampling import resampled
from augury.settings import ProveSettings


@dataclass
class Trainings:
    """What all trainings of one trial share; `results` keeps the measures of each, so that a stopped trial goes on."""

    train: LabelledImages
    synthetic: tuple[Images, Codes] | None
    settings: ProveSettings
    classical: Policy
    device: torch.device
    results: MutableMapping[str, Any]
    on_result: Callable[[int, str], None]
    done: int = 0

    def measured(
        self, what: str, arm: str, ratio: float, seeds: Sequence[int], part: LabelledImages
    ) -> list[dict[str, Any]]:
        """The measures on `part` of one classifier of the arm for each seed; `what`/seed is the name of a result."""
        return [self._one(f"{what}/{seed}", arm, ratio, seed, part) for seed in seeds]

    def _one(self, name: str, arm_name: str, ratio: float, seed: int, part: LabelledImages) -> dict[str, Any]:
        if name not in self.results:
            arm = ARMS[arm_name]
            lesson = Lesson(
                steps=self.settings.steps,
                batch=self.settings.batch,
                balanced=arm.balanced,
                class_weights=arm.class_weights,
                augment=self.classical if arm.classical else None,
                synthetic=self.synthetic if arm.synthetic else None,
                ratio=ratio if arm.synthetic else 0.0,
            )
            train = resampled(self.train, self.settings.resample, seed)
            model = teach(train, lesson, seed=seed, device=self.device)
            self.results[name] = measures(part.labels, probabilities(model, part.images))
        self.done += 1
        self.on_result(self.done, name)
        found: dict[str, Any] = self.results[name]
        return found
