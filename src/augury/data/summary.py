"""Summarise a data set before training: counts, sizes, duplicates, and advice in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from augury.data.cautions import cautions, missing
from augury.data.cells import numeric, tables
from augury.data.decoding.load_options import OnBad
from augury.data.decoding.skipped import skipped_lines
from augury.data.loading import load
from augury.data.long_tail import effective_number
from augury.data.near_duplicates import Clusters, find_near_duplicates, identical
from augury.images import SPLITS, LabelledImages

FEW = 20
"""With fewer than about this many images a class, synthetic images were observed to raise bias, not accuracy (FastGAN)."""
UNEQUAL = 2
"""Classes that differ by less than this factor get no advice."""


@dataclass(frozen=True)
class Census:
    """Facts about a `LabelledImages`.

    With a split, `imbalance`, `effective`, `plan`, `too_few` and `cells` are about the train split.

    Parameters
    ----------
    total
        Number of images.
    shape
        (C, H, W) of each image.
    counts
        Images of each class.
    splits
        Images of each class per split; empty without a split.
    imbalance
        Images of the largest class over those of the smallest.
    effective
        `effective_number` of images of each class.
    plan
        Synthetic images of each class that the default plan draws. It levels the train split, or what the default split
        leaves of each class where the data have none.
    too_few
        Classes with fewer than FEW images to learn from.
    sizes
        Smallest, median and largest original [height, width], each side by itself; empty when unknown.
    modes
        Images per original colour mode.
    unreadable
        File and reason of each image that was left out.
    skipped
        Number of files that were not read, by extension or reason.
    empty_classes
        Class folders and classes without an image -> what lies there.
    duplicates
        Groups of names whose pixels are identical after loading.
    across_parts
        Those of `duplicates` that lie in more than one split; empty without a split.
    conflicting
        Those of `duplicates` that have more than one label.
    near_duplicates
        Groups of names that show the same thing, identical or not.
    near_across_parts
        Those of `near_duplicates` that lie in more than one split.
    advice
        Sentences for the user.
    groups
        Number of groups; 0 without groups.
    attributes
        Images of each value of each attribute.
    cells
        Rows of class, attributes, images and state ("empty", "rare" or ""), per table.
    synthetic
        Images whose files say that they are synthetic, by the program that generated them.
    clusters
        Indices of the near-duplicates: first those in more than one split, then those that are not identical.
    duplicates_by_class
        Images of each class that are a duplicate or near-duplicate of another image.
    skipped_by_class
        Unreadable images and skipped files of each class, where their class is known.
    """

    total: int
    shape: tuple[int, int, int]
    counts: Mapping[str, int]
    splits: Mapping[str, Mapping[str, int]]
    imbalance: float
    effective: Mapping[str, float]
    plan: Mapping[str, int]
    too_few: tuple[str, ...]
    sizes: Mapping[str, tuple[float, float]]
    modes: Mapping[str, int]
    unreadable: tuple[Mapping[str, str], ...]
    duplicates: tuple[tuple[str, ...], ...]
    across_parts: tuple[tuple[str, ...], ...]
    conflicting: tuple[tuple[str, ...], ...]
    near_duplicates: tuple[tuple[str, ...], ...]
    near_across_parts: tuple[tuple[str, ...], ...]
    advice: tuple[str, ...]
    skipped: Mapping[str, int] = field(default_factory=dict)
    empty_classes: Mapping[str, str] = field(default_factory=dict)
    groups: int = 0
    attributes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    cells: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    synthetic: Mapping[str, int] = field(default_factory=dict)
    clusters: Clusters = ()
    duplicates_by_class: Mapping[str, int] = field(default_factory=dict)
    skipped_by_class: Mapping[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return all fields except `clusters`, `duplicates_by_class` and `skipped_by_class` as plain JSON values."""
        values = asdict(self)
        for name in ("clusters", "duplicates_by_class", "skipped_by_class"):
            del values[name]
        twins = ("duplicates", "across_parts", "conflicting", "near_duplicates", "near_across_parts")
        listed = {key: [list(names) for names in values[key]] for key in twins}
        sizes = {key: list(size) for key, size in self.sizes.items()}
        plain = {"shape": list(self.shape), "sizes": sizes, "too_few": list(self.too_few), "advice": list(self.advice)}
        plain |= {"cells": {name: [dict(row) for row in rows] for name, rows in self.cells.items()}}
        return {**values, **listed, **plain, "unreadable": [dict(item) for item in self.unreadable]}


