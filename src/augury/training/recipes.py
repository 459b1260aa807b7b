"""Named recipes: a network, a loss, and the settings that go with them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from augury.errors import SettingsError
from augury.settings import Within, changed


@dataclass(frozen=True)
class Recipe:
    """One way to train a generator, an autoencoder or a translator. Weights of 0 switch a term off."""

    network: str  # name in NETWORKS
    loss: str  # adversarial loss by name; "variational" or "plain" for an autoencoder
    steps: int  # updates of the generator
    optimiser: str = "adam"  # adam or rmsprop
    generator_lr: float = 2e-4  # learning rate of the generator, translator or autoencoder's decoder
    discriminator_lr: float = 2e-4  # learning rate of all other networks
    betas: tuple[float, float] = (0.5, 0.999)  # decay rates of Adam
    schedule: str = "cosine"  # course of the learning rates: constant, linear or cosine
    final_rate: float = 0.1  # final learning rates, as a share of the initial ones
    warmup: float = 0.0  # share of the training over which learning rates rise from 0
    final_beta2: float = 0.0  # final value of Adam's second beta along the schedule; 0: unchanged
    critic_steps: int = 1  # discriminator updates per generator update
    simultaneous: bool = False  # one discriminator pass over the fakes updates both networks
    r1: float = 0.0  # weight of half the squared gradient norm at real images
    r2: float = 0.0  # the same at fake images
    gradient_penalty: float = 0.0  # weight of the penalty between real and fake images
    centre: float = 1.0  # target of the gradient norm in `gradient_penalty`
    lecam: float = 0.0  # weight of the LeCam regulariser
    # lazy gradient penalties: every so many steps, at that many times the weight (Karras et al. 2020, appendix B)
    penalty_every: int = 1
    final_penalty: float = 1.0  # final weight of the gradient penalties along the schedule, as a share
    clip: float = 0.0  # bound on every discriminator weight; 0: none
    auxiliary: float = 1.0  # weight of the class loss of discriminators with conditioning=auxiliary
    augment: str = "diffaugment_light"  # policy applied to what the discriminator sees
    augment_p: float = 1.0  # probability of each change of the policy
    final_augment_p: float = 1.0  # its final value along the schedule; `augment_p` where only that is set
    ada_target: float = 0.0  # adapt the probability until r is this; 0: off (see training/augment_pipe.py)
    ada_images: float = 100_000  # fewest images in which the adapted probability moves from 0 to 1
    label_smoothing: float = 0.0  # lowers the target of real images by this
    label_noise: float = 0.0  # moves that target up and down at random by at most this
    instance_noise: float = 0.0  # initial standard deviation of noise on all images the discriminator sees; decays to 0
    feature_matching: float = 0.0  # weight of the feature matching loss
    mode_seeking: float = 0.0  # weight of the mode-seeking loss
    path_length: float = 0.0  # weight of the path length penalty
    path_every: int = 4  # steps between two path length penalties
    style_mixing: float = 0.0  # share of images with two styles
    spectral_control: float = 0.0  # weight; bounds the conditional norms of rare classes (Rangwani et al. 2022)
    # share of the training over which the weight of the condition grows from 0 to 1 (Shahbazi et al. 2022)
    late_conditioning: float = 0.0
    kl: float = 1.0  # weight of the divergence of a variational autoencoder
    cycle: float = 0.0  # translator: weight of the cycle loss (Zhu et al. 2017)
    identity: float = 0.0  # translator: weight of the identity loss
    semantic: float = 0.0  # translator: weight of the semantic loss (Hoffman et al. 2018)
    contrast: float = 0.0  # translator: weight of the patch contrast (Park et al. 2020)
    hole_share: float = 0.0  # translator: share of a batch for cells without enough real images
    class_moves: bool = True  # translator: False changes attributes only
    # translator: stored translations per cell, shown to the discriminator again (Shrivastava et al. 2017)
    replay: int = 0
    half_life: float = 20_000  # half-life of the weight average, in images
    ramp: float = 0.1  # the half-life is at most this times the images seen so far
    settings: dict[str, Any] = field(default_factory=dict)  # arguments of the network


RECIPES = {
    "rpgan": Recipe(
        "dcgan",
        "relativistic",
        steps=4000,
        generator_lr=1e-3,
        discriminator_lr=2e-3,
        betas=(0.0, 0.99),
        r1=0.3,
        r2=0.3,
        penalty_every=4,
        simultaneous=True,
    ),
    "dcgan": Recipe("dcgan", "non_saturating", steps=4000),
    "gan": Recipe("mlp", "non_saturating", steps=4000),
    "wgan": Recipe(
        "dcgan",
        "wasserstein",
        steps=3000,
        optimiser="rmsprop",
        generator_lr=2e-4,
        discriminator_lr=2e-4,
        schedule="constant",
        critic_steps=5,
        clip=0.01,
    ),
    "wgan_gp": Recipe(
        "dcgan",
        "wasserstein",
        steps=3000,
        generator_lr=5e-4,
        discriminator_lr=5e-4,
        betas=(0.0, 0.9),
        schedule="linear",
        critic_steps=5,
        gradient_penalty=10.0,
    ),
    "r3gan": Recipe(
        "r3gan",
        "relativistic",
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
        "stylegan",
        "non_saturating",
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
    "vae": Recipe(
        "autoencoder",
        "variational",
        steps=3000,
        generator_lr=1e-3,
        discriminator_lr=1e-3,
        betas=(0.9, 0.999),
        augment="none",
    ),
    "ae": Recipe(
        "autoencoder",
        "plain",
        steps=3000,
        generator_lr=1e-3,
        discriminator_lr=1e-3,
        betas=(0.9, 0.999),
        augment="none",
    ),
    "translator": Recipe(
        "translator",
        "relativistic",
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
vae: Kingma & Welling 2014. ae: an autoencoder whose codes are drawn from a normal distribution fitted to them.
translator: image to image between the cells of class × attribute, a conditional StarGAN (Choi et al. 2018) with
relativistic pairing and R1."""


