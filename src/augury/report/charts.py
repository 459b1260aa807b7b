"""Charts as lists of marks. They are placed here and drawn by the template, which escapes every text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from augury.report.wording import missing, number, points, share
from augury.verdict import Verdict

Floats = npt.NDArray[np.float64]
WIDTH = 440.0
MOST_POINTS = 160
"""Most points of a line; a longer log is averaged into that many bins."""


@dataclass(frozen=True)
class Mark:
    """One SVG element: its tag, attributes and text."""

    tag: str
    attributes: Mapping[str, str | float]
    text: str = ""


@dataclass(frozen=True)
class Chart:
    """`marks` on a canvas of WIDTH × `height` units; `alt` describes the chart in words."""

    height: float
    alt: str
    marks: list[Mark] = field(default_factory=list)
    width: float = WIDTH

    def add(self, tag: str, kind: str, text: str = "", **attributes: str | float) -> None:
        """Draw one mark of the style class `kind`; underscores in attribute names become hyphens."""
        rounded = {k: round(v, 1) if isinstance(v, float) else v for k, v in attributes.items()}
        self.marks.append(Mark(tag, {"class": kind} | {k.replace("_", "-"): v for k, v in rounded.items()}, text))


@dataclass(frozen=True)
class Scale:
    """A linear map of [low, high] onto the canvas from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The position of a value in px."""
        span = self.high - self.low or 1.0
        return self.start + (float(value) - self.low) / span * (self.end - self.start)

    def ticks(self, count: int = 8) -> list[float]:
        """Round numbers within the scale, 1, 2 or 5 times a power of ten apart."""
        raw = (self.high - self.low or 1.0) / count
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [i * step for i in range(first, last + 1)]


def padded(values: Sequence[float], start: float, end: float, least: float = 1e-6, pad: float = 0.06) -> Scale:
    """A scale around `values` with a margin; at least `least` wide."""
    low, high = min(values), max(values)
    margin = max((high - low) * pad, (least - (high - low)) / 2, 1e-9)
    return Scale(low - margin, high + margin, start, end)


def interval(values: Floats) -> tuple[float, float] | None:
    """95 % interval of the mean of shares by Student's t (1908), clipped to [0, 1]; None with fewer than two values."""
    from scipy.special import stdtrit

    if len(values) < 2:
        return None
    half = float(stdtrit(len(values) - 1, 0.975)) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return max(0.0, float(values.mean()) - half), min(1.0, float(values.mean()) + half)


def arms(verdict: Verdict) -> Chart:
    """The metric of every arm: a dot per seed, the mean and its interval; the comparator is marked."""
    rows = {name: np.array(verdict.values(name)) for name in verdict.arms}
    means = {name: float(values.mean()) for name, values in rows.items()}
    description = "; ".join(f"{name} {share(mean)}" for name, mean in means.items())
    chart = Chart(
        30 + 48.0 * len(rows),
        f"Mean {verdict.metric} on the test split, by arm: {description}.",
    )
    ends = [v for values in rows.values() for v in (*values, *(interval(values) or ()))]
    x = padded(ends, 8, WIDTH - 8, least=0.02)
    bottom = chart.height - 22
    _vertical_grid(chart, x, _shares(x), 4, bottom, share if x.high - x.low < 0.05 else lambda v: f"{v:.2f}")
    level = x(means[verdict.comparator])
    for index, (name, values) in enumerate(rows.items()):
        top = 48.0 * index
        role = (
            "synthetic"
            if name == verdict.arm and verdict.outcome != "not tested"
            else "real"
            if name == verdict.comparator
            else "other"
        )
        role_text = {"synthetic": f" · with {verdict.adds}", "real": " · comparator"}.get(role, "")
        chart.add("text", f"label {role}-ink", name + role_text, x=8, y=top + 16)
        _spread(chart, x, values, top + 33, role)
        chart.add("line", "rule", x1=level, x2=level, y1=top + 22, y2=top + 51)  # below the names
    return chart


def difference(verdict: Verdict) -> Chart:
    """The paired differences in points: a dot per seed, the interval, and zero."""
    pair = (np.array(verdict.values(name)) for name in (verdict.arm, verdict.comparator))
    values = 100 * np.subtract(*pair)
    low, high, mean = (100 * value for value in (verdict.low, verdict.high, verdict.difference))
    chart = Chart(
        72,
        f"Difference for each seed: {', '.join(points(v / 100) for v in values)} points; mean "
        f"{points(mean / 100)}, interval {points(low / 100)} to {points(high / 100)}.",
    )
    x = padded([0.0, low, high, *values], 12, WIDTH - 12, least=1.0)
    _vertical_grid(chart, x, x.ticks(), 4, 50, lambda v: points(v / 100))
    chart.add("line", "zero", x1=x(0), x2=x(0), y1=0, y2=54)
    chart.add("line", "whisker synthetic", x1=x(low), x2=x(high), y1=27, y2=27)
    for value in values:
        chart.add("circle", "dot synthetic", cx=x(value), cy=27, r=5)
    chart.add("line", "mean synthetic", x1=x(mean), x2=x(mean), y1=15, y2=39)
    return chart