def inspect(
    path: str | Path | None = None,
    *,
    on_bad: OnBad = "skip",
    flips: bool | None = None,
    condition: tuple[str, ...] = (),
    **reading: Any,
) -> tuple[LabelledImages, Census]:
    """Load a data set without its unreadable files, and summarise it.

    Parameters
    ----------
    path : str, Path or None
        As in `load`.
    on_bad : {"error", "skip"}
        What happens with unreadable images; those skipped are listed in the census.
    flips : bool, optional
        As in `census`.
    condition : tuple of str
        As in `census`.
    **reading
        Further options of `load`.

    Returns
    -------
    (LabelledImages, Census)

    Raises
    ------
    DataError
        As `load` does, and when an attribute of `condition` does not exist.
    SettingsError, MissingExtraError
        As `load` does.
    """
    data = load(path, on_bad=on_bad, **reading)
    return data, census(data, flips=flips, condition=condition)


def census(data: LabelledImages, *, flips: bool | None = None, condition: tuple[str, ...] = ()) -> Census:
    """Summarise a data set. Every image is read once.

    Parameters
    ----------
    data : LabelledImages
    flips : bool, optional
        Whether mirrored copies count as near-duplicates. None: where the data allow mirroring.
    condition : tuple of str
        Attributes to tabulate against the class (see `cells.tables`).

    Returns
    -------
    Census

    Raises
    ------
    DataError
        When an attribute of `condition` does not exist.
    """
    counted = tables(data, condition)
    mirrored = data.flips(flips)
    counts = {name: int(count) for name, count in zip(data.classes, data.counts, strict=True)}
    split_counts: dict[str, dict[str, int]] = {}
    if data.split is not None:
        for code, name in enumerate(data.classes):
            per_part = np.bincount(data.split[data.labels == code], minlength=len(SPLITS))
            split_counts[name] = {split_name: int(count) for split_name, count in zip(SPLITS, per_part, strict=True)}
    twins = identical(data.images)
    near = find_near_duplicates(data, mirrored=True) if mirrored else find_near_duplicates(data, twins)
    torn = set(_torn(near, data.split))
    learnt = {name: by_split["train"] for name, by_split in split_counts.items()} if split_counts else counts
    present = np.array(list(learnt.values()), np.int64)
    drawn_from = present if split_counts else present - np.floor(present * 0.15 + 0.5) - np.floor(present * 0.2 + 0.5)
    facts = Census(
        total=len(data),
        shape=data.shape,
        counts=counts,
        splits=split_counts,
        imbalance=max(learnt.values()) / max(min(learnt.values()), 1),
        effective={k: round(float(v), 1) for k, v in zip(learnt, effective_number(present), strict=True)},
        plan={k: int(drawn_from.max() - v) for k, v in zip(learnt, drawn_from, strict=True)},
        too_few=tuple(name for name, count in sorted(learnt.items(), key=lambda item: item[1]) if count < FEW),
        sizes=_sizes(data.notes.get("original_sizes", {})),
        modes=dict(data.notes.get("original_modes", {})),
        unreadable=tuple(data.notes.get("skipped", ())),
        skipped=dict(data.notes.get("ignored", {})),
        empty_classes=dict(data.notes.get("empty_classes", {})),
        duplicates=_named(data, twins),
        across_parts=_named(data, _torn(twins, data.split)),
        conflicting=_named(data, _torn(twins, data.labels)),
        near_duplicates=_named(data, near),
        near_across_parts=_named(data, _torn(near, data.split)),
        advice=(),
        groups=0 if data.groups is None else len(np.unique(data.groups)),
        attributes={
            name: {value: int((a.codes == code).sum()) for code, value in enumerate(a.values)}
            for name, a in data.attributes.items()
        },
        cells={name: tuple(table.rows()) for name, table in counted.items()},
        synthetic=dict(data.notes.get("synthetic", {})),
        clusters=tuple(sorted(near, key=lambda same: (same not in torn, same in twins, same[0]))),
        duplicates_by_class=_by_class(data, near),
        skipped_by_class=dict(data.notes.get("skipped_by_class", {})),
    )
    more = (*_advice_on_tones(data), *_advice_on_numbers(data), *_advice_on_columns(data))
    advice = (*skipped_lines(data), *_advice_on_missing(data), *cautions(data), *_advice(facts), *more)
    return Census(**{**vars(facts), "advice": advice})


def _torn(clusters: Clusters, codes: npt.NDArray[Any] | None) -> Clusters:
    """Return the clusters whose images have different codes."""
    if codes is None:
        return ()
    return tuple(same for same in clusters if len(set(codes[list(same)].tolist())) > 1)


def _named(data: LabelledImages, clusters: Clusters) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(data.names[i] if data.names else f"index {i}" for i in same) for same in clusters)


def _by_class(data: LabelledImages, clusters: Clusters) -> dict[str, int]:
    """Number of images of each class in the clusters, which are disjoint."""
    indices = np.array([i for same in clusters for i in same], np.int64)
    counts = np.bincount(data.labels[indices], minlength=len(data.classes))
    return dict(zip(data.classes, counts.tolist(), strict=True))


