"""Several recipes on the same data: quality, variety, usefulness, reconstruction, speed and size, in one table."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from augury import generation, metrics, proof
from augury.data import contact_sheet
from augury.errors import SettingsError
from augury.files import atomic_path, read_json, read_lines, write_json
from augury.images import Codes, Images, LabelledImages
from augury.pipeline import Session, Watcher, opened
from augury.randomness import rng
from augury.recipes import RECIPES
from augury.settings import RunSettings

RESTORED = 64
"""Held-out images that every generator is asked to give back."""
COLUMNS = {
    "…_real": "the same measure of real images",
    "kid": "kernel distance to real images, less is better",
    "fd": "Fréchet distance to real images, less is better",
    "precision": "share of synthetic images where real ones are",
    "recall": "share of real images where synthetic ones are",
    "spread": "variety within classes against real images, 1 is as varied",
    "gan_train": "balanced accuracy on validation of a classifier taught on synthetic images alone",
    "restored": "error in giving back held-out images, of 255, less is better",
    "train_per_second": "images seen a second while training",
    "draw_per_second": "images drawn a second",
    "parameters": "of the generator",
    "chosen_step": "of training, whose generator is used",
}


def compare(
    data: LabelledImages | str | os.PathLike[str] | None,
    folder: str | os.PathLike[str],
    recipes: tuple[str, ...],
    *,
    settings: RunSettings | None = None,
    watch: Watcher | None = None,
    on_row: Callable[[dict[str, Any]], None] = lambda row: None,
) -> list[dict[str, Any]]:
    """Train each recipe in `folder`/RECIPE, a run folder like any other, and measure it; the table is also written to
    comparison.json, pictures to comparison.png. A second call goes on where the first stopped. A budget is turned into steps
    for all of them before the first is trained, so that what else the machine does later changes nothing.

    Raises SettingsError for an unknown recipe before anything is trained.
    """
    unknown = [name for name in recipes if name not in RECIPES]
    if unknown or not recipes:
        what = f"no recipe '{unknown[0]}'" if unknown else "nothing to compare"
        raise SettingsError(f"there is {what}; choose among: {', '.join(RECIPES)}")
    chosen, place = settings or RunSettings(), Path(folder)
    if chosen.train.unconditional:
        raise SettingsError(
            "compare measures each class, but an unconditional generator has none; leave that setting out"
        )
    rows: list[dict[str, Any]] = []
    pictures: dict[str, Images] = {}
    each = {
        name: chosen.model_copy(update={"train": chosen.train.model_copy(update={"recipe": name})}) for name in recipes
    }
    for name, mine in each.items():
        with opened(data, place / name, settings=mine, watch=watch) as session:
            session.until("classify")
            session.planned()
    for name, mine in each.items():
        with opened(data, place / name, settings=mine, watch=watch) as session:
            session.features = place / "features"
            session.until("score")
            rows.append(_measured(session, name))
            pictures.setdefault("real", _first_of_classes(session.parts["train"]))
            pictures[name] = session.synthesizer.sample(_row(session), seed=chosen.seed).images
        on_row(rows[-1])
        write_json(place / "comparison.json", {"columns": COLUMNS, "rows": rows})
        with atomic_path(place / "comparison.png") as temporary:
            contact_sheet(pictures).save(temporary, format="PNG")
    return rows


def _measured(session: Session, name: str) -> dict[str, Any]:
    """One row; what took time is kept in the run folder and read again if the images are the same."""
    file, synthesizer = session.run / "comparison.json", session.synthesizer
    kept = read_json(file) if file.exists() else {}
    if kept.get("synthesizer") == synthesizer.fingerprint:
        row: dict[str, Any] = kept["row"]
        return row
    scores = {s["name"].split("-")[0].lower(): s for s in session.run.read("scores")["scores"]}
    log, plan = read_lines(session.run / "train" / "log.jsonl"), session.plan()
    row = {
        "recipe": name,
        "steps": plan["steps"],
        "kid": scores["kid"]["value"],
        **{name: scores[name]["value"] for name in ("fd", "precision", "recall") if name in scores},
        **{f"{name}_real": score["baseline"] for name, score in scores.items()},
        "features": scores["kid"]["features"],
        **_usefulness(session),
        "restored": _restored(session),
        "train_per_second": plan["images_per_second"] or median(r["images_per_second"] for r in log),
        "draw_per_second": _drawing_rate(session),
        "parameters": sum(p.numel() for p in synthesizer.generator.parameters()),
        "chosen_step": synthesizer.card.steps,
    }
    write_json(file, {"synthesizer": synthesizer.fingerprint, "row": row})
    return row


def _usefulness(session: Session) -> dict[str, Any]:
    """Spread and GAN-train of as many images as the largest class has, in each class; GAN-train of the real images so too."""
    train, names = session.parts["train"], session.settings.train.condition
    picks = [np.resize(np.flatnonzero(train.labels == c), train.counts.max()) for c in np.flatnonzero(train.counts)]
    equal = train.take(np.concatenate(picks))
    drawn = session.synthesizer.sample(equal.conditions(names), seed=session.settings.seed + 2)
    made = LabelledImages(drawn.images, drawn.labels, train.classes, fingerprint=drawn.synthesizer)
    features = session.own_features()
    fake, real = (features.extract(images) for images in (made.images, train.images))
    return {
        "spread": metrics.relative_spread(fake, made.labels, real, train.labels),
        "gan_train": _taught(session, made),
        "gan_train_real": _taught(session, equal),
    }


def _taught(session: Session, images: LabelledImages) -> float:
    """Balanced accuracy on validation of the trial's classifier taught on these images alone."""
    prove, held = session.settings.prove, session.parts["validation"]
    lesson = proof.Lesson(steps=prove.steps, batch=prove.batch)
    model = proof.teach(images, lesson, seed=session.settings.seed, device=session.device)
    return float(proof.measures(held.labels, proof.probabilities(model, held.images))["balanced_accuracy"])


def _restored(session: Session) -> float:
    """Mean error in giving back held-out images."""
    held = session.parts["validation"]
    chosen = held.take(rng(session.settings.seed, "restore").permutation(len(held))[:RESTORED])
    conditions = chosen.conditions(session.settings.train.condition)
    return float(generation.invert(session.synthesizer, chosen.images, conditions)[1].mean())


def _drawing_rate(session: Session, images: int = 256) -> float:
    labels = np.repeat(_row(session), images // 16, axis=0)
    session.synthesizer.sample(labels[:32])
    begun = time.perf_counter()
    session.synthesizer.sample(labels)
    return round(images / (time.perf_counter() - begun), 1)


def _row(session: Session) -> Codes:
    """Sixteen conditions over the classes, as they occur among the train images."""
    train = session.parts["train"]
    return train.conditions(session.settings.train.condition)[_places(train)]


def _places(train: LabelledImages) -> Codes:
    present = np.flatnonzero(train.counts)
    wanted = present[np.arange(16) * len(present) // 16]
    return np.array([np.flatnonzero(train.labels == c)[i % train.counts[c]] for i, c in enumerate(wanted)], np.int64)


def _first_of_classes(train: LabelledImages) -> Images:
    return np.asarray(train.images[_places(train)])
