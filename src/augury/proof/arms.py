"""The arms of a trial, one row each: generative arms, and the arms that they must beat.

All arms use the same steps and learning rates, with two exceptions. A discriminator's layers use a third of the learning rate.
Arms for another domain train two or three networks, or one for twice the steps.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any, Literal

from augury import sentences

NOISE = "noise"
"""Source of noise images, which the trial generates itself."""
UNLABELLED = "unlabelled"
"""Source of real images without labels, with the classes that a classifier predicts with confidence."""
LAYERS = "discriminator"
"""Prefix of the names of arms that train the discriminator's layers."""
CHOSEN = "chosen"
"""Augmentation that is chosen on validation, by training without images of any source."""
AUGMENTATIONS = ("classical", "astronomy", "medical", "randaugment")
"""Arms whose augmentations are the choice."""
OWN = "gan"
"""Source of the images that the trial judges."""


@dataclass(frozen=True)
class Arm:
    """How one arm differs from plain training. Fields not listed here are those of `TrainConfig`.

    Attributes
    ----------
    note
        Description in a few words.
    augment
        Name of an augmentation policy; "chosen": one of `AUGMENTATIONS`, chosen on validation.
    source
        Images shown in addition to the real ones: "" none, "gan" the judged images from any generator, "noise",
        "unlabelled", or a name in `extra` of the trial.
    ratio
        Images of the source per real image; None: chosen on validation.
    network
        "discriminator" trains the discriminator's layers instead of the trial's classifier.
    trained_weights
        Whether these layers start from their trained weights instead of random ones.
    cells
        Whether the arm needs a trial with holes (`augury.proof.cells`). Such arms have no ratio.
    real
        Real images shown: "all"; "outside" the attribute values that contain a hole; "half" of those inside; "passed":
        passed through the translator.
    fill
        Images pooled with the real ones: "" none; "fills" or "symmetric" translations; "untranslated" sources with the
        label of the hole; or a name of `matching.MATCHINGS`.
    by_cell
        Draw every cell equally often instead of every class.
    objective
        A name of `objectives.OBJECTIVES`.
    control
        Whether the images carry no information from a generator. The arm is then judged as one without a generator.
    method
        Method of `adaptation.adapted`. It needs unlabelled images of another domain, the target. Images of the source are
        pooled with the real ones.
    initialisation
        "rotation": the network first learns to predict how images are turned.
    averaging
        Whether the weights of the last steps are averaged.
    pretrained
        Whether a linear layer is trained on ImageNet features.
    """

    note: str
    balanced: bool = False
    class_weights: bool = False
    loss: str = "cross_entropy"
    augment: str = "none"
    mix: str = ""
    smote: str = ""
    source: str = ""
    ratio: float | None = None
    schedule: Literal["mixed", "first"] = "mixed"
    smoothing: float = 0.0
    synthetic_weight: float = 1.0
    synthetic_smoothing: float | None = None
    network: Literal["", "discriminator"] = ""
    trained_weights: bool = False
    cells: bool = False
    real: Literal["all", "outside", "half", "passed"] = "all"
    fill: str = ""
    by_cell: bool = False
    objective: str = ""
    control: bool = False
    method: str = ""
    pretrained: bool = False
    initialisation: str = ""
    averaging: bool = False

    @property
    def shows(self) -> bool:
        """Whether the arm shows a generator's images. Noise and unlabelled real images do not count."""
        return self.source not in ("", NOISE, UNLABELLED)

    @property
    def generative(self) -> bool:
        """Whether the arm uses a generative training: its images, or the trained layers of its discriminator."""
        return (self.shows and not self.control) or self.trained_weights

    @property
    def adds(self) -> str:
        """What the arm adds, as a verdict names it; "" for an arm without a generator."""
        if self.shows and not self.control:
            return sentences.IMAGES + ("" if self.source == OWN else f" of {self.source}")
        return sentences.LAYERS if self.trained_weights else ""

    def config(self) -> dict[str, Any]:
        """The plain values among the fields that `TrainConfig` has under the same name."""
        names = (
            "balanced", "class_weights", "loss", "mix", "smote", "schedule", "smoothing", "synthetic_weight",
            "synthetic_smoothing", "objective", "initialisation", "averaging",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}