def _sizes(counted: Mapping[str, int]) -> dict[str, tuple[float, float]]:
    if not counted:
        return {}
    sides = np.array([[int(side) for side in size.split("x")] for size in counted])
    every = np.repeat(sides, list(counted.values()), axis=0)
    rows = {"smallest": every.min(axis=0), "median": np.median(every, axis=0), "largest": every.max(axis=0)}
    return {name: (float(row[0]), float(row[1])) for name, row in rows.items()}


def _advice(facts: Census) -> tuple[str, ...]:
    lines = []
    counts = {name: part["train"] for name, part in facts.splits.items()} if facts.splits else facts.counts
    noun = "train image" if facts.splits else "image"
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
    if facts.too_few:
        listed = ", ".join(f"'{name}'" for name in facts.too_few[:5]) + (", …" if len(facts.too_few) > 5 else "")
        lines.append(
            f"{listed}: fewer than {FEW} images to learn from; a generator mostly repeats those, so more real images "
            "help most here"
        )
    if rare:
        lines.append(_advice_on_plan(facts))
    if facts.unreadable:
        first = facts.unreadable[0]
        lines.append(
            f"{_n(len(facts.unreadable), 'file')} left out as unreadable; the first: {first['file']} {first['reason']}"
        )
    height, width = facts.shape[1:]
    if facts.sizes and facts.sizes["median"] != (height, width):
        (low_h, low_w), (high_h, high_w) = facts.sizes["smallest"], facts.sizes["largest"]
        original = f"{low_h:g} x {low_w:g}" + (
            "" if (low_h, low_w) == (high_h, high_w) else f" to {high_h:g} x {high_w:g}"
        )
        lines.append(
            f"images came as {original} (height x width) and are used at {height} x {width}; --size changes that"
        )
    if facts.groups:
        lines.append(f"{_n(facts.groups, 'group')}, each kept in one part; --group none forgets them")
    return (*lines, *_advice_on_twins(facts))


def _advice_on_tones(data: LabelledImages) -> list[str]:
    """Say how values beyond 8 bits became black and white."""
    tones = data.notes.get("tones", {})
    return [f"pixel values of {_n(count, 'image')}: {text}" for text, count in tones.items() if text != "as given"]


def _advice_on_missing(data: LabelledImages) -> list[str]:
    return [
        f"{', '.join(map(repr, names[:5]))}{', …' if len(names) > 5 else ''}: no image in the {split} split that the data come in; "
        "a run refuses this: add some, remove the class, or divide anew with --split new"
        for split, names in missing(data).items()
    ]


def _advice_on_numbers(data: LabelledImages) -> list[str]:
    return [
        f"the attribute '{name}' has {len(data.attributes[name].values)} values, all of them numbers; --bins {name}=3 divides it "
        "into three bins, so that it can be a condition"
        for name in numeric(data)
    ]


def _advice_on_columns(data: LabelledImages) -> list[str]:
    """Name the columns that are no attributes, as a file name is none."""
    names = [*data.notes.get("columns_left_out", ()), *data.notes.get("arrays_left_out", ())]
    if not names:
        return []
    listed = ", ".join(f"'{name}'" for name in names[:5]) + (", …" if len(names) > 5 else "")
    choice = "; --attributes NAME uses one anyway" if data.notes.get("columns_left_out") else ""
    return [f"not used as attributes, as they have too many values or another type: {listed}{choice}"]


def _advice_on_plan(facts: Census) -> str:
    ranked = sorted(((number, name) for name, number in facts.plan.items() if number), reverse=True)
    listed = ", ".join(f"{number:,} of '{name}'" for number, name in ranked[:3]) + (", …" if len(ranked) > 3 else "")
    after = "" if facts.splits else ", after the default split"
    return (
        f"the default plan draws {_n(sum(facts.plan.values()), 'synthetic image')} to level all classes{after}: {listed}; "
        "--sampling-strategy 0.5 goes half way up to the largest"
    )


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
    near = [same for same in facts.near_duplicates if same not in facts.duplicates]
    if near:
        lines.append(
            f"{_n(len(near), 'cluster')} of {sum(map(len, near)):,} near-duplicates (re-encoded, brighter, cropped a little, or "
            f"one scene taken again), {_such_as(tuple(near))}; a run keeps each in one part. augury inspect -o sheet.png draws "
            "them, and data.near_duplicates=allow treats them as different pictures"
        )
    torn = [same for same in facts.near_across_parts if same not in facts.across_parts]
    if torn:
        lines.append(
            f"{_n(len(torn), 'near-duplicate picture')} in more than one part, {_such_as((min(torn, key=len),))}; a run refuses this: let "
            "Augury split (--split new), or leave the copies out of the earlier part (--set data.near_duplicates=drop)"
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
