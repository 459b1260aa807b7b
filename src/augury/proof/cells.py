"""Cells of the table class × attribute: find empty cells, and the images in them or for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from augury.data.cells import LEAST
from augury.errors import DataError, SettingsError
from augury.images import Codes, LabelledImages, SyntheticImages

Mask = npt.NDArray[np.bool_]

RARE = LEAST
"""A cell with fewer train images than this is too small for training a translation, and for testing."""
NAMED = 3
"""Most attribute values that the name of a metric lists."""


@dataclass(frozen=True)
class Holes:
    """The cells of a train split. Holes are cells that are empty or have fewer than `rare` images.

    A cell is a class together with one value of each attribute of `condition`. Several attributes are joined. A *value*
    is then a combination, numbered in C order over `values`. Cell number = class · (number of values) + value.

    Attributes
    ----------
    classes, condition, values
        Names of the classes, of the attributes, and of the values of each attribute.
    counts
        int64 [K, V], train images in each cell.
    rare
        A cell with fewer images than this is a hole.
    mask
        bool [K, V], which cells are holes. Only values of at least one train image can contain a hole, since no
        translation reaches the others.
    """

    classes: tuple[str, ...]
    condition: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    counts: Codes
    rare: int
    mask: Mask

    @classmethod
    def of(cls, train: LabelledImages, condition: tuple[str, ...], rare: int = 1) -> Holes:
        """Find the holes of a train split.

        Parameters
        ----------
        train
            The real images; `condition` names any number of their attributes, possibly none.
        rare
            Cells with fewer train images are holes; 1 means empty cells only.

        Raises
        ------
        SettingsError
            When `rare` is below 1.
        DataError
            When an attribute does not exist.
        """
        if rare < 1:
            raise SettingsError(f"rare is {rare}, but must be at least 1: a cell with fewer images than that is a hole")
        sizes = train.cardinalities(condition)
        values = tuple(train.attributes[name].values for name in condition)
        cells = _joined(train.conditions(condition), sizes)
        counts = np.bincount(cells, minlength=int(np.prod(sizes))).reshape(sizes[0], -1).astype(np.int64)
        return cls(train.classes, condition, values, counts, rare, (counts < rare) & (counts.sum(0) > 0))

    def aimed_at(self, synthetic: SyntheticImages, train: LabelledImages) -> Holes:
        """Keep only the holes that some image was generated for, including rejected images.

        A table of several attributes has many empty cells. A plan fills a few of them, and the outcome refers to these.
        """
        aimed = np.zeros(self.counts.size, bool)
        aimed[self.targets(synthetic)[self.fills(synthetic, train)]] = True
        return replace(self, mask=self.mask & aimed.reshape(self.counts.shape))

    def __bool__(self) -> bool:
        return bool(self.mask.any())

    @property
    def inside(self) -> Mask:
        """bool [V], the attribute values that contain a hole."""
        return np.asarray(self.mask.any(0))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of classes, then of the values of each attribute."""
        return len(self.classes), *(len(each) for each in self.values)

    @property
    def metric(self) -> str:
        """Name of the metric of the verdict, such as "balanced accuracy within young=no"."""
        names = [self.value_name(v) for v in np.flatnonzero(self.inside).tolist()]
        if not self.condition:
            return "balanced accuracy"
        if len(names) > NAMED:
            return f"balanced accuracy within {len(names)} attribute values"
        return f"balanced accuracy within {' and '.join(names)}"

    def value_name(self, value: int) -> str:
        """The name of an attribute value: "young=no", or "young=no, hat=yes" for two attributes."""
        at = np.unravel_index(value, self.sizes[1:]) if self.condition else ()
        pairs = zip(self.condition, self.values, at, strict=True)
        return ", ".join(f"{name}={values[int(i)]}" for name, values, i in pairs)

    def cell_name(self, cell: int) -> str:
        """The name of a cell: "woman, young=no"."""
        c, v = divmod(cell, self.counts.shape[1])
        return ", ".join(filter(None, (self.classes[c], self.value_name(v))))

    def cells(self, images: LabelledImages) -> Codes:
        """The cell number of each image, int64 [N].

        Raises DataError when the images lack an attribute, or its values differ from those of the train split.
        """
        for name, values in zip(self.condition, self.values, strict=True):
            if name in images.attributes and images.attributes[name].values != values:
                raise DataError(
                    f"the attribute '{name}' has the values {', '.join(images.attributes[name].values)} here, but "
                    f"{', '.join(values)} in the train split; give all splits the same values in the same order"
                )
        return _joined(images.conditions(self.condition), self.sizes)

    def targets(self, synthetic: SyntheticImages) -> Codes:
        """The cell number that each synthetic image was generated for, int64 [M].

        Raises DataError when the images were not generated for values of these attributes.
        """
        lacking = [name for name in self.condition if name not in synthetic.condition_names]
        if lacking:
            raise DataError(
                f"the synthetic images were not generated for values of '{lacking[0]}', so they fill no cell of it; generate them "
                "with that attribute as a condition"
            )
        columns = [0, *(1 + synthetic.condition_names.index(name) for name in self.condition)]
        return _joined(synthetic.conditions[:, columns], self.sizes)

    def within(self, images: LabelledImages) -> Mask:
        """Which images have an attribute value that contains a hole, bool [N]."""
        return self._inside(self.cells(images))

    def fills(self, synthetic: SyntheticImages, train: LabelledImages) -> Mask:
        """Which synthetic images were generated for a hole, bool [M]. Translations within a cell do not count."""
        for_hole = np.asarray(self.mask.ravel()[self.targets(synthetic)])
        return for_hole if synthetic.sources is None else for_hole & ~self.passed(synthetic, train)

    def symmetric(self, synthetic: SyntheticImages, train: LabelledImages) -> Mask:
        """Which images kept their class and were translated into an attribute value that contains a hole, bool [M]."""
        targets, before = self.targets(synthetic), self.origins(synthetic, train)
        values = self.counts.shape[1]
        same_class = targets // values == before // values
        return np.asarray(self._inside(targets) & same_class & (targets != before))

    def passed(self, synthetic: SyntheticImages, train: LabelledImages) -> Mask:
        """Which images passed through the translator with the cell of their source as the target, bool [M]."""
        return np.asarray(self.targets(synthetic) == self.origins(synthetic, train))

    def origins(self, synthetic: SyntheticImages, train: LabelledImages) -> Codes:
        """The cell number of the source of each translated image, int64 [M].

        Raises DataError for images that were not translated, and for sources outside the rows of the train split.
        """
        if synthetic.sources is None:
            raise DataError("these synthetic images were drawn from noise and have no source image; translate some")
        check_sources(synthetic, train)
        return np.asarray(self.cells(train)[synthetic.sources])

    def _inside(self, cells: Codes) -> Mask:
        return np.asarray(self.inside[cells % self.counts.shape[1]])


def check_sources(synthetic: SyntheticImages, train: LabelledImages) -> None:
    """Raises DataError when a source is not a row of the train split."""
    rows = synthetic.sources
    if rows is not None and len(rows) and not (rows.min() >= 0 and rows.max() < len(train)):
        raise DataError(
            f"sources run from {rows.min()} to {rows.max()}, but the train split has {len(train):,} images; sources are rows of "
            "the train split that the translator saw"
        )


def _joined(conditions: Codes, sizes: Sequence[int]) -> Codes:
    """Conditions int64 [N, 1 + A] as one number each, in C order over `sizes`."""
    for column, size in enumerate(sizes):
        codes = conditions[:, column]
        if len(codes) and not (codes.min() >= 0 and codes.max() < size):
            raise DataError(f"condition {column} runs from {codes.min()} to {codes.max()}, but has {size} values")
    return np.asarray(np.ravel_multi_index(tuple(conditions.T), tuple(sizes)), np.int64)
