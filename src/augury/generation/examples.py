"""What became of each row of a translation plan: counts, and example images beside their sources and nearest real images."""

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
"""(queries [N, D], references [M, D], k) -> (indices int64 [N, k], distances [N, k]); `metrics.nearest` is one."""


@dataclass(frozen=True)
class Example:
    """Translations of one row of the plan.

    `source` and `target` name the cells, `value` what is reached ("age=old", or a class). `rows` int64 [E] are indices into the
    synthetic images, `sources` and `neighbours` int64 [E] into the train images: where each comes from, and the real image with
    that value that is most like the translation (pixel distance). `kept` is False where no translation of the row was kept and
    rejected ones are shown.
    """

    source: str
    target: str
    value: str
    rows: Codes
    sources: Codes
    neighbours: Codes
    kept: bool


def tallied(
    plan: Sequence[Mapping[str, Any]], synthetic: SyntheticImages, train: LabelledImages
) -> list[dict[str, Any]]:
    """The rows of a plan (`TranslationPlan.as_rows`), each with the number of images "translated" and "kept", and with those
    "rejected" by reason."""
    members = _members(synthetic, train, cells(train, synthetic.condition_names))
    found = []
    for row in plan:
        reasons = [synthetic.reasons[i] for i in members(row)]
        rejected = {reason: reasons.count(reason) for reason in sorted(set(reasons) - {""})}
        found.append({**row, "translated": len(reasons), "kept": reasons.count(""), "rejected": rejected})
    return found


def examples(
    plan: Sequence[Mapping[str, Any]],
    synthetic: SyntheticImages,
    train: LabelledImages,
    nearest: Nearest,
    *,
    each: int = 8,
) -> tuple[Example, ...]:
    """The first `each` kept translations of every row that fills a hole; none for images drawn from noise."""
    if synthetic.sources is None or not len(synthetic):
        return ()
    table = cells(train, synthetic.condition_names)
    members, named = _members(synthetic, train, table), {table.name(cell): cell for cell in table.all}
    conditions, kept, found = train.conditions(synthetic.condition_names), synthetic.kept, []
    for row in plan:
        at = members(row)
        if not row["fills"] or not len(at):
            continue
        chosen = (at[kept[at]] if kept[at].any() else at)[:each]
        target, axis = named[row["target"]], [name for name, _ in table.columns].index(row["changes"])
        real = np.flatnonzero(conditions[:, axis] == target[axis])
        near = np.empty(0, np.int64)
        if len(real):
            near = real[nearest(flat(synthetic.images[chosen]), flat(train.images[real]), 1)[0][:, 0]]
        value = _value(table, target, axis)
        sources = synthetic.sources[chosen]
        found.append(Example(row["source"], row["target"], value, chosen, sources, near, bool(kept[at].any())))
    return tuple(found)


def _value(table: Cells, cell: Cell, axis: int) -> str:
    name, values = table.columns[axis]
    return f"{name}={values[cell[axis]]}" if axis else values[cell[axis]]


def _members(
    synthetic: SyntheticImages, train: LabelledImages, table: Cells
) -> Callable[[Mapping[str, Any]], npt.NDArray[np.intp]]:
    """(row of a plan) -> the synthetic images that belong to it."""
    assert synthetic.sources is not None, "images drawn from noise have no source"
    numbers = {table.name(cell): number for number, cell in enumerate(table.all)}
    origin = cell_codes(train.conditions(synthetic.condition_names)[synthetic.sources], table.counts.shape)
    goal = cell_codes(synthetic.conditions, table.counts.shape)
    return lambda row: np.flatnonzero((origin == numbers[row["source"]]) & (goal == numbers[row["target"]]))
