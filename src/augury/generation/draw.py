"""Draw the images of a plan in batches, until enough have passed the filters or the limit is reached."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from augury.generation.filter_context import Candidates, FilterContext, Floats
from augury.generation.filters import apply, rules
from augury.generation.sampling import Noise, source
from augury.images import UNNEEDED, Codes, Images, SyntheticImages
from augury.training import Synthesizer

LEAST_RATE = 0.1
"""Lowest pass rate assumed when the size of the next batch is computed."""


@dataclass
class _DrawnImages:
    """The images drawn so far, in the order of drawing."""

    images: Images
    conditions: Codes
    indices: Codes
    cells: Codes
    latents: Noise | None = None
    scores: dict[str, Floats] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)


def draw(
    synthesizer: Synthesizer,
    plan: Codes,
    *,
    seed: int = 0,
    surplus: float = 1.0,
    truncation: float = 1.0,
    filters: tuple[str, ...] = (),
    context: FilterContext | None = None,
    sampling: str = "prior",
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> SyntheticImages:
    """Draw images for each cell of `plan` until the requested number n has passed the filters.

    Parameters
    ----------
    synthesizer
        The generator.
    plan
        int64 [classes, values of attribute 1, …], the number n of each cell, as `requested_counts` returns it.
    seed
        Together with the index of an image it determines the image.
    surplus
        At most ceil(surplus · n) images are drawn for a cell. A filter that selects is given all of them.
    truncation
        In (0, 1]; lower is more typical and less varied.
    filters
        Names as in `rules`.
    context
        Facts about real images for the filters; None for no filtering.
    sampling
        A name in SAMPLING.
    on_progress
        Called with the number of images drawn and to be drawn.

    Returns
    -------
    All images drawn, with scores and reasons. Images beyond n that passed are marked "not needed". Index i of an image is
    its position in the full drawing, with ceil(surplus · n) images of every cell. The same (seed, index) is the same image,
    however many batches were needed.

    Raises
    ------
    SettingsError
        For unusable filters, or an unknown or unusable sampling.
    """
    cells = np.argwhere(plan > 0)
    amounts = plan[tuple(cells.T)].astype(np.int64)
    most = np.array([math.ceil(surplus * n) for n in amounts], np.int64)
    begin, drawn, passed = np.cumsum(most) - most, np.zeros_like(most), np.zeros_like(most)
    requested = most if any(rule.filter.selects for rule in rules(filters)) else amounts
    noise = source(sampling, synthesizer, context, seed)
    none = np.empty(0, np.int64)
    images_so_far = _DrawnImages(
        np.empty((0, *synthesizer.card.shape), np.uint8), np.empty((0, plan.ndim), np.int64), none, none
    )
    while requested.any():
        which = np.repeat(np.arange(len(cells)), requested)
        within = np.concatenate([np.arange(n) for n in requested])
        indices = begin[which] + drawn[which] + within
        _add(images_so_far, synthesizer, cells, which, indices, seed, truncation, noise, on_progress)
        drawn = drawn + requested
        if context is None:
            images_so_far.reasons = [""] * len(images_so_far.images)
        else:
            quota = amounts[images_so_far.cells]
            all_passed = np.ones(len(images_so_far.images), bool)
            candidates = Candidates(
                images_so_far.images, images_so_far.conditions, images_so_far.indices, quota, all_passed
            )
            images_so_far.scores, images_so_far.reasons = apply(filters, candidates, context, images_so_far.scores)
        accepted = np.array([not reason for reason in images_so_far.reasons])
        passed = np.bincount(images_so_far.cells[accepted], minlength=len(cells))
        rate = np.maximum(passed / drawn, LEAST_RATE)
        missing = np.ceil(np.maximum(amounts - passed, 0) / rate).astype(np.int64)
        requested = np.minimum(missing, most - drawn)
    return _in_order(images_so_far, synthesizer, seed, amounts)


def _add(
    images_so_far: _DrawnImages,
    synthesizer: Synthesizer,
    cells: Codes,
    which: Codes,
    indices: Codes,
    seed: int,
    truncation: float,
    noise: Callable[[Codes, Codes], Noise] | None,
    on_progress: Callable[[int, int], None],
) -> None:
    """Draw one batch: image j belongs to cell which[j] and has indices[j]."""
    conditions = cells[which].astype(np.int64)
    images, before = [images_so_far.images], len(images_so_far.images)
    latents = [] if images_so_far.latents is None else [images_so_far.latents]
    for at in range(0, len(indices), synthesizer.chunk):
        batch, numbers = conditions[at : at + synthesizer.chunk], indices[at : at + synthesizer.chunk]
        if noise is None:
            images.append(synthesizer.sample(batch, seed=seed, indices=numbers, truncation=truncation).images)
        else:
            latents.append(noise(batch, numbers))
            images.append(synthesizer.decode(latents[-1], batch, indices=numbers, truncation=truncation))
        on_progress(before + at + len(numbers), before + len(indices))
    images_so_far.images = np.concatenate(images)
    images_so_far.conditions = np.concatenate([images_so_far.conditions, conditions])
    images_so_far.indices = np.concatenate([images_so_far.indices, indices])
    images_so_far.cells = np.concatenate([images_so_far.cells, which])
    images_so_far.latents = np.concatenate(latents) if latents else None


def _in_order(images_so_far: _DrawnImages, synthesizer: Synthesizer, seed: int, amounts: Codes) -> SyntheticImages:
    """Sort by index, and mark the images beyond the requested number of their cell."""
    order = np.argsort(images_so_far.indices, kind="stable")
    reasons, count = [images_so_far.reasons[i] for i in order], np.zeros(len(amounts), np.int64)
    for row, cell in enumerate(images_so_far.cells[order]):
        if not reasons[row]:
            count[cell] += 1
            reasons[row] = "" if count[cell] <= amounts[cell] else UNNEEDED
    return SyntheticImages(
        images_so_far.images[order],
        images_so_far.conditions[order],
        synthesizer.card.condition_names,
        synthesizer.card.classes,
        seed,
        images_so_far.indices[order],
        synthesizer.fingerprint,
        {name: values[order] for name, values in images_so_far.scores.items()},
        tuple(reasons),
        None if images_so_far.latents is None else images_so_far.latents[order],
    )
