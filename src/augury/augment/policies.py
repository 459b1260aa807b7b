"""Named policies: which changes are drawn for each image, and how strong."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from augury.augment.adaptive import ada
from augury.augment.colour import adjust
from augury.augment.drawn import augmix, randaugment, trivialaugment
from augury.augment.draws import Source, chosen, uniform, whole_shifts
from augury.augment.external import adapted
from augury.augment.geometry import affine, compose, translate
from augury.augment.occlusion import cutout
from augury.augment.presets import astronomy, faces, medical, natural, text
from augury.augment.tones import gamma_corrected
from augury.errors import SettingsError

Policy = Callable[..., Tensor]
"""float images [N, C, H, W] in [-1, 1] and a generator -> images of the same shape, dtype and device.

Those of the table also take `p`, a number or a tensor of one: the probability with which each image gets each change,
drawn for every image and change anew. At 0 images come back as they are, to the bit; 1 is what a policy is without it.
A change made at one p is made at every higher one too, if the generator starts alike."""


def none(images: Tensor, generator: Source, *, flips: bool = False, p: float | Tensor = 1.0) -> Tensor:
    """The images as they are; with `flips`, half of the share `p` of them mirrored left and right."""
    if not flips:
        return images
    (mirror,) = uniform(images, generator, 1)
    return torch.where((mirror < 0.5 * p).view(-1, 1, 1, 1), images.flip(3), images)


def diffaugment(images: Tensor, generator: Source, *, flips: bool = False, p: float | Tensor = 1.0) -> Tensor:
    """DiffAugment (Zhao et al. 2020) for what a discriminator sees: brightness ±0.5, saturation ×0 to ×2, contrast ×0.5 to
    ×1.5, translation by up to 1/8 of each side, and a cutout of half the side.

    Not clamped, so that gradients pass: values reach beyond [-1, 1].
    """
    draws, coins = uniform(images, generator, 8), chosen(images, generator, 5, p)
    return cutout(_colour_and_translation(images, draws, coins, flips, p, 1.0), draws[6:].t(), hidden=coins[4])


def diffaugment_light(images: Tensor, generator: Source, *, flips: bool = False, p: float | Tensor = 1.0) -> Tensor:
    """DiffAugment with 0.4 of its colour changes and no cutout: a short training learns more from it."""
    draws, coins = uniform(images, generator, 6), chosen(images, generator, 4, p)
    return _colour_and_translation(images, draws, coins, flips, p, strength=0.4)


def classical(images: Tensor, generator: Source, *, flips: bool = False, p: float | Tensor = 1.0) -> Tensor:
    """What a classifier is commonly trained with: half of the share `p` of the images get, all at once, a rotation of ±15°,
    scale 0.9 to 1.1 (log-uniform), translation ±10 % of each side, brightness ±0.2, contrast and saturation ×0.8 to ×1.2;
    mirrored at the border, clamped to [-1, 1]. Flips come on top.

    Half, because a short training underfits when every image is changed: on a long-tailed Fashion-MNIST of other images
    than the embedded ones, 300 steps of the trial's classifier reach .743 with half and .682 with all (balanced accuracy).
    """
    draws = uniform(images, generator, 9)
    mirrored, varied = (draws[7] < 0.5 * p) & flips, draws[8] < 0.5 * p
    angle, scale, right, down, brightness, contrast, saturation = (draws[:7] * 2 - 1) * varied
    matrices = compose(
        angles=15 * angle,
        scales=torch.exp(LOG_SCALE * scale),
        shears=torch.zeros_like(angle),
        translations=0.1 * torch.stack([right, down], dim=1),
        flips=mirrored,
        size=(images.shape[2], images.shape[3]),
    )
    # Resampling rounds: below 1 what does not move keeps its bits; at 1 the bits stay those of the verdicts on record.
    moving = (mirrored | varied | (p >= 1)).view(-1, 1, 1, 1)
    moved = torch.where(moving, affine(images, matrices, padding="reflection"), images)
    return adjust(moved, 0.2 * brightness, 1 + 0.2 * contrast, 1 + 0.2 * saturation).clamp(-1, 1)


LOG_SCALE = 0.0953
"""ln 1.1"""


def extreme_gamma(images: Tensor, generator: Source, *, flips: bool = False, p: float | Tensor = 1.0) -> Tensor:
    """Random exposure of wide range, for classifiers that must not rely on brightness: the values in [0, 1] to the power of a
    gamma of 1/3 to 3, times a gain of 1/2 to 2, both log-uniform and made together with probability `p`; clamped to [-1, 1]."""
    gamma, gain, mirror = uniform(images, generator, 3)
    changed = chosen(images, generator, 1, p)[0].view(-1, 1, 1, 1)
    scale = (4 ** (gain - 0.5)).to(images.dtype).view(-1, 1, 1, 1)
    exposed = ((gamma_corrected(images, 9 ** (gamma - 0.5)) + 1) * scale - 1).clamp(-1, 1)
    varied = torch.where(changed, exposed, images)
    return torch.where(((mirror < 0.5 * p) & flips).view(-1, 1, 1, 1), varied.flip(3), varied)


POLICIES: dict[str, Callable[..., Tensor]] = {
    f.__name__: f
    for f in (
        none, diffaugment, diffaugment_light, classical, ada, randaugment, trivialaugment, augmix, natural, medical,
        faces, astronomy, text, extreme_gamma,
    )
}  # fmt: skip
"""Each takes (images, generator, *, flips, p); those after `ada` also `strength`, and draw on the CPU."""


def policy(name: str | Policy, *, flips: bool | None = None) -> Policy:
    """The policy of this name, mirroring left and right only when `flips`, or as it sees fit when that is None.

    A callable is returned as it is, or, when it takes no generator (torchvision v2, kornia, albumentations), wrapped so
    that it is a policy; `flips` goes to one that takes it. Raises SettingsError for an unknown name, and for `flips` with a
    callable that does not take it.
    """
    if callable(name):
        return _told(adapted(name), flips)
    if name not in POLICIES:
        raise SettingsError(f"there is no augmentation policy '{name}'; choose one of: {', '.join(POLICIES)}")
    return POLICIES[name] if flips is None else partial(POLICIES[name], flips=flips)


def _told(chosen: Policy, flips: bool | None) -> Policy:
    """A callable that has been told of `flips`."""
    if flips is None:
        return chosen
    if not takes(chosen, "flips"):
        raise SettingsError(
            f"flips={flips} cannot be passed on, as this policy takes no 'flips' and mirrors as it was made to; leave flips out "
            "and choose in the policy itself"
        )
    return partial(chosen, flips=flips)


@dataclass(frozen=True)
class Compose:
    """One policy after the other, names or callables: `Compose(["natural", my_kornia_pipeline])`.

    `flips`, `p` and `strength` go to each that takes them; one that takes no `p` is made always.
    """

    policies: Sequence[str | Policy]

    def __call__(self, images: Tensor, generator: Source, *, p: float | Tensor = 1.0, **given: Any) -> Tensor:
        """What a policy does: float [N, C, H, W] in [-1, 1] -> the same shape and dtype."""
        for each in map(policy, self.policies):
            images = each(images, generator, **{k: v for k, v in {"p": p, **given}.items() if takes(each, k)})
        return images


def takes(chosen: Policy, keyword: str) -> bool:
    """Whether a policy has this keyword."""
    taken = inspect.signature(chosen).parameters
    return keyword in taken or any(t.kind is t.VAR_KEYWORD for t in taken.values())


def _colour_and_translation(
    images: Tensor, draws: Tensor, coins: Tensor, flips: bool, p: float | Tensor, strength: float
) -> Tensor:
    """Brightness ±0.5, contrast ×0.5 to ×1.5, saturation ×0 to ×2, each times `strength`, translation by up to 1/8: those of
    the four that `coins` bool [4, N] names; with `flips`, half of the share `p` mirrored."""
    shifts = whole_shifts(draws[3], draws[4], (images.shape[2], images.shape[3])) * coins[3, :, None]
    brightness, contrast, saturation = (strength * (draws[:3] - 0.5) * coins[:3]).unbind()
    moved = adjust(images, brightness, 1 + contrast, 1 + 2 * saturation)
    return translate(moved, shifts, draws[5] < 0.5 * p if flips else None)
