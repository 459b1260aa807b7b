"""One verdict from several trials with different test splits: cross-validation (Stone 1974)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from augury.errors import DataError
from augury.images import Codes, LabelledImages, SyntheticImages
from augury.proof import leakage
from augury.proof.arms import ARMS, OWN
from augury.proof.judgement import judge
from augury.proof.measures import PER_CLASS, SCALARS, packed, unpacked
from augury.proof.operating_point import HITS, PRIMARY, OperatingPoint
from augury.proof.trial import result_name
from augury.verdict import Verdict


@dataclass(frozen=True)
class Fold:
    """A finished trial.

    Attributes
    ----------
    train, test
        Its splits.
    synthetic
        Source -> the images shown.
    verdict
        Its verdict.
    results
        The measures of its trainings by name, as in `prove`.
    """

    train: LabelledImages
    test: LabelledImages
    synthetic: Mapping[str, SyntheticImages]
    verdict: Verdict
    results: Mapping[str, Any]


def pooled(folds: Sequence[Fold]) -> Verdict:
    """Pool the test images of several trials into one verdict.

    The classifiers of each trial classify its own test images.

    Parameters
    ----------
    folds
        Finished trials of one data set. Arms and seeds that all folds have are used.

    Returns
    -------
    Verdict
        On all test images. Its `ratio`, and the numbers of train and synthetic images by class, are means over the folds.

    Raises
    ------
    DataError
        When the trials have different classes, share no seeds or arms, study empty cells, or share a test image.

    Notes
    -----
    Balanced accuracy, recall and worst recall refer to the pooled images. Other measures are means over the folds,
    weighted by test images, or by test images of the class for measures of a class. The test images count as unseen by a
    part only if no trial found otherwise.

    Generators and train splits of the folds differ but overlap, as in any cross-validation. Intervals cover seeds and
    test images. They do not cover another choice of folds.
    """
    first = folds[0]
    classes = first.train.classes
    if any(fold.train.classes != classes for fold in folds):
        raise DataError("the trials to pool have different classes; pool folds of one data set")
    if any(fold.verdict.cells for fold in folds):
        raise DataError(
            "the trials to pool are about empty cells, each about those of its own train split; read their verdicts one by one"
        )
    hashes = np.concatenate([np.unique(leakage.image_hashes(fold.test.images)) for fold in folds])
    if len(np.unique(hashes)) < len(hashes):
        raise DataError(
            "a test image is in two of the trials to pool, and would count twice; pool folds of one data set"
        )
    arms = [name for name in first.verdict.arms if all(name in fold.verdict.arms for fold in folds)]
    seeds = tuple(seed for seed in first.verdict.seeds if all(seed in fold.verdict.seeds for fold in folds))
    if not seeds or len(arms) < 2:
        raise DataError(
            "the trials to pool share no seeds or no arms; prove each with the same prove.seeds and prove.arms"
        )
    test = _together([fold.test for fold in folds])
    point = _point(folds)
    results = {
        name: [
            _measures(
                [f.results[f"{result_name(name, f.verdict.ratio)}/{seed}"] for f in folds],
                [f.test for f in folds],
                point,
            )
            for seed in seeds
        ]
        for name in arms
    }
    ratio = float(np.mean([fold.verdict.ratio for fold in folds]))
    chosen = {(fold.verdict.augmentation or {}).get("chosen", "") for fold in folds}
    verdict = judge(
        results,
        seeds,
        ratio,
        (),
        first.train,
        first.synthetic,
        test,
        margin=first.verdict.margin,
        max_class_loss=first.verdict.max_class_loss,
        augmentation=chosen.pop() if len(chosen) == 1 else "",
        point=point,
    )
    source = ARMS[verdict.arm].source or OWN
    shown = [
        np.bincount(fold.synthetic[source].labels, minlength=len(classes))
        * (fold.verdict.ratio > 0 and ARMS[verdict.arm].shows)
        for fold in folds
    ]
    each = {"train": [fold.train.counts for fold in folds], "synthetic": shown}
    counts = {kind: np.mean(numbers, axis=0).round().astype(int).tolist() for kind, numbers in each.items()}
    rows = tuple(
        row | {kind: numbers[c] for kind, numbers in counts.items()} for c, row in enumerate(verdict.per_class)
    )
    leaks_of_folds = [fold.verdict.leaks or {"test_not_seen_by": [], "left_out": 0} for fold in folds]
    unseen = sorted(set.intersection(*(set(leaks["test_not_seen_by"]) for leaks in leaks_of_folds)))
    leaks = {
        "test_not_seen_by": unseen,
        "left_out": sum(leaks["left_out"] for leaks in leaks_of_folds),
        "looked_for": all(leaks.get("looked_for", True) for leaks in leaks_of_folds),
        **({"pretrained": True} if any(leaks.get("pretrained") for leaks in leaks_of_folds) else {}),
    }
    return replace(verdict, per_class=rows, folds=len(folds), synthetic=_images(folds)).checked(leaks)


def _images(folds: Sequence[Fold]) -> dict[str, Any]:
    """The numbers of images of all folds together."""
    counts = [fold.verdict.synthetic for fold in folds]
    rejected: Counter[str] = sum((Counter(each.get("rejected", {})) for each in counts), Counter())
    total = {name: sum(each.get(name, 0) for each in counts) for name in ("drawn", "accepted", "left_out")}
    return {**total, "rejected": dict(rejected)}


def _together(parts: Sequence[LabelledImages]) -> LabelledImages:
    """Join the labels of all parts, with one pixel in place of each image. Groups of different parts stay distinct."""
    groups: list[Codes] = []
    before = 0
    for part in parts:
        codes = np.arange(len(part)) if part.groups is None else np.unique(part.groups, return_inverse=True)[1]
        groups.append(codes.reshape(-1) + before)
        before = int(groups[-1].max()) + 1
    grouped = any(part.groups is not None for part in parts)
    return LabelledImages(
        np.zeros((sum(map(len, parts)), 1, 1, 1), np.uint8),
        np.concatenate([part.labels for part in parts]),
        parts[0].classes,
        groups=np.concatenate(groups).astype(np.int64) if grouped else None,
    )


def _point(folds: Sequence[Fold]) -> OperatingPoint | None:
    """Where all folds measure the metric; None for balanced accuracy. Each fold has its own threshold.

    Raises DataError when the folds measure different metrics.
    """
    if len({fold.verdict.metric for fold in folds}) > 1:
        raise DataError("the trials to pool have different metrics; prove each with the same prove.metric")
    row, classes = folds[0].verdict.operating_point, folds[0].train.classes
    return None if row is None else OperatingPoint(classes.index(row["class"]), row["class"], row["specificity"])


def _measures(
    each: Sequence[Mapping[str, Any]], parts: Sequence[LabelledImages], point: OperatingPoint | None
) -> dict[str, Any]:
    """Measures of one seed over all folds."""
    hits = np.concatenate([unpacked(m["hits"], len(part)) for m, part in zip(each, parts, strict=True)])
    labels = np.concatenate([part.labels for part in parts])
    counts = np.bincount(labels, minlength=len(parts[0].classes))
    recall = np.bincount(labels, hits, minlength=len(counts)) / np.maximum(counts, 1)
    weights, of_class = [len(part) for part in parts], np.array([part.counts for part in parts])
    averages: dict[str, Any] = {name: _mean([m[name] for m in each], weights) for name in SCALARS}
    lists = {
        name: [_mean([m[name][c] for m in each], of_class[:, c].tolist()) for c in range(len(counts))]
        for name in PER_CLASS
    }
    own = {
        "balanced_accuracy": float(recall[counts > 0].mean()),
        "worst_recall": float(recall[counts > 0].min()),
        "recall": recall.tolist(),
        "hits": packed(hits),
    }
    if point is None:
        return averages | lists | own
    right = np.concatenate([unpacked(m[HITS], len(part)) for m, part in zip(each, parts, strict=True)])
    positive = labels == point.label
    at_point = {
        PRIMARY: float(right[positive].mean()),
        "specificity": float(right[~positive].mean()),
        HITS: packed(right),
    }
    return averages | lists | own | at_point | {"threshold": _mean([m["threshold"] for m in each], weights)}


def _mean(values: list[float | None], weights: Sequence[int]) -> float | None:
    """Weighted mean of the values that are not None."""
    pairs = [(value, weight) for value, weight in zip(values, weights, strict=True) if value is not None]
    return float(np.average([v for v, _ in pairs], weights=[w for _, w in pairs])) if pairs else None
