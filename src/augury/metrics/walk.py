"""Applies the table of scores to given sides: all images together, then class by class."""

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
    """The scores of all images; `perfect` has further real images in the place of the fakes and gives the baselines.

    Scores of memorisation use `every` fake [N, D], and take their baseline from a half of the held-out images. Scores
    that the sides do not allow are left out, or raise ScoreError if `required`.
    """
    scores = []
    for row in rows.values():
        if "train" in row.needs:
            measured = replace(sides, fake=every, fake_labels=np.zeros(len(every), np.int64))
            unseen = 0 if sides.held_out is None else len(sides.held_out)
            stand_in = sides.unseen_instead() if unseen >= 2 * ENOUGH else None
        else:
            measured, stand_in = sides, perfect
        scores += _scored(row, measured, stand_in, required)
    return scores


def per_class(
    rows: Mapping[str, Row], sides: Sides, perfect: Sides | None, classes: Sequence[str], required: bool = False
) -> list[Score]:
    """The scores that suit few images, for each class that both sides have; none where there is only one class."""
    labels = np.intersect1d(sides.fake_labels, sides.real_labels).tolist()
    scores = []
    for label in labels if len(labels) > 1 else []:
        ours, theirs = _only(sides, label), None if perfect is None else _only(perfect, label)
        if theirs is not None:  # the same number of baseline images and fakes in each class
            n = min(len(ours.fake), len(theirs.fake))
            ours, theirs = (replace(s, fake=s.fake[:n], fake_labels=s.fake_labels[:n]) for s in (ours, theirs))
        group = classes[label] if label < len(classes) else f"class {label}"
        for row in rows.values():
            if row.per_class:
                scores += [replace(score, group=group) for score in _scored(row, ours, theirs, required)]
    return scores


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
