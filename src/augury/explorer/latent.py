"""The latent space on the page `generator`: edits along directions, of drawn images and of photographs that are inverted."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from augury.errors import DataError, RunFolderError, SettingsError
from augury.explorer.photographs import Pace, Photograph
from augury.explorer.pictures import data_uri, tag_of
from augury.explorer.queries import Query, cell, integer, number
from augury.explorer.uploads import Reading, changes, decoded
from augury.explorer.view import RunView
from augury.generation import Direction, Projection, edit
from augury.metrics.own import FILE
from augury.pipeline.latent_runs import Photos, invert_photos
from augury.training import LatentImages, LatentSpace, Synthesizer
from augury.training.protocols import Flow

STEPS = 300
"""Updates of a search, as of `augury latent invert`."""
FARTHEST, MOST_SEED = 3.0, 2**31 - 1
"""Steps to either end of a slider, unless two values lie further apart; and the largest seed."""
RATINGS = {
    "close": "Close: edits show this photograph.",
    "similar": "Similar, with details lost.",
    "failed": "Failed: the generator cannot draw this photograph, so edits show another image.",
}
"""What the rating of an inversion means."""
REMEDY = "Crop the photograph like the training images, or train longer."
CLOSER = "Crop the photograph like the training images, choose a style for each layer, or train longer."


def directions(view: RunView) -> dict[str, Any]:
    """The sliders: name, label and ends of each direction. Directions of labels come first, as their meaning is known."""
    rows = sorted(view.directions.entries, key=lambda direction: (direction.gap is None, direction.source))
    return {"directions": [_slider(direction) for direction in rows], "skipped": dict(view.directions.skipped)}


def edited(view: RunView, query: Query) -> dict[str, Any]:
    """An image before and after `edits`, both with `truncation`: that of `photo`, or that of `cell`, `seed` and `index`."""
    synthesizer, moves = view.synthesizer, _moves(query)
    truncation = number(query, "truncation", 1.0, -2.0, 2.0)
    known = view.directions if moves else None
    with view.drawing:
        space = LatentSpace(synthesizer)
        points = _points(view, space, query)
        if known is not None:
            pair = edit(synthesizer, known, moves, points, frames=2, truncation=truncation)[0]
        else:
            pair = space.images(space.truncated(points, truncation)).repeat(2, axis=0)
    tag = tag_of(synthesizer) | {"truncation": truncation}
    return {"images": [data_uri(pair[0], tag), data_uri(pair[1], tag | {"edits": moves})]}


def invert(view: RunView, query: Query, upload: bytes) -> dict[str, Any]:
    """Begin the inversion of an uploaded photograph (`name`), end that of `replaces`; `space` is w or w+, `cell` the class."""
    synthesizer = view.synthesizer
    space = LatentSpace(synthesizer)  # raises for what has none, before any work
    if isinstance(synthesizer.generator, Flow):
        raise SettingsError(
            "the noise of a flow is the image itself, so a photograph has no point to edit; train with recipe stylegan"
        )
    if not upload:
        raise DataError("no photograph is given; choose a file")
    name, reading = query.get("name", ""), Reading.of(view.run)
    image = decoded(upload, name, synthesizer.card.shape, reading)
    photo = Photograph(name, image, changes(upload, synthesizer.card.shape, reading), synthesizer.fingerprint)
    named = {} if space.name == "w" else _names(synthesizer, cell(query, "cell"))
    chosen = query.get("space") or None
    features = "classifier" if (view.run / FILE).exists() else "auto"  # those of lite0 take several times as long
    view.photographs.stop(query.get("replaces", ""))

    def search(pace: Pace) -> Projection:
        return invert_photos(
            view.run,
            synthesizer,
            Photos(image, (name,), ()),
            space=chosen,
            features=features,
            steps=STEPS,
            pace=pace,
            **named,
        )

    return {"photo": view.photographs.begin(photo, search)}


def inverted(view: RunView, query: Query) -> dict[str, Any]:
    """How far the inversion of `photo` is, and its result."""
    photo = view.photographs[query.get("photo", "")]
    facts: dict[str, Any] = {
        "state": photo.state, "share": photo.share, "name": photo.name, "notes": photo.notes, "problem": photo.problem,
        "original": data_uri(photo.image[0]),
    }  # fmt: skip
    if photo.projection is None:
        return facts
    rating = photo.projection.ratings[0]
    wide = photo.projection.points.latents.ndim == 3
    closer = LatentSpace(view.synthesizer).name == "w" and not wide
    remedy = (CLOSER if closer else REMEDY) if rating == "failed" else ""
    return facts | {
        "rating": rating,
        "sentence": RATINGS[rating],
        "remedy": remedy,
        "measure": f"{photo.projection.measures[0]}; {photo.seconds:.0f} s.",
    }


def _slider(direction: Direction) -> dict[str, Any]:
    far = max(FARTHEST, float(np.ceil(abs(direction.gap or 0.0))))
    attribute, _, value = direction.name.partition(".")
    attribute = "class" if attribute == "label" else attribute
    if direction.values:
        label = f"{attribute}: {direction.values[0]} → {direction.values[1]}"
    elif value:
        label = f"{attribute} → {value}"
    else:
        label = f"{direction.name} ({100 * direction.share:.0f} %)"
    return {"name": direction.name, "label": label, "far": far, "known": direction.gap is not None}


def _moves(query: Query) -> dict[str, float]:
    """Direction -> steps, from JSON; `edit` checks names and range."""
    try:
        moves = json.loads(query.get("edits", "") or "{}")
    except ValueError:
        moves = None
    if not isinstance(moves, dict) or not all(
        isinstance(steps, int | float) and not isinstance(steps, bool) for steps in moves.values()
    ):
        raise SettingsError('edits are a JSON object of directions and steps, as {"pca0": 1.5}')
    return {name: float(steps) for name, steps in moves.items()}


def _points(view: RunView, space: LatentSpace, query: Query) -> LatentImages:
    """The point of the photograph `photo`, or of a drawn image."""
    if key := query.get("photo", ""):
        photo = view.photographs[key]
        if photo.projection is None:
            raise DataError(f"{photo.name}: {photo.problem or 'the photograph is still being inverted'}")
        if photo.synthesizer != space.synthesizer.fingerprint:
            raise RunFolderError("the generator was trained again since; choose the photograph again")
        return photo.projection.points
    conditions = space.synthesizer.card.conditions([cell(query, "cell")])
    seed, index = (integer(query, name, 0, MOST_SEED) for name in ("seed", "index"))
    return space.drawn(conditions, np.array([index], np.int64), seed)


def _names(synthesizer: Synthesizer, codes: list[int]) -> dict[str, Any]:
    """Class and attribute values of codes, by name."""
    card = synthesizer.card
    values = [of[code] for (_, of), code in zip(card.columns, card.conditions([codes])[0].tolist(), strict=True)]
    return {"label": values[0], "attributes": dict(zip(card.condition_names, values[1:], strict=True))}
