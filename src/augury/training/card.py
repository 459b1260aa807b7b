"""The card of a generator: what it was trained on, and how names and codes of its conditions are checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from augury.errors import DataError
from augury.images import Codes, LabelledImages

Labels = npt.NDArray[np.int64] | list[int] | list[str] | list[list[int]]
"""Class names or codes [N], or conditions int64 [N, K] with attributes."""

READING = ("format", "resizing", "pixels", "tones", "grouped_by", "split", "licence", "medical")
"""Notes on the data that the card repeats: how pixels and splits were made, and what the images are."""


def data_facts(data: LabelledImages, condition: tuple[str, ...]) -> dict[str, Any]:
    """The entries of a card that describe the data and the attributes of the condition."""
    return {
        "shape": data.shape,
        "classes": data.classes,
        "condition_names": condition,
        "condition_values": tuple(data.attributes[name].values for name in condition),
        "data_fingerprint": data.fingerprint,
        "data_reading": {name: data.notes[name] for name in READING if name in data.notes},
    }


@dataclass(frozen=True)
class Card:
    """All that is needed to rebuild a generator and to audit it. Plain JSON without times, so the same run gives the same
    card.
    """

    network: str
    settings: dict[str, Any]
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    condition_names: tuple[str, ...]
    condition_values: tuple[tuple[str, ...], ...]
    data_fingerprint: str
    recipe: str
    seed: int
    steps: int
    batch: int
    precision: str
    versions: dict[str, str] = field(default_factory=dict)
    data_reading: dict[str, Any] = field(default_factory=dict)
    licence_note: str = "Generated images are subject to the licence and consent terms of the training images."

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Card:
        """The inverse of `dataclasses.asdict`, also after a way through JSON."""
        tuples = {k: tuple(stored[k]) for k in ("shape", "classes", "condition_names")}
        return cls(**{**stored, **tuples, "condition_values": tuple(map(tuple, stored["condition_values"]))})

    @property
    def columns(self) -> list[tuple[str, tuple[str, ...]]]:
        """Name and values of each column of a condition, "label" first."""
        return [("label", self.classes), *zip(self.condition_names, self.condition_values, strict=True)]

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of values of each column of a condition."""
        return tuple(len(values) for _, values in self.columns)

    def conditions(self, labels: Labels) -> Codes:
        """The conditions int64 [N, K] of labels. Raises DataError for a class or value that the generator does not know."""
        values = np.asarray(labels)
        if values.dtype.kind in "US":
            unknown = sorted(set(values.tolist()) - set(self.classes))
            if unknown:
                raise DataError(f"the generator has no class {unknown[0]!r}; it has: {', '.join(self.classes)}")
            values = np.array([self.classes.index(str(v)) for v in values])
        if values.ndim == 1:
            values = values[:, None]
        sizes = list(self.cardinalities)
        if values.ndim != 2 or values.shape[1] != len(sizes) or values.dtype.kind not in "iu":
            names = ("label", *self.condition_names)
            raise DataError(
                f"labels of shape {list(np.shape(labels))} do not fit: this generator needs ({', '.join(names)}) as int [N, {len(names)}]"
            )
        if len(values) and ((values < 0).any() or (values >= np.array(sizes)).any()):
            raise DataError(
                f"conditions up to {values.max(0).tolist()} asked, but the generator knows only {sizes} values per column"
            )
        return values.astype(np.int64)
