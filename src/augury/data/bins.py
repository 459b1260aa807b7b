"""Numeric attributes (age, magnitude) divided into bins, so that they can be conditions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches

import numpy as np
import numpy.typing as npt

from augury.errors import DataError, SettingsError
from augury.images import Attribute, LabelledImages

Floats = npt.NDArray[np.float64]


def checked(bins: Mapping[str, int] | None) -> dict[str, int]:
    """The numbers of bins by attribute. Raises SettingsError for fewer than two."""
    found = dict(bins or {})
    for name, number in found.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 2:
            raise SettingsError(f"bins of '{name}' are {number!r}; give a whole number of 2 or more")
    return found


def binned(data: LabelledImages, bins: Mapping[str, int]) -> LabelledImages:
    """`data` with the attributes named in `bins` divided into so many bins of about equally many images.

    The bins are quantiles over all images, each with at least one value; their names are ranges such as "30–54". The
    fingerprint changes with them. Raises DataError for an attribute that the data lack, for values that are no numbers and for
    more bins than values.
    """
    if not bins:
        return data
    attributes = dict(data.attributes)
    for name, number in bins.items():
        attributes[name] = _divided(data, name, number)
    names = {name: list(attributes[name].values) for name in bins}
    said = [data.fingerprint, sorted((name, attributes[name].values) for name in bins)]
    said += [hashlib.sha256(attributes[name].codes.astype("<i8").tobytes()).hexdigest() for name in sorted(bins)]
    fingerprint = hashlib.sha256(repr(said).encode()).hexdigest()[:16]
    return replace(data, attributes=attributes, notes={**data.notes, "bins": names}, fingerprint=fingerprint)


def _divided(data: LabelledImages, name: str, number: int) -> Attribute:
    if name not in data.attributes:
        close = get_close_matches(name, data.attributes, 1)
        meant = f"did you mean '{close[0]}'? " if close else ""
        there = ", ".join(f"'{each}'" for each in data.attributes) or "none"
        raise DataError(f"there is no attribute '{name}' to divide into bins; {meant}The data have: {there}")
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
        found = float(value)
    except ValueError:
        found = np.nan
    if not np.isfinite(found):
        raise DataError(
            f"the attribute '{name}' has the value '{value}', which is no number, so it cannot be divided into bins; leave it "
            "out of bins, or remove these images"
        )
    return found


def _starts(counts: npt.NDArray[np.intp], number: int) -> list[int]:
    """Where each bin begins among the distinct values: as near to equal numbers of images as whole values allow."""
    before, total = np.concatenate([[0], np.cumsum(counts)]), int(counts.sum())
    starts = [0]
    for i in range(1, number):
        allowed = np.arange(starts[-1] + 1, len(counts) - (number - i) + 1)
        starts.append(int(allowed[np.argmin(np.abs(before[allowed] - total * i / number))]))
    return starts


def _names(distinct: Floats, starts: list[int]) -> tuple[str, ...]:
    """ "30–54": from the least value of a bin to just below the next one's where all are whole numbers, else to its greatest."""
    whole = bool((distinct % 1 == 0).all())
    between = "–" if distinct[0] >= 0 else " to "
    names = []
    for start, after in zip(starts, [*starts[1:], len(distinct)], strict=True):
        low, high = distinct[start], distinct[after - 1]
        if whole and after < len(distinct):
            high = distinct[after] - 1
        ends = [f"{end:.0f}" if whole else f"{end:.6g}" for end in (low, high)]
        names.append(ends[0] if low == high else between.join(ends))
    return tuple(names)
