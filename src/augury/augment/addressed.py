"""Policies addressed by image: the same image in the same epoch always gets the same changes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from augury.augment.drawn import Vary, randaugment, trivialaugment
from augury.augment.forms import Span, centred, opened, spread
from augury.augment.philox import ImageDraws
from augury.augment.policies import Policy, policy, takes
from augury.augment.presets import astronomy, faces, medical, natural, text
from augury.errors import DataError, SettingsError

Held = TypeVar("Held")
Schedule = float | Callable[[int], float]
"""A number, or a function that returns one for each epoch."""


def augmented(
    images: Held,
    how: str | Policy,
    *,
    seed: int,
    epoch: int = 0,
    indices: npt.ArrayLike | Tensor | None = None,
    p: Schedule = 1.0,
    strength: Schedule = 1.0,
    flips: bool | None = None,
    span: Span = (0.0, 1.0),
) -> Held:
    """Apply a policy to images. The draws of each image depend on (seed, epoch, index) alone, not on its batch or
    process.

    Parameters
    ----------
    images : PIL image, array, tensor, LabelledImages or SyntheticImages
        One image or several, as for `augury.augment.rotate`. Floats lie in `span`.
    how : str or Policy
        A name of POLICIES, a policy, or a transform of torchvision, kornia or albumentations.
    seed, epoch : int
        Address of the draws.
    indices : array of int64 [N], optional
        Positions of the images in their data set; 0 to N - 1 if None.
    p, strength : float or function of the epoch
        Probability and strength of the changes.
    flips : bool, optional
        Allow mirroring; the policy's own choice if None.
    span : (float, float)
        Lowest and highest value of float images.

    Returns
    -------
    PIL image, array, tensor or LabelledImages
        The augmented images, of the same kind, dtype and size as `images`. SyntheticImages come back as LabelledImages.

    Raises
    ------
    DataError
        For images with transparency, or when `indices` has another length than `images`.
    SettingsError
        For `p` or `strength` with a policy that does not take it.

    Examples
    --------
    >>> augmented(train, "randaugment", seed=0)
    LabelledImages(841 images, 1×28×28, 10 classes)
    """
    held, chosen = opened(images), policy(how, flips=flips)
    x = held.images
    if held.colours != x.shape[1]:
        raise DataError("a policy knows no transparency, but this image has some; use image.convert('RGB') or 'L'")
    at = np.arange(len(x)) if indices is None else np.asarray(indices).reshape(-1)
    if len(at) != len(x):
        raise DataError(f"each image has one index, but there are {len(x)} images and {len(at)} indices")
    options = {}
    for name, value in (("p", p), ("strength", strength)):
        now = value(epoch) if callable(value) else value
        if now != 1:
            if not takes(chosen, name):
                raise SettingsError(
                    f"this policy takes no '{name}'; leave it at 1, or name one of augury.augment that does"
                )
            options[name] = now
    if not len(x):
        return images
    # glibc returns freed memory to the system and requests it again, page by page, for every temporary, until a block of
    # nearly 32 MB was freed; from then on it keeps that much. Nothing is written to this block.
    torch.empty(2**25 - 2**14, dtype=torch.uint8)
    draws = ImageDraws(seed, epoch, at)
    if x.dtype == torch.uint8 and on_bytes(chosen):
        return held.closed(chosen(x, draws, **options))  # type: ignore[no-any-return]
    return held.closed(spread(chosen(centred(x, span), draws, **options), span, x))  # type: ignore[no-any-return]


def on_bytes(chosen: Policy) -> bool:
    """Whether a policy takes and returns uint8, so that only a few images at a time are converted to floats."""
    inner = chosen.func if isinstance(chosen, partial) else chosen
    return isinstance(inner, Vary) or inner in ON_BYTES


ON_BYTES = (randaugment, trivialaugment, natural, medical, faces, astronomy, text)
