"""Results for each row of a translation plan: counts, and example images beside their sources and nearest real images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from augury.data.cells import Cell, Cells, cell_codes, cells
from augury.generation.filter_context import flat
from augury.images import Codes, LabelledImages, SyntheticImages

Nearest = Callable[[Any, Any, int], tuple[Codes, Any]]
"""(queries [N, D], references [M, D], k) -> (indices int64 [N, k], distances [N, k]); for example `metrics.nearest`."""


@dataclass(frozen=True)
class Example:
    """Translations of one row of the plan.

    Parameters
    ----------
    source, target
        Names of the cells.
    value
        The value reached ("age=old", or a class).
    rows
        int64 [E], indices into the synthetic images.
    sources
        int64 [E], the train image from which each translation was made.
    neighbours
        int64 [E], the real train image with the target value that is nearest to each translation (pixel distance).
    accepted
        False where no translation of the row was kept; rejected ones are shown then.
    """

    source: str
    target: str
    value: str
    rows: Codes
    sources: Codes
    neighbours: Codes
    accepted: bool


def tallied(
    plan: Sequence[Mapping[str, Any]], synthetic: SyntheticImages, train: LabelledImages
) -> list[dict[str, Any]]:
    """Count the translations of each row of a plan.

    Parameters
    ----------
    plan
        Rows as `TranslationPlan.as_rows` returns them.
    synthetic, train
        The translations and the train split that they come from.

    Returns
    -------
    Each row, with the number of images "translated" and "accepted", and those "rejected" by reason.
    """
    members = _members(synthetic, train, cells(train, synthetic.condition_names))
    counted = []
    for row in plan:
        reasons = [synthetic.reasons[i] for i in members(row)]
        rejected = {reason: reasons.count(reason) for reason in sorted(set(reasons) - {""})}
        counted.append({**row, "translated": len(reasons), "accepted": reasons.count(""), "rejected": rejected})
    return counted


def examples(
    plan: Sequence[Mapping[str, Any]],
    synthetic: SyntheticImages,
    train: LabelledImages,
    nearest: Nearest,
    *,
    each: int = 8,
) -> tuple[Example, ...]:
    """Choose example translations for every row that fills a hole.

    Parameters
    ----------
    plan, synthetic, train
        As in `tallied`.
    nearest
        Nearest-neighbour search, see `Nearest`.
    each
        Most examples of a row.

    Returns
    -------
    The first `each` kept translations of every such row; empty for images drawn from noise.
    """
    if synthetic.sources is None or not len(synthetic):
        return ()
    table = cells(train, synthetic.condition_names)
    members, named = _members(synthetic, train, table), {table.name(cell): cell for cell in table.all}
    conditions, accepted, shown = train.conditions(synthetic.condition_names), synthetic.accepted, []
    for row in plan:
        at = members(row)
        if not row["fills"] or not len(at):
            continue
        chosen = (at[accepted[at]] if accepted[at].any() else at)[:each]
        target, axis = named[row["target"]], [name for name, _ in table.columns].index(row["changes"])
        real = np.flatnonzero(conditions[:, axis] == target[axis])
        near = np.empty(0, np.int64)
        if len(real):
            near = real[nearest(flat(synthetic.images[chosen]), flat(train.images[real]), 1)[0][:, 0]]
        value = _value(table, target, axis)
        sources = synthetic.sources[chosen]
        shown.append(Example(row["source"], row["target"], value, chosen, sources, near, bool(accepted[at].any())))
    return tuple(shown)


def _value(table: Cells, cell: Cell, axis: int) -> str:
    name, values = table.columns[axis]
    return f"{name}={values[cell[axis]]}" if axis else values[cell[axis]]


def _members(
    synthetic: SyntheticImages, train: LabelledImages, table: Cells
) -> Callable[[Mapping[str, Any]], npt.NDArray[np.intp]]:
    """Return a function from a row of the plan to the synthetic images that belong to it."""
    assert synthetic.sources is not None, "images drawn from noise have no source"
    numbers = {table.name(cell): number for number, cell in enumerate(table.all)}
    origin = cell_codes(train.conditions(synthetic.condition_names)[synthetic.sources], table.counts.shape)
    goal = cell_codes(synthetic.conditions, table.counts.shape)
    return lambda row: np.flatnonzero((origin == numbers[row["source"]]) & (goal == numbers[row["target"]]))
