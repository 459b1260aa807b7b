"""Named policies: the changes drawn for each image, and their strengths."""

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
from augury.augment.presets import astronomy, degraded, faces, medical, natural, text
from augury.augment.tones import gamma_corrected
from augury.errors import SettingsError

Policy = Callable[..., Tensor]
"""Float images [N, C, H, W] in [-1, 1] and a generator -> images of the same shape, dtype and device.

Policies of the table also take `p`, a number or a tensor of one: the probability of each change, drawn for every image
and change. At 0 the images are unchanged, bit for bit; 1 is the policy without `p`. From the same generator state, a
change applied at one p is also applied at every higher p.
"""


def none(images: Tensor, generator: Source, *, flips: bool = False, p: float | Tensor = 1.0) -> Tensor:
    """Leave the images unchanged; with `flips`, mirror half of the share `p` of them left and right."""
    if not flips:
        return images
    (mirror,) = uniform(images, generator, 1)
    return torch.where((mirror < 0.5 * p).view(-1, 1, 1, 1), images.flip(3), images)


def diffaugment(images: Tensor, generator: Source, *, flips: bool = False, p: float | Tensor = 1.0) -> Tensor:
    """DiffAugment (Zhao et al. 2020), for the input of a discriminator.

    Brightness ±0.5, saturation ×0 to ×2, contrast ×0.5 to ×1.5, translation by up to 1/8 of each side, and a cutout of
    half the side. Not clamped, so that gradients pass: values can exceed [-1, 1].

    Parameters
    ----------
    images : Tensor
        Float [N, C, H, W] in [-1, 1].
    generator : Source
        The random numbers are drawn from it.
    flips : bool
        Also mirror half of the share `p` of the images left and right.
    p : float or Tensor
        Probability of each change.

    Returns
    -------
    Tensor
        [N, C, H, W], not clamped.
    """
    draws, coins = uniform(images, generator, 8), chosen(images, generator, 5, p)
    return cutout(_colour_and_translation(images, draws, coins, flips, p, 1.0), draws[6:].t(), hidden=coins[4])


def diffaugment_light(images: Tensor, generator: Source, *, flips: bool = False, p: float | Tensor = 1.0) -> Tensor:
    """DiffAugment with 0.4 of its colour changes and no cutout; better than the full policy for short trainings."""
    draws, coins = uniform(images, generator, 6), chosen(images, generator, 4, p)
    return _colour_and_translation(images, draws, coins, flips, p, strength=0.4)


def classical(images: Tensor, generator: Source, *, flips: bool = False, p: float | Tensor = 1.0) -> Tensor:
    """The usual augmentation for training a classifier.

    Half of the share `p` of the images get all of these at once: a rotation of ±15°, scale 0.9 to 1.1 (log-uniform),
    translation ±10 % of each side, brightness ±0.2, contrast and saturation ×0.8 to ×1.2. The border is mirrored and
    the result clamped to [-1, 1]. Flips are drawn separately.

    Why half: a short training underfits when every image is changed. On a long-tailed Fashion-MNIST of images other
    than the embedded ones, 300 steps of the trial's classifier reach .743 with half and .682 with all (balanced
    accuracy).
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
    # Resampling rounds. Below 1, images that do not move keep their bits; at 1, the bits are those of recorded verdicts.
    moving = (mirrored | varied | (p >= 1)).view(-1, 1, 1, 1)
    moved = torch.where(moving, affine(images, matrices, padding="reflection"), images)
    return adjust(moved, 0.2 * brightness, 1 + 0.2 * contrast, 1 + 0.2 * saturation).clamp(-1, 1)


LOG_SCALE = 0.0953
"""ln 1.1"""


def extreme_gamma(images: Tensor, generator: Source, *, flips: bool = False, p: float | Tensor = 1.0) -> Tensor:
    """A wide range of exposures, for classifiers that must not rely on brightness.

    The values in [0, 1] are raised to the power of a gamma of 1/3 to 3 and multiplied by a gain of 1/2 to 2. Both are
    log-uniform and applied together with probability `p`; the result is clamped to [-1, 1].
    """
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
        faces, astronomy, text, degraded, extreme_gamma,
    )
}  # fmt: skip
"""Each takes (images, generator, *, flips, p). Those after `ada` also take `strength`, and draw on the CPU."""


def policy(name: str | Policy, *, flips: bool | None = None) -> Policy:
    """The policy of this name.

    Parameters
    ----------
    name : str or Policy
            A name of POLICIES, or a callable. A callable that takes no generator (torchvision v2, kornia,
        albumentations) is wrapped as a policy.
    flips : bool, optional
        Whether to mirror left and right; the policy's own choice if None.

    Returns
    -------
    Policy
        Takes images and a generator.

    Raises
    ------
    SettingsError
        For an unknown name, or for `flips` with a callable that does not take it.
    """
    if callable(name):
        return _with_flips(adapted(name), flips)
    if name not in POLICIES:
        raise SettingsError(f"there is no augmentation policy '{name}'; choose one of: {', '.join(POLICIES)}")
    return POLICIES[name] if flips is None else partial(POLICIES[name], flips=flips)


def _with_flips(chosen: Policy, flips: bool | None) -> Policy:
    """The policy with `flips` set, where it is not None."""
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
    """Several policies in sequence, names or callables: `Compose(["natural", my_kornia_pipeline])`.

    `flips`, `p` and `strength` are passed to each policy that takes them. A policy without `p` is always applied.
    """

    policies: Sequence[str | Policy]

    def __call__(self, images: Tensor, generator: Source, *, p: float | Tensor = 1.0, **options: Any) -> Tensor:
        """Apply the policies: float [N, C, H, W] in [-1, 1] -> the same shape and dtype."""
        for each in map(policy, self.policies):
            images = each(images, generator, **{k: v for k, v in {"p": p, **options}.items() if takes(each, k)})
        return images


def takes(chosen: Policy, keyword: str) -> bool:
    """Whether a policy takes this keyword."""
    taken = inspect.signature(chosen).parameters
    return keyword in taken or any(t.kind is t.VAR_KEYWORD for t in taken.values())


def _colour_and_translation(
    images: Tensor, draws: Tensor, coins: Tensor, flips: bool, p: float | Tensor, strength: float
) -> Tensor:
    """Brightness ±0.5, contrast ×0.5 to ×1.5, saturation ×0 to ×2, each times `strength`, and translation by up to 1/8.

    `coins` bool [4, N] selects which of the four are applied. With `flips`, half of the share `p` is mirrored.
    """
    shifts = whole_shifts(draws[3], draws[4], (images.shape[2], images.shape[3])) * coins[3, :, None]
    brightness, contrast, saturation = (strength * (draws[:3] - 0.5) * coins[:3]).unbind()
    moved = adjust(images, brightness, 1 + contrast, 1 + 2 * saturation)
    return translate(moved, shifts, draws[5] < 0.5 * p if flips else None)
