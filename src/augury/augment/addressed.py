"""A policy made to images by their address: the same image in the same epoch always comes out alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from augury.augment.forms import Span, centred, opened, spread
from augury.augment.philox import ImageDraws
from augury.augment.policies import Policy, policy, takes
from augury.errors import DataError, SettingsError

Held = TypeVar("Held")
Schedule = float | Callable[[int], float]
"""A number, or what gives one for each epoch."""
VALUES = 2**21
"""Numbers worked on at a time, so that passes find them in the cache."""


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
    # was freed: it then keeps as much. Nothing is written here.
    torch.empty(2**25 - 2**14, dtype=torch.uint8)
    few = max(1, VALUES // max(1, x[:1].numel()))
    parts = []
    for begin in range(0, len(x), few):
        some = x[begin : begin + few]
        changed = chosen(centred(some, span), ImageDraws(seed, epoch, at[begin : begin + few]), **given)
        parts.append(spread(changed, span, some))
    return held.closed(torch.cat(parts) if len(parts) > 1 else parts[0])  # type: ignore[no-any-return]
