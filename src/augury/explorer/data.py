"""The page `data`: images per class and split, what was skipped, near-duplicates, and the images themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from starlette.exceptions import HTTPException

from augury.data.decoding.skipped import next_step
from augury.errors import AuguryError, SettingsError
from augury.explorer.pictures import data_uris
from augury.explorer.queries import Query
from augury.explorer.view import RunView
from augury.images import SPLITS

EACH = 36
"""Images shown of a class."""
CLUSTERS = 50
"""Clusters of near-duplicates listed."""
UNREADABLE = 50
"""Unreadable files listed."""


def page(view: RunView, query: Query) -> dict[str, Any]:
    """The variables of the page."""
    metadata = view.run.metadata
    stored, near = metadata["data"], view.stored("near_duplicates")
    counts, classes, notes = stored["counts"], stored["classes"], stored.get("notes", {})
    chosen = query.get("class", classes[0]), query.get("split", SPLITS[0])
    if chosen[0] not in classes or chosen[1] not in SPLITS:
        raise SettingsError(
            f"there is no class {chosen[0]!r} or split {chosen[1]!r} in this run; choose another in the lists"
        )
    images, problem = _images(view, classes.index(chosen[0]), chosen[1])
    channels, height, width = stored["shape"]
    largest = max((sum(column[c] for column in counts.values()) for c in range(len(classes))), default=1)
    return {
        "n": stored["n"],
        "source": metadata["source"],
        "size": f"{width} × {height} px, {'grey' if channels == 1 else 'colour'}",
        "splits": list(counts),
        "rows": [(name, [column[c] for column in counts.values()]) for c, name in enumerate(classes)],
        "totals": [sum(column) for column in counts.values()],
        "largest": max(1, largest),
        "warnings": stored.get("warnings", []),
        "notes": {name: note for name, note in notes.items() if name not in ("skipped", "ignored")},
        "skipped": skipped(notes),
        "near": near,
        "clusters": near.get("clusters", [])[:CLUSTERS],
        "drawn": (view.run / "near_duplicates.png").exists(),
        "classes": classes,
        "all_splits": SPLITS,
        "chosen": chosen,
        "images": images,
        "problem": problem,
    }


def skipped(notes: Mapping[str, Any]) -> dict[str, Any]:
    """The files that were not used, from the notes on the data.

    {total, unreadable: numbers, files: [(name, reason)] of the first, others: [(what, number, next step)], most frequent first}
    """
    files, others = notes.get("skipped", []), notes.get("ignored", {})
    ranked = sorted(others.items(), key=lambda row: (-row[1], row[0]))
    return {
        "total": len(files) + sum(others.values()),
        "unreadable": len(files),
        "files": [(each["file"], each["reason"]) for each in files[:UNREADABLE]],
        "others": [(what, count, next_step(what)) for what, count in ranked],
    }


def near_duplicates(view: RunView) -> bytes:
    """The picture of the near-duplicates."""
    file = view.run / "near_duplicates.png"
    if not file.exists() or not file.resolve().is_relative_to(view.run.path.resolve()):
        raise HTTPException(404)
    return file.read_bytes()


def _images(view: RunView, label: int, split: str) -> tuple[list[tuple[str, str]], str]:
    """The first images of a class in a split, as (name, data URI), or why there are none."""
    try:
        images = view.splits[split]
    except AuguryError as error:
        return [], f"The images cannot be shown: {error}"
    rows = np.flatnonzero(images.labels == label)[:EACH]
    names = [images.names[row] if images.names else f"index {row}" for row in rows]
    return list(zip(names, data_uris(images.images[rows]), strict=True)), ""
