"""Numbers and verdicts in words; a missing or non-finite number becomes a dash."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from augury.proof.arms import ARMS, NOISE
from augury.verdict import (
    IMAGES,
    LAYERS,
    Verdict,
    capitalised,
    cost,
    losses,
    of_groups,
    same,
    test_more,
    worse_cells,
)
from augury.verdict import points as plain_points

NOTHING = "–"
MINUS = "−"

FEW = 5
"""With fewer test images than this, a class gives little evidence about other images of it."""
SIGNS = {"helps": "▲", "no difference": "=", "hurts": "▼", "underpowered": "?"}


def missing(value: Any) -> bool:
    """Whether `value` is None, NaN or infinite."""
    return value is None or not math.isfinite(float(value))


def share(value: Any) -> str:
    """An accuracy in [0, 1] with three decimals."""
    return NOTHING if missing(value) else signed(f"{value:.3f}")


def percent(value: Any) -> str:
    """A share in [0, 1] as a percentage: "72 %"."""
    return NOTHING if missing(value) else f"{100 * value:.0f} %"


def points(value: Any) -> str:
    """A difference of accuracies in [-1, 1] in points (hundredths), signed: "+1.2"."""
    return NOTHING if missing(value) else signed(plain_points(value))


def detectable(value: Any) -> str:
    """The smallest difference that a trial detects with power 0.8: "25.5 points"; a dash for 100 points or more."""
    text = f"{100 * value:.1f}" if not missing(value) else NOTHING
    return NOTHING if missing(value) or float(text) >= 100 else f"{text} points"


def signed(text: str) -> str:
    """`text` with true minus signs before its negative numbers; hyphens within words and ranges stay."""
    return re.sub(r"(?<![\w–])-(?=\d)", MINUS, text)


def number(value: Any) -> str:
    """An integer with thousands separators, any other number with three significant digits; text is unchanged."""
    if isinstance(value, str):
        return value
    if missing(value):
        return NOTHING
    is_whole = float(value).is_integer() or abs(value) >= 1000
    return (f"{value:,.0f}" if is_whole and abs(value) < 1e15 else f"{value:.3g}").replace("-", MINUS)


def decimals(value: float, others: npt.NDArray[np.float64]) -> str:
    """`value` >= 0 with the decimals that give the largest of `others` three significant digits; at most four."""
    places = 2 - math.floor(math.log10(max(float(others.max()), 1e-9)))
    return f"{value:.{min(max(0, places), 4)}f}"


def duration(seconds: Any) -> str:
    """Seconds as "4.2 s", "3 min 20 s" or "1 h 5 min"."""
    if missing(seconds):
        return NOTHING
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def phrase(value: Any, most: int = 12) -> str:
    """A plain JSON value on one line; a long list shows its first `most` items and the number of others."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        parts = [f"{key}: {phrase(item)}" for key, item in value.items()]
    elif isinstance(value, Sequence) and not isinstance(value, str):
        parts = [phrase(item) for item in value]
    else:
        return number(value) if value is None or isinstance(value, int | float) else str(value)
    more = f" and {len(parts) - most:,} more" if len(parts) > most else ""
    return (", ".join(parts[:most]) + more) or "none"


def short(name: Any, most: int = 40) -> str:
    """A name of at most `most` characters; a longer one keeps its beginning and end."""
    text = str(name)
    tail = most // 3
    return text if len(text) <= most else f"{text[: most - tail - 1]}…{text[-tail:]}"


def breakable(name: str) -> Any:
    """A name as HTML that may break only after underscores."""
    from markupsafe import Markup, escape

    return Markup("_<wbr>").join(escape(part) for part in name.split("_"))


def pretty(value: Any) -> str:
    """JSON, indented."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def headline(sentence: str) -> tuple[str, str]:
    """A verdict's sentence split into the statement and its numbers, with true minus signs."""
    first, _, rest = signed(sentence).partition(": ")
    return first, capitalised(rest)


