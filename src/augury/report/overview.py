"""The pictures of the first screen: real images above synthetic ones of the same classes, and the worst class."""

from __future__ import annotations

from typing import Any

import numpy as np

from augury.images import Codes
from augury.report.facts import Facts
from augury.report.pictures import Strip, StripInput, strips
from augury.report.wording import percent
from augury.sentences import spoken

BYTES = 600_000
"""Most bytes of these pictures."""
EACH = 8


def section(facts: Facts) -> dict[str, Any]:
    """The strips by name, `rejected`: whether the synthetic images shown were rejected, `worst` in words, and `each`."""
    accepted = facts.synthetic.accepted
    rejected = not accepted.any()
    chosen = _of_each_class(facts, np.ones(len(accepted), bool) if rejected else accepted)
    real = _like(facts, facts.synthetic.labels[chosen])
    noun = "rejected synthetic" if rejected else "synthetic"
    inputs: list[StripInput] = [
        (facts.train.images[real], f"{len(real)} real training images, of the same classes as the synthetic ones"),
        (facts.synthetic.images[chosen], f"{len(chosen)} {noun} images"),
    ]
    worst = facts.verdict.worst("arm")
    if worst is not None and worst["name"] in facts.train.classes:
        label = facts.train.classes.index(worst["name"])
        mine = np.flatnonzero(accepted & (facts.synthetic.labels == label))[:EACH]
        shown = np.flatnonzero(facts.train.labels == label)[:EACH]
        inputs += [
            (facts.train.images[shown], f"{len(shown)} real training images of {worst['name']}"),
            (facts.synthetic.images[mine], f"{len(mine)} synthetic images of {worst['name']}"),
        ]
    full = [i for i, (images, _) in enumerate(inputs) if len(images)]
    drawn: dict[int, Strip] = dict(zip(full, strips([inputs[i] for i in full], BYTES), strict=False))
    return {
        "real": drawn.get(0),
        "synthetic": drawn.get(1),
        "rejected": rejected,
        "worst": _worst(facts),
        "worst_real": drawn.get(2),
        "worst_synthetic": drawn.get(3),
        "each": EACH,
    }


def _worst(facts: Facts) -> str:
    """The class (cell) with the lowest recall, without and with the images, in words; "" where nothing was tested."""
    verdict = facts.verdict
    after, before = verdict.worst("arm"), verdict.worst("comparator")
    if after is None or before is None or verdict.outcome == "not tested":
        return ""
    kind, name = ("cell" if verdict.cells else "class"), spoken(after["name"])
    if after["name"] == before["name"]:
        return f"Worst {kind}: {name}, recall {percent(before['recall'])} without the {verdict.adds} and {percent(after['recall'])} with them."
    return (
        f"Worst {kind} with the {verdict.adds}: {name}, recall {percent(after['recall'])}. Without them: {spoken(before['name'])}, "
        f"{percent(before['recall'])}."
    )


def _of_each_class(facts: Facts, usable: Any) -> Codes:
    """int64 [<= EACH], synthetic images in turn from each class that has any."""
    rows = [np.flatnonzero(usable & (facts.synthetic.labels == c)) for c in range(len(facts.synthetic.classes))]
    rows = [each for each in rows if len(each)]
    rows = [rows[i] for i in np.linspace(0, len(rows) - 1, min(EACH, len(rows))).round().astype(int)] if rows else []
    turns = [each[turn] for turn in range(EACH) for each in rows if turn < len(each)]
    taken = np.array(turns[:EACH], np.int64)
    return taken[np.argsort(facts.synthetic.labels[taken], kind="stable")]


def _like(facts: Facts, labels: Codes) -> Codes:
    """int64 [N], the first train images of these classes in the same order; a class without any is left out."""
    rows: list[int] = []
    for label in np.unique(labels):
        mine = np.flatnonzero(facts.train.labels == label)
        rows += mine[: int((labels == label).sum())].tolist()
    return np.array(rows, np.int64)
