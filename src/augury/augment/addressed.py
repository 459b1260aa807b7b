"""A policy made to images by their address: the same image in the same epoch always comes out alike."""

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
"""A number, or what gives one for each epoch."""


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
    """Images after a policy, drawn from (seed, epoch, index) for each: neither its batch nor the process matter.

    `images` as for `augury.augment.rotate`: a PIL image, an array or a tensor, one or many; floats lie in `span`. `how` is a
    name of POLICIES, a policy, or a transform of torchvision, kornia or albumentations; `indices` int64 [N] are the places
    of the images in their data set, 0 to N - 1 if None. `p` and `strength` are numbers, or functions of the epoch. Returns
    what was given, of the same kind, dtype and size.
    Raises DataError for transparency or indices of another number, SettingsError for a policy without `p` or `strength`.
    """
    held, chosen = opened(images), policy(how, flips=flips)
    x = held.images
    if held.colours != x.shape[1]:
        raise DataError("a policy knows no transparency, but this image has some; use image.convert('RGB') or 'L'")
    at = np.arange(len(x)) if indices is None else np.asarray(indices).reshape(-1)
    if len(at) != len(x):
        raise DataError(f"each image has one index, but there are {len(x)} images and {len(at)} indices")
    given = {}
    for name, value in (("p", p), ("strength", strength)):
        now = value(epoch) if callable(value) else value
        if now != 1:
            if not takes(chosen, name):
                raise SettingsError(
                    f"this policy takes no '{name}'; leave it at 1, or name one of augury.augment that does"
                )
            given[name] = now
    if not len(x):
        return images
    # glibc gives freed memory back and fetches it anew, page by page, for every temporary, until something of nearly 32 MB
    # was freed: from then on it keeps as much. Nothing is written here.
    torch.empty(2**25 - 2**14, dtype=torch.uint8)
    draws = ImageDraws(seed, epoch, at)
    if x.dtype == torch.uint8 and on_bytes(chosen):
        return held.closed(chosen(x, draws, **given))  # type: ignore[no-any-return]
    return held.closed(spread(chosen(centred(x, span), draws, **given), span, x))  # type: ignore[no-any-return]


def on_bytes(chosen: Policy) -> bool:
    """Whether a policy takes uint8 and gives it back, so that floats are needed for a few images at a time only."""
    inner = chosen.func if isinstance(chosen, partial) else chosen
    return isinstance(inner, Vary) or inner in ON_BYTES


ON_BYTES = (randaugment, trivialaugment, natural, medical, faces, astronomy, text)
