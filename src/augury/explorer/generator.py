"""The page `generator`: draw, truncate, interpolate and mix images, or translate an image."""

from __future__ import annotations

from typing import Any

import numpy as np

from augury.errors import DataError, RunFolderError, SettingsError
from augury.explorer.photographs import SECONDS
from augury.explorer.pictures import data_uris, tag_of
from augury.explorer.queries import Query, cell, integer, number
from augury.explorer.uploads import Reading, changes, decoded
from augury.explorer.view import RunView
from augury.images import Codes, Images
from augury.networks import KEEP
from augury.training import Synthesizer
from augury.training.protocols import Flow, Styled

SHEET = 24
"""Images of a sheet."""
FRAMES, ROWS, COLUMNS = 9, 4, 5
"""Frames of a walk, and the size of the mixing table."""
MOST_SEED = 2**31 - 1
SOURCES = 12
"""Real images offered for translation."""


def page(view: RunView) -> dict[str, Any]:
    """The variables of the page: what this generator can do, or `problem` in words."""
    try:
        synthesizer = view.synthesizer
    except RunFolderError as error:
        return {"problem": str(error)}
    return {
        "problem": "",
        "columns": synthesizer.card.columns,
        "recipe": synthesizer.card.recipe,
        "steps": synthesizer.card.steps,
        "size": "×".join(map(str, synthesizer.card.shape[1:])),
        "translates": synthesizer.translates,
        "moves": not synthesizer.translates and not synthesizer.prompted,
        "edits": not isinstance(synthesizer.generator, Flow),
        "mixes": isinstance(synthesizer.generator, Styled),
        "sheet": 1 if synthesizer.prompted else SHEET,
        "sources": _sources(view) if synthesizer.translates else [],
        "frames": FRAMES,
        "most_seed": MOST_SEED,
        "search_seconds": SECONDS,
        "accept": Reading.of(view.run).accept,
    }


def draw(view: RunView, query: Query) -> dict[str, Any]:
    """A sheet of images of one cell: `cell`, `seed`, `start`, `truncation`."""
    synthesizer = view.synthesizer
    cells = [cell(query, "cell")] * (1 if synthesizer.prompted else SHEET)
    seed, start = (integer(query, name, 0, MOST_SEED) for name in ("seed", "start"))
    with view.drawing:
        if synthesizer.prompted:
            images = synthesizer.sample(cells, seed=seed, start=start).images
        else:
            truncation = number(query, "truncation", 1.0, -2.0, 2.0)
            images = synthesizer.truncate(cells, [truncation], seed=seed, start=start)[:, 0]
    return {"images": data_uris(images, tag_of(synthesizer))}


def walk(view: RunView, query: Query) -> dict[str, Any]:
    """The frames from one image to another: `cell`, `seed`, `index`, and the same of the other end with `to_`."""
    ends = [cell(query, "cell"), cell(query, "to_cell")]
    seeds = [integer(query, name, 0, MOST_SEED) for name in ("seed", "to_seed")]
    indices = [integer(query, name, 0, MOST_SEED) for name in ("index", "to_index")]
    with view.drawing:
        synthesizer = view.synthesizer
        images = synthesizer.interpolate(ends, seed=seeds, indices=indices, frames=FRAMES)
    return {"images": data_uris(images, tag_of(synthesizer))}


def mix(view: RunView, query: Query) -> dict[str, Any]:
    """The mixing table: `cell` of the rows and `to_cell` of the columns, `seed`, and `layers` taken from the columns."""
    own, other = [cell(query, "cell")] * ROWS, [cell(query, "to_cell")] * COLUMNS
    seed, layers = integer(query, "seed", 0, MOST_SEED), query.get("layers", "coarse")
    with view.drawing:
        synthesizer = view.synthesizer
        table = synthesizer.mix(own, other, layers=layers, seed=seed)
        ends = synthesizer.sample([*own, *other], seed=seed).images
    tag = tag_of(synthesizer)
    return {
        "rows": data_uris(ends[:ROWS], tag),
        "columns": data_uris(ends[ROWS:], tag),
        "table": [data_uris(row, tag) for row in table],
    }


def translate(view: RunView, query: Query, upload: bytes) -> dict[str, Any]:
    """Translate an uploaded image (`name`) or, without one, the real image `source`; `cell` is the change, -1 to keep a value."""
    synthesizer = view.synthesizer
    change = np.array([cell(query, "cell")], np.int64)
    if (change == KEEP).all():
        raise SettingsError("no change is chosen; choose the value to reach for at least one attribute")
    image, notes = _source(view, synthesizer, query, upload)
    with view.drawing:
        translated = synthesizer.translate(image, change, seed=integer(query, "seed", 0, MOST_SEED))
    return {"images": data_uris(image) + data_uris(translated, tag_of(synthesizer)), "notes": notes}


def _source(view: RunView, synthesizer: Synthesizer, query: Query, upload: bytes) -> tuple[Images, tuple[str, ...]]:
    """The image to translate, and what was done to an uploaded one."""
    if upload:
        reading, shape = Reading.of(view.run), synthesizer.card.shape
        return decoded(upload, query.get("name", ""), shape, reading), changes(upload, shape, reading)
    if "source" not in query:
        raise DataError("no image is given; choose one of the real images, or a file")
    images = view.splits["train"].images
    position = integer(query, "source", 0, len(images) - 1)
    return np.ascontiguousarray(images[[position]]), ()


def _sources(view: RunView) -> list[dict[str, Any]]:
    """Real images of the run to translate, the classes in turn; [] where the data cannot be read again."""
    try:
        train = view.splits["train"]
    except (RunFolderError, DataError):
        return []
    rows = _in_turn(train.labels)[:SOURCES]
    return [
        {"position": int(row), "class": train.classes[train.labels[row]], "uri": uri}
        for row, uri in zip(rows, data_uris(train.images[rows]), strict=True)
    ]


def _in_turn(labels: Codes) -> Codes:
    """Positions with the first of each class before the second of any."""
    turn = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        turn[own] = np.arange(len(own))
    return np.lexsort((labels, turn))
