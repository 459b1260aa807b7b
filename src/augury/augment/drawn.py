"""Policies that draw from the table of operators: RandAugment, TrivialAugment, AugMix, and ranges of your own."""

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
"""The operators of AugMix (Hendrycks et al. 2020, section 3): none that the corruptions of its tests use."""


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
    """RandAugment (Cubuk et al. 2020): `operations` operators for each image, drawn with replacement, all at one `magnitude`
    in [0, 1] (0.3 is 9 of 30), which `strength` multiplies; each made with probability `p`.

    Unlike the paper's, values change first and places after, in one resampling; what comes in is the mirrored border.
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
    """TrivialAugment (Müller & Hutter 2021, algorithm 1): one operator for each image, at a magnitude of its own, uniform in
    [0, `strength`]; nothing to tune. Ranges of RandAugment, as "TA (RA)" in the paper's table 2; made with probability `p`."""
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
    """AugMix (Hendrycks et al. 2020, algorithm 1): `width` chains of one to `depth` operators, mixed by Dirichlet(1) weights,
    and the mixture with the image itself by Beta(1, 1). Magnitudes are uniform up to `magnitude` (0.3 is the paper's
    severity 3 of 10), which `strength` multiplies; made with probability `p`. Its loss on predictions is not part of it.
    """
    n = len(images)
    share, coin, *rest = numbers(n, generator, 2 + 2 * width).cpu()
    weights = -torch.log1p(-torch.stack(rest[:width])) + 1e-12  # exponentials, normalised, are Dirichlet(1)
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
    """A policy of your own: the named operators, each with a strength drawn uniformly from its range for every image.

        Vary({"rotate": (-15, 15), "brightness": (0.8, 1.2), "blur": (0, 1)}, chances={"blur": 0.2})

    In the units of the table OPERATORS, in the order given; `chances` say how often an operator is made, 1 unless named.
    `p` multiplies all chances; `strength` the way from neutral to each end of a range. `flips=False` leaves "mirror" out.
    Raises SettingsError for an operator that is not in the table.
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
        """What a policy does: float [N, C, H, W] in [-1, 1] -> the same shape and dtype, clamped where changed."""
        named = [name for name in self.ranges if flips or name != "mirror"]
        counts = [2 + OPERATORS[name].draws for name in named]
        blocks = torch.split(numbers(len(images), generator, sum(counts)).cpu(), counts) if named else ()
        steps = []
        for name, block in zip(named, blocks, strict=True):
            neutral = OPERATORS[name].neutral
            low, high = (neutral + float(strength) * (end - neutral) for end in self.ranges[name])
            if name == "mirror":  # it is made or not
                low, high = self.ranges[name]
            members = (block[0] < self.chances.get(name, 1.0) * float(p)).nonzero()[:, 0]
            strengths = low + (high - low) * block[1, members]
            steps.append(Step(OPERATORS[name], members, strengths, block[2:, members]))
        return carried_out(images, steps)


def layers(n: int, source: Source, names: Sequence[str], magnitudes: Tensor, p: float | Sequence[Tensor]) -> list[Step]:
    """One operator for each image and each row of `magnitudes` [L, n], made with probability `p`, or a [n] for each row."""
    operators = [OPERATORS[name] for name in names]
    further = max(operator.draws for operator in operators)
    block = numbers(n, source, len(magnitudes) * (3 + further)).cpu().view(len(magnitudes), 3 + further, n)
    steps = []
    for layer, (row, draws) in enumerate(zip(magnitudes, block, strict=True)):
        made = draws[1] < (p if isinstance(p, float) else p[layer])
        picked = torch.where(made, (draws[0] * len(operators)).long(), len(operators)).numpy()
        for k, operator in enumerate(operators):
            at = torch.from_numpy(np.flatnonzero(picked == k))
            if operator.part != "nothing" and len(at):
                own = draws[:, at]
                steps.append(Step(operator, at, operator.strength(row[at], own[2]), own[3 : 3 + operator.draws]))
    return steps


def mirrors(n: int, source: Source, flips: bool, p: float | Tensor) -> list[Step]:
    """With `flips`, half of the share `p` of the images mirrored left and right."""
    if not flips:
        return []
    (coin,) = numbers(n, source, 1).cpu()
    at = (coin < 0.5 * float(p)).nonzero()[:, 0]
    return [Step(OPERATORS["mirror"], at, torch.ones(len(at)), torch.empty(0, len(at)))]
