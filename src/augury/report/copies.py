"""The near-duplicates of the data: how many there are, how they were handled, and what they look like."""

from __future__ import annotations

from typing import Any

from augury.report.facts import Facts
from augury.report.pictures import StripInput, strips

BYTES = 200_000
"""Most bytes of these pictures."""
CLUSTERS, EACH = 8, 4
"""Most clusters shown, and most images of each."""
POLICIES = {
    "refuse": "All copies of a picture are kept in one split; a given split that separates them would have been refused.",
    "drop": "All copies of a picture are kept in one split; where the given split separates them, copies in an earlier split were left out.",
}


def copies(facts: Facts) -> dict[str, Any] | None:
    """The contents of the section; None where near-duplicates are unknown, as in old runs."""
    near = facts.near
    if not near:
        return None
    clusters = near["clusters"]
    strip_inputs: list[StripInput] = [
        (images[:EACH], f"{len(names)} near-duplicates: {', '.join(names[:EACH])}")
        for images, names in zip(facts.near_images, clusters, strict=False)
    ]
    return {
        "looked": near["policy"] != "allow",
        "policy": POLICIES.get(near["policy"], ""),
        "mirrored": near["mirrored"],
        "clusters": len(clusters),
        "images": sum(map(len, clusters)),
        "left_out": len(near["left_out"]),
        "strips": strips(strip_inputs[:CLUSTERS], BYTES),
        "most": max((len(images[:EACH]) for images in facts.near_images), default=1),
    }
