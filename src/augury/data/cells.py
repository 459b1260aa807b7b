"""The table class × attribute: which cells have images, and which moves between cells a translator can learn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from augury.errors import DataError
from augury.images import Codes, LabelledImages

LEAST = 20
"""Images that a cell needs before a translator learns from it; with fewer its discriminator memorises them."""
MOST_VALUES = 12
"""An attribute with more values than this, all of them numbers, is a measurement and not a category."""
WIDEST = 110
"""Characters of the widest table of cells; a wider one is a list."""
Cell = tuple[int, ...]


@dataclass(frozen=True)
class Move:
    """A change of one column of the table: from cell `source` to cell `target` along column `axis` (0: the class).

    `crosses`: both cells have enough images, so the change can be learnt here. Otherwise it is learnt in other cells.
    """

    source: Cell
    target: Cell
    axis: int
    crosses: bool


@dataclass(frozen=True)
class Cells:
    """Images counted per cell.

    Parameters
    ----------
    counts
        int64 [classes, values of attribute 1, …].
    columns
        Name of each column and of its values: the label first.
    least
        Fewer images than this make a cell rare; a rare cell is filled, and not learnt from.
    class_moves
        Whether a translator changes the class too, or attributes alone.
    """

    counts: Codes
    columns: tuple[tuple[str, tuple[str, ...]], ...]
    least: int = LEAST
    class_moves: bool = True

    @cached_property
    def all(self) -> list[Cell]:
        """Every cell, in the order of `counts.ravel()`."""
        return list(product(*map(range, self.counts.shape)))

    def known(self, cell: Cell) -> bool:
        """Whether the cell has enough images to learn from."""
        return int(self.counts[cell]) >= self.least

    @cached_property
    def holes(self) -> list[Cell]:
        """Empty and rare cells."""
        return [cell for cell in self.all if not self.known(cell)]

    def name(self, cell: Cell) -> str:
        """For messages: "female, young=no"."""
        (_, classes), *attributes = self.columns
        parts = [f"{name}={values[cell[i + 1]]}" for i, (name, values) in enumerate(attributes)]
        return ", ".join([classes[cell[0]], *parts])

    def rows(self) -> list[dict[str, Any]]:
        """Return one plain JSON row per cell; `state` is "empty", "rare" (fewer images than `least`) or ""."""
        (_, classes), *attributes = self.columns
        rows = []
        for cell in self.all:
            number = int(self.counts[cell])
            values = {name: values[code] for (name, values), code in zip(attributes, cell[1:], strict=True)}
            state = "" if self.known(cell) else "rare" if number else "empty"
            rows.append({"class": classes[cell[0]], "attributes": values, "images": number, "state": state})
        return rows

    def lines(self) -> list[str]:
        """Return the table as text, classes × attribute values, with the shorter side as columns.

        "*" marks an empty or rare cell.
        """
        (_, classes), *attributes = self.columns
        names = [
            ", ".join(f"{name}={values[code]}" for (name, values), code in zip(attributes, codes, strict=True)) or "all"
            for codes in product(*(range(len(values)) for _, values in attributes))
        ]
        counts = self.counts.reshape(len(classes), -1)
        grid = [[f"{number:,}{' ' if number >= self.least else '*'}" for number in row] for row in counts.tolist()]
        rows, heads = list(classes), names
        if len(names) > len(classes):
            rows, heads, grid = heads, rows, [list(row) for row in zip(*grid, strict=True)]
        heads = [f"{head} " for head in heads]  # the mark has a column of its own
        widths = [max(len(text) for text in column) for column in zip(heads, *grid, strict=True)]
        first = max(map(len, rows))
        if first + sum(widths) + 2 * len(widths) > WIDEST:
            return [
                f"{self.name(cell)}: {int(self.counts[cell]):,}{'' if self.known(cell) else '*'}" for cell in self.all
            ]
        return [
            "  ".join(
                [name.ljust(first), *(text.rjust(width) for text, width in zip(line, widths, strict=True))]
            ).rstrip()
            for name, line in zip(["", *rows], [heads, *grid], strict=True)
        ]

    @cached_property
    def moves(self) -> list[Move]:
        """Every move that can be learnt.

        A move crosses when both of its cells are known. A move into a hole counts when the same value is reached
        along the same axis between two known cells.
        """
        candidates = [
            Move(source, target, axis, self.known(target))
            for source in self.all
            if self.known(source)
            for axis in range(0 if self.class_moves else 1, len(self.columns))
            for target in self._along(source, axis)
        ]
        learnt = {(move.axis, move.target[move.axis]) for move in candidates if move.crosses}
        return [move for move in candidates if (move.axis, move.target[move.axis]) in learnt]

    @cached_property
    def moves_into(self) -> dict[Cell, list[Move]]:
        """The moves that lead to each cell, in the order of `moves`."""
        by_target: dict[Cell, list[Move]] = {cell: [] for cell in self.all}
        for move in self.moves:
            by_target[move.target].append(move)
        return by_target

    def _along(self, cell: Cell, axis: int) -> list[Cell]:
        return [
            (*cell[:axis], value, *cell[axis + 1 :]) for value in range(self.counts.shape[axis]) if value != cell[axis]
        ]

    def check(self) -> None:
        """Raise DataError unless a translator can learn something here and reach every hole.

        The message names the column, cell and numbers.
        """
        for name, values in self.columns[1:]:
            if len(values) < 2:
                raise DataError(
                    f"the attribute '{name}' has the single value '{values[0] if values else ''}'; a translator learns the change "
                    "between two values: choose another attribute"
                )
            if len(values) > MOST_VALUES and all(map(_is_number, values)):
                raise DataError(
                    f"the attribute '{name}' has {len(values)} values, all of them numbers; a translator needs a few categories: "
                    f"divide it into bins, for example --bins {name}=2 (setting data.bins)"
                )
        if not any(move.crosses for move in self.moves):
            largest = max(self.all, key=lambda cell: int(self.counts[cell]))
            raise DataError(
                f"no two cells that differ in one column have {self.least} images each, so a translator has no change to learn "
                f"(the largest is {self.name(largest)} with {int(self.counts[largest])}); choose another attribute, or use a "
                "recipe that draws from noise"
            )
        reached = {move.target for move in self.moves}
        for cell in self.holes:
            if cell not in reached:
                raise DataError(
                    f"the cell {self.name(cell)} has {int(self.counts[cell])} images and cannot be reached: a translator needs "
                    f"{self.least} images of a cell that differs in one column, and has to see that change between two other "
                    "cells; merge values, or leave out the class or value"
                )


def cells(
    data: LabelledImages,
    condition: tuple[str, ...] = (),
    *,
    least: int = LEAST,
    train: bool = False,
    class_moves: bool = True,
) -> Cells:
    """Count the images of `data` per cell of its label and the attributes in `condition`.

    With `train`, and where the data have a split, only train images are counted. `class_moves` is passed to `Cells`.
    Raises DataError for an attribute that does not exist.
    """
    conditions = data.conditions(condition)
    if train and data.split is not None:
        conditions = conditions[data.split == 0]
    counts = np.zeros(data.cardinalities(condition), np.int64)
    np.add.at(counts, tuple(conditions.T), 1)
    columns = (("label", data.classes), *((name, data.attributes[name].values) for name in condition))
    return Cells(counts, columns, least, class_moves)


def tables(data: LabelledImages, condition: tuple[str, ...] = ()) -> dict[str, Cells]:
    """Count train images by class and attribute.

    With `condition` there is one table, under the attribute names joined by commas. Without it there is one table for
    each attribute of 2 to MOST_VALUES values. Raises DataError for an attribute that does not exist.
    """
    if condition:
        return {",".join(condition): cells(data, condition, train=True)}
    few = [name for name, attribute in data.attributes.items() if 1 < len(attribute.values) <= MOST_VALUES]
    return {name: cells(data, (name,), train=True) for name in few}


def numeric(data: LabelledImages) -> list[str]:
    """Return the attributes of more than MOST_VALUES values, all of them numbers. They need bins to be conditions."""
    return [
        name
        for name, attribute in data.attributes.items()
        if len(attribute.values) > MOST_VALUES and all(map(_is_number, attribute.values))
    ]


def cell_codes(conditions: Codes, shape: tuple[int, ...]) -> Codes:
    """Conditions int64 [N, K] -> index of each row's cell in `Cells.all`, int64 [N]."""
    numbers: npt.NDArray[np.intp] = np.ravel_multi_index(tuple(conditions.T), shape)
    return numbers.astype(np.int64)


def members(conditions: Codes, table: Cells) -> dict[Cell, Codes]:
    """Return, for each cell, the ascending indices of the rows of conditions int64 [N, K] that lie in it."""
    codes = cell_codes(conditions, table.counts.shape)
    return {cell: np.flatnonzero(codes == number) for number, cell in enumerate(table.all)}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
