"""The pictures of the first screen: real images above synthetic ones, or sources above translations, and the worst class."""

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
REAL = ("real", "source", "similar, real")
"""Labels of rows of real images."""


def section(facts: Facts) -> dict[str, Any]:
    """The `rows` (label, whether real, strip), `worst` in words, its strips, and `each`, the number of images in a row."""
    accepted = facts.synthetic.accepted
    labels, inputs = _translated(facts) or _drawn(facts)
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
        "rows": [(label, label in REAL, drawn.get(i)) for i, label in enumerate(labels)],
        "worst": _worst(facts),
        "worst_real": drawn.get(len(labels)),
        "worst_synthetic": drawn.get(len(labels) + 1),
        "each": EACH,
    }


def _translated(facts: Facts) -> tuple[list[str], list[StripInput]] | None:
    """Sources, translations and real neighbours of the first cell that was filled; None for images from noise.

    Translations that keep the class go first, because their change is easier to see.
    """
    real = facts.train if facts.known is None else facts.known
    filled = [each for each in facts.translations if each.accepted and len(each.rows)]
    if not filled:
        return None
    shown = min(filled, key=lambda each: real.labels[each.sources[0]] != facts.synthetic.labels[each.rows[0]])
    return ["source", "translation", "similar, real"], [
        (real.images[shown.sources[:EACH]], f"train images of {shown.source}"),
        (facts.synthetic.images[shown.rows[:EACH]], f"their translations into {shown.target}"),
        (real.images[shown.neighbours[:EACH]], f"for each, the most similar real train image of {shown.value}"),
    ]


def _drawn(facts: Facts) -> tuple[list[str], list[StripInput]]:
    """Real images, and accepted synthetic images of the same classes; rejected ones where none was accepted."""
    accepted = facts.synthetic.accepted
    kind = "synthetic" if accepted.any() else "rejected"
    chosen = _of_each_class(facts, accepted if accepted.any() else np.ones(len(accepted), bool))
    real = _like(facts, facts.synthetic.labels[chosen])
    return ["real", kind], [
        (facts.train.images[real], f"{len(real)} real training images, of the same classes as the synthetic ones"),
        (facts.synthetic.images[chosen], f"{len(chosen)} {kind.replace('rejected', 'rejected synthetic')} images"),
    ]


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
