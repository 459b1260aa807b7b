"""What a data set is like before anything is trained on it: counts, sizes, duplicates, and advice in words."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from augury.data.loading import load
from augury.data.resize import Fit, Size
from augury.images import SPLITS, LabelledImages

FEW = 20
"""Below about this many images a class, synthetic images were seen to raise bias rather than accuracy (FastGAN)."""
UNEQUAL = 2
"""Classes that differ by less than this factor get no advice."""


@dataclass(frozen=True)
class Census:
    """Facts about a `LabelledImages`; `parts` and `across_parts` are empty unless it has a split.

    `imbalance` is the largest class over the smallest, of train images where there is a split; `sizes` smallest, median
    and largest [height, width] as they came (each side by itself), empty when unknown; duplicates are groups of names
    whose pixels are identical after loading.
    """

    total: int
    shape: tuple[int, int, int]
    counts: Mapping[str, int]
    parts: Mapping[str, Mapping[str, int]]
    imbalance: float
    sizes: Mapping[str, tuple[float, float]]
    modes: Mapping[str, int]
    unreadable: tuple[Mapping[str, str], ...]
    duplicates: tuple[tuple[str, ...], ...]
    across_parts: tuple[tuple[str, ...], ...]
    conflicting: tuple[tuple[str, ...], ...]
    advice: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        values = asdict(self)
        listed = {key: [list(names) for names in values[key]] for key in ("duplicates", "across_parts", "conflicting")}
        sizes = {key: list(size) for key, size in self.sizes.items()}
        plain = {"shape": list(self.shape), "sizes": sizes, "advice": list(self.advice)}
        return {**values, **listed, **plain, "unreadable": [dict(item) for item in self.unreadable]}


def inspect(
    path: str | Path | None = None, *, size: int | Size | None = None, fit: Fit = "crop", cache: Path | None = None
) -> tuple[LabelledImages, Census]:
    """`load` that leaves unreadable files out, and the census that lists them. Raises as `load` does."""
    data = load(path, size=size, fit=fit, on_bad="skip", cache=cache)
    return data, census(data)


def census(data: LabelledImages) -> Census:
    """Count and compare; raises nothing of its own. Reads every image once."""
    counts = {name: int(count) for name, count in zip(data.classes, data.counts, strict=True)}
    parts: dict[str, dict[str, int]] = {}
    if data.split is not None:
        for code, name in enumerate(data.classes):
            per_part = np.bincount(data.split[data.labels == code], minlength=len(SPLITS))
            parts[name] = {part: int(count) for part, count in zip(SPLITS, per_part, strict=True)}
    twins = _twins(data)
    names = data.names or tuple(f"index {i}" for i in range(len(data)))
    learnt = [part["train"] for part in parts.values()] if parts else list(counts.values())
    facts = Census(
        total=len(data),
        shape=data.shape,
        counts=counts,
        parts=parts,
        imbalance=max(learnt) / max(min(learnt), 1),
        sizes=_sizes(data.notes.get("original_sizes", {})),
        modes=dict(data.notes.get("original_modes", {})),
        unreadable=tuple(data.notes.get("skipped", ())),
        duplicates=tuple(tuple(names[i] for i in same) for same in twins),
        across_parts=tuple(
            tuple(names[i] for i in same)
            for same in twins
            if data.split is not None and len({int(data.split[i]) for i in same}) > 1
        ),
        conflicting=tuple(
            tuple(names[i] for i in same) for same in twins if len({int(data.labels[i]) for i in same}) > 1
        ),
        advice=(),
    )
    return Census(**{**vars(facts), "advice": _advice(facts)})


def _twins(data: LabelledImages) -> list[list[int]]:
    """Indices of images with identical pixels, two or more each, in order of the first."""
    seen: dict[bytes, list[int]] = defaultdict(list)
    for i, image in enumerate(data.images):
        seen[hashlib.blake2b(image.tobytes(), digest_size=16).digest()].append(i)
    return [same for same in seen.values() if len(same) > 1]


def _sizes(counted: Mapping[str, int]) -> dict[str, tuple[float, float]]:
    if not counted:
        return {}
    sides = np.array([[int(side) for side in size.split("x")] for size in counted])
    every = np.repeat(sides, list(counted.values()), axis=0)
    rows = {"smallest": every.min(axis=0), "median": np.median(every, axis=0), "largest": every.max(axis=0)}
    return {name: (float(row[0]), float(row[1])) for name, row in rows.items()}


def _advice(facts: Census) -> tuple[str, ...]:
    lines = []
    counts = {name: part["train"] for name, part in facts.parts.items()} if facts.parts else facts.counts
    noun = "train image" if facts.parts else "image"
    common = max(counts, key=lambda name: counts[name])
    ranked = sorted((count, name) for name, count in counts.items())
    rare = [(count, name) for count, name in ranked if counts[common] >= UNEQUAL * max(count, 1)]
    for count, name in rare[:3]:
        times = counts[common] / max(count, 1)
        lines.append(f"'{name}' has {_n(count, noun)}, {times:.{int(times < 10)}f} times fewer than '{common}'")
    if len(rare) > 3:
        lines.append(
            f"{_n(len(rare) - 3, 'more class', 'more classes')} at least {UNEQUAL} times smaller than '{common}'"
        )
    few = [name for count, name in ranked if count < FEW]
    if few:
        listed = ", ".join(f"'{name}'" for name in few[:5]) + (", …" if len(few) > 5 else "")
        lines.append(
            f"{listed}: fewer than {FEW} images to learn from; a generator mostly repeats those, so more real images "
            "help most here"
        )
    if facts.unreadable:
        first = facts.unreadable[0]
        lines.append(
            f"{_n(len(facts.unreadable), 'file')} left out as unreadable; the first: {first['file']} {first['reason']}"
        )
    height, width = facts.shape[1:]
    if facts.sizes and facts.sizes["median"] != (height, width):
        (low_h, low_w), (high_h, high_w) = facts.sizes["smallest"], facts.sizes["largest"]
        came = f"{low_h:g} x {low_w:g}" + ("" if (low_h, low_w) == (high_h, high_w) else f" to {high_h:g} x {high_w:g}")
        lines.append(f"images came as {came} (height x width) and are used at {height} x {width}; --size changes that")
    return (*lines, *_advice_on_twins(facts))


def _advice_on_twins(facts: Census) -> list[str]:
    lines = []
    if facts.duplicates:
        extra = _n(sum(len(same) - 1 for same in facts.duplicates), "needless copy", "needless copies")
        lines.append(f"{extra} of images, identical pixel for pixel, {_such_as(facts.duplicates)}")
    if facts.across_parts:
        lines.append(
            f"{_n(len(facts.across_parts), 'picture')} in more than one part, {_such_as(facts.across_parts)}; test "
            "results would flatter: remove them from one side"
        )
    if facts.conflicting:
        lines.append(
            f"{_n(len(facts.conflicting), 'picture')} under more than one label, {_such_as(facts.conflicting)}; "
            "mend the labels"
        )
    return lines


def _such_as(twins: tuple[tuple[str, ...], ...]) -> str:
    return f"such as {' = '.join(twins[0][:3])}"


def _n(count: int, noun: str, plural: str | None = None) -> str:
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
