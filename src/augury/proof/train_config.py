"""What a classifier is taught and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from augury.augment import Policy
from augury.errors import DataError, SettingsError
from augury.images import Codes
from augury.proof.losses import LOSSES

Inputs = npt.NDArray[Any]
"""Images uint8 [N, C, H, W], or features of images float32 [N, D]."""
MIXES = ("", "mixup", "cutmix")
SMOTES = ("", "inputs", "features")
OBJECTIVES = ("", "group_dro", "adversarial", "consistency")


@dataclass(frozen=True)
class TrainConfig:
    """What one classifier is taught and how; the seed decides weights, batches and augmentation.

    `balanced` draws classes equally often instead of as they come; `class_weights` weighs the loss by N / (K·n_c)
    instead (King & Zeng 2001, as scikit-learn's "balanced"). `loss` is a name of LOSSES; `smoothing` in [0, 1) is taken
    from each target and spread over all classes. `augment` changes images, `mix` "mixup" or "cutmix" mixes each with
    another of its batch. `smote` "inputs" adds what SMOTE makes of the images; "features" teaches the network for ¾ of the
    steps and then its last layer alone, on what SMOTE makes of that layer's inputs.

    `ratio` synthetic images are shown for each real one, in the classes that have any; `synthetic` is (images uint8
    [M, C, H, W], labels int64 [M]), `synthetic_targets` float [M, K] class probabilities to teach in place of the labels,
    `synthetic_weight` what a synthetic image weighs in the loss when a real one weighs 1, `synthetic_smoothing` what is
    taken from their targets instead of `smoothing` (None: the same). `schedule` "mixed" shows them among the real ones
    throughout; "first" shows as many in all, but alone, before all the real ones.

    `cells` int64 [N] numbers the cell of each train image; where given, cells are drawn equally often. `objective` is a name
    of OBJECTIVES: "group_dro" needs `cells`, "adversarial" `attributes` int64 [N], the attribute value of each train image,
    and "consistency" `pairs`: (images [P, ...], int64 [N], the row among them that belongs to each train image, -1 for
    none). These arrays hold for one train part, the same for every seed.

    Raises SettingsError for values that make no sense, DataError for synthetic images, labels and targets that do not fit.
    """

    steps: int = 300
    batch: int = 64
    rate: float = 3e-3
    decay: float = 1e-2
    balanced: bool = False
    class_weights: bool = False
    loss: str = "cross_entropy"
    smoothing: float = 0.0
    augment: Policy | None = None
    mix: str = ""
    smote: str = ""
    synthetic: tuple[Inputs, Codes] | None = None
    ratio: float = 0.0
    synthetic_targets: npt.NDArray[np.floating[Any]] | None = None
    synthetic_weight: float = 1.0
    synthetic_smoothing: float | None = None
    schedule: Literal["mixed", "first"] = "mixed"
    cells: Codes | None = None
    objective: str = ""
    attributes: Codes | None = None
    pairs: tuple[Inputs, Codes] | None = None

    def __post_init__(self) -> None:
        words = (
            ("loss", self.loss, tuple(LOSSES)),
            ("mix", self.mix, MIXES),
            ("smote", self.smote, SMOTES),
            ("objective", self.objective, OBJECTIVES),
        )
        for what, name, known in words:
            if name not in known:
                raise SettingsError(f"there is no {what} '{name}'; choose among: {', '.join(filter(None, known))}")
        for what, value in (("smoothing", self.smoothing), ("synthetic_smoothing", self.synthetic_smoothing or 0.0)):
            if not 0 <= value < 1:
                raise SettingsError(f"{what} is {value}, but must be at least 0 and less than 1")
        if self.ratio < 0 or self.synthetic_weight < 0:
            raise SettingsError(
                f"ratio is {self.ratio} and synthetic_weight {self.synthetic_weight}, but neither may be negative"
            )
        if self.synthetic is not None:
            given = [len(each) for each in (*self.synthetic, self.synthetic_targets) if each is not None]
            if len(set(given)) > 1:
                raise DataError(
                    f"there are {given} synthetic images, labels and targets; give one of each for an image"
                )

    @property
    def share(self) -> float:
        """Synthetic images among all that are shown, in [0, 1)."""
        return self.ratio / (1 + self.ratio) if self.synthetic is not None else 0.0