USUAL = (
    "none", "balanced", "classical", "randaugment", "pretrained", "gan", "discriminator_init", "discriminator_random",
    "rotation_init",
)  # fmt: skip
"""Default arms. Those without a generator were the best on real data sets (docs/helps.md). A pretrained network may help more
than synthetic images, so it is among them."""
USUAL_CELLS = (
    "none", "balanced", "logit_adjustment", "classical", "randaugment", "mixup", "cutmix", "extreme_gamma", "pretrained",
    "drop_cells", "pretrained_drop_cells", "cell_balanced", "group_dro", "dann", "moment_matching", "histogram_matching", "fourier_matching", "moment_symmetric",
    "histogram_symmetric", "fourier_symmetric", "untranslated", "shuffled", "filled", "half_real", "symmetric",
)  # fmt: skip
"""Default arms of a trial with holes. Three of them use the translator. With more than three, the seven seeds of the default
settings would allow only "underpowered"."""
USUAL_DOMAINS = (
    "none", "balanced", "classical", "randaugment", "pretrained", "adabn", "self_training", "mean_teacher", "domain_adversarial",
    "colour_matched", "histogram_matched", "translated", "translated_self_training", "translated_mean_teacher",
)  # fmt: skip
"""Default arms of a trial with a target domain."""


def augmentations(arms: Collection[str]) -> tuple[str, ...]:
    """The augmentations to choose from in a trial of these arms: those of the arms of `AUGMENTATIONS` among them.

    So the augmentation is always that of an arm that the images are compared with. Without such an arm it is the first. A trial
    without an arm that needs it has none.
    """
    if not any(name in ARMS and ARMS[name].augment == CHOSEN for name in arms):
        return ()
    return tuple(name for name in AUGMENTATIONS if name in arms) or AUGMENTATIONS[:1]


def usual_arms(*, holes: bool, target: bool) -> tuple[str, ...]:
    """Names of the default arms of a trial, by whether it studies empty cells or another domain."""
    return USUAL_DOMAINS if target else USUAL_CELLS if holes else USUAL


