"""The score card on the page: what each score measures, its value beside real images, and the pictures of copies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from augury.report.charts import WIDTH, Chart
from augury.report.facts import Facts
from augury.report.pictures import StripInput
from augury.report.wording import missing, number

Row = Mapping[str, Any]
LEFT, RIGHT = 176.0, WIDTH - 8
"""Left and right end of the marks of a chart."""
LINE = 22.0
USE = {
    "GAN-train": "how well does a classifier trained on synthetic images alone classify real ones",
    "GAN-test": "how well does a classifier trained on real images classify the synthetic ones",
}
SIDES = {"quality": ("worse", "better"), "memorisation": ("nearer to training images", "farther")}
"""Labels left and right of real images in each chart; usefulness is drawn with quality."""
THEMES = {
    "use": "Usefulness for a classifier",
    "quality": "Quality and variety",
    "memorisation": "Memorisation: copies and membership inference",
}
PAIRS = 12
"""Most pictures of copies."""


def tables(scores: Sequence[Row]) -> list[dict[str, Any]]:
    """One table per theme: its title and rows, each score with its question. Scores of single classes are left out."""
    by_theme: dict[str, list[dict[str, Any]]] = {theme: [] for theme in THEMES}
    for row in scores:
        if not row.get("group"):
            theme, asks = _theme(row["name"])
            by_theme[theme].append({**row, "asks": asks, "weak": str(row.get("note", "")).startswith("not meaningful")})
    return [
        {
            "title": THEMES[theme],
            "rows": rows,
            "features": _features(rows),
            "good": "less memorised" if theme == "memorisation" else "better",
        }
        for theme, rows in by_theme.items()
        if rows
    ]


def by_class(scores: Sequence[Row]) -> dict[str, Any]:
    """The scores of single classes: {names, rows: (class, N, one cell per name or None)}."""
    mine = {(row["group"], row["name"]): row for row in scores if row.get("group")}
    names = list(dict.fromkeys(name for _, name in mine))
    rows = []
    for group in dict.fromkeys(group for group, _ in mine):
        cells = [mine.get((group, name)) for name in names]
        rows.append((group, min(cell["n"] for cell in cells if cell), cells))
    return {"names": names, "rows": rows}


def chart(scores: Sequence[Row], kind: str) -> Chart | None:
    """The meaningful scores of a `kind` (a key of SIDES) relative to their baselines.

    The dashed line is real images, and each row has its own scale. None where no score has a baseline.
    """
    rows = [row for row in scores if not row.get("group") and _placed(row) and _kind(row["name"]) == kind]
    if not rows:
        return None
    description = "; ".join(
        f"{row['name']} {number(row['value'])}, real images {number(row['baseline'])}" for row in rows
    )
    drawn = Chart(34 + LINE * len(rows), f"Scores compared with those of real images: {description}.")
    real = LEFT + (0.7 if kind == "quality" else 0.5) * (RIGHT - LEFT)
    drawn.add("text", "tick end", SIDES[kind][0], x=real - 8, y=12)
    drawn.add("text", "tick", SIDES[kind][1], x=real + 8, y=12)
    drawn.add("line", "rule", x1=real, x2=real, y1=18, y2=drawn.height - 4)
    for index, row in enumerate(rows):
        y = 34 + LINE * index
        sign = 1.0 if row["better"] == "higher" else -1.0
        value, *ends = (sign * (row[part] - row["baseline"]) for part in ("value", "low", "high"))
        low, high = min(0.0, *ends), max(0.0, *ends)
        scales = [(real - LEFT) / -low if low else math.inf, (RIGHT - real) / high if high else math.inf]
        scale = min(scales) if low or high else 0.0
        drawn.add("text", "label", row["name"], x=0.0, y=y + 4)
        drawn.add("line", "whisker synthetic", x1=real + scale * ends[0], x2=real + scale * ends[1], y1=y, y2=y)
        drawn.add("circle", "point synthetic", cx=real + scale * value, cy=y, r=5)
    return drawn


def looked(facts: Facts) -> list[Row]:
    """For each kind of features: how many fakes are near-duplicates of how many training images."""
    return list(facts.copies.get("looked", ()))


def copied(facts: Facts) -> list[tuple[list[Row], StripInput]]:
    """The first pairs found, alternating between the kinds of features: the rows of each pair, and its two pictures."""
    kinds: dict[str, list[int]] = {}
    same: dict[tuple[int, str], list[int]] = {}
    for i, row in enumerate(facts.copies.get("pairs", ())):
        kinds.setdefault(row["features"], []).append(i)
        same.setdefault((row["index"], row["train"]), []).append(i)
    turns = [entries[turn] for turn in range(PAIRS) for entries in kinds.values() if turn < len(entries)]
    rows = facts.copies.get("pairs", ())
    pairs = dict.fromkeys((rows[i]["index"], rows[i]["train"]) for i in turns)
    entries = [([rows[i] for i in same[pair]], facts.copied[same[pair][0]]) for pair in list(pairs)[:PAIRS]]
    return [
        (each, (images, f"a synthetic image of {each[0]['class']}, then {each[0]['train']}"))
        for each, images in entries
    ]


def _theme(name: str) -> tuple[str, str]:
    """(theme, question) of a score by its name, such as KID-lite0."""
    from augury.metrics import SCORES

    if name in USE:
        return "use", USE[name]
    for row in SCORES.values():
        if name == row.label or name.startswith(f"{row.label}-"):
            return ("memorisation" if "train" in row.needs else "quality"), row.asks
    return "quality", ""


def _kind(name: str) -> str:
    return "memorisation" if _theme(name)[0] == "memorisation" else "quality"


def _features(rows: Sequence[Row]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((str(row["features"]), str(row["preprocessing"])) for row in rows))


def _placed(row: Row) -> bool:
    if str(row.get("note", "")).startswith("not meaningful"):
        return False
    return not any(missing(row[part]) for part in ("value", "low", "high", "baseline"))