def ratio_curve(verdict: Verdict) -> Chart | None:
    """The metric on validation against the mixing ratio; None where only one ratio was tried."""
    curve = [(float(row["ratio"]), np.array(row["values"], float)) for row in verdict.ratio_curve]
    if len(curve) < 2:
        return None
    description = "; ".join(f"ratio {ratio:g}: {share(values.mean())}" for ratio, values in curve)
    chart = Chart(
        230, f"Mean {verdict.metric} on validation, by number of synthetic images for each real one: {description}."
    )
    x = padded([ratio for ratio, _ in curve], 52, WIDTH - 14)
    y = padded([v for _, values in curve for v in values], 196, 10, least=0.02)
    _horizontal_grid(chart, y, _shares(y), 52, share)
    for ratio, values in curve:
        chosen = ratio == verdict.ratio
        chart.add("text", "tick middle" + (" strong" if chosen else ""), f"{ratio:g}", x=x(ratio), y=214)
        if chosen:
            chart.add("line", "rule", x1=x(ratio), x2=x(ratio), y1=10, y2=198)
        for value in values:
            chart.add("circle", "dot synthetic", cx=x(ratio), cy=y(value), r=4)
    chart.add("path", "line synthetic", d=_path([(x(ratio), y(values.mean())) for ratio, values in curve]))
    return chart


def lines(log: Sequence[Mapping[str, Any]], columns: Mapping[str, str], titles: Mapping[str, str]) -> Chart | None:
    """Columns of the log against images seen; `columns` maps each to its style class. None with fewer than two rows."""
    series = {name: _series(log, name) for name in columns}
    series = {name: curve for name, curve in series.items() if len(curve) > 1}
    if not series:
        return None
    description = "; ".join(
        f"{titles[name]} from {number(s[0, 1])} to {number(s[-1, 1])}" for name, s in series.items()
    )
    chart = Chart(230, f"Over training: {description}.")
    both = np.concatenate(list(series.values()))
    x = Scale(0.0, float(both[:, 0].max()), 46, WIDTH - 14)
    y = padded(both[:, 1].tolist(), 196, 30)
    _horizontal_grid(chart, y, y.ticks(), 46, lambda v: f"{v:g}".replace("-", "−") if abs(v) > 1e-12 else "0")
    for tick in x.ticks(4):
        chart.add("text", "tick middle", _thousands(tick), x=x(tick), y=214)
    for index, (name, curve) in enumerate(series.items()):
        chart.add("path", f"line {columns[name]}", d=_path([(x(a), y(b)) for a, b in curve]))
        chart.add("line", f"line {columns[name]}", x1=50 + 190 * index, x2=70 + 190 * index, y1=14, y2=14)
        chart.add("text", "label", titles[name], x=76 + 190 * index, y=18)
    return chart


def bar(value: Any, most: float) -> Chart | None:
    """A small bar from the middle: left for a loss, right for a gain, full length at `most`."""
    if missing(value) or most <= 0:
        return None
    chart = Chart(12, f"{points(value)} points", width=96)
    length = min(abs(value) / most, 1.0) * 46
    kind = "gain" if value > 0 else "loss"
    chart.add("rect", kind, x=48.0 if value > 0 else 48 - length, y=2, width=float(length), height=8, rx=1)
    chart.add("line", "zero", x1=48, x2=48, y1=0, y2=12)
    return chart


def _spread(chart: Chart, x: Scale, values: Floats, y: float, role: str) -> None:
    """Whisker, dots and mean of one row."""
    bounds = interval(values)
    if bounds:
        chart.add("line", f"whisker {role}", x1=x(bounds[0]), x2=x(bounds[1]), y1=y, y2=y)
    for value in values:
        chart.add("circle", f"dot {role}", cx=x(value), cy=y, r=4)
    chart.add("line", f"mean {role}", x1=x(values.mean()), x2=x(values.mean()), y1=y - 8, y2=y + 8)


def _shares(scale: Scale) -> list[float]:
    """The ticks of the scale within [0, 1]."""
    return [tick for tick in scale.ticks() if -1e-9 < tick < 1 + 1e-9]


def _vertical_grid(chart: Chart, x: Scale, ticks: Sequence[float], top: float, bottom: float, label: Any) -> None:
    for tick in ticks:
        chart.add("line", "grid", x1=x(tick), x2=x(tick), y1=top, y2=bottom)
        if 20 < x(tick) < WIDTH - 20:
            chart.add("text", "tick middle", label(tick), x=x(tick), y=bottom + 16)


def _horizontal_grid(chart: Chart, y: Scale, ticks: Sequence[float], left: float, label: Any) -> None:
    for tick in ticks:
        chart.add("line", "grid", x1=left, x2=WIDTH - 8, y1=y(tick), y2=y(tick))
        chart.add("text", "tick end", label(tick), x=left - 6, y=y(tick) + 4)


def _series(log: Sequence[Mapping[str, Any]], name: str) -> Floats:
    """float64 [P, 2] of (images seen, mean value), P at most MOST_POINTS; rows without a number are left out."""
    rows = [(row["images"], row[name]) for row in log if not missing(row.get(name)) and not missing(row.get("images"))]
    values = np.array(rows, float).reshape(-1, 2)
    edges = np.unique(np.linspace(0, len(values), min(len(values), MOST_POINTS) + 1).astype(int))
    return np.array([values[a:b].mean(0) for a, b in pairwise(edges.tolist())]).reshape(-1, 2)


def _path(coordinates: Sequence[tuple[float, float]]) -> str:
    return "M" + " L".join(f"{a:.1f},{b:.1f}" for a, b in coordinates)


def _thousands(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:g} M"
    return f"{value / 1e3:g} k" if value >= 1e3 else f"{value:g}"
