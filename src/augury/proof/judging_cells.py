"""Results of a trial about holes: accuracy within their attribute values, in every cell, and over all images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from augury.errors import DataError
from augury.images import LabelledImages, SyntheticImages
from augury.proof.cells import Holes
from augury.proof.crossed import effects
from augury.proof.recalls import Mask, differences, untested
from augury.verdict import Verdict


def judged_images(test: LabelledImages, holes: Holes) -> tuple[LabelledImages, Mask]:
    """Select the test images that the outcome refers to.

    Their classes are the cells, so the mean over classes weights every cell equally. A shifted decision threshold then
    gains in one cell and loses in another.

    Returns
    -------
    tuple
        The test images within attribute values that contain a hole, with one pixel in place of each image. Then bool
        [N], which test images these are.

    Raises
    ------
    DataError
        When no test image has such an attribute value.
    """
    cells, inside = holes.cells(test), holes.within(test)
    if not inside.any():
        raise DataError(
            f"the test split has no image with {holes.metric.removeprefix('balanced accuracy within ')}, where cells are empty, so "
            "they cannot be evaluated; put some into the test split"
        )
    values = holes.counts.shape[1]
    judged_cells = np.flatnonzero(np.tile(holes.inside, len(holes.classes)))
    assert len(judged_cells) == int(holes.inside.sum()) * holes.counts.size // values
    return LabelledImages(
        np.zeros((int(inside.sum()), 1, 1, 1), np.uint8),
        np.searchsorted(judged_cells, cells[inside]).astype(np.int64),
        tuple(holes.cell_name(int(cell)) for cell in judged_cells),
        groups=None if test.groups is None else test.groups[inside],
    ), inside


def absent(judged: LabelledImages) -> str:
    """Why there can be no outcome: a cell without a test image; "" if each cell has one."""
    lacking = [judged.classes[c] for c in np.flatnonzero(judged.counts == 0)]
    if not lacking:
        return ""
    more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
    return f"the test split has no image of the cell '{lacking[0]}'{more}, so it cannot be evaluated"


def with_cells(
    verdict: Verdict,
    hits: Mapping[str, Mask],
    inside: Mask,
    train: LabelledImages,
    shown: SyntheticImages,
    test: LabelledImages,
    holes: Holes,
    most_loss: float | None = None,
) -> Verdict:
    """Add the cells and the overall effect to a verdict on the images `inside`.

    Parameters
    ----------
    verdict
        Verdict on the images of `judged_images`.
    hits
        bool [S, N] of each arm, on all test images.
    shown
        The generated images that the verdict's arm shows.
    """
    arm, comparator = hits[verdict.arm], hits[verdict.comparator]
    rows = cell_rows(arm, comparator, shown, test, holes, most_loss)
    judged = judged_images(test, holes)[0]
    arms = {
        name: own
        | {"balanced_accuracy": _accuracies(hits[name][:, inside], judged), "overall": own["balanced_accuracy"]}
        for name, own in verdict.arms.items()
    }
    return replace(
        verdict,
        metric=holes.metric,
        ratio=len(shown) / len(train),
        arms=arms,
        cells=rows,
        overall=_overall(arm, comparator, test),
    )


def cell_rows(
    arm: Mask,
    comparator: Mask,
    shown: SyntheticImages,
    test: LabelledImages,
    holes: Holes,
    most_loss: float | None = None,
) -> tuple[dict[str, Any], ...]:
    """One row for each cell: names, counts, recalls, and the difference with its interval.

    Parameters
    ----------
    arm, comparator
        bool [S, N], which test images the classifier of each seed classifies correctly.
    shown
        The generated images that the arm shows.
    most_loss
        As in `differences`, whose rows these are. Values of a cell without a test image are None.
    """
    cells = holes.cells(test)
    added = np.bincount(holes.targets(shown), minlength=holes.counts.size)
    tested = differences(arm, comparator, test, {int(cell): cells == cell for cell in np.unique(cells)}, most_loss)
    rows = []
    for cell in range(holes.counts.size):
        c, v = divmod(cell, holes.counts.shape[1])
        row: dict[str, Any] = {
            "cell": holes.cell_name(cell),
            "class": holes.classes[c],
            "attributes": _attributes(holes, v),
            "hole": bool(holes.mask[c, v]),
            "within": bool(holes.inside[v]),
            "train": int(holes.counts[c, v]),
            "synthetic": int(added[cell]),
            "test": int((cells == cell).sum()),
        }
        rows.append({**row, **tested.get(cell, untested())})
    return tuple(rows)


def _attributes(holes: Holes, value: int) -> dict[str, str]:
    """Attribute name -> name of its value."""
    at = np.unravel_index(value, holes.sizes[1:]) if holes.condition else ()
    pairs = zip(holes.condition, holes.values, at, strict=True)
    return {name: values[int(i)] for name, values, i in pairs}


def _accuracies(hits: Mask, judged: LabelledImages) -> list[float]:
    """Mean recall over the cells, one value for each seed."""
    cells = [hits[:, judged.labels == cell].mean(1) for cell in np.unique(judged.labels)]
    return [float(each) for each in np.mean(cells, axis=0)]


def _overall(arm: Mask, comparator: Mask, test: LabelledImages) -> dict[str, Any]:
    """The difference in balanced accuracy over all test images."""
    difference = effects(arm.astype(float) - comparator, test.labels, test.groups)
    low, high = difference.interval()
    return {"difference": difference.value, "low": low, "high": high, "test": len(test)}
