"""`--recipe auto`: candidate recipes train for a short time each, and the lowest kernel distance on validation decides."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np

from augury import metrics, training
from augury.errors import SettingsError, TrainingError
from augury.files import digest, read_json, write_json
from augury.networks import lite0_installed
from augury.pipeline.preflight import check_recipe
from augury.pipeline.progress import spoken
from augury.pipeline.session import Session
from augury.settings import TrainSettings
from augury.training.recipes import CANDIDATES

SHARE = 0.1
"""Share of the training time that the contest takes at most."""
LEAST = 60.0
"""Fewest seconds of training for each candidate. With less time there is no contest: the fastest starter would win it."""
FEWEST = 50
"""Fewest validation images of a contest."""
PATIENCE = 2.0
"""Seconds of the measurement of speed."""
MONITORED = 64
"""Longer side in px of the images in the monitor's second kernel distance; a twelfth of the time of the usual 224 px."""


def monitor(session: Session, plan: training.Plan) -> metrics.Monitor:
    """What measures a generator on the validation split while it trains.

    The features of the run's classifier select the generator. Those that a discriminator was trained on would flatter it; they
    are measured beside them.

    Parameters
    ----------
    session
        A session whose stage classify is done.
    plan
        The training plan.
    """
    train, images = session.splits["train"], session.generator_images
    watched, held = train, training.drop_labels(plan, session.splits["validation"])
    if session.target is not None:  # the monitor watches translations into the target
        watched = held = images.take(np.arange(len(train), len(images)))
    beside = metrics.lite0(session.device, longest=MONITORED) if training.feature_network(plan.rule) else None
    return metrics.Monitor(
        session.own_features(),
        training.drop_labels(plan, watched),
        held,
        held.conditions(plan.condition),
        seed=session.settings.seed,
        beside=beside,
    )


def hold_contest(session: Session) -> None:
    """Choose the recipe of a run with `--recipe auto`, unless that is done, and store it as train/contest.json.

    The candidates share a tenth of the training time equally. Each trains for its share, and the kernel distance of its
    generator to the validation images decides, measured with the features of the run's classifier. Another recipe than the
    suitable one is chosen only if its distance is lower by more than the standard error of the difference. The rest of the
    time trains the chosen recipe from new weights. There is no contest where a setting belongs to a certain recipe
    (`TrainSettings.contested`), where the time is too short, or with fewer than 50 validation images.

    Parameters
    ----------
    session
        A session whose stage classify is done.
    """
    few = len(session.splits["validation"]) < FEWEST or session.target is not None
    if few or not session.settings.train.contested or session.contest is not None:
        return
    folder, inputs = session.run / "train", digest(session.inputs("train"))
    seconds = _training_seconds(session)
    names = _candidates(session)
    each = SHARE * seconds / len(names)
    if each < LEAST or len(names) < 2:
        return
    session.callbacks.note(
        f"Contest of {len(names)} recipes: {', '.join(names)}. Each trains for about {spoken(each)}; then the best one on validation "
        "trains for the rest of the time. --recipe chooses one without a contest"
    )
    rows: list[dict[str, Any]] = []
    for number, name in enumerate(names):
        session.callbacks.amount("recipes", number, len(names))
        try:
            rows.append(_row(session, name, each))
        except TrainingError as error:
            session.callbacks.note(f"Recipe {name} is left out: {error}")
    session.callbacks.amount("recipes", len(names), len(names))
    if not rows:
        return
    winner = chosen(rows)
    distances = ", ".join(f"{row['recipe']} {row['kid']:.4f} ± {row['kid_error']:.4f}" for row in rows)
    write_json(
        folder / "contest.json",
        {"inputs": inputs, "recipe": winner, "budget": (1 - SHARE) * seconds, "distances": distances, "rows": rows},
    )
    shutil.rmtree(folder / "contest", ignore_errors=True)
    session.forget("contest")
    session.callbacks.note(f"Kernel distance on validation: {distances}. Recipe {winner} is trained")


def chosen(rows: list[dict[str, Any]]) -> str:
    """The recipe that a contest chooses.

    Parameters
    ----------
    rows
        A dict for each candidate, the suitable recipe first: "recipe", "kid" and its standard error "kid_error".

    Returns
    -------
    The first candidate, unless another has a kernel distance that is lower by more than the standard error of the
    difference; of several, the one with the lowest distance.
    """
    first = rows[0]
    better = [row for row in rows[1:] if first["kid"] - row["kid"] > np.hypot(first["kid_error"], row["kid_error"])]
    return str(min(better, key=lambda row: row["kid"], default=first)["recipe"])


def _training_seconds(session: Session) -> float:
    """The time of the training: the budget, or that of the default steps of the suitable recipe."""
    settings = session.settings.train
    if settings.budget is not None:
        return settings.budget
    plan, step, _ = training.step_seconds(
        session.generator_images, settings, device=session.device, flips=session.flips, patience=PATIENCE
    )
    return plan.steps * step


def _candidates(session: Session) -> list[str]:
    """The recipes that these images and settings allow, the suitable one first."""
    settings = session.settings.train
    suitable, _ = training.resolve_recipe(session.generator_images, settings, session.device)
    names = [suitable]
    for name in CANDIDATES:
        if name == suitable or (name == "projected" and not lite0_installed()):
            continue
        try:
            recipe = training.resolve_recipe(session.foreseen, _with_recipe(settings, name), session.device)
            check_recipe(session, *recipe, {"prove"})
        except SettingsError:  # an arm, a filter or a start that this recipe does not have
            continue
        names.append(name)
    return names


def _with_recipe(settings: TrainSettings, name: str, budget: float | None = None) -> TrainSettings:
    return settings.model_copy(update={"recipe": name, "budget": budget})


def _row(session: Session, name: str, seconds: float) -> dict[str, Any]:
    """Train a candidate for a time, and measure it. Plan, checkpoints and result are stored, so that a killed contest resumes."""
    folder = session.run / "train" / "contest" / name
    settings = _with_recipe(session.settings.train, name, seconds)
    inputs = digest([session.inputs("train"), name, seconds])
    file = folder / "contest.json"
    stored = read_json(file) if file.exists() else {}
    if stored.get("inputs") != inputs:
        shutil.rmtree(folder, ignore_errors=True)
        plan = training.make_plan(
            session.generator_images, settings, seed=session.settings.seed, device=session.device, flips=session.flips
        )
        stored = {"inputs": inputs, "plan": plan.as_dict()}
        write_json(file, stored)
    if "row" not in stored:
        plan = training.Plan.from_dict(stored["plan"])
        synthesizer = training.train_plan(plan, session.generator_images, folder)
        measures = monitor(session, plan)(synthesizer)
        if "kid" not in measures:
            raise TrainingError("its images have no finite kernel distance to the validation images")
        row = {"recipe": name, "steps": plan.steps, **{key: measures[key] for key in ("kid", "kid_error")}}
        stored |= {"row": row}
        write_json(file, stored)
    result: dict[str, Any] = stored["row"]
    return result
