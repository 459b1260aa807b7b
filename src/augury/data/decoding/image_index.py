"""What a format knows before decoding: how to fetch each encoded image, and its label and metadata."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ImageIndex:
    """The images of a data set in a fixed order, with one column per property.

    Parameters
    ----------
    names
        Name of each image, for messages.
    labels
        Label of each image; may be empty for an image in `bad`.
    fetch
        `fetch(i)` returns the encoded bytes of image i. Several threads call it. It raises OSError or DataError
        (without the image's name).
    classes
        The order of the class names, where the format defines one. Otherwise they are sorted.
    numeric
        Whether names that are all whole numbers are sorted as numbers.
    split
        Code into SPLITS of each image, or None.
    groups
        Group of each image, or None.
    attributes
        Value of each image, per attribute.
    bad
        Index -> reason, for images that cannot be used whatever their bytes are (a path that leads outside, no label).
    ignored
        Counts of skipped files, by extension or reason.
    empty
        Class folders without an image -> what lies there.
    notes
        Entries for `LabelledImages.notes`.
    """

    names: Sequence[str]
    labels: Sequence[str]
    fetch: Callable[[int], bytes]
    classes: tuple[str, ...] = ()
    numeric: bool = True
    split: Sequence[int] | None = None
    groups: Sequence[str] | None = None
    attributes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    bad: Mapping[int, str] = field(default_factory=dict)
    ignored: Counter[str] = field(default_factory=Counter)
    empty: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
