"""Drawing what a plan asks for, in rounds, until enough images have passed the filters or the most that may be drawn are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from augury.generation.filter_context import Candidates, FilterContext, Floats
from augury.generation.filters import apply, rules
from augury.generation.sampling import Noise, source
from augury.images import Codes, Images, SyntheticImages
from augury.training import Synthesizer

CHUNK = 1024
"""Images drawn between two progress reports."""
LEAST_RATE = 0.1
"""The share that passes is taken to be no lower when the next round is measured out."""


@dataclass
class _Pile:
    """What has been drawn so far, in the order of drawing."""

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
    """Draw for each cell of `plan` (as `wanted` gives it) until n images have passed the filters, at most ceil(surplus · n)
    in all; those beyond n that passed are marked "not needed". A filter that selects is given all that may be drawn.

    Index i of an image is its place in the whole drawing, were every cell's ceil(surplus · n) drawn: the same (seed, index)
    is the same image, in however many rounds it was reached. `sampling` is a name in SAMPLING.
    """
    cells = np.argwhere(plan > 0)
    amounts = plan[tuple(cells.T)].astype(np.int64)
    most = np.array([math.ceil(surplus * n) for n in amounts], np.int64)
    begin, drawn, passed = np.cumsum(most) - most, np.zeros_like(most), np.zeros_like(most)
    wanted = most if any(rule.filter.selects for rule in rules(filters)) else amounts
    noise = source(sampling, synthesizer, context, seed)
    none = np.empty(0, np.int64)
    pile = _Pile(np.empty((0, *synthesizer.card.shape), np.uint8), np.empty((0, plan.ndim), np.int64), none, none)
    while wanted.any():
        which = np.repeat(np.arange(len(cells)), wanted)
        within = np.concatenate([np.arange(n) for n in wanted])
        indices = begin[which] + drawn[which] + within
        _add(pile, synthesizer, cells, which, indices, seed, truncation, noise, on_progress)
        drawn = drawn + wanted
        if context is None:
            pile.reasons = [""] * len(pile.images)
        else:
            quota = amounts[pile.cells]
            all_passed = np.ones(len(pile.images), bool)
            candidates = Candidates(pile.images, pile.conditions, pile.indices, quota, all_passed)
            pile.scores, pile.reasons = apply(filters, candidates, context, pile.scores)
        kept = np.array([not reason for reason in pile.reasons])
        passed = np.bincount(pile.cells[kept], minlength=len(cells))
        rate = np.maximum(passed / drawn, LEAST_RATE)
        missing = np.ceil(np.maximum(amounts - passed, 0) / rate).astype(np.int64)
        wanted = np.minimum(missing, most - drawn)
    return _in_order(pile, synthesizer, seed, amounts)


def _add(
    pile: _Pile,
    synthesizer: Synthesizer,
    cells: Codes,
    which: Codes,
    indices: Codes,
    seed: int,
    truncation: float,
    noise: Callable[[Codes, Codes], Noise] | None,
    on_progress: Callable[[int, int], None],
) -> None:
    """Draw one round: image j of cell which[j] with indices[j]."""
    conditions = cells[which].astype(np.int64)
    images, before = [pile.images], len(pile.images)
    latents = [] if pile.latents is None else [pile.latents]
    for at in range(0, len(indices), CHUNK):
        asked, names = conditions[at : at + CHUNK], indices[at : at + CHUNK]
        if noise is None:
            images.append(synthesizer.sample(asked, seed=seed, indices=names, truncation=truncation).images)
        else:
            latents.append(noise(asked, names))
            images.append(synthesizer.decode(latents[-1], asked, indices=names, truncation=truncation))
        on_progress(before + at + len(names), before + len(indices))
    pile.images = np.concatenate(images)
    pile.conditions = np.concatenate([pile.conditions, conditions])
    pile.indices = np.concatenate([pile.indices, indices])
    pile.cells = np.concatenate([pile.cells, which])
    pile.latents = np.concatenate(latents) if latents else None


def _in_order(pile: _Pile, synthesizer: Synthesizer, seed: int, amounts: Codes) -> SyntheticImages:
    """By index, with those beyond what is wanted of their cell marked."""
    order = np.argsort(pile.indices, kind="stable")
    reasons, count = [pile.reasons[i] for i in order], np.zeros(len(amounts), np.int64)
    for row, cell in enumerate(pile.cells[order]):
        if not reasons[row]:
            count[cell] += 1
            reasons[row] = "" if count[cell] <= amounts[cell] else "not needed"
    return SyntheticImages(
        pile.images[order],
        pile.conditions[order],
        synthesizer.card.condition_names,
        synthesizer.card.classes,
        seed,
        pile.indices[order],
        synthesizer.fingerprint,
        {name: values[order] for name, values in pile.scores.items()},
        tuple(reasons),
        None if pile.latents is None else pile.latents[order],
    )
