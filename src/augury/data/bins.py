"""Divide numeric attributes (age, magnitude) into bins, so that they can be conditions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches

import numpy as np
import numpy.typing as npt

from augury.errors import DataError
from augury.images import Attribute, LabelledImages

Floats = npt.NDArray[np.float64]


def binned(data: LabelledImages, bins: Mapping[str, int]) -> LabelledImages:
    """Divide numeric attributes into bins of about equally many images.

    The bins are quantiles over all images, and each holds at least one value. Their names are ranges such as "30–54".
    The fingerprint changes with the bins.

    Parameters
    ----------
    data : LabelledImages
    bins : mapping of str to int
        Number of bins (2 or more) for each attribute to divide.

    Returns
    -------
    LabelledImages
        The same images; `notes["bins"]` lists the bin names of each attribute.

    Raises
    ------
    DataError
        When an attribute does not exist, holds a value that is not a number, or has fewer distinct values than bins.
    """
    if not bins:
        return data
    attributes = dict(data.attributes)
    for name, number in bins.items():
        attributes[name] = _divided(data, name, number)
    names = {name: list(attributes[name].values) for name in bins}
    hashed = [data.fingerprint, sorted((name, attributes[name].values) for name in bins)]
    hashed += [hashlib.sha256(attributes[name].codes.astype("<i8").tobytes()).hexdigest() for name in sorted(bins)]
    fingerprint = hashlib.sha256(repr(hashed).encode()).hexdigest()[:16]
    return replace(data, attributes=attributes, notes={**data.notes, "bins": names}, fingerprint=fingerprint)


def _divided(data: LabelledImages, name: str, number: int) -> Attribute:
    if name not in data.attributes:
        close = get_close_matches(name, data.attributes, 1)
        meant = f"did you mean '{close[0]}'? " if close else ""
        available = ", ".join(f"'{other}'" for other in data.attributes) or "none"
        raise DataError(f"there is no attribute '{name}' to divide into bins; {meant}The data have: {available}")
    attribute = data.attributes[name]
    numbers = np.array([_number(name, value) for value in attribute.values], np.float64)
    distinct, counts = np.unique(numbers[attribute.codes], return_counts=True)
    if number > len(distinct):
        raise DataError(
            f"the attribute '{name}' has {len(distinct)} different values, too few for {number} bins; ask for at most "
            f"{len(distinct)}, or leave it as it is"
        )
    starts = _starts(counts, number)
    codes = np.searchsorted(distinct[starts[1:]], numbers, side="right")[attribute.codes]
    return Attribute(codes.astype(np.int64), _names(distinct, starts))


def _number(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise DataError(
            f"the attribute '{name}' has the value '{value}', which is no number, so it cannot be divided into bins; leave it "
            "out of bins, or remove these images"
        )
    return number


def _starts(counts: npt.NDArray[np.intp], number: int) -> list[int]:
    """Return the first distinct value of each bin.

    Values are not divided, so the bins are only nearly equal in size.
    """
    before, total = np.concatenate([[0], np.cumsum(counts)]), int(counts.sum())
    starts = [0]
    for i in range(1, number):
        allowed = np.arange(starts[-1] + 1, len(counts) - (number - i) + 1)
        starts.append(int(allowed[np.argmin(np.abs(before[allowed] - total * i / number))]))
    return starts


def _names(distinct: Floats, starts: list[int]) -> tuple[str, ...]:
    """Name each bin by its range, such as "30–54".

    A range of whole numbers ends just below the next bin. Any other range ends at its greatest value.
    """
    integral = bool((distinct % 1 == 0).all())
    between = "–" if distinct[0] >= 0 else " to "
    names = []
    for start, after in zip(starts, [*starts[1:], len(distinct)], strict=True):
        low, high = distinct[start], distinct[after - 1]
        if integral and after < len(distinct):
            high = distinct[after] - 1
        ends = [f"{end:.0f}" if integral else f"{end:.6g}" for end in (low, high)]
        names.append(ends[0] if low == high else between.join(ends))
    return tuple(names)
