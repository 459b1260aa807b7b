"""Named recipes: a network, a loss, and the settings that go with them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from augury.errors import SettingsError
from augury.networks import PIPELINES
from augury.validation import StrictSettings, changed

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Half = Annotated[float, Field(ge=0, le=0.5)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]


class Recipe(StrictSettings):
    """One way to train a generator, an autoencoder, a flow or a translator. Weights of 0 switch a term off."""

    network: str = Field(description="mlp, dcgan, r3gan, stylegan, projected, autoencoder, flow or translator")
    loss: str = Field(
        description='adversarial loss by name; "variational" or "plain" for an autoencoder; "flow_matching" for a flow'
    )
    steps: Count = Field(description="updates of the generator")
    optimiser: str = Field("adam", description="adam or rmsprop")
    generator_lr: Positive = Field(
        2e-4, description="learning rate of the generator, translator or autoencoder's decoder"
    )
    discriminator_lr: Positive = Field(2e-4, description="learning rate of all other networks")
    betas: tuple[BelowOne, BelowOne] = Field((0.5, 0.999), strict=False, description="decay rates of Adam")
    schedule: str = Field("cosine", description="course of the learning rates: constant, linear or cosine")
    final_rate: Share = Field(0.1, description="final learning rates, as a share of the initial ones")
    warmup: Share = Field(0.0, description="share of the training over which learning rates rise from 0")
    final_beta2: BelowOne = Field(0.0, description="final value of Adam's second beta along the schedule; 0: unchanged")
    critic_steps: Count = Field(1, description="discriminator updates per generator update")
    simultaneous: bool = Field(False, description="one discriminator pass over the fakes updates both networks")
    r1: Weight = Field(0.0, description="weight of half the squared gradient norm at real images")
    r2: Weight = Field(0.0, description="weight of half the squared gradient norm at fake images")
    gradient_penalty: Weight = Field(0.0, description="weight of the penalty between real and fake images")
    centre: Weight = Field(1.0, description="target of the gradient norm in gradient_penalty")
    lecam: Weight = Field(0.0, description="weight of the LeCam regulariser")
    penalty_every: Count = Field(
        1,
        description="lazy gradient penalties: every so many steps, at that many times the weight (Karras et al. 2020, appendix B)",
    )
    final_penalty: Share = Field(
        1.0, description="final weight of the gradient penalties along the schedule, as a share"
    )
    clip: Weight = Field(0.0, description="bound on every discriminator weight; 0: none")
    auxiliary: Weight = Field(1.0, description="weight of the class loss of discriminators with conditioning=auxiliary")
    augment: str = Field("diffaugment_light", description="policy applied to what the discriminator sees")
    augment_p: Share = Field(1.0, description="probability of each change of the policy")
    final_augment_p: Share = Field(
        1.0, description="final augment_p along the schedule; augment_p where only that is set"
    )
    ada_target: BelowOne = Field(
        0.0, description="adapt augment_p until the overfitting measure r is this (Karras et al. 2020b); 0: off"
    )
    ada_images: Positive = Field(
        100_000, description="fewest images in which the adapted probability moves from 0 to 1"
    )
    label_smoothing: Half = Field(0.0, description="lowers the target of real images by this")
    label_noise: Half = Field(0.0, description="moves the target of real images up and down at random by at most this")
    instance_noise: Weight = Field(
        0.0, description="initial standard deviation of noise on all images the discriminator sees; decays to 0"
    )
    feature_matching: Weight = Field(0.0, description="weight of the feature matching loss")
    mode_seeking: Weight = Field(0.0, description="weight of the mode-seeking loss")
    path_length: Weight = Field(0.0, description="weight of the path length penalty")
    path_every: Count = Field(4, description="steps between two path length penalties")
    style_mixing: Share = Field(0.0, description="share of images with two styles")
    spectral_control: Weight = Field(
        0.0,
        description="weight of spectral control, which bounds the conditional norms of rare classes (Rangwani et al. 2022)",
    )
    late_conditioning: Share = Field(
        0.0,
        description="share of the training over which the weight of the condition grows from 0 to 1 (Shahbazi et al. 2022)",
    )
    kl: Weight = Field(1.0, description="weight of the KL divergence of a variational autoencoder")
    label_dropout: BelowOne = Field(
        0.0, description="flow: share of images without a condition, for guidance (Ho & Salimans 2022)"
    )
    time_mean: float = Field(
        0.0, description="flow: mean of the logit of training times; above 0: more times near the images"
    )
    time_spread: Positive = Field(1.0, description="flow: standard deviation of the logit of training times")
    cycle: Weight = Field(0.0, description="translator: weight of the cycle loss (Zhu et al. 2017)")
    identity: Weight = Field(0.0, description="translator: weight of the identity loss")
    semantic: Weight = Field(0.0, description="translator: weight of the semantic loss (Hoffman et al. 2018)")
    contrast: Weight = Field(0.0, description="translator: weight of the patch contrast (Park et al. 2020)")
    paired: Weight = Field(
        0.0,
        description="translator: weight of the distance to a real image of the same group (person, patient) in the target cell "
        "(Isola et al. 2017)",
    )
    hole_share: float = Field(
        0.0, ge=0, le=0.9, description="translator: share of a batch for cells without enough real images"
    )
    class_moves: bool = Field(True, description="translator: False changes attributes only")
    replay: int = Field(
        0,
        ge=0,
        description="translator: stored translations per cell, shown to the discriminator again (Shrivastava et al. 2017)",
    )
    half_life: Weight = Field(20_000, description="half-life of the weight average, in images")
    ramp: Positive = Field(0.1, description="the half-life is at most this times the images seen so far")
    settings: dict[str, Any] = Field(default_factory=dict, description="arguments of the network")


RECIPES = {
    "rpgan": Recipe(
        network="dcgan",
        loss="relativistic",
        steps=4000,
        generator_lr=1e-3,
        discriminator_lr=2e-3,
        betas=(0.0, 0.99),
        r1=0.3,
        r2=0.3,
        penalty_every=4,
        simultaneous=True,
    ),
    "dcgan": Recipe(network="dcgan", loss="non_saturating", steps=4000),
    "gan": Recipe(network="mlp", loss="non_saturating", steps=4000),
    "wgan": Recipe(
        network="dcgan",
        loss="wasserstein",
        steps=3000,
        optimiser="rmsprop",
        generator_lr=2e-4,
        discriminator_lr=2e-4,
        schedule="constant",
        critic_steps=5,
        clip=0.01,
    ),
    "wgan_gp": Recipe(
        network="dcgan",
        loss="wasserstein",
        steps=3000,
        generator_lr=5e-4,
        discriminator_lr=5e-4,
        betas=(0.0, 0.9),
        schedule="linear",
        critic_steps=5,
        gradient_penalty=10.0,
    ),
    "r3gan": Recipe(
        network="r3gan",
        loss="relativistic",
        steps=3000,
        generator_lr=1e-3,
        discriminator_lr=2e-3,
        betas=(0.0, 0.99),
        r1=0.3,
        r2=0.3,
        penalty_every=4,
        simultaneous=True,
        settings={"width": 16},
    ),
    "stylegan": Recipe(
        network="stylegan",
        loss="non_saturating",
        steps=3000,
        generator_lr=2.5e-3,
        discriminator_lr=2.5e-3,
        betas=(0.0, 0.99),
        schedule="constant",
        r1=0.05,
        penalty_every=16,
        augment="ada",
        ada_target=0.6,
        settings={"width": 16},
    ),
    "projected": Recipe(
        network="projected",
        loss="hinge",
        steps=3000,
        generator_lr=1e-3,
        discriminator_lr=2e-3,
        betas=(0.0, 0.99),
    ),
    "vae": Recipe(
        network="autoencoder",
        loss="variational",
        steps=3000,
        generator_lr=1e-3,
        discriminator_lr=1e-3,
        betas=(0.9, 0.999),
        augment="none",
    ),
    "ae": Recipe(
        network="autoencoder",
        loss="plain",
        steps=3000,
        generator_lr=1e-3,
        discriminator_lr=1e-3,
        betas=(0.9, 0.999),
        augment="none",
    ),
    "flow": Recipe(
        network="flow",
        loss="flow_matching",
        steps=16_000,
        generator_lr=3e-3,
        betas=(0.9, 0.99),
        warmup=0.05,
        augment="none",
    ),
    "translator": Recipe(
        network="translator",
        loss="relativistic",
        steps=1000,
        generator_lr=1e-3,
        discriminator_lr=2e-3,
        betas=(0.0, 0.99),
        r1=1.0,
        penalty_every=4,
        cycle=0.5,
        identity=0.25,
        hole_share=0.25,
        half_life=2000,
        augment="none",
    ),
}
"""rpgan, the default: DCGAN's networks trained with R3GAN's loss, relativistic pairing with R1 and R2 (Huang et al. 2024).
It keeps variety within a class where cross-entropy collapses on few images.
dcgan: Radford et al. 2016. gan: fully connected (Goodfellow et al. 2014).
wgan: weight clipping (Arjovsky et al. 2017). wgan_gp: gradient penalty (Gulrajani et al. 2017).
r3gan: its own networks (Huang et al. 2024). stylegan: StyleGAN2 in the small-data setting (Karras et al. 2020).
projected: Sauer et al. 2021, with a frozen EfficientNet-Lite0 (extra 'features'), and rates for minutes instead of hours: on
flowers at 64 px, five minutes of one core give two thirds of rpgan's kernel distance by a classifier of them, and a quarter on
lite0, which flatters it (bench/quality.py measures longer trainings, on its set flowers64).
vae: Kingma & Welling 2014. ae: an autoencoder whose codes are drawn from a normal distribution fitted to them.
translator: image to image between the cells of class × attribute, a conditional StarGAN (Choi et al. 2018) with
relativistic pairing and R1."""

PRETRAINED = {name: Recipe(network=name, loss="none", steps=1) for name in PIPELINES}
"""Recipes that train nothing: a local diffusers pipeline draws images, or changes train images. Its settings are those of
`networks.PipelineSettings`."""


FEW = 5000
"""Below this number of images R3GAN has no published result. Adaptive augmentation was designed for such data (Karras et
al. 2020b)."""


CANDIDATES = ("vae", "flow", "projected")
"""Recipes that compete with the suitable one in a contest (`pipeline.recipe_contest`)."""


def suitable(images: int, side: int, device: str) -> str:
    """The recipe for `auto`, given the number of images, their shorter side in px, and the device type.

    Without a GPU it is `rpgan`, which does best in minutes (docs/recipes.md). With a GPU, networks that need its capacity
    pay off: `stylegan` with adaptive augmentation for few images, `r3gan` for many. Below 32 px these have no advantage.
    """
    if device == "cpu" or side < 32:
        return "rpgan"
    return "stylegan" if images < FEW else "r3gan"


PENALTIES = ("r1", "r2", "gradient_penalty")
ADVERSARIAL = (
    *PENALTIES, "centre", "lecam", "penalty_every", "final_penalty", "clip", "auxiliary", "critic_steps", "simultaneous",
    "augment_p", "final_augment_p", "ada_target", "ada_images", "label_smoothing", "label_noise", "instance_noise",
    "feature_matching", "mode_seeking", "path_length", "path_every", "style_mixing", "spectral_control", "late_conditioning",
)  # fmt: skip
"""Settings that only adversarial training reads."""
TRANSLATION = ("cycle", "identity", "semantic", "contrast", "paired", "hole_share", "class_moves", "replay")
"""Settings that only a translator reads."""
FLOW = ("label_dropout", "time_mean", "time_spread")
"""Settings that only a flow reads."""
SHARED = ("r1", "penalty_every", "final_penalty", "mode_seeking")
"""Settings of ADVERSARIAL that a translator reads too."""


def recipe(name: str, overrides: dict[str, Any] | None = None, *, unconditional: bool = False) -> Recipe:
    """Get a recipe, with changes.

    Parameters
    ----------
    name
        A name in RECIPES or PRETRAINED.
    overrides
        The name of a `Recipe` field changes that field; any other name is passed to the network.
    unconditional
        The training has no classes.

    Returns
    -------
    The changed recipe.

    Raises
    ------
    SettingsError
        For an unknown recipe, numbers out of range, contradictory settings, and a change without effect.
    """
    recipes = {**RECIPES, **PRETRAINED}
    if name not in recipes:
        raise SettingsError(f"there is no recipe '{name}'; choose one of: {', '.join(recipes)}")
    chosen, own = recipes[name], set(Recipe.model_fields) - {"settings"}
    options = overrides or {}
    network = {k: v for k, v in options.items() if k not in own}
    mine = {k: v for k, v in options.items() if k in own}
    settings = {**chosen.settings, **network}
    stays = {"final_augment_p": mine["augment_p"]} if "augment_p" in mine else {}  # unless the final value is set too
    result = changed(f"recipe '{name}'", chosen, {**stays, **mine, "settings": settings})
    idle = _idle(result, unconditional)
    for setting in mine:
        if setting in idle and getattr(result, setting) != getattr(chosen, setting):
            raise SettingsError(f"{setting}={mine[setting]!r} has no effect: {idle[setting]}")
    for setting, usual in (("conditioning", "projection"), ("guidance", 1)):
        if unconditional and network.get(setting, usual) != usual:
            raise SettingsError(
                f"{setting}={network[setting]} has no effect: an unconditional training has no classes; leave it out"
            )
    _refuse(result)
    return result


def _idle(rule: Recipe, unconditional: bool) -> dict[str, str]:
    """Setting without effect in this recipe -> the reason, and the remedy."""
    gradient = any(getattr(rule, name) for name in PENALTIES)
    rules: list[tuple[bool, tuple[str, ...], str]] = [
        (
            rule.network == "autoencoder",
            ADVERSARIAL,
            "an autoencoder has no discriminator and no adversarial training; leave it out, or use another recipe",
        ),
        (
            rule.network == "flow",
            (*ADVERSARIAL, "discriminator_lr"),
            "a flow has one network and no adversarial training; leave it out, or use another recipe",
        ),
        (rule.network != "flow", FLOW, "only a flow has velocities; use recipe flow"),
        (
            rule.network in PIPELINES,
            tuple(name for name in Recipe.model_fields if name != "class_moves"),
            "the pipeline is pretrained, and nothing is trained; leave it out",
        ),
        (
            rule.network not in ("translator", "diffusers_img2img"),
            TRANSLATION,
            "only a translator changes one image into another; use recipe translator",
        ),
        (
            rule.network == "translator",
            tuple(name for name in ADVERSARIAL if name not in SHARED),
            "the training of a translator does not use it; leave it out",
        ),
        (
            rule.network == "translator" and not rule.settings.get("noise"),
            ("mode_seeking",),
            "it compares translations with different noise, and there is none; set noise=8",
        ),
        (rule.loss != "variational", ("kl",), "only a variational autoencoder has a KL divergence; use recipe vae"),
        (
            rule.optimiser != "adam",
            ("betas", "final_beta2"),
            f"betas are Adam's, but optimiser={rule.optimiser}; set optimiser=adam",
        ),
        (
            rule.schedule == "constant",
            ("final_rate", "final_beta2", "final_penalty", "final_augment_p"),
            "nothing changes with schedule=constant; set schedule=linear or cosine",
        ),
        (
            unconditional,
            ("auxiliary", "late_conditioning", "label_dropout"),
            "an unconditional training has no classes; leave it out",
        ),
        (
            rule.settings.get("conditioning") != "auxiliary",
            ("auxiliary",),
            "it weights an auxiliary classifier, and there is none; set conditioning=auxiliary",
        ),
        (not rule.gradient_penalty, ("centre",), "it belongs to the gradient penalty; set gradient_penalty=10"),
        (
            not gradient,
            ("penalty_every", "final_penalty"),
            "there is no gradient penalty; set r1, r2 or gradient_penalty",
        ),
        (not rule.path_length, ("path_every",), "it belongs to the path length penalty; set path_length=2"),
        (not rule.ada_target, ("ada_images",), "it belongs to adaptive augmentation; set ada_target=0.6"),
    ]
    return {name: why for nothing, names, why in reversed(rules) if nothing for name in names}


def _refuse(rule: Recipe) -> None:
    """Raise SettingsError for settings that cannot work together."""
    spectral = rule.network == "projected" or bool(rule.settings.get("spectral", False))
    bounded = spectral or any((rule.clip, rule.gradient_penalty, rule.r1, rule.r2))
    scales, patch = rule.settings.get("scales", 1), rule.settings.get("patch", False)
    several = patch or scales != 1 or rule.settings.get("conditioning") == "auxiliary"
    targets = rule.loss in ("minimax", "non_saturating", "least_squares", "hinge")
    rules = [
        (rule.clip and spectral, "clip bounds weights that spectral norm rescales; set clip=0 or spectral=false"),
        (
            rule.clip and rule.gradient_penalty,
            f"gradient_penalty replaces clipping, but clip={rule.clip} would still apply; set clip=0, or use recipe wgan_gp",
        ),
        (
            rule.loss == "wasserstein" and not bounded,
            "loss=wasserstein needs a discriminator with bounded gradients; set gradient_penalty=10, clip=0.01 or spectral=true",
        ),
        (
            (rule.label_smoothing or rule.label_noise) and not targets,
            f"label_smoothing and label_noise move the target of real images, but loss={rule.loss} has none; use "
            "loss=non_saturating, hinge or least_squares",
        ),
        (
            (rule.path_length or rule.style_mixing) and rule.network != "stylegan",
            f"path_length and style_mixing need a mapping network, but network={rule.network} has none; use recipe stylegan",
        ),
        (
            rule.simultaneous
            and (
                rule.critic_steps > 1
                or rule.lecam
                or rule.feature_matching
                or rule.network in ("stylegan", "projected")
                or several
            ),
            "simultaneous training has one discriminator step and one score per image, no lecam, feature_matching, scales, patch or "
            "auxiliary classifier, and no discriminator that compares the images of a batch (stylegan) or scores positions "
            "(projected); set simultaneous=false",
        ),
        (
            rule.simultaneous and rule.loss == "hinge",
            "in simultaneous training the generator uses the discriminator's gradients, but a hinge has none beyond its margin; "
            "set simultaneous=false",
        ),
        (
            rule.ada_target and (rule.augment_p, rule.final_augment_p) != (1.0, 1.0),
            "ada_target adapts the probability that augment_p and final_augment_p would schedule; set one or the other",
        ),
        (
            rule.network == "flow" and rule.settings.get("guidance", 1) != 1 and not rule.label_dropout,
            "guidance compares a flow with and without the condition, and label_dropout=0 trains none without; set "
            "label_dropout=0.1",
        ),
        (
            rule.network == "translator" and rule.settings.get("conditioning") == "auxiliary",
            "a translator's discriminator must know the cell, and one with conditioning=auxiliary does not; leave it out",
        ),
    ]
    for wrong, reason in rules:
        if wrong:
            raise SettingsError(reason)