FEW = 5000
"""Below this number of images R3GAN has no published result. Adaptive augmentation was designed for such data (Karras et
al. 2020b)."""


def suitable(images: int, side: int, device: str) -> str:
    """The recipe for `auto`, given the number of images, their shorter side in px, and the device type.

    Without a GPU it is `rpgan`, which does best in minutes (docs/recipes.md). With a GPU, networks that need its capacity
    pay off: `stylegan` with adaptive augmentation for few images, `r3gan` for many. Below 32 px these have no advantage.
    """
    if device == "cpu" or side < 32:
        return "rpgan"
    return "stylegan" if images < FEW else "r3gan"


WEIGHT, SHARE, COUNT, RATE = Within(0), Within(0, 1), Within(1), Within(0, above=True)
LIMITS = {
    **dict.fromkeys(("steps", "critic_steps", "penalty_every", "path_every"), COUNT),
    **dict.fromkeys(("generator_lr", "discriminator_lr", "ada_images"), RATE),
    **dict.fromkeys(("betas", "final_beta2", "ada_target"), Within(0, 1, below=True)),
    **dict.fromkeys(("label_smoothing", "label_noise"), Within(0, 0.5)),
    **dict.fromkeys(
        ("final_rate", "warmup", "augment_p", "final_augment_p", "style_mixing", "late_conditioning", "final_penalty"),
        SHARE,
    ),
    **dict.fromkeys(
        ("r1", "r2", "gradient_penalty", "centre", "lecam", "clip", "auxiliary", "instance_noise", "feature_matching"),
        WEIGHT,
    ),
    **dict.fromkeys(("mode_seeking", "path_length", "spectral_control", "kl", "half_life"), WEIGHT),
    **dict.fromkeys(("cycle", "identity", "semantic", "contrast", "replay"), WEIGHT),
    "hole_share": Within(0, 0.9),
    "ramp": Within(0, above=True),
}
"""The allowed range of each number of a recipe."""
PENALTIES = ("r1", "r2", "gradient_penalty")
ADVERSARIAL = (
    *PENALTIES, "centre", "lecam", "penalty_every", "final_penalty", "clip", "auxiliary", "critic_steps", "simultaneous",
    "augment_p", "final_augment_p", "ada_target", "ada_images", "label_smoothing", "label_noise", "instance_noise",
    "feature_matching", "mode_seeking", "path_length", "path_every", "style_mixing", "spectral_control", "late_conditioning",
)  # fmt: skip
"""Settings that only adversarial training reads."""
TRANSLATION = ("cycle", "identity", "semantic", "contrast", "hole_share", "class_moves", "replay")
"""Settings that only a translator reads."""
SHARED = ("r1", "penalty_every", "final_penalty", "mode_seeking")
"""Settings of ADVERSARIAL that a translator reads too."""


def recipe(name: str, overrides: dict[str, Any] | None = None, *, unconditional: bool = False) -> Recipe:
    """Get a recipe, with changes.

    Parameters
    ----------
    name
        A name in RECIPES.
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
    if name not in RECIPES:
        raise SettingsError(f"there is no recipe '{name}'; choose one of: {', '.join(RECIPES)}")
    chosen, own = RECIPES[name], {f.name for f in fields(Recipe)} - {"settings"}
    options = overrides or {}
    network = {k: v for k, v in options.items() if k not in own}
    mine = {k: v for k, v in options.items() if k in own}
    settings = {**chosen.settings, **network}
    stays = {"final_augment_p": mine["augment_p"]} if "augment_p" in mine else {}  # unless the final value is set too
    result: Recipe = changed(f"recipe '{name}'", chosen, {**stays, **mine, "settings": settings}, LIMITS)
    idle = _idle(result, unconditional)
    for setting in mine:
        if setting in idle and getattr(result, setting) != getattr(chosen, setting):
            raise SettingsError(f"{setting}={mine[setting]!r} has no effect: {idle[setting]}")
    if unconditional and network.get("conditioning") == "auxiliary":
        raise SettingsError(
            "conditioning=auxiliary has no effect: an unconditional training has no classes; leave it out"
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
            rule.network != "translator",
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
        (unconditional, ("auxiliary", "late_conditioning"), "an unconditional training has no classes; leave it out"),
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
    spectral = bool(rule.settings.get("spectral", False))
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
            and (rule.critic_steps > 1 or rule.lecam or rule.feature_matching or rule.network == "stylegan" or several),
            "simultaneous training has one discriminator step and one score per image, no lecam, feature_matching, scales, patch or "
            "auxiliary classifier, and no discriminator that compares the images of a batch (stylegan); set simultaneous=false",
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
            rule.network == "translator" and rule.settings.get("conditioning") == "auxiliary",
            "a translator's discriminator must know the cell, and one with conditioning=auxiliary does not; leave it out",
        ),
    ]
    for wrong, reason in rules:
        if wrong:
            raise SettingsError(reason)
