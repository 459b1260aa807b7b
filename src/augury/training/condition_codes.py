"""Convert names of classes and attribute values to the codes of a generator or translator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import numpy as np

from augury.errors import DataError
from augury.images import Codes
from augury.networks import KEEP

Columns = Sequence[tuple[str, tuple[str, ...]]]
"""Name and values of each column of a condition, "label" first."""


def cell_codes_of(columns: Columns, chosen: Mapping[str, str]) -> list[int]:
    """The code of one value for every column. Raises DataError for an unknown or missing name or value."""
    names = [name for name, _ in columns]
    if unknown := [name for name in chosen if name not in names]:
        raise DataError(f"the generator has no column '{unknown[0]}'; it needs one value each of: {', '.join(names)}")
    for name, values in columns:
        if name not in chosen:
            option = f"--label {values[0]}" if name == "label" else f"--attribute {name}={values[0]}"
            raise DataError(
                f"the generator needs one value each of: {', '.join(names)}; '{name}' has none; add one of {', '.join(values[:8])}, as "
                f"{option}"
            )
    return [_code(name, values, chosen[name], "generator") for name, values in columns]


def change_codes(columns: Columns, changes: Mapping[str, str]) -> list[int]:
    """The code to reach in the columns that `changes` names, KEEP in the others. Raises DataError for unknown ones."""
    names = [name for name, _ in columns]
    for name in changes:
        if name not in names:
            raise DataError(f"the translator cannot change '{name}'; {_meant(name, names)} changes: {', '.join(names)}")
    return [_code(name, values, changes[name], "translator") if name in changes else KEEP for name, values in columns]


def changes_between(sources: Codes, targets: Codes) -> Codes:
    """Conditions int64 [N, K] of images and of their translations -> changes int64 [N, K]: KEEP where both agree."""
    return np.where(sources == targets, KEEP, targets).astype(np.int64)


def _code(name: str, values: tuple[str, ...], value: str, owner: str) -> int:
    if value not in values:
        raise DataError(f"the {owner} has no {name} {value!r}; {_meant(value, values)} has: {', '.join(values)}")
    return values.index(value)


def _meant(word: str, names: Sequence[str]) -> str:
    close = get_close_matches(word, names, 1)
    return f"did you mean '{close[0]}'? It" if close else "it"
