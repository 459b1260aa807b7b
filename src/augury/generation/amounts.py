"""How many images each class should get, given its size and its recall, with the reason in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from augury.data import effective_number
from augury.errors import SettingsError
from augury.generation.plan import requested_counts, table
from augury.images import Codes, LabelledImages
from augury.intervals import wilson
from augury.settings import Strategy

OVERLAP, ENOUGH = 0.99, 0.9
"""OVERLAP: each image adds this share of what the one before added (beta of Cui et al. 2019). ENOUGH: a class has enough
images when its effective number is this share of the largest."""
SLACK = 0.05
"""A class is recognised well enough when its recall is surely no more than this below the mean."""
MOST = 10
"""Largest number of synthetic images for each real image of the class. A generator cannot learn many new images from a few."""


@dataclass(frozen=True)
class Recognised:
    """Validation recall of each class: the run's classifier classifies `hits` of `total` images correctly; both int64 [K]."""

    hits: Codes
    total: Codes

    @property
    def recall(self) -> npt.NDArray[np.float64]:
        """float64 [K]; NaN for a class without validation images."""
        with np.errstate(invalid="ignore"):
            return self.hits / self.total

    @property
    def surely(self) -> npt.NDArray[np.float64]:
        """Lower end of the 95 % interval of the recall (Wilson 1927), float64 [K]; 0 without images."""
        return np.array([wilson(hits / max(n, 1), n)[0] for hits, n in zip(self.hits, self.total, strict=True)])

    @property
    def usual(self) -> float:
        """Mean recall of the classes that have validation images."""
        return float(self.recall[self.total > 0].mean()) if (self.total > 0).any() else 0.0


@dataclass(frozen=True)
class Amounts:
    """Images to add to each cell (`numbers`, int64 like `table`), and a sentence for each class (`why`)."""

    numbers: Codes
    why: tuple[str, ...]


def amounts(
    data: LabelledImages, strategy: Strategy, condition: tuple[str, ...] = (), recognised: Recognised | None = None
) -> Amounts:
    """Compute how many images to add to each cell, and why.

    "tail" fills rare cells first and adds none to those with enough. n images have the effective number E(n) = (1 - b^n) /
    (1 - b) with b = OVERLAP (Cui et al. 2019, eq. 2). A cell has enough when E(n) >= ENOUGH of the largest E. Any other
    cell is filled up to that number, with at most MOST images for each real image of its class.

    "auto" works as "tail", but skips classes that the classifier already recognises about as well as the average class. A
    class is skipped when the lower end of the 95 % interval of its validation recall is at most SLACK below the mean
    recall. Its cells without real images are filled anyway, since validation may lack them too.

    Parameters
    ----------
    data
        The images to count.
    strategy
        One of the strategies of `requested_counts`, "tail" or "auto".
    condition
        Attributes that form the cells together with the class.
    recognised
        Validation recall of each class; needed for "auto".

    Returns
    -------
    The numbers for each cell, and a reason for each class.

    Raises
    ------
    SettingsError
        For "auto" without `recognised`, and as `requested_counts` does.
    """
    if strategy not in ("tail", "auto"):
        return _as_requested(data, strategy, condition)
    if strategy == "auto" and recognised is None:
        raise SettingsError(
            "sampling_strategy auto needs the validation recall of each class, but that was not measured; use "
            "tail, or augury run"
        )
    counts = table(data, condition)
    worth = effective_number(counts, OVERLAP)
    goal = _images_worth(ENOUGH * float(worth.max()))
    lacking = np.maximum(np.where(worth < ENOUGH * worth.max(), goal - counts, 0), 0)
    each = lacking.reshape(len(lacking), -1).sum(1)
    share = np.minimum(1.0, MOST * data.counts / np.maximum(each, 1)).reshape(-1, *[1] * len(condition))
    numbers = np.floor(lacking * share + 1e-9)
    why = [_tail_reason(counts[c], lacking[c], int(data.counts[c]), goal) for c in range(len(counts))]
    if strategy == "auto" and recognised is not None:
        for c in np.flatnonzero(recognised.surely >= max(recognised.usual - SLACK, 1e-9)):
            holes = np.where(counts[c] == 0, numbers[c], 0)
            if holes.sum() < numbers[c].sum():
                why[c] = _recall_reason(recognised, int(c), int(holes.sum()))
            numbers[c] = holes
    return Amounts(numbers.astype(np.int64), tuple(why))


def _images_worth(effective: float) -> int:
    """The fewest images with this effective number: the inverse of `effective_number`."""
    return int(np.ceil(np.log1p(-effective * (1 - OVERLAP)) / np.log(OVERLAP) - 1e-9))


def _tail_reason(counts: Codes, lacking: Codes, real: int, goal: int) -> str:
    if not lacking.any():
        return (
            f"enough: {goal} images have {ENOUGH:.0%} of the largest effective number of a class"
            if not counts.ndim
            else (f"enough: each cell has the {goal} images that have {ENOUGH:.0%} of the largest effective number")
        )
    if not real:
        return "none: the class has no real image to train on"
    empty = int((counts == 0).sum())
    holes = f"; {empty} of {counts.size} cells have no real image" if counts.ndim and empty else ""
    capped = f"; at most {MOST} for each real image" if lacking.sum() > MOST * real else ""
    where = f"{int((lacking > 0).sum())} of {counts.size} cells are" if counts.ndim else f"{real} images are"
    return f"rare: {where} fewer than the {goal} that have {ENOUGH:.0%} of the largest effective number{holes}{capped}"


def _recall_reason(recognised: Recognised, c: int, holes: int) -> str:
    n, hits = int(recognised.total[c]), int(recognised.hits[c])
    recall = f"{hits} of {n} validation images are classified correctly; the lower end of the 95 % interval is about the average ({recognised.usual:.0%}) or more"
    return f"only {holes} for empty cells: {recall}" if holes else f"none: {recall}"


def _as_requested(data: LabelledImages, strategy: Strategy, condition: tuple[str, ...]) -> Amounts:
    """The result of `requested_counts`, with the request as the reason.

    "balance" doubles every cell where all cells are equal, since there may still be too few images.
    """
    numbers = requested_counts(data, strategy, condition)
    if strategy == "balance" and not numbers.any():
        again = table(data, condition)
        return Amounts(again, ("doubled: all are equal already",) * len(again))
    largest, each = int(table(data, condition).max()), "class" if not condition else "cell"
    why = []
    for number in numbers.reshape(len(numbers), -1).sum(1).tolist():
        if strategy == "level":
            why.append(f"every {each} gets what the smallest lacks to the largest ({largest})")
        elif isinstance(strategy, dict):
            why.append("requested by name" if number else "not requested")
        elif isinstance(strategy, int) and not isinstance(strategy, bool):
            why.append(f"{strategy} requested for each class")
        else:
            share = "" if strategy in ("balance", 1.0) else f"{strategy} of "
            goal = f"{share}the largest {each} ({largest})"
            why.append(f"filled up to {goal}" if number else f"enough: it reaches {goal}")
    return Amounts(numbers, tuple(why))
