"""The page `review`: synthetic images beside the nearest real ones, to keep or reject them by hand."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from augury import generation
from augury.errors import AuguryError, RunFolderError, SettingsError
from augury.explorer.pictures import data_uri, data_uris
from augury.explorer.queries import Query
from augury.explorer.view import RunView
from augury.images import Codes, SyntheticImages
from augury.pipeline import scorecard

EACH = 24
"""Images of a page."""
NEIGHBOURS = 3
SHOWN = {
    "accepted": "accepted",
    "rejected": "rejected",
    "by hand": "decided by hand",
    "open": "accepted, not yet reviewed",
    "all": "all images",
}
WAIT = 3.0
"""Seconds to wait for another reviewer who stores a decision in the same moment."""


def page(view: RunView, query: Query) -> dict[str, Any]:
    """The variables of the page: the chosen images with their state, scores and neighbours, or `problem` in words."""
    try:
        rows, synthetic = generation.read_rows(_folder(view)), view.synthetic
    except RunFolderError as error:
        return {"problem": str(error)}
    chosen = {
        "class": _choice(query, "class", ("", *synthetic.classes)),
        "show": _choice(query, "show", tuple(SHOWN)),
        "order": _choice(
            query, "order", ("", *(f"{name} {way}" for name in synthetic.scores for way in ("low", "high")))
        ),
    }
    positions = _selected(synthetic, rows, chosen)
    pages = max(1, -(-len(positions) // EACH))
    number = min(int(query["page"]), pages) if query.get("page", "").isdecimal() and int(query["page"]) else 1
    own = positions[(number - 1) * EACH : number * EACH]
    neighbours, note = _neighbours(view, synthetic, own)
    tag = {"synthesizer": synthetic.synthesizer}
    values = dict(view.synthesizer.card.columns) if synthetic.condition_names else {}
    cards = [
        _card(rows[at], int(at), uri, values) | {"near": near}
        for at, uri, near in zip(own, data_uris(synthetic.images[own], tag), neighbours, strict=True)
    ]
    return {
        "problem": "", "cards": cards, "note": note, "classes": synthetic.classes, "shown": SHOWN, "scores": list(synthetic.scores),
        "chosen": chosen, "number": number, "pages": pages, "total": len(positions), "counts": counts(rows),
        "filters": view.stored("generation").get("filters", {}), "k": NEIGHBOURS,
    }  # fmt: skip


def state(view: RunView) -> dict[str, Any]:
    """What the page asks for again and again: the counts, and the decisions by position."""
    rows = generation.read_rows(_folder(view))
    return {"counts": counts(rows), "decisions": generation.decisions(rows)}


def decide(view: RunView, sent: Any) -> dict[str, Any]:
    """Store one decision: {position, decision, seen, image}. `stored` is false where someone else has decided before."""
    if not isinstance(sent, dict):
        raise SettingsError("a decision is a JSON object with position, decision, seen and image")
    position = sent.get("position")
    if not isinstance(position, int) or isinstance(position, bool):
        raise SettingsError(f"the position is {position!r}; give the row of the image in the manifest")
    choice, seen, image = (str(sent.get(name, "")) for name in ("decision", "seen", "image"))
    until = time.monotonic() + WAIT
    with view.reviewing:
        while True:
            try:
                with view.run.held():
                    answer = generation.decide(_folder(view), position, choice, seen=seen, image=image)
                break
            except RunFolderError as error:
                if "another augury" not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(0.05)
        rows = generation.read_rows(_folder(view))
    return {"stored": answer.stored, "counts": counts(rows), **_state(answer.row)}


def counts(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many images there are, are accepted, and were decided by hand."""
    by_hand = generation.decisions(rows).values()
    return {
        "images": len(rows),
        "accepted": sum(bool(row["accepted"]) for row in rows),
        "kept by hand": sum(choice == "keep" for choice in by_hand),
        "rejected by hand": sum(choice == "reject" for choice in by_hand),
    }


def _folder(view: RunView) -> Any:
    folder = view.run / "synthetic"
    if not (folder / "manifest.jsonl").exists():
        _ = view.run.synthetic  # raises with the command that draws them
    return folder


def _choice(query: Query, name: str, allowed: tuple[str, ...]) -> str:
    value = query.get(name, allowed[0])
    if value not in allowed:
        raise SettingsError(f"{name} is {value!r}; choose among: {', '.join(each or 'nothing' for each in allowed)}")
    return value


def _selected(synthetic: SyntheticImages, rows: Sequence[Mapping[str, Any]], chosen: Mapping[str, str]) -> Codes:
    """Positions of the images of the chosen class and state, in the chosen order."""
    accepted = np.array([row["accepted"] for row in rows], bool)
    by_hand = np.array([bool(generation.decision(row)) for row in rows], bool)
    selected = {
        "all": np.ones(len(rows), bool), "accepted": accepted, "rejected": ~accepted, "by hand": by_hand, "open": accepted & ~by_hand,
    }[chosen["show"]]  # fmt: skip
    if chosen["class"]:
        selected = selected & (synthetic.labels == synthetic.classes.index(chosen["class"]))
    positions = np.flatnonzero(selected)
    if not chosen["order"]:
        return positions
    name, way = chosen["order"].rsplit(" ", 1)
    values = synthetic.scores[name][positions]
    return positions[np.argsort(values if way == "low" else -values, kind="stable")]


def _card(row: Mapping[str, Any], position: int, uri: str, values: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What is shown of one image; `values` are the values of each attribute."""
    attributes = {name: values[name][code] for name, code in row.get("attributes", {}).items()}
    return {
        "position": position, "uri": uri, "class": row["class"], "attributes": attributes, "scores": row["scores"],
        "image": generation.image_identity(row), "index": row["index"], "source": row.get("source_name", ""), **_state(row),
    }  # fmt: skip


def _state(row: Mapping[str, Any]) -> dict[str, Any]:
    filters = row.get("review", {}).get("filters", row["reason"])
    return {"decision": generation.decision(row), "accepted": row["accepted"], "filters": filters}


def _neighbours(view: RunView, synthetic: SyntheticImages, positions: Codes) -> tuple[list[list[dict[str, Any]]], str]:
    """For each image its nearest real train images with their distances; and a note where there are none."""
    empty: list[list[dict[str, Any]]] = [[] for _ in positions]
    if not len(positions):
        return empty, ""
    try:
        train = view.splits["train"]
    except AuguryError as error:
        return empty, f"The real images cannot be shown: {error}"
    rows, distances = scorecard.closest(synthetic.take(positions), train, pairs=len(positions), k=NEIGHBOURS)
    for (own, *real), apart in zip(rows.tolist(), distances.tolist(), strict=True):
        empty[own] = [
            {"uri": data_uri(train.images[at]), "class": train.classes[train.labels[at]], "distance": distance}
            for at, distance in zip(real, apart, strict=True)
        ]
    return empty, ""
