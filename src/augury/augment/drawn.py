"""Policies that draw from the table of operators: RandAugment, TrivialAugment, AugMix, and custom ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from augury.augment.draws import Source, numbers
from augury.augment.engine import Step, carried_out
from augury.augment.operators import OPERATORS
from augury.errors import SettingsError

FOURTEEN = (
    "identity", "autocontrast", "equalise", "rotate", "solarise", "saturation", "posterise", "contrast", "brightness",
    "sharpness", "shear_x", "shear_y", "translate_x", "translate_y",
)  # fmt: skip
"""The operators of RandAugment (Cubuk et al. 2020, section 3)."""
NINE = (
    "autocontrast",
    "equalise",
    "posterise",
    "rotate",
    "solarise",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
)
"""The operators of AugMix (Hendrycks et al. 2020, section 3); none of them is among the corruptions of its benchmarks."""


def randaugment(
    images: Tensor,
    generator: Source,
    *,
    flips: bool = False,
    p: float | Tensor = 1.0,
    strength: float | Tensor = 1.0,
    operations: int = 2,
    magnitude: float = 0.3,
    operators: Sequence[str] = FOURTEEN,
) -> Tensor:
    """RandAugment (Cubuk et al. 2020): `operations` operators per image, drawn with replacement, all at one
    `magnitude`.

    The paper applies the operators one after another. Here values change first and all geometry follows in one
    resampling; the mirrored border fills what lies outside.

    Parameters
    ----------
    images : Tensor
        uint8 or float in [-1, 1], [N, C, H, W].
    generator : Source
        The random numbers are drawn from it.
    flips : bool
        Also mirror half of the share `p` of the images left and right.
    p : float or Tensor
        Probability of each operator.
    strength : float or Tensor
        Factor of `magnitude`.
    operations : int
        Operators per image.
    magnitude : float
        In [0, 1]; 0.3 is 9 of the paper's 30.
    operators : sequence of str
        Names of OPERATORS to draw from.

    Returns
    -------
    Tensor
        Of the shape and dtype of `images`.
    """
    magnitudes = torch.full((operations, len(images)), min(1.0, magnitude * float(strength)))
    steps = layers(len(images), generator, operators, magnitudes, float(p))
    return carried_out(images, [*steps, *mirrors(len(images), generator, flips, p)])


def trivialaugment(
    images: Tensor,
    generator: Source,
    *,
    flips: bool = False,
    p: float | Tensor = 1.0,
    strength: float | Tensor = 1.0,
    operators: Sequence[str] = FOURTEEN,
) -> Tensor:
    """TrivialAugment (Müller & Hutter 2021, algorithm 1): one operator per image, with a magnitude drawn for each
    image.

    Nothing needs tuning. The ranges are those of RandAugment, "TA (RA)" in the paper's table 2.

    Parameters
    ----------
    images : Tensor
        uint8 or float in [-1, 1], [N, C, H, W].
    generator : Source
        The random numbers are drawn from it.
    flips : bool
        Also mirror half of the share `p` of the images left and right.
    p : float or Tensor
        Probability of the operator.
    strength : float or Tensor
        Magnitudes are uniform in [0, `strength`].
    operators : sequence of str
        Names of OPERATORS to draw from.

    Returns
    -------
    Tensor
        Of the shape and dtype of `images`.
    """
    magnitudes = (numbers(len(images), generator, 1).cpu() * float(strength)).clamp(max=1)
    steps = layers(len(images), generator, operators, magnitudes, float(p))
    return carried_out(images, [*steps, *mirrors(len(images), generator, flips, p)])


def augmix(
    images: Tensor,
    generator: Source,
    *,
    flips: bool = False,
    p: float | Tensor = 1.0,
    strength: float | Tensor = 1.0,
    operators: Sequence[str] = NINE,
    width: int = 3,
    depth: int = 3,
    magnitude: float = 0.3,
) -> Tensor:
    """AugMix (Hendrycks et al. 2020, algorithm 1): mix several short chains of operators, then mix the result with the
    image.

    The chains are mixed with Dirichlet(1) weights, and the mixture with the image by Beta(1, 1). The paper's loss on
    predictions is not included.

    Parameters
    ----------
    images : Tensor
        Float [N, C, H, W] in [-1, 1].
    generator : Source
        The random numbers are drawn from it.
    flips : bool
        Also mirror half of the share `p` of the images left and right.
    p : float or Tensor
        Probability with which an image is changed.
    strength : float or Tensor
        Factor of `magnitude`.
    operators : sequence of str
        Names of OPERATORS to draw from.
    width, depth : int
        Number of chains, and the most operators in a chain (at least one).
    magnitude : float
        Magnitudes are uniform up to this; 0.3 is the paper's severity 3 of 10.

    Returns
    -------
    Tensor
        Of the shape and dtype of `images`.
    """
    n = len(images)
    share, coin, *rest = numbers(n, generator, 2 + 2 * width).cpu()
    weights = -torch.log1p(-torch.stack(rest[:width])) + 1e-12  # normalised exponentials are Dirichlet(1)
    weights = (weights / weights.sum(0)).to(images)
    mixture = torch.zeros_like(images)
    for chain in range(width):
        length = 1 + (rest[width + chain] * depth).long()
        drawn = magnitude * float(strength) * numbers(n, generator, depth).cpu()
        steps = layers(n, generator, operators, drawn.clamp(max=1), [(length > k).float() for k in range(depth)])
        mixture = mixture + weights[chain].view(-1, 1, 1, 1) * carried_out(images, steps)
    alone = share.to(images).view(-1, 1, 1, 1)
    mixed = torch.where(
        (coin < float(p)).to(images.device).view(-1, 1, 1, 1), alone * images + (1 - alone) * mixture, images
    )
    return carried_out(mixed, mirrors(n, generator, flips, p))


@dataclass(frozen=True)
class Vary:
    """A custom policy: the named operators, each with a strength drawn uniformly from its range for every image.

        Vary({"rotate": (-15, 15), "brightness": (0.8, 1.2), "blur": (0, 1)}, chances={"blur": 0.2})

    Parameters
    ----------
    ranges : mapping of str to (float, float)
            Operator -> lowest and highest strength, in the units of the table OPERATORS. The operators are applied in
        this order.
    chances : mapping of str to float
        Operator -> probability; 1 for those not named.

    Raises
    ------
    SettingsError
        For an operator that is not in the table.
    """

    ranges: Mapping[str, tuple[float, float]]
    chances: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in [*self.ranges, *self.chances]:
            if name not in OPERATORS:
                raise SettingsError(f"there is no operator '{name}'; choose from: {', '.join(OPERATORS)}")

    def __call__(
        self,
        images: Tensor,
        generator: Source,
        *,
        flips: bool = True,
        p: float | Tensor = 1.0,
        strength: float | Tensor = 1.0,
    ) -> Tensor:
        """Apply the policy: float [N, C, H, W] in [-1, 1] -> the same shape and dtype, clamped where changed.

        `p` multiplies all chances. `strength` multiplies the distance from neutral to each end of a range.
        `flips=False` leaves "mirror" out.
        """
        named = [name for name in self.ranges if flips or name != "mirror"]
        counts = [2 + OPERATORS[name].draws for name in named]
        blocks = torch.split(numbers(len(images), generator, sum(counts)).cpu(), counts) if named else ()
        steps = []
        for name, block in zip(named, blocks, strict=True):
            neutral = OPERATORS[name].neutral
            low, high = (neutral + float(strength) * (end - neutral) for end in self.ranges[name])
            if name == "mirror":  # its strength does not vary
                low, high = self.ranges[name]
            members = (block[0] < self.chances.get(name, 1.0) * float(p)).nonzero()[:, 0]
            strengths = low + (high - low) * block[1, members]
            steps.append(Step(OPERATORS[name], members, strengths, block[2:, members]))
        return carried_out(images, steps)


def layers(n: int, source: Source, names: Sequence[str], magnitudes: Tensor, p: float | Sequence[Tensor]) -> list[Step]:
    """One operator per image and row of `magnitudes` [L, n], applied with probability `p`, or with [n] probabilities
    per row.
    """
    operators = [OPERATORS[name] for name in names]
    further = max(operator.draws for operator in operators)
    block = numbers(n, source, len(magnitudes) * (3 + further)).cpu().view(len(magnitudes), 3 + further, n)
    steps = []
    for layer, (row, draws) in enumerate(zip(magnitudes, block, strict=True)):
        applied = draws[1] < (p if isinstance(p, float) else p[layer])
        picked = torch.where(applied, (draws[0] * len(operators)).long(), len(operators)).numpy()
        for k, operator in enumerate(operators):
            at = torch.from_numpy(np.flatnonzero(picked == k))
            if operator.part != "nothing" and len(at):
                own = draws[:, at]
                steps.append(Step(operator, at, operator.strength(row[at], own[2]), own[3 : 3 + operator.draws]))
    return steps


def mirrors(n: int, source: Source, flips: bool, p: float | Tensor) -> list[Step]:
    """With `flips`, a step that mirrors half of the share `p` of the images left and right."""
    if not flips:
        return []
    (coin,) = numbers(n, source, 1).cpu()
    at = (coin < 0.5 * float(p)).nonzero()[:, 0]
    return [Step(OPERATORS["mirror"], at, torch.ones(len(at)), torch.empty(0, len(at)))]
