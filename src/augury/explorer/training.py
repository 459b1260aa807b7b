"""The page `training`: curves, samples and warnings, also while the training runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException

from augury.errors import AuguryError
from augury.explorer.view import RunView
from augury.files import read_lines
from augury.pipeline.progress import spoken
from augury.pipeline.stages import STAGES
from augury.report import charts
from augury.report.page import TITLES, TRAINING_CHARTS


def page(view: RunView) -> dict[str, Any]:
    """The variables of the page."""
    file = view.run / "train" / "log.jsonl"
    problem, log = "", []
    try:
        log = read_lines(file) if file.exists() else []
    except AuguryError as error:
        problem = str(error)
    plan = view.stored("train/plan").get("plan", {})
    drawn = [(title, charts.lines(log, columns, TITLES), said) for title, columns, said in TRAINING_CHARTS]
    last = log[-1] if log else {}
    card = view.stored("synthesizer/card")
    return {
        "problem": problem,
        "started": file.exists(),
        "steps": plan.get("steps"),
        "plan": {
            name: plan[name] for name in ("recipe", "batch", "precision", "device", "parameters") if plan.get(name)
        },
        "step": last.get("step", 0),
        "speed": last.get("images_per_second"),
        "seconds": last.get("seconds"),
        "left": _left(plan, last),
        "selected": card.get("steps"),
        "charts": [row for row in drawn if row[1]],
        "warnings": [(row["step"], text) for row in log for text in row.get("warnings", {}).values()],
        "used": [text for row in log for text in row.get("used", {}).values()],
        "samples": [{"name": name, "step": _step(name)} for name in samples(view)],
        "working": view.run.working,
        "stages": [(name, name in view.run.state()) for name in STAGES],
    }


def samples(view: RunView) -> list[str]:
    """The names of the sample sheets, in order of their steps."""
    return sorted((path.name for path in (view.run / "train" / "samples").glob("step-*.png")), key=_step)


def sample(view: RunView, name: str) -> bytes:
    """The sheet of that name. Raises HTTPException for any other file."""
    if name not in samples(view):
        raise HTTPException(404)
    path = view.run / "train" / "samples" / name
    if not path.resolve().is_relative_to(view.run.path.resolve()):  # a link that leads out of the run
        raise HTTPException(404)
    return path.read_bytes()


def _left(plan: Mapping[str, Any], last: Mapping[str, Any]) -> str:
    """The time until the last step at the present speed, in words; "" where that is unknown, or over."""
    speed, steps = last.get("images_per_second"), plan.get("steps")
    if not speed or not steps or last["step"] >= steps:
        return ""
    return spoken((steps - last["step"]) * plan["batch"] / speed)


def _step(name: str) -> int:
    digits = name.removeprefix("step-").removesuffix(".png")
    return int(digits) if digits.isdecimal() else 0
