"""Several recipes on the same data: quality, variety, usefulness, reconstruction, speed and size, in one table."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from augury import generation, training
from augury.data import draw_contact_sheet
from augury.errors import SettingsError
from augury.files import atomic_path, check_folder_name, read_json, read_lines, write_json
from augury.images import Codes, Images, LabelledImages
from augury.metrics import ScoreCard
from augury.pipeline.description import plan_facts
from augury.pipeline.inputs import Callbacks, first_run, same_source
from augury.pipeline.session import Session
from augury.pipeline.stages import advance, opened
from augury.provenance import tagged_png
from augury.randomness import rng
from augury.settings import RunSettings
from augury.training.recipes import RECIPES

RESTORED = 64
"""Held-out images that every generator reconstructs."""
SCORED = {
    "kid": "KID",
    "fd": "FD",
    "precision": "precision",
    "recall": "recall",
    "spread": "spread",
    "gan_train": "GAN-train",
}
"""Column -> score of the run's card."""
COLUMNS = {
    "…_real": "the same measure of real images",
    "kid": "kernel distance to real images, lower is better",
    "kid_lite0": "the same with lite0's features, beside those of the classifier; they flatter recipe projected",
    "fd": "Fréchet distance to real images, lower is better",
    "precision": "share of synthetic images in the support of real ones",
    "recall": "share of real images in the support of synthetic ones",
    "spread": "within-class variety relative to real images, 1 is equal",
    "gan_train": "balanced accuracy on validation of a classifier trained on synthetic images alone",
    "restored": "reconstruction error of held-out images, of 255, lower is better",
    "train_per_second": "training images per second",
    "draw_per_second": "generated images per second",
    "parameters": "parameters of the generator",
    "chosen_step": "training step of the generator used",
}


def compare(
    data: LabelledImages | str | os.PathLike[str] | None,
    folder: str | os.PathLike[str],
    recipes: tuple[str, ...],
    *,
    settings: RunSettings | None = None,
    callbacks: Callbacks | None = None,
    on_row: Callable[[dict[str, Any]], None] = lambda row: None,
) -> list[dict[str, Any]]:
    """Train each recipe in its own run folder, `folder`/RECIPE, and measure it.

    A second call resumes. A budget is converted to steps for all recipes before the first is trained. Later load on the
    machine therefore changes nothing. Where a recipe trains on pretrained features, all recipes are measured with the run's own
    classifier, which has the same weights in every run. Also writes comparison.json (the table) and comparison.png (pictures).

    Parameters
    ----------
    data
        Images or a path that `augury.load` reads. None: the data that the folder was created from, else the embedded sample.
    folder
        Folder for the run folders.
    recipes
        Names of recipes, at least one.
    settings
        Settings of every run; `train.recipe` is replaced.
    callbacks
        Receive the progress.
    on_row
        Called with each row as soon as it is measured.

    Returns
    -------
    One row for each recipe; COLUMNS describes the columns.

    Raises
    ------
    SettingsError before any training, for an unknown recipe and for settings that one of the recipes cannot use.
    """
    unknown = [name for name in recipes if name not in RECIPES]
    if unknown or not recipes:
        problem = f"no recipe '{unknown[0]}'" if unknown else "nothing to compare"
        raise SettingsError(f"there is {problem}; choose among: {', '.join(RECIPES)}")
    chosen, root = settings or RunSettings(), Path(folder)
    if chosen.train.unconditional:
        raise SettingsError(
            "compare measures each class, but an unconditional generator has none; leave that setting out"
        )
    check_folder_name(root)
    rows: list[dict[str, Any]] = []
    pictures: dict[str, Images] = {}
    each = {
        name: chosen.model_copy(update={"train": chosen.train.model_copy(update={"recipe": name})}) for name in recipes
    }
    data = same_source(data, first_run(root / name for name in RECIPES))
    flattering: set[str] = set()
    with opened(data, root / recipes[0], settings=each[recipes[0]], callbacks=callbacks) as session:
        for mine in each.values():
            name, rule = training.resolve_recipe(session.data, mine.train, session.device)
            if training.translates(rule):
                raise SettingsError(
                    f"the recipe {name} does not generate from noise, and compare measures generated images; leave it out"
                )
            flattering |= {training.feature_network(rule)} - {""}
    if flattering:  # measure all recipes with features that favour none
        features = ",".join(dict.fromkeys(["classifier", *chosen.score.features.split(","), *sorted(flattering)]))
        score = chosen.score.model_copy(update={"features": features})
        each = {name: mine.model_copy(update={"score": score}) for name, mine in each.items()}
    for name, mine in each.items():
        with opened(
            data, root / name, settings=mine, callbacks=replace(callbacks or Callbacks(), plan=None)
        ) as session:
            advance(session, "classify")
            session.planned()
    for name, mine in each.items():
        with opened(data, root / name, settings=mine, callbacks=callbacks) as session:
            session.features = root / "features"
            advance(session, "score")
            rows.append(_measured(session, name))
            pictures.setdefault("real", _first_of_classes(session.splits["train"]))
            pictures[name] = session.synthesizer.sample(_row(session), seed=chosen.seed).images
        on_row(rows[-1])
        write_json(root / "comparison.json", {"columns": COLUMNS, "rows": rows})
        with atomic_path(root / "comparison.png") as temporary:
            sheet = draw_contact_sheet(pictures)
            temporary.write_bytes(tagged_png(sheet, {"recipes": list(pictures)[1:]}, composite=True))
    return rows


