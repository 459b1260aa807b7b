"""The cells of class × attribute: recall before and after as two heat maps, with the number of images in each cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from augury.report.charts import WIDTH, Chart
from augury.report.wording import missing, percent, points
from augury.sentences import cost, short
from augury.verdict import Verdict

COLUMNS = 4
"""Most columns of a heat map, to fit on a phone."""
LABEL, HEIGHT, TOP = 108.0, 66.0, 26.0
DARKEST = 0.5
"""Opacity at a recall of 1; text on it stays readable on light and dark pages."""
CHARACTER = 7.0
"""Width of a character of 13 px, in px."""


@dataclass(frozen=True)
class Grid:
    """The rows of a verdict's cells in a table: `cells[row][column]`, with a name for each row and column."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[Mapping[str, Any], ...], ...]


def section(verdict: Verdict) -> dict[str, Any] | None:
    """The contents of the section; None for a verdict that is not about cells."""
    if not verdict.cells:
        return None
    table = grid(verdict.cells)
    charts = {role: heat_map(table, role, getattr(verdict, role)) for role in ("comparator", "arm")} if table else {}
    return {"charts": charts, "rows": verdict.cells, "overall": verdict.overall, "cost": cost(verdict)}


def grid(cells: Sequence[Mapping[str, Any]]) -> Grid | None:
    """Classes × attribute values, the shorter side as the columns.

    Where both have more than COLUMNS, only the values that contain a hole are used. None where those are too many as well.
    """
    table = _grid(cells)
    if min(len(table.rows), len(table.columns)) > COLUMNS:
        table = _grid([row for row in cells if row["within"]])
    if min(len(table.rows), len(table.columns)) > COLUMNS:
        return None
    if len(table.columns) <= COLUMNS:
        return table
    return Grid(table.columns, table.rows, tuple(zip(*table.cells, strict=True)))


def _grid(cells: Sequence[Mapping[str, Any]]) -> Grid:
    classes = tuple(dict.fromkeys(row["class"] for row in cells))
    values = tuple(dict.fromkeys(_value(row) for row in cells))
    at = {(row["class"], _value(row)): row for row in cells}
    return Grid(classes, values, tuple(tuple(at[c, v] for v in values) for c in classes))


def _value(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in row["attributes"].items()) or "all"


def heat_map(table: Grid, role: str, arm: str) -> Chart:
    """Recall of each cell in one arm; `role` is "comparator" (before) or "arm" (after, with the change in points)."""
    description = "; ".join(_describe_cell(row, role) for line in table.cells for row in line)
    when = "Before" if role == "comparator" else "After"
    chart = Chart(TOP + HEIGHT * len(table.rows) + 4, f"{when}, recall of each cell in the arm {arm}: {description}.")
    width = (WIDTH - LABEL - 4) / len(table.columns)
    for j, name in enumerate(table.columns):
        x = LABEL + (j + 0.5) * width
        chart.add("text", "tick middle", short(name, max(6, int(width / CHARACTER))), x=x, y=16)
    for i, (name, line) in enumerate(zip(table.rows, table.cells, strict=True)):
        chart.add("text", "label", short(name, int(LABEL / CHARACTER)), x=0, y=TOP + (i + 0.5) * HEIGHT + 4)
        for j, row in enumerate(line):
            _cell(chart, row, role, LABEL + j * width, TOP + i * HEIGHT, width)
    return chart


def _cell(chart: Chart, row: Mapping[str, Any], role: str, x: float, y: float, width: float) -> None:
    """One rectangle: darker for a higher recall, dashed for a hole, framed where the cell gets significantly worse."""
    recall = row[f"recall_{role}"]
    box: dict[str, Any] = {"x": x + 2, "y": y + 2, "width": width - 4, "height": HEIGHT - 4, "rx": 4}
    if not missing(recall):
        chart.add("rect", "heat", **box, fill_opacity=f"{0.04 + (DARKEST - 0.04) * recall:.3f}")
    after = role == "arm"
    if row["hole"] or (after and row["worse"]):
        chart.add("rect", "cell-worse" if after and row["worse"] else "cell-hole", **box)
    middle = x + width / 2
    chart.add("text", "middle strong", "no test image" if missing(recall) else percent(recall), x=middle, y=y + 22)
    change = "" if not after or missing(row["difference"]) else points(row["difference"])
    if change:
        chart.add("text", "tick middle", ("▼ " if row["worse"] else "") + change, x=middle, y=y + 39)
    counts = f"{row['train']:,} real"
    if after and row["synthetic"]:
        counts = f"{row['train']:,} + {row['synthetic']:,} new"
    chart.add("text", "tick middle", counts, x=middle, y=y + (55 if after else 46))


def _describe_cell(row: Mapping[str, Any], role: str) -> str:
    recall = row[f"recall_{role}"]
    counts = f"{row['train']:,} real" + (f", {row['synthetic']:,} generated" if role == "arm" else "")
    return f"{row['cell']} {'no test image' if missing(recall) else percent(recall)} ({counts} train images)"
