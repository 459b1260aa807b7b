"""What a run says about itself: its settings and plan as they were resolved, its command, and run.json."""

from __future__ import annotations

import shlex
from typing import Any

import torch

from augury.files import digest, read_json
from augury.pipeline.environment import machine, versions
from augury.pipeline.inputs import SAMPLE, changes, describe_data
from augury.pipeline.run_folder import FORMAT
from augury.pipeline.session import Session
from augury.settings import RunSettings


def resolved(session: Session) -> RunSettings:
    """The settings with recipe, steps, precision and device as the training plan has them, once training has a plan.

    A new run with these settings repeats this one on another machine too, and without measuring speed.
    """
    file, settings = session.run / "train" / "plan.json", session.settings
    if not file.exists() or "classify" not in session.run.state():
        return settings
    stored = read_json(file)
    if stored["inputs"] != digest(session.inputs("train")):  # the plan of earlier settings
        return settings
    plan = stored["plan"]
    length = {
        "recipe": plan["recipe"],
        "steps": plan["steps"] or None,
        "budget": None,
        "precision": plan["precision"],
    }
    return settings.model_copy(update={"device": plan["device"], "train": settings.train.model_copy(update=length)})


def plan_facts(session: Session) -> dict[str, Any]:
    """The training plan for the report, with the network and the step of the selected generator."""
    plan = read_json(session.run / "train" / "plan.json")["plan"]
    summary = {k: v for k, v in plan.items() if k not in ("rule", "start", "unconditional") or (k != "rule" and v)}
    if not plan["steps"]:  # a pretrained pipeline
        settings = plan["rule"]["settings"]
        return {"recipe": plan["recipe"], "device": plan["device"], "steps": 0} | {
            name: value for name, value in settings.items() if value and name not in ("columns", "values")
        }
    contest = {} if session.contest is None else {"kernel_distance_of_candidates": session.contest["distances"]}
    return summary | {"network": plan["rule"]["network"], "chosen_step": session.synthesizer.card.steps} | contest


def command(session: Session, settings: RunSettings | None = None, *more: str) -> str:
    """The command that reproduces the result, with steps instead of a budget.

    For a fold of a cross-validation, `settings` are those of the whole, and `more` are additional arguments.
    """
    settings, plan = settings or session.settings, plan_facts(session)
    source = [] if session.source == SAMPLE else [session.source]
    arguments = [
        "augury",
        "run",
        *source,
        "-o",
        "again",
        *more,
        "--seed",
        str(settings.seed),
        "--device",
        plan["device"],
    ]
    arguments += ["--recipe", plan["recipe"], *(["--steps", str(plan["steps"])] if plan["steps"] else [])]
    arguments += ["--precision", plan["precision"]]
    return shlex.join(arguments + changes(settings))


def describe(session: Session) -> dict[str, Any]:
    """The contents of run.json: format, versions, machine, settings and the data."""
    used = versions()
    return {
        "format": FORMAT,
        "version": used["augury"],
        "source": session.source,
        "settings": session.settings.model_dump(mode="json"),
        "time": session.time,
        "versions": used,
        "machine": {**machine(), "device": session.device.type, "threads": torch.get_num_threads()},
        "data": describe_data(session.data, session.splits),
    }
