"""Training configuration: what a classifier is trained on, and how."""

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
OBJECTIVES = ("", "group_dro", "adversarial", "consistency", "fixmatch", "rotation")
INITIALISATIONS = ("", "rotation")


@dataclass(frozen=True)
class TrainConfig:
    """Training configuration of one classifier. The seed determines weights, batches and augmentation.

    Parameters
    ----------
    steps, batch
        Number of steps, and images per step.
    rate, decay
        Learning rate and weight decay.
    balanced
        Draw classes equally often instead of at their frequency.
    class_weights
        Weight the loss by N / (K·n_c) (King & Zeng 2001, as scikit-learn's "balanced").
    loss
        A name of LOSSES.
    smoothing
        Share in [0, 1) of each target that is spread over all classes.
    augment
        Augmentation of the images.
    mix
        "mixup" or "cutmix": mix each image with another of its batch.
    smote
        "inputs" adds images by SMOTE. "features" trains the network for ¾ of the steps, then its last layer alone on that
        layer's inputs with SMOTE.
    synthetic
        (images uint8 [M, C, H, W], labels int64 [M]).
    ratio
        Synthetic images per real image, in classes that have any.
    synthetic_targets
        Class probabilities float [M, K] that replace the labels of synthetic images.
    synthetic_weight
        Weight of a synthetic image in the loss; a real image has weight 1.
    synthetic_smoothing
        Smoothing of synthetic targets; None: `smoothing`.
    schedule
        "mixed" shows synthetic images among the real ones throughout. "first" shows the same number before all real ones.
    cells
        int64 [N], cell number of each train image. If given, cells are drawn equally often.
    objective
        A name of OBJECTIVES. "group_dro" needs `cells`, "adversarial" `attributes`, "consistency" `pairs`, "fixmatch"
        `unlabelled`.
    attributes
        int64 [N], attribute value of each train image.
    pairs
        (images [P, ...], int64 [N]): for each train image the row of its pair among these images, -1 for none.
    unlabelled
        uint8 [U, C, H, W], images without labels.
    initialisation
        "rotation" first trains the network for as many steps to predict how images are turned (Gidaris et al. 2018).
    averaging
        Return the mean of the weights after each of the last `averaging.SHARE` of the steps.

    Raises
    ------
    SettingsError
        For values out of range and unknown names.
    DataError
        When synthetic images, labels and targets differ in number.

    Notes
    -----
    `cells`, `attributes` and `pairs` belong to one train split, the same for every seed.
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
    unlabelled: Inputs | None = None
    initialisation: str = ""
    averaging: bool = False

    def __post_init__(self) -> None:
        choice_fields = (
            ("loss", self.loss, tuple(LOSSES)),
            ("mix", self.mix, MIXES),
            ("smote", self.smote, SMOTES),
            ("objective", self.objective, OBJECTIVES),
            ("initialisation", self.initialisation, INITIALISATIONS),
        )
        for setting, name, choices in choice_fields:
            if name not in choices:
                raise SettingsError(f"there is no {setting} '{name}'; choose among: {', '.join(filter(None, choices))}")
        for setting, value in (("smoothing", self.smoothing), ("synthetic_smoothing", self.synthetic_smoothing or 0.0)):
            if not 0 <= value < 1:
                raise SettingsError(f"{setting} is {value}, but must be at least 0 and less than 1")
        if self.ratio < 0 or self.synthetic_weight < 0:
            raise SettingsError(
                f"ratio is {self.ratio} and synthetic_weight {self.synthetic_weight}, but neither may be negative"
            )
        if self.synthetic is not None:
            lengths = [len(each) for each in (*self.synthetic, self.synthetic_targets) if each is not None]
            if len(set(lengths)) > 1:
                raise DataError(
                    f"there are {lengths} synthetic images, labels and targets; give one of each for an image"
                )

    @property
    def share(self) -> float:
        """Share of synthetic images among all images shown, in [0, 1)."""
        return self.ratio / (1 + self.ratio) if self.synthetic is not None else 0.0