def cell_results(verdict: Verdict) -> list[str]:
    """What a trial about cells adds to the meaning: its outcome, cells that get worse, and the cost; [] for other trials."""
    if verdict.overall is None:
        return []
    said = [
        f"The trial measures {verdict.metric}, where every class counts equally. A classifier that merely predicts one class more "
        "often gains in the empty cell and loses in its neighbour, so it gains nothing here."
    ]
    if rows := worse_cells(verdict.cells):
        said.append(
            f"Weigh this loss before you use the {verdict.adds}: {signed(losses(rows))}. The intervals are corrected for the number of "
            "cells."
        )
    said.append(signed(cost(verdict)))
    few = [row["cell"] for row in verdict.cells if row["test"] < FEW or (row["groups"] or FEW) < FEW]
    if few:
        more = f" and {len(few) - 4} more cells" if len(few) > 4 else ""
        said.append(
            f"Interpret the numbers of {', '.join(map(short, few[:4]))}{more} with caution: they rest on fewer than {FEW} test images "
            "or groups (people, patients)."
        )
    return said


def meaning(verdict: Verdict) -> list[str]:
    """What the verdict's outcome means, in a few plain sentences."""
    if verdict.ratio == 0 and verdict.adds != LAYERS:
        said = [
            f"No synthetic image was shown, so the arm {verdict.arm} was trained without any. Its difference shows only how "
            "much nearly identical trainings vary.",
            f"Leave the synthetic images out and train as in the arm {verdict.comparator}.",
        ]
    elif verdict.outcome == "underpowered":
        said = _underpowered(verdict)
    else:
        said = _settled(verdict)
    said += cell_results(verdict)
    if earlier := verdict.earlier_seeds:
        said.append(
            f"An earlier trial with {earlier} seeds used this test split; its outcome was '{verdict.earlier_outcome}'. Every further interim look, with more "
            "seeds, other arms or settings, or another generator, raises the error rate above one in twenty. After a second it is "
            "about one in twelve. If a trial may grow, start it with prove.max_seeds, which corrects for the interim looks."
        )
    return [*said, *_caution(verdict)]


def _underpowered(verdict: Verdict) -> list[str]:
    seeds, least = len(verdict.seeds), verdict.least_seeds
    if lacking := verdict.lacking:
        return [
            f"No outcome other than 'underpowered' is possible, whatever the difference: {lacking}.",
            f"{test_more(verdict)}.",
        ]
    if crude := verdict.coarse:
        return [
            f"The tested images rule out a difference that matters, but images that were not tested may still show one: {crude}. "
            "Two trainings that agree on every test image of a class may differ on up to three of as many others (the rule of three).",
            f"{test_more(verdict)}.",
        ]
    if seeds < least:
        return [
            f"With {seeds} paired {'seed' if seeds == 1 else 'seeds'}, the smallest possible p-value of the test is "
            f"{number(2.0 ** (1 - seeds))}, so it cannot detect a difference of any size.",
            f"Run the trial again with at least {least} seeds before you use the {verdict.adds} or leave them out.",
        ]
    if verdict.low > 0 or verdict.high < 0:
        first = (
            "The interval excludes zero, but the sign-flip test or the comparison with the matched control does not agree. "
            "Augury gives an outcome other than 'underpowered' only when they agree."
        )
    elif -verdict.margin < verdict.low and verdict.high < verdict.margin:
        first = (
            f"The interval, {points(verdict.low)} to {points(verdict.high)} points, lies within {points(verdict.margin)[1:]} "
            "points. However, the comparator was chosen as the best of several arms on these images. Corrected for that choice, such a "
            f"gain is not ruled out (p = {number(verdict.p_no_gain)}), or such a loss against the matched control is not."
        )
    else:
        first = (
            f"The interval, {points(verdict.low)} to {points(verdict.high)} points, excludes neither zero nor a "
            f"difference of {points(verdict.margin)[1:]} points, which would matter. It is compatible with a gain and with none."
        )
    if verdict.seeds_needed is None:
        second = (
            "More seeds would not settle it, because these few test images vary too much. About "
            f"{verdict.images_needed:,} test images would. {test_more(verdict)}."
        )
    else:
        second = (
            f"About {verdict.seeds_needed} seeds would settle a difference of this size. With "
            + (
                f"prove.seeds={verdict.seeds_needed},"
                if verdict.folds > 1
                else f"prove.max_seeds={verdict.seeds_needed}, seeds are added until the outcome is clear, and"
            )
            + " only the missing trainings are run."
        )
    return [first, second]


