"""Numbers and verdicts in words; a number that is missing or no number becomes a dash."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

NOTHING = "–"
MINUS = "−"

SIGNS = {"helps": "▲", "no difference": "=", "hurts": "▼", "underpowered": "?"}


def missing(value: Any) -> bool:
    """Whether `value` is no number: None, NaN or infinity."""
    return value is None or not math.isfinite(float(value))


def share(value: Any) -> str:
    """An accuracy in [0, 1] with three decimals."""
    return NOTHING if missing(value) else f"{value:.3f}"


def points(value: Any) -> str:
    """A difference of accuracies in [-1, 1] in points (hundredths), signed: "+1.2"."""
    if missing(value):
        return NOTHING
    text = f"{100 * value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", MINUS)


def number(value: Any) -> str:
    """A whole number with thousands marked, any other with three telling digits; text stays as it is."""
    if isinstance(value, str):
        return value
    if missing(value):
        return NOTHING
    whole = float(value).is_integer() or abs(value) >= 1000
    return (f"{value:,.0f}" if whole and abs(value) < 1e15 else f"{value:.3g}").replace("-", MINUS)


def decimals(value: float, others: npt.NDArray[np.float64]) -> str:
    """`value` >= 0 with as many decimals as give the largest of `others` three telling digits, at most four."""
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
    """A plain JSON value on one line; of a long list the first `most` and how many more."""
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
    """A name of at most `most` characters; of a longer one the beginning and the end."""
    text = str(name)
    tail = most // 3
    return text if len(text) <= most else f"{text[: most - tail - 1]}…{text[-tail:]}"


def pretty(value: Any) -> str:
    """JSON for reading."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def meaning(verdict: Mapping[str, Any]) -> list[str]:
    """What the verdict's word means, in a few plain sentences."""
    seeds, n = len(verdict["seeds"]), f"{verdict['test_n']:,}"
    per_hundred = number(abs(round(100 * verdict["difference"], 1)))
    if verdict["ratio"] == 0:
        said = [
            f"On validation, adding no synthetic images was best, so the {verdict['arm']} arm was trained without any; "
            "its difference shows only how far apart nearly equal trainings come out.",
            f"Leave the synthetic images out, and train as in the arm {verdict['comparator']}.",
        ]
    elif verdict["word"] == "underpowered" and seeds < 6:
        said = [
            f"With {seeds} paired {'seed' if seeds == 1 else 'seeds'} the smallest p that the test can give is "
            f"{number(2.0 ** (1 - seeds))}, so it could not have found a difference of any size.",
            "Run the trial again with six seeds or more before adding the images, or leaving them out.",
        ]
    elif verdict["word"] == "underpowered" and (verdict["low"] > 0 or verdict["high"] < 0):
        said = [
            "The interval excludes zero, but the sign-flip test does not reach p < .05: with so few seeds the two can "
            "contradict each other, and Augury gives a word only when they agree.",
            f"More seeds settle it: augury prove RUN --set prove.seeds={2 * seeds} does the missing trainings alone.",
        ]
    elif verdict["word"] == "underpowered":
        said = [
            f"The interval, {points(verdict['low'])} to {points(verdict['high'])} points, is too wide: a useful gain "
            "and a harmful loss both fit in it.",
            "More seeds narrow it somewhat; more test images narrow it best.",
        ]
    else:
        said = {
            "helps": [
                f"Of 100 test images, all classes alike, about {per_hundred} more are named rightly than after the "
                "best training without synthetic images. The interval and the test agree that this is not chance.",
                "Use the exported data set, which holds the real images and these, in the ratio given here.",
            ],
            "hurts": [
                f"Of 100 test images, all classes alike, about {per_hundred} fewer are named rightly than after the "
                "best training without synthetic images. The interval and the test agree that this is not chance.",
                "Leave them out. Longer training of the generator or more real images may change that; this page says "
                "what holds today.",
            ],
            "no difference": [
                "The trial was fine enough to see a difference that matters, and saw none that could not be chance.",
                f"Prefer the simpler training, {verdict['comparator']}: it needs no synthetic images.",
            ],
        }[verdict["word"]]
    scope = f"This holds for this data, this classifier and this test part of {n} images, which was read once."
    return [*said, scope]