def _measured(session: Session, name: str) -> dict[str, Any]:
    """One row; it is stored in the run folder and read from there while the images stay the same."""
    file, synthesizer = session.run / "comparison.json", session.synthesizer
    stored = read_json(file) if file.exists() else {}
    key = {"synthesizer": synthesizer.fingerprint, "score": session.run.key("score")}
    if {name: stored.get(name) for name in key} == key:
        row: dict[str, Any] = stored["row"]
        return row
    card = ScoreCard.from_dict(session.run.read("scores"))
    main = next(s for s in card.scores if s.name.startswith("KID-") and not s.group).features
    by_name = {s.name.removesuffix(f"-{main.partition('@')[0]}"): s for s in card.scores if not s.group}
    scores = {column: by_name[name] for column, name in SCORED.items() if name in by_name}
    if "KID-lite0" in (other := {s.name: s for s in card.scores if not s.group}) and not main.startswith("lite0"):
        scores["kid_lite0"] = other["KID-lite0"]
    log, plan = read_lines(session.run / "train" / "log.jsonl"), plan_facts(session)
    critic_steps = session.planned().rule.critic_steps
    row = {
        "recipe": name,
        "steps": plan["steps"],
        **{column: score.value for column, score in scores.items()},
        **{f"{column}_real": score.baseline for column, score in scores.items()},
        "features": main,
        "restored": _restored(session),
        "train_per_second": (plan["images_per_second"] or median(r["images_per_second"] for r in log)) * critic_steps,
        "draw_per_second": _drawing_rate(session),
        "parameters": sum(p.numel() for p in synthesizer.generator.parameters()),
        "chosen_step": synthesizer.card.steps,
    }
    write_json(file, key | {"row": row})
    return row


def _restored(session: Session) -> float:
    """Mean reconstruction error of held-out images."""
    held = session.splits["validation"]
    chosen = held.take(rng(session.settings.seed, "restore").permutation(len(held))[:RESTORED])
    conditions = chosen.conditions(session.settings.train.condition)
    return float(generation.invert(session.synthesizer, chosen.images, conditions)[1].mean())


def _drawing_rate(session: Session, images: int = 256) -> float:
    labels = np.repeat(_row(session), images // 16, axis=0)
    session.synthesizer.sample(labels[:32])
    start = time.perf_counter()
    session.synthesizer.sample(labels)
    return round(images / (time.perf_counter() - start), 1)


def _row(session: Session) -> Codes:
    """Conditions of sixteen train images, spread over the classes."""
    train = session.splits["train"]
    return train.conditions(session.settings.train.condition)[_shown_rows(train)]


def _shown_rows(train: LabelledImages) -> Codes:
    present = np.flatnonzero(train.counts)
    classes = present[np.arange(16) * len(present) // 16]
    return np.array([np.flatnonzero(train.labels == c)[i % train.counts[c]] for i, c in enumerate(classes)], np.int64)


def _first_of_classes(train: LabelledImages) -> Images:
    return np.asarray(train.images[_shown_rows(train)])
