"""Named recipes: which network plays which loss, and the settings that go with it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from augury.errors import SettingsError


@dataclass(frozen=True)
class Recipe:
    """`r1` and `r2` weigh the discriminator's squared slope at real and at fake images; `penalty_every` makes them lazy:
    taken every so many steps, at that many times their weight (Karras et al. 2020, appendix B). `half_life` of the weight average is in images; it ramps up with `ramp` times the images seen so far.
    `final_rate` is what the cosine leaves of the learning rates at the end."""

    network: str
    loss: str
    steps: int
    generator_rate: float = 2e-4
    discriminator_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    r1: float = 0.0
    r2: float = 0.0
    penalty_every: int = 1
    half_life: float = 20_000
    ramp: float = 0.1
    final_rate: float = 0.1
    settings: dict[str, Any] = field(default_factory=dict)


RECIPES = {
    "rpgan": Recipe(
        "dcgan",
        "relativistic",
        steps=4000,
        generator_rate=1e-3,
        discriminator_rate=2e-3,
        betas=(0.0, 0.99),
        r1=0.3,
        r2=0.3,
        penalty_every=4,
    ),
    "dcgan": Recipe("dcgan", "non_saturating", steps=4000),
    "gan": Recipe("mlp", "non_saturating", steps=4000),
}
"""rpgan, the default: DCGAN's networks playing R3GAN's game, relativistic pairing with R1 and R2 (Huang et al. 2024), which
keeps variety within a class where cross-entropy collapses on few images; dcgan: the convolutional original; gan: the
fully connected one."""


def recipe(name: str, overrides: dict[str, Any] | None = None) -> Recipe:
    """The recipe `name` with `overrides`: a name of a Recipe field changes that, any other goes to the network.

    Raises SettingsError for an unknown recipe.
    """
    if name not in RECIPES:
        raise SettingsError(f"there is no recipe '{name}'; choose one of: {', '.join(RECIPES)}")
    chosen, own = RECIPES[name], {f.name for f in fields(Recipe)} - {"settings"}
    given = overrides or {}
    network = {k: v for k, v in given.items() if k not in own}
    return replace(chosen, **{k: v for k, v in given.items() if k in own}, settings={**chosen.settings, **network})
