"""Choose which train images to translate into which cells, and translate them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from augury.data.cells import Cell, Cells, Move, cells, members
from augury.errors import SettingsError
from augury.generation.filter_context import Candidates, FilterContext, Floats
from augury.generation.filters import apply
from augury.images import UNNEEDED, Codes, LabelledImages, SyntheticImages
from augury.randomness import rng
from augury.settings import Strategy
from augury.training import Synthesizer


@dataclass(frozen=True)
class Fill:
    """Translate `number` images of cell `source` into cell `target`, changing column `axis` (0: the class).

    `fills` is True where the target is an empty or rare cell. Other rows make the plan symmetric: the other classes are
    translated into the same attribute value. Otherwise one class alone would show the translator's traces.
    """

    source: Cell
    target: Cell
    axis: int
    number: int
    available: int
    fills: bool


@dataclass(frozen=True)
class TranslationPlan:
    """What to translate. `cells` is the table of the train split; each hole is filled up to `level` images."""

    cells: Cells
    level: int
    rows: tuple[Fill, ...]

    def as_rows(self) -> list[dict[str, Any]]:
        """Plain JSON, one row per `Fill`."""
        columns = [name for name, _ in self.cells.columns]
        return [
            {
                "source": self.cells.name(row.source),
                "target": self.cells.name(row.target),
                "changes": columns[row.axis],
                "real": int(self.cells.counts[row.target]),
                "number": row.number,
                "available": row.available,
                "fills": row.fills,
            }
            for row in self.rows
        ]

    def lines(self) -> list[str]:
        """One line per row, for people."""
        return [
            f"{row['source']} → {row['target']}: {row['number']:,} of {row['available']:,} images"
            + ("" if row["fills"] else " (so that every class shows traces of the translator)")
            for row in self.as_rows()
        ]


def plan_translations(
    train: LabelledImages,
    condition: tuple[str, ...] = (),
    strategy: Strategy = "balance",
    *,
    class_moves: bool = True,
) -> TranslationPlan:
    """Fill every empty or rare cell, in equal shares along every axis that can be learnt.

    Parameters
    ----------
    train
        The train split.
    condition
        Attributes that form the table together with the class. Without attributes the class itself is translated: every
        class with fewer images than the largest is filled up from the others.
    strategy
        A whole number fills each hole up to that many images, and a ratio up to this share of the median cell. A dict
        {"class/value": number} fills the cells that it names. Any named strategy fills each hole up to the median of the
        other cells.
    class_moves
        Whether images of another class may be translated into a hole.

    Returns
    -------
    The plan, with a row for each source and target cell.

    Raises
    ------
    SettingsError
        When there is no hole, or a dict names a cell that is not a hole.
    """
    table = cells(train, condition, class_moves=class_moves)
    table.check()
    known_counts = [int(table.counts[cell]) for cell in table.all if table.known(cell)]
    level = int(np.median(known_counts))
    if not condition:
        level = max(known_counts)
    below = table.holes if condition else [cell for cell in table.all if table.counts[cell] < level]
    goals = _goals(table, below, level, strategy)
    if not goals:
        raise SettingsError(
            f"every cell has at least {table.least} images, so there is nothing to fill (smallest: "
            f"{min(known_counts)}); name attributes with empty cells (--condition), or use a recipe that draws from noise"
        )
    rows: dict[tuple[Cell, Cell], Fill] = {}
    for target, number in goals.items():
        lacking = max(0, number - int(table.counts[target]))
        for row in _shares(table, target, lacking):
            rows[row.source, row.target] = row
            if row.axis:
                for other in _beside(table, row):
                    rows.setdefault((other.source, other.target), other)
    return TranslationPlan(table, level, tuple(rows.values()))


def plan_into(train: LabelledImages, attribute: str, value: str, strategy: Strategy = "balance") -> TranslationPlan:
    """Translate every train image with another value of `attribute` into `value`, and keep its class.

    Parameters
    ----------
    train
        The train split; no image has `value` yet.
    attribute, value
        The attribute to change, and the value to reach.
    strategy
        A whole number translates at most that many images of each class, and a ratio this share of them. A dict
        {class: number} translates at most that many of each. Any named strategy translates each image once.

    Returns
    -------
    The plan, with a row for each source cell.

    Raises
    ------
    SettingsError
        When a dict names an unknown class, or a number is out of its range.
    """
    table = cells(train, (attribute,))
    reached = table.columns[1][1].index(value)
    if isinstance(strategy, dict) and (unknown := [name for name in strategy if name not in train.classes]):
        raise SettingsError(f"sampling_strategy names '{unknown[0]}', but the classes are: {', '.join(train.classes)}")
    if isinstance(strategy, int | float) and strategy <= 0:
        raise SettingsError(f"sampling_strategy is {strategy}, but must be above 0")
    if isinstance(strategy, dict) and any(number < 0 for number in strategy.values()):
        raise SettingsError(f"sampling_strategy is {strategy}, but no number may be below 0")
    if isinstance(strategy, float) and strategy > 1 and not strategy.is_integer():
        raise SettingsError(f"a sampling_strategy ratio must lie in (0, 1], but is {strategy}")
    rows, most = [], 0
    for source in table.all:
        available = int(table.counts[source])
        number = available
        if isinstance(strategy, dict):
            number = min(available, strategy.get(train.classes[source[0]], 0))
        elif isinstance(strategy, float) and strategy <= 1:
            number = round(strategy * available)
        elif isinstance(strategy, int | float):
            number = min(available, int(strategy))
        if source[1] != reached and number:
            rows.append(Fill(source, (source[0], reached), 1, number, available, fills=True))
            most = max(most, number)
    if not rows:
        raise SettingsError(f"sampling_strategy is {strategy}, which leaves nothing to translate; give a larger number")
    return TranslationPlan(table, most, tuple(rows))


def _goals(table: Cells, below: list[Cell], level: int, strategy: Strategy) -> dict[Cell, int]:
    """The number of images that each of the cells `below` is filled up to. Raises SettingsError for a strategy that fills
    nothing.
    """
    goals = dict.fromkeys(below, level)
    if isinstance(strategy, dict):
        names = {"/".join(_values(table, cell)): cell for cell in table.all}
        for key in strategy:
            if names.get(key) not in goals:
                holes = ", ".join(name for name, cell in names.items() if cell in goals) or "none"
                raise SettingsError(f"sampling_strategy names '{key}', but the empty or rare cells are: {holes}")
        goals = {names[key]: int(number) for key, number in strategy.items()}
    elif isinstance(strategy, float) and (strategy == 1.0 or not strategy.is_integer()):
        if not 0 < strategy <= 1:
            raise SettingsError(f"a sampling_strategy ratio must lie in (0, 1], but is {strategy}")
        goals = dict.fromkeys(goals, round(level * strategy))
    elif not isinstance(strategy, str):
        goals = dict.fromkeys(goals, int(strategy))
    if any(number <= int(table.counts[cell]) for cell, number in goals.items()):
        least = min(goals.values())
        raise SettingsError(
            f"sampling_strategy fills a cell up to {least} images, which it has already; give a larger number"
        )
    return goals


def _values(table: Cells, cell: Cell) -> list[str]:
    return [values[code] for (_, values), code in zip(table.columns, cell, strict=True)]


def _shares(table: Cells, target: Cell, lacking: int) -> list[Fill]:
    """Equal shares for every axis that leads to the cell, and within an axis for every source cell. Where one lacks images,
    the others get its share.
    """
    axes: dict[int, list[Move]] = {}
    for move in table.moves_into[target]:
        axes.setdefault(move.axis, []).append(move)
    axes = dict(sorted(axes.items()))
    available_images = {axis: [int(table.counts[move.source]) for move in moves] for axis, moves in axes.items()}
    rows = []
    for (axis, moves), share in zip(
        axes.items(), even(lacking, [sum(each) for each in available_images.values()]), strict=True
    ):
        for move, available, number in zip(
            moves, available_images[axis], even(share, available_images[axis]), strict=True
        ):
            rows.append(Fill(move.source, target, axis, number, available, fills=True))
    return rows


def even(total: int, most: list[int]) -> list[int]:
    """Shares of `total`, as even as possible and rounded up; share i is at most most[i]."""
    numbers = [0] * len(most)
    while (lacking := total - sum(numbers)) > 0 and (able := [i for i, n in enumerate(most) if numbers[i] < n]):
        each = -(-lacking // len(able))
        for i in able:
            numbers[i] = min(most[i], numbers[i] + each)
    return numbers


def _beside(table: Cells, row: Fill) -> list[Fill]:
    """The same change of the attribute for the other classes."""
    fills = []
    for label in range(table.counts.shape[0]):
        source, target = (label, *row.source[1:]), (label, *row.target[1:])
        if label != row.target[0] and table.known(source) and table.known(target):
            available = int(table.counts[source])
            fills.append(Fill(source, target, row.axis, min(available, row.number), available, fills=False))
    return fills


def translate(
    translator: Synthesizer,
    train: LabelledImages,
    plan: TranslationPlan,
    *,
    seed: int = 0,
    surplus: float = 1.0,
    filters: tuple[str, ...] = (),
    context: FilterContext | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> SyntheticImages:
    """Translate the images of the plan, and filter them.

    At most `surplus` times the number of a row is translated, each source image once. Images beyond the number of a row
    that passed are marked "not needed".

    Parameters
    ----------
    translator
        The translator.
    train
        The train split that `plan` was made for.
    plan
        From `plan_translations` or `plan_into`.
    seed
        Chooses source images, and the translator's noise.
    surplus, filters, context, on_progress
        As in `draw`.

    Returns
    -------
    The translations, with scores and reasons. `translator.translate` reproduces image i from (source, target, seed, index).

    Raises
    ------
    SettingsError
        For unusable filters.
    """
    names = translator.card.condition_names
    conditions = train.conditions(names)
    rows_of = members(conditions, plan.cells)
    sources, targets, rows = [], [], []
    for at, row in enumerate(plan.rows):
        order = rng(seed, "translate", *row.source, "to", *row.target).permutation(rows_of[row.source])
        chosen = order[: min(len(order), int(np.ceil(surplus * row.number)))]
        sources.append(chosen)
        targets.append(np.tile(row.target, (len(chosen), 1)))
        rows.append(np.full(len(chosen), at))
    source, target, which = np.concatenate(sources), np.concatenate(targets).astype(np.int64), np.concatenate(rows)
    changes = translator.changes(conditions[source], target)
    indices = np.arange(len(source), dtype=np.int64)
    images = np.empty((len(source), *train.shape), np.uint8)
    for begin in range(0, len(source), translator.chunk):
        block = slice(begin, begin + translator.chunk)
        images[block] = translator.translate(
            np.ascontiguousarray(train.images[source[block]]), changes[block], seed=seed, indices=indices[block]
        )
        on_progress(min(begin + translator.chunk, len(source)), len(source))
    translations = SyntheticImages(
        images, target, names, translator.card.classes, seed, indices, translator.fingerprint, sources=source
    )
    return _filtered(translations, plan, which, filters, context)


def _filtered(
    translations: SyntheticImages,
    plan: TranslationPlan,
    which: Codes,
    filters: tuple[str, ...],
    context: FilterContext | None,
) -> SyntheticImages:
    """Add scores and reasons; for each row of the plan, at most its number of images is kept."""
    quota = np.array([row.number for row in plan.rows], np.int64)
    scores: dict[str, Floats] = {}
    reasons = [""] * len(translations)
    if context is not None:
        passed = np.ones(len(translations), bool)
        candidates = Candidates(
            translations.images,
            translations.conditions,
            translations.indices,
            quota[which],
            passed,
            translations.sources,
        )
        scores, reasons = apply(filters, candidates, context)
    count = np.zeros(len(quota), np.int64)
    for i, row in enumerate(which):
        if not reasons[i]:
            count[row] += 1
            reasons[i] = "" if count[row] <= quota[row] else UNNEEDED
    return replace(translations, scores=scores, reasons=tuple(reasons))
