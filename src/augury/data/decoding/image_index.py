"""What a format finds before anything is decoded: where each encoded image is, and what is told of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ImageIndex:
    """The images of a set in a fixed order, a column for each thing that is told of them.

    `fetch(i)` gives the encoded bytes of image i; several threads call it, and it raises OSError or DataError (without
    the image's name). `bad` maps those that cannot be used whatever their bytes are (a path that leads outside, no
    label) to the reason; their label may be empty. `classes` is the order of class names where the format has one, else
    they are sorted, as numbers when `numeric` is set and all are. `ignored` counts what was passed over.
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
    notes: Mapping[str, Any] = field(default_factory=dict)