ARMS = {
    "none": Arm("the real images alone, as they are"),
    "class_weights": Arm("the loss of rare classes is weighted more", class_weights=True),
    "balanced": Arm("every class is shown equally often", balanced=True),
    "logit_adjustment": Arm(
        "logits are shifted by the log class share in training (Menon et al. 2021)", loss="logit_adjusted"
    ),
    "focal": Arm("well-classified images count less in the loss (Lin et al. 2017)", loss="focal"),
    "classical": Arm("balanced, and the images are shifted, rotated and recoloured", balanced=True, augment="classical"),
    "randaugment": Arm("balanced, with RandAugment (Cubuk et al. 2020)", balanced=True, augment="randaugment"),
    "astronomy": Arm("balanced, and the images are rotated by any angle", balanced=True, augment="astronomy"),
    "medical": Arm(
        "balanced, with small changes of position, tissue, exposure and grain", balanced=True, augment="medical"
    ),
    "trivialaugment": Arm(
        "balanced, with TrivialAugment (Müller & Hutter 2021)", balanced=True, augment="trivialaugment"
    ),
    "trivialaugment_cutmix": Arm(
        "trivialaugment, and a box of each image pasted from another", True, augment="trivialaugment", mix="cutmix"
    ),
    "weight_averaging": Arm(
        "randaugment, with the mean of the weights over the last half of the steps (Cha et al. 2021)", True,
        augment="randaugment", averaging=True,
    ),
    "degraded": Arm("randaugment, then blur and compression on half of the images", balanced=True, augment="degraded"),
    "mixup": Arm("balanced, each image blended with another (Zhang et al. 2018)", balanced=True, mix="mixup"),
    "cutmix": Arm("balanced, a box of each image pasted from another (Yun et al. 2019)", balanced=True, mix="cutmix"),
    "smote_pixels": Arm("rare classes filled up by SMOTE on pixels (Chawla et al. 2002)", balanced=True, smote="inputs"),
    "smote_features": Arm(
        "balanced, then the last layer alone with SMOTE on its inputs", balanced=True, smote="features"
    ),
    "noise": Arm(
        "as gan, with images of noise in place of synthetic ones: a control", True, augment=CHOSEN, source=NOISE, ratio=0.25
    ),
    "pseudo_labels": Arm(
        "the best augmentation of this trial, with unlabelled images under confident pseudo-labels (Lee 2013)", True,
        augment=CHOSEN, source=UNLABELLED, ratio=0.5,
    ),
    "fixmatch": Arm(
        "randaugment, and the same prediction for an unlabelled image and its augmentation (Sohn et al. 2020)", True,
        augment="randaugment", source=UNLABELLED, ratio=0.0, objective="fixmatch",
    ),
    "gan": Arm(
        "the best augmentation of this trial, with synthetic images added to the real ones", True, augment=CHOSEN, source=OWN
    ),
    "gan_alone": Arm("balanced, with synthetic images added to the real ones", True, source=OWN),
    "gan_pretrain": Arm(
        "as gan, the synthetic images first, then the real ones", True, augment=CHOSEN, source=OWN, schedule="first"
    ),
    "vae": Arm("as gan, with the images of another generator, given as 'vae'", True, augment=CHOSEN, source="vae"),
    "discriminator_init": Arm(
        "classical, the real images alone, with a classifier initialised from the discriminator (Radford et al. 2016)", True,
        augment="classical", network="discriminator", trained_weights=True,
    ),
    "discriminator_random": Arm(
        "classical, with the same layers from random weights: a control", True, augment="classical", network="discriminator"
    ),
    "rotation_init": Arm(
        "discriminator_random, but the layers first learn to predict how the same images are turned (Gidaris et al. 2018)", True,
        augment="classical", network="discriminator", initialisation="rotation",
    ),
    "discriminator_init_cutmix": Arm(
        "discriminator_init, with a box of each image pasted from another", True, augment="classical", mix="cutmix",
        network="discriminator", trained_weights=True,
    ),
    "discriminator_random_cutmix": Arm(
        "the same from random weights: its control", True, augment="classical", mix="cutmix", network="discriminator"
    ),
    "pretrained": Arm(
        "balanced, a linear layer on features of EfficientNet-Lite0, trained on ImageNet", True, pretrained=True
    ),
    "extreme_gamma": Arm(
        "holes: balanced, with random gamma and gain of wide range", True, augment="extreme_gamma", cells=True
    ),
    "drop_cells": Arm(
        "holes: randaugment without the real images of attribute values that have an empty cell", True,
        augment="randaugment", cells=True, real="outside",
    ),
    "pretrained_drop_cells": Arm(
        "holes: pretrained without the real images that drop_cells leaves out", True, pretrained=True, cells=True, real="outside"
    ),
    "cell_balanced": Arm("holes: randaugment, every cell is shown equally often", augment="randaugment", cells=True, by_cell=True),
    "group_dro": Arm(
        "holes: cell_balanced, cells with a high loss are weighted more (Sagawa et al. 2020)", augment="randaugment", cells=True,
        by_cell=True, objective="group_dro",
    ),
    "dann": Arm(
        "holes: cell_balanced, features that do not reveal the attribute (Ganin & Lempitsky 2015)", augment="randaugment",
        cells=True, by_cell=True, objective="adversarial",
    ),
    "moment_matching": Arm(
        "holes: filled with real images, matched to the mean and deviation of images of the attribute value", True,
        augment="randaugment", cells=True, fill="moments",
    ),
    "histogram_matching": Arm(
        "holes: the same with the histogram", True, augment="randaugment", cells=True, fill="histograms"
    ),
    "fourier_matching": Arm(
        "holes: the same with the low-frequency amplitudes (Yang & Soatto 2020)", True, augment="randaugment", cells=True,
        fill="spectra",
    ),
    "moment_symmetric": Arm(
        "holes: drop_cells, and every class matched to the mean and deviation of images of the attribute value", True,
        augment="randaugment", cells=True, real="outside", fill="moments",
    ),
    "histogram_symmetric": Arm(
        "holes: the same with the histogram", True, augment="randaugment", cells=True, real="outside", fill="histograms"
    ),
    "fourier_symmetric": Arm(
        "holes: the same with the low-frequency amplitudes", True, augment="randaugment", cells=True, real="outside",
        fill="spectra",
    ),
    "untranslated": Arm(
        "holes: filled with the untranslated sources of the translations: a control", True, augment="randaugment",
        cells=True, fill="untranslated", control=True,
    ),
    "shuffled": Arm(
        "holes: filled by a translator trained on shuffled attributes, given as 'shuffled': a control", True,
        augment="randaugment", source="shuffled", cells=True, fill="fills", control=True,
    ),
    "filled": Arm(
        "holes: randaugment, the real images and the translations into empty cells", True, augment="randaugment",
        source=OWN, cells=True, fill="fills",
    ),
    "filled_degraded": Arm(
        "holes: filled, with the augmentation of degraded, which hides traces of the translator (Wang et al. 2020)", True,
        augment="degraded", source=OWN, cells=True, fill="fills",
    ),
    "half_real": Arm(
        "holes: filled, with half of the real images in attribute values that have an empty cell", True,
        augment="randaugment", source=OWN, cells=True, real="half", fill="fills",
    ),
    "symmetric": Arm(
        "holes: drop_cells, and every class translated into the attribute value", True, augment="randaugment",
        source=OWN, cells=True, real="outside", fill="symmetric",
    ),
    "consistency": Arm(
        "holes: filled, and consistent predictions for an image and its translation (CAMEL, Goel et al. 2021)", True,
        augment="randaugment", source=OWN, cells=True, fill="fills", objective="consistency",
    ),
    "passed": Arm(
        "holes: filled, and the real images passed through the translator", True, augment="randaugment",
        source=OWN, cells=True, real="passed", fill="fills",
    ),
    "adabn": Arm(
        "domains: randaugment, batch-norm statistics of the target (Li et al. 2018)", True, augment="randaugment",
        method="adabn",
    ),
    "self_training": Arm(
        "domains: adabn, then two trainings with target images under confident pseudo-labels (Lee 2013)", True,
        augment="randaugment", method="adabn+pseudo_labels+pseudo_labels+adabn",
    ),
    "mean_teacher": Arm(
        "domains: target images under the predictions of an averaged classifier (French et al. 2018)", True,
        augment="randaugment", method="mean_teacher",
    ),
    "domain_adversarial": Arm(
        "domains: features that do not reveal the domain (Ganin & Lempitsky 2015)", True, augment="randaugment", method="dann"
    ),
    "colour_matched": Arm(
        "domains: adabn and pseudo-labels, with copies in the colours of target images (Reinhard et al. 2001)", True,
        augment="randaugment", method="colour_matching+adabn+pseudo_labels+adabn",
    ),
    "histogram_matched": Arm(
        "domains: the same with the histograms of target images", True, augment="randaugment",
        method="histogram_matching+adabn+pseudo_labels+adabn",
    ),
    "translated": Arm(
        "domains: randaugment, the real images and their translations into the target", True, augment="randaugment",
        source=OWN, method="source_only",
    ),
    "translated_self_training": Arm(
        "domains: self_training, the real images and their translations", True, augment="randaugment", source=OWN,
        method="adabn+pseudo_labels+pseudo_labels+adabn",
    ),
    "translated_mean_teacher": Arm(
        "domains: mean_teacher, the real images and their translations", True, augment="randaugment", source=OWN,
        method="mean_teacher",
    ),
}  # fmt: skip


def complexity(name: str) -> tuple[int, ...]:
    """Order of arms by simplicity: without a generator first, then with the usual classifier, then with fewer changes.

    Arms that are alike in this keep the order of ARMS.
    """
    arm = ARMS[name]
    changed = sum(getattr(arm, each.name) != each.default for each in fields(arm) if each.name != "note")
    return (
        int(arm.generative),
        int(bool(arm.source)),
        int(bool(arm.network or arm.pretrained or arm.method)),
        changed,
        list(ARMS).index(name),
    )