def _settled(verdict: Verdict) -> list[str]:
    per_hundred, matters = number(abs(round(100 * verdict.difference, 1))), points(verdict.margin)[1:]
    small = abs(verdict.difference) < verdict.margin
    subject = verdict.adds if verdict.adds != LAYERS else f"the {LAYERS}"
    other, run = verdict.matched_control["against"], "RUN/fold-1" if verdict.folds > 1 else "RUN"
    images = "image in 100 is" if per_hundred == "1" else "images in 100 are"
    matched_control = "it" if other == verdict.comparator else f"{same(verdict.adds)} ({other})"
    use = (
        "Train on the real images together with the synthetic ones, at the ratio given here."
        if subject == IMAGES
        else f"Train on the real images together with the {subject}, at the ratio given here. The pictures on this page show the run's own images."
        if verdict.adds != LAYERS
        else f"Start from them: in Python, augury.pretrained('{run}')(channels, classes) returns the network to train on the real images."
    )
    note = (
        [f"This is less than the {matters} points that count as a difference in this trial (prove.margin)."]
        if small
        else []
    )
    where = "classes weighted equally" + verdict.metric.removeprefix("balanced accuracy")
    if verdict.cells:
        use = f"Train as the arm {verdict.arm} does: {ARMS[verdict.arm].note.removeprefix('holes: ')}."
    return {
        "helps": [
            f"About {per_hundred} more test {images} classified correctly than after the best training without {subject} ({where}). "
            "The interval and the sign-flip test agree that this is not chance.",
            *note,
            use,
        ],
        "hurts": [
            f"About {per_hundred} fewer test {images} classified correctly than after the best training without {subject} ({where}). "
            "The interval and the sign-flip test agree that this is not chance."
            + ("" if matched_control == "it" else f" The result is also worse than {matched_control}."),
            *note,
            "Leave them out. A better generator or more real images may change this.",
        ],
        "no difference": [
            f"The trial was sensitive enough to rule out a gain of {matters} points over the best training without {subject}, "
            f"and an equal loss against {matched_control}.",
            "The best of them is the control with images of pure noise. Its gain over the others comes from regularisation, "
            "not from information about the classes."
            if getattr(ARMS.get(verdict.comparator), "source", "") == NOISE
            else "The best of them is a control, so its gain does not come from what the translator learned."
            if getattr(ARMS.get(verdict.comparator), "control", False)
            else f"Prefer the arm {verdict.comparator}, which does not use {subject}.",
        ],
    }[verdict.outcome]


def _caution(verdict: Verdict) -> list[str]:
    """The scope of the verdict, and the classes with too few test images."""
    few = [row["class"] for row in verdict.per_class if row["test"] < FEW]
    alone = [row["class"] for row in verdict.per_class if row["test"] >= FEW > (row.get("groups") or FEW)]
    groups = of_groups(verdict.test_n, verdict.test_groups)
    said = [
        "This holds for this data, this classifier and this one training of the generator. The interval covers other test images of the "
        f"same kind as these {verdict.test_n:,}{groups}. It does not cover retraining the generator, which may shift the result by about "
        "a point."
    ]
    for names, unit in ((few, "test images"), (alone, "groups (people, patients) to test")):
        if names:
            listed = ", ".join(short(name) for name in names[:4])
            listed += f" and {len(names) - 4} more classes" if len(names) > 4 else ""
            said.append(
                f"Interpret with caution: {listed} {'has' if len(names) == 1 else 'have'} fewer than {FEW} {unit}."
            )
    return said


def confidence(level: float) -> str:
    """One minus `level` as a percentage: "95 %"."""
    return f"{100 * (1 - level):.3g} %"
