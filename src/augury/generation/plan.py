"""How many images to draw for each cell of the class × attribute table."""

from __future__ import annotations

from itertools import product

import numpy as np

from augury.errors import SettingsError
from augury.images import Codes, LabelledImages
from augury.settings import Strategy


def table(data: LabelledImages, condition: tuple[str, ...] = ()) -> Codes:
    """Count images per cell.

    Parameters
    ----------
    data
        The images to count.
    condition
        Attributes that form the cells together with the class.

    Returns
    -------
    int64 [classes, values of attribute 1, …].
    """
    counts = np.zeros(data.cardinalities(condition), np.int64)
    np.add.at(counts, tuple(data.conditions(condition).T), 1)
    return counts


def requested_counts(data: LabelledImages, strategy: Strategy, condition: tuple[str, ...] = ()) -> Codes:
    """Compute how many images to add to each cell.

    Parameters
    ----------
    data
        The images to count.
    strategy
        "balance" fills every cell up to the largest.
        "level" adds the same number to every cell: the difference between the largest and the smallest. All cells then show the
        generator's traces alike, so the traces do not reveal the class.
        A float r in (0, 1] fills up to r times the largest (imbalanced-learn's ratio).
        An int adds that many to each class, spread over its cells.
        A dict adds {class: n} or {"class/value": n}.
    condition
        Attributes that form the cells together with the class.

    Returns
    -------
    int64 like `table`.

    Raises
    ------
    SettingsError
        For an unknown name, class or value, and for a number out of range.
    """
    counts = table(data, condition)
    if isinstance(strategy, str):
        if strategy == "level":
            level: Codes = np.full_like(counts, counts.max() - counts.min())
            return level
        if strategy != "balance":
            raise SettingsError(
                f"sampling_strategy is '{strategy}'; give balance, level, tail, auto, a ratio, a number, or {{class: number}}"
            )
        strategy = 1.0
    if (isinstance(strategy, float) and not strategy.is_integer()) or (strategy == 1.0 and isinstance(strategy, float)):
        if not 0 < strategy <= 1:
            raise SettingsError(f"a sampling_strategy ratio must lie in (0, 1], but is {strategy}")
        lacking: Codes = np.maximum(np.round(strategy * counts.max()).astype(np.int64) - counts, 0)
        return lacking
    if isinstance(strategy, int | float):
        if strategy < 0:
            raise SettingsError(f"sampling_strategy is {strategy}, but a number of images must not be negative")
        return _spread(int(strategy), counts)
    return _named(strategy, data, counts, condition)


def _spread(number: int, counts: Codes) -> Codes:
    """`number` images per class, spread over its cells as evenly as whole numbers allow."""
    cells = int(np.prod(counts.shape[1:], dtype=np.int64))
    each = np.full(cells, number // cells) + (np.arange(cells) < number % cells)
    return np.broadcast_to(each.reshape(counts.shape[1:]), counts.shape).astype(np.int64)


def _named(strategy: dict[str, int], data: LabelledImages, counts: Codes, condition: tuple[str, ...]) -> Codes:
    """The plan of a strategy that is a dict."""
    names = [data.classes, *(data.attributes[name].values for name in condition)]
    cells = {"/".join(n): at for n, at in zip(product(*names), product(*map(range, counts.shape)), strict=True)}
    plan = np.zeros_like(counts)
    for key, number in strategy.items():
        if number < 0:
            raise SettingsError(f"sampling_strategy asks for {number} of '{key}', but a number must not be negative")
        if key in cells:
            plan[cells[key]] += number
        elif key in data.classes:
            at = data.classes.index(key)
            plan[at] += _spread(number, counts[at : at + 1])[0]
        else:
            raise SettingsError(f"sampling_strategy names '{key}', but there are only: {', '.join(cells)}")
    return plan
