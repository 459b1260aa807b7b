"""How many images each class should get, from how many it has and how well it is recognised, with the reason in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from augury.data import effective_number
from augury.errors import SettingsError
from augury.generation.plan import table, wanted
from augury.images import Codes, LabelledImages
from augury.intervals import wilson
from augury.settings import Strategy

OVERLAP, ENOUGH = 0.99, 0.9
"""Each image is new by this much less than the one before (Cui et al. 2019's beta); a class has enough when it is worth
this share of the class that is worth most."""
SLACK = 0.05
"""A recall that is surely no more than this below the average is good enough."""
MOST = 10
"""Synthetic images for each real one of the class, at most: a few real images do not teach a generator many new ones."""


@dataclass(frozen=True)
class Recognised:
    """Of each class, int64 [K]: `hits` of `total` validation images that the run's classifier names rightly."""

    hits: Codes
    total: Codes

    @property
    def recall(self) -> npt.NDArray[np.float64]:
        """float64 [K]; NaN for a class without validation images."""
        with np.errstate(invalid="ignore"):
            return self.hits / self.total

    @property
    def surely(self) -> npt.NDArray[np.float64]:
        """The lower end of Wilson's 95 % interval (Wilson 1927) of the recall, float64 [K]; 0 without images."""
        return np.array([wilson(hits / max(n, 1), n)[0] for hits, n in zip(self.hits, self.total, strict=True)])

    @property
    def usual(self) -> float:
        """The mean recall of the classes that have validation images."""
        return float(self.recall[self.total > 0].mean()) if (self.total > 0).any() else 0.0


@dataclass(frozen=True)
class Amounts:
    """`numbers` int64 like `table`: images to add to each cell; `why` a sentence for each class."""

    numbers: Codes
    why: tuple[str, ...]


def amounts(
    data: LabelledImages, strategy: Strategy, condition: tuple[str, ...] = (), recognised: Recognised | None = None
) -> Amounts:
    """Images to add per cell, and why. Strategies as in `wanted`, and two more:

    "tail": rare cells first, none for those with enough. n images are worth E(n) = (1 - b^n) / (1 - b), b = OVERLAP (Cui et
    al. 2019, eq. 2). A cell with E(n) >= ENOUGH of the largest E has enough; any other gets what it lacks to that,
    at most MOST times the real images of its class.

    "auto": as "tail", but none for a class that the classifier already recognises about as well as classes on the average:
    when the lower end of the 95 % interval of its validation recall is at most SLACK below the mean recall. Cells without any real
    image are filled all the same, since validation may lack them too. Raises SettingsError without `recognised`.
    """
    if strategy not in ("tail", "auto"):
        return _as_asked(data, strategy, condition)
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
                why[c] = _known_reason(recognised, int(c), int(holes.sum()))
            numbers[c] = holes
    return Amounts(numbers.astype(np.int64), tuple(why))


def _images_worth(effective: float) -> int:
    """The fewest images worth this: the inverse of `effective_number`."""
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


def _known_reason(recognised: Recognised, c: int, holes: int) -> str:
    n, hits = int(recognised.total[c]), int(recognised.hits[c])
    known = f"{hits} of {n} validation images are classified correctly; the lower end of the 95 % interval is about the average ({recognised.usual:.0%}) or more"
    return f"only {holes} for empty cells: {known}" if holes else f"none: {known}"


def _as_asked(data: LabelledImages, strategy: Strategy, condition: tuple[str, ...]) -> Amounts:
    """`wanted`, with what was asked for as the reason; "balance" asks for as many again where all cells are level, as few images
    may lack even so."""
    numbers = wanted(data, strategy, condition)
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
