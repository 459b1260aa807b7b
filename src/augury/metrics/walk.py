"""Walking the table of scores over given sides: all images together, then class by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from augury.errors import ScoreError
from augury.metrics.check import ENOUGH, Features
from augury.metrics.score import Score
from augury.metrics.scores import Row
from augury.metrics.sides import Sides


def pooled(
    rows: Mapping[str, Row], sides: Sides, perfect: Sides | None, every: Features, required: bool
) -> list[Score]:
    """The scores of all images; `perfect` has further real images in the fakes' place and gives the baselines.

    Scores of memorisation are about `every` fake [N, D], and take their baseline from a half of the held-out images.
    Those that the sides do not allow are left out, or raise ScoreError where `required`.
    """
    found = []
    for row in rows.values():
        if "train" in row.needs:
            given = replace(sides, fake=every, fake_labels=np.zeros(len(every), np.int64))
            unseen = 0 if sides.held_out is None else len(sides.held_out)
            stand_in = sides.unseen_instead() if unseen >= 2 * ENOUGH else None
        else:
            given, stand_in = sides, perfect
        found += _scored(row, given, stand_in, required)
    return found


def per_class(
    rows: Mapping[str, Row], sides: Sides, perfect: Sides | None, classes: Sequence[str], required: bool = False
) -> list[Score]:
    """The scores that are of use for few images, of each class that both sides have; none where there is but one."""
    labels = np.intersect1d(sides.fake_labels, sides.real_labels).tolist()
    found = []
    for label in labels if len(labels) > 1 else []:
        ours, theirs = _only(sides, label), None if perfect is None else _only(perfect, label)
        if theirs is not None:  # of this class too, the baseline has as many
            n = min(len(ours.fake), len(theirs.fake))
            ours, theirs = (replace(s, fake=s.fake[:n], fake_labels=s.fake_labels[:n]) for s in (ours, theirs))
        group = classes[label] if label < len(classes) else f"class {label}"
        for row in rows.values():
            if row.per_class:
                found += [replace(score, group=group) for score in _scored(row, ours, theirs, required)]
    return found


def _scored(row: Row, sides: Sides, stand_in: Sides | None, required: bool) -> list[Score]:
    if not required and (sides.n < row.least or any(getattr(sides, need) is None for need in row.needs)):
        return []
    try:
        score = row.score(sides, f"{row.label}-{sides.name}")
        return [score if stand_in is None else replace(score, baseline=row.value(stand_in))]
    except ScoreError:
        if required:
            raise
        return []


def _only(sides: Sides, label: int) -> Sides:
    fakes, reals = sides.fake_labels == label, sides.real_labels == label
    return replace(
        sides,
        fake=sides.fake[fakes],
        fake_labels=sides.fake_labels[fakes],
        real=sides.real[reals],
        real_labels=sides.real_labels[reals],
    )
