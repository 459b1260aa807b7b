"""The page `verdict`: the answer, the arms by any measure and against any arm, and the results per class and cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from augury import generation, sentences
from augury.errors import RunFolderError, SettingsError
from augury.explorer.queries import Query
from augury.explorer.view import RunView
from augury.generation.review import REVIEW
from augury.proof.arms import ARMS
from augury.proof.measures import VALIDATION
from augury.proof.operating_point import PRIMARY
from augury.report import cells, charts, wording
from augury.verdict import Verdict

MEASURES = {
    "balanced_accuracy": "balanced accuracy",
    "overall": "balanced accuracy over all test images",
    "worst_recall": "recall of the worst class",
    "macro_f1": "macro-F1",
    "auc": "AUC",
    "ece": "calibration error (lower is better)",
    "brier": "Brier score (lower is better)",
    "specificity": "specificity at the threshold",
    VALIDATION: "balanced accuracy on validation",
}
"""Measures of an arm whose names do not depend on the trial."""
ORDERS = {"trial": "as in the trial", "value": "highest first", "name": "name"}
SORTS = {
    "class": "as in the data",
    "difference": "largest change first",
    "loss": "largest loss first",
    "recall": "lowest recall first",
    "train": "fewest train images first",
}


@dataclass(frozen=True)
class ArmRow:
    """One arm in the plot: a value per seed, their mean and its interval over the seeds; positions in per cent of the width."""

    name: str
    note: str
    role: str
    values: tuple[float, ...]
    mean: float
    interval: tuple[float, float] | None
    dots: tuple[float, ...]
    bar: tuple[float, float] | None
    middle: float


def page(view: RunView, query: Query) -> dict[str, Any]:
    """The variables of the page, or `problem` in words before the trial is done."""
    try:
        verdict = view.run.verdict
    except RunFolderError as error:
        return {"problem": str(error)}
    measures = _measures(verdict)
    chosen = {
        "measure": _choice(query, "measure", measures),
        "against": _choice(query, "against", {"": "", **dict.fromkeys(verdict.arms, "")}),
        "order": _choice(query, "order", ORDERS),
        "sort": _choice(query, "sort", SORTS),
    }
    rows, ticks = plot(verdict, chosen["measure"], chosen["against"], chosen["order"])
    differences = [abs(row["difference"]) for row in verdict.per_class if not wording.missing(row["difference"])]
    return {
        "problem": "", "v": verdict, "question": sentences.question(verdict), "answer": sentences.ANSWERS[verdict.outcome],
        "effect": sentences.effect(verdict), "sign": wording.SIGNS[verdict.outcome], "lead": wording.lead(verdict),
        "tested": verdict.outcome != "not tested", "measures": measures, "orders": ORDERS, "sorts": SORTS, "chosen": chosen,
        "arms": rows, "ticks": ticks, "classes": _sorted(verdict.per_class, chosen["sort"]), "bar": charts.bar,
        "most": max(differences, default=0.0), "cells": cells.section(verdict), "changed": _changed(view, verdict),
        "report": (view.run / "report.html").exists(),
    }  # fmt: skip


def plot(verdict: Verdict, measure: str, against: str, order: str) -> tuple[list[ArmRow], list[tuple[float, str]]]:
    """The rows of the plot and the ticks of its axis; with `against`, paired differences from that arm in points."""
    values = {name: np.array(arm[measure], float) for name, arm in verdict.arms.items()}
    if against:
        values = {name: 100 * (own - values[against]) for name, own in values.items()}
    intervals = {name: _interval(own, bounded=not against) for name, own in values.items()}
    ends = [value for name, own in values.items() for value in (*own, *(intervals[name] or ()))]
    scale = charts.padded([*ends, *([0.0] if against else [])], 0, 100, least=2.0 if against else 0.02)
    names = list(values)
    if order == "name":
        names.sort()
    elif order == "value":
        names.sort(key=lambda name: -values[name].mean())
    rows = [
        ArmRow(
            name,
            ARMS[name].note if name in ARMS else "",
            _role(verdict, name),
            tuple(values[name].tolist()),
            float(values[name].mean()),
            intervals[name],
            tuple(scale(value) for value in values[name]),
            None if (ends_of := intervals[name]) is None else (scale(ends_of[0]), scale(ends_of[1])),
            scale(float(values[name].mean())),
        )
        for name in names
    ]
    return rows, [(scale(tick), wording.signed(f"{tick:+g}") if against else f"{tick:.3g}") for tick in scale.ticks(5)]


def _interval(values: Any, bounded: bool) -> tuple[float, float] | None:
    """95 % interval of the mean over the seeds by Student's t; `bounded` clips it to [0, 1] as shares need."""
    if bounded:
        return charts.interval(values)
    if len(values) < 2:
        return None
    from scipy.special import stdtrit

    half = float(stdtrit(len(values) - 1, 0.975)) * float(values.std(ddof=1)) / len(values) ** 0.5
    return float(values.mean()) - half, float(values.mean()) + half


def _role(verdict: Verdict, name: str) -> str:
    if name == verdict.arm and verdict.outcome != "not tested":
        return "synthetic"
    return "real" if name == verdict.comparator else "other"


def _measures(verdict: Verdict) -> dict[str, str]:
    """The measures that every arm has, with their names; the metric of the trial first, if it is not balanced accuracy."""
    names = {PRIMARY: verdict.metric, **MEASURES}
    if _complete(verdict, PRIMARY):  # the value on validation is that of the same metric
        names[VALIDATION] = f"{verdict.metric} on validation"
    return {name: text for name, text in names.items() if _complete(verdict, name)}


def _complete(verdict: Verdict, measure: str) -> bool:
    """Whether every arm has a value of this measure for each seed."""
    return all(measure in arm and None not in arm[measure] for arm in verdict.arms.values())


def _sorted(rows: Sequence[Mapping[str, Any]], sort: str) -> list[Mapping[str, Any]]:
    keys = {"difference": lambda row: -row["difference"], "loss": lambda row: row["difference"]}
    keys |= {"recall": lambda row: row["recall_arm"], "train": lambda row: row["train"]}
    return sorted(rows, key=keys[sort]) if sort in keys else list(rows)


def _changed(view: RunView, verdict: Verdict) -> bool:
    """Whether the synthetic images or decisions on them are newer than the verdict.

    A copy of a run folder has files of other times. Those count only where there are, or were, decisions by hand.
    """
    manifest, state = view.run / "synthetic" / "manifest.jsonl", view.run.state()
    if not manifest.exists():
        return False
    drawn, judged = (str(state.get(stage, {}).get("finished", "")) for stage in ("generate", "prove"))
    if judged and drawn > judged:
        return True
    newer = manifest.stat().st_mtime > (view.run / "verdict.json").stat().st_mtime
    try:
        rows, tally = generation.read_rows(manifest.parent), verdict.synthetic
    except RunFolderError:  # it was edited by hand
        return newer
    decided = generation.decisions(rows) or REVIEW in tally.get("rejected", {})
    return newer and bool(decided or tally.get("accepted") != sum(bool(row["accepted"]) for row in rows))


def _choice(query: Query, name: str, allowed: Mapping[str, str]) -> str:
    value = query.get(name, next(iter(allowed)))
    if value not in allowed:
        raise SettingsError(f"{name} is {value!r}; choose among: {', '.join(each or 'nothing' for each in allowed)}")
    return value
