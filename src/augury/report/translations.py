"""The first picture of the page where a translator filled cells: source, translation, and the nearest real image."""

from __future__ import annotations

from typing import Any

from augury.images import UNNEEDED
from augury.report.facts import Facts
from augury.report.pictures import StripInput, strips

BYTES = 800_000
"""Most bytes of these pictures."""
MOST = 12
"""Most rows of the plan that are shown in pictures."""


def section(facts: Facts) -> dict[str, Any] | None:
    """The contents of the section; None for images drawn from noise."""
    plan = facts.generation.get("plan", ())
    if not plan and not facts.translations:
        return None
    reasons = dict.fromkeys(name for row in plan for name in row.get("rejected", {}))
    shown = facts.translations[:MOST]
    strip_inputs: list[StripInput] = []
    real = facts.train if facts.known is None else facts.known
    for each in shown:
        strip_inputs += [
            (real.images[each.sources], f"{len(each.rows)} train images of {each.source}"),
            (facts.synthetic.images[each.rows], f"their translations into {each.target}"),
            (real.images[each.neighbours], f"for each, the most similar real train image of {each.value}"),
        ]
    indices = [i for i, (images, _) in enumerate(strip_inputs) if len(images)]
    by_index = dict(zip(indices, strips([strip_inputs[i] for i in indices], BYTES), strict=False))
    cards = [
        (each, [by_index.get(3 * i + j) for j in range(3)]) for i, each in enumerate(shown) if 3 * i + 1 in by_index
    ]
    return {
        "cards": cards,
        "more": sum(bool(row["fills"]) for row in plan) - len(cards),
        "plan": plan,
        "reasons": sorted(reasons, key=lambda name: name == UNNEEDED),
        "kept": facts.generation.get("kept_classes"),
        "symmetric": any(not row["fills"] for row in plan),
    }
