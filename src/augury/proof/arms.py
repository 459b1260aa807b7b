"""What the synthetic images must beat: one row an arm, all with equal steps and hyper-parameters."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Arm:
    """`balanced` and `class_weights` as in `Lesson`; `classical` augmentation; `synthetic` images beside the real ones."""

    balanced: bool = False
    class_weights: bool = False
    classical: bool = False
    synthetic: bool = False


ARMS = {
    "none": Arm(),
    "class_weights": Arm(class_weights=True),
    "balanced": Arm(balanced=True),
    "classical": Arm(balanced=True, classical=True),
    "gan": Arm(balanced=True, classical=True, synthetic=True),
}
