"""The report of a search: its history, what mattered, and every trial, as one self-contained page."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from augury.files import write_text
from augury.report import wording
from augury.report.charts import WIDTH, Chart, Scale, padded
from augury.report.page import UNPRINTABLE
from augury.tuning import study as studies
from augury.tuning.space import RECIPE, Space

if TYPE_CHECKING:
    from optuna import Study

FEWEST = 6
"""Fewest finished trials for an estimate of what mattered."""
MOST_ROWS = 200
"""Most trials in the table; tune.json has all."""
BAR = 26.0
"""Height of a bar in px."""


def write_page(facts: Mapping[str, Any], study: Study, space: Space, path: Path) -> None:
    """Write the page of a search.

    Parameters
    ----------
    facts
        The contents of tune.json.
    study, space
        The study and what it searches.
    path
        The file to write.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    loaders = [PackageLoader("augury", "tuning"), PackageLoader("augury", "report")]
    environment = Environment(
        loader=ChoiceLoader(loaders), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    for name in ("number", "duration", "phrase", "signed"):
        environment.filters[name] = getattr(wording, name)
    importances = importance_by_group(study, space)
    page = environment.get_template("search.html.j2").render(
        facts=facts,
        history=history(facts),
        importances=[(title, bars(values)) for title, values in importances],
        rows=shown_rows(facts),
        most=MOST_ROWS,
    )
    write_text(path, UNPRINTABLE.sub("\ufffd", page))


def shown_rows(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The trials of the table: finished ones with the best first, then all others by number."""
    sign = -1 if facts["higher"] else 1
    rows = facts["trials"]
    finished = sorted((row for row in rows if row["value"] is not None), key=lambda row: sign * row["value"])
    return [*finished, *(row for row in rows if row["value"] is None)][:MOST_ROWS]


def history(facts: Mapping[str, Any]) -> Chart | None:
    """The objective of each finished trial, the best so far, and the default configuration; None with fewer than two trials."""
    trials = [(row["number"], row["value"]) for row in facts["trials"] if row["value"] is not None]
    if len(trials) < 2:
        return None
    best = max if facts["higher"] else min
    chart = Chart(
        230, f"{facts['title']}, {len(trials)} finished trials; the best is {best(v for _, v in trials):.4g}."
    )
    x = Scale(0.0, float(max(number for number, _ in trials)) or 1.0, 52, WIDTH - 14)
    y = padded([value for _, value in trials], 196, 12)
    for tick in y.ticks(6):
        chart.add("line", "grid", x1=46, x2=WIDTH - 8, y1=y(tick), y2=y(tick))
        chart.add("text", "tick end", wording.number(tick), x=40, y=y(tick) + 4)
    for tick in x.ticks(6):
        if tick == round(tick):
            chart.add("text", "tick middle", f"{tick:.0f}", x=x(tick), y=214)
    if facts["default_search"] is not None:
        level = y(facts["default_search"])
        chart.add("line", "rule", x1=46, x2=WIDTH - 8, y1=level, y2=level)
    corners, so_far = [], trials[0][1]
    for number, value in trials:
        corners.append((x(number), y(so_far)))
        so_far = best(so_far, value)
        corners.append((x(number), y(so_far)))
    chart.add("path", "line synthetic", d="M" + " L".join(f"{a:.1f},{b:.1f}" for a, b in corners))
    for number, value in trials:
        role = "synthetic" if number == facts["winner"] else "other"
        chart.add("circle", f"dot {role}", cx=x(number), cy=y(value), r=5 if role == "synthetic" else 4)
    return chart


def bars(values: Sequence[tuple[str, float]]) -> Chart:
    """Shares of the variance as horizontal bars, the largest first."""
    text = "; ".join(f"{name} {share:.0%}" for name, share in values)
    chart = Chart(BAR * len(values) + 8, f"Share of the variation between trials: {text}.")
    x = Scale(0.0, max(share for _, share in values) or 1.0, 150, WIDTH - 60)
    for index, (name, share) in enumerate(values):
        top = 4 + BAR * index
        chart.add("text", "tick end", name.replace("_", " "), x=142, y=top + 14)
        chart.add("rect", "gain", x=150.0, y=top + 3, width=max(1.0, x(share) - 150), height=14, rx=1)
        chart.add("text", "tick", f"{share:.0%}", x=x(share) + 6, y=top + 14)
    return chart


def importance_by_group(study: Study, space: Space) -> list[tuple[str, list[tuple[str, float]]]]:
    """How much each dimension mattered: over all recipes for the shared ones, then for each recipe with enough trials.

    Notes
    -----
    PED-ANOVA (Watanabe et al. 2023), which compares the distribution of the better trials with that of all.
    """
    state = studies.optuna().trial.TrialState
    finished = study.get_trials(deepcopy=False, states=(state.COMPLETE,))
    groups = [("all recipes", finished)] if len(space.candidates) > 1 else []
    for name in space.candidates:
        groups.append((f"recipe {name}", [trial for trial in finished if studies.recipe_of(trial, space) == name]))
    result = []
    for title, trials in groups:
        if len(trials) < FEWEST:
            continue
        shared = set.intersection(*(set(trial.params) for trial in trials))
        varied = [name for name in shared if len({trial.params[name] for trial in trials}) > 1]
        varied = [name for name in varied if not (title != "all recipes" and name == RECIPE)]
        values = _importance(study, trials, varied)
        if values:
            result.append((title, values))
    return result


def _importance(study: Study, trials: Sequence[Any], names: Sequence[str]) -> list[tuple[str, float]]:
    """Share of each of these parameters, the largest first; empty where all trials are equally good."""
    package = studies.optuna()
    if not names or len({trial.value for trial in trials}) < 2:
        return []
    copy = package.create_study(direction=study.direction)
    copy.add_trials(trials)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = package.importance.PedAnovaImportanceEvaluator()
        shares = package.importance.get_param_importances(copy, evaluator=evaluator, params=list(names))
    return sorted(((name, float(share)) for name, share in shares.items()), key=lambda pair: -pair[1])
