"""Numbers and verdicts in words; a number that is missing or no number becomes a dash."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from augury.proof.arms import ARMS, NOISE
from augury.verdict import IMAGES, LAYERS, of_groups, same, worse_cells

NOTHING = "–"
MINUS = "−"

FEW = 5
"""Fewer test images of a class than this vary too little to show how others would."""
SIGNS = {"helps": "▲", "no difference": "=", "hurts": "▼", "underpowered": "?"}


def missing(value: Any) -> bool:
    """Whether `value` is no number: None, NaN or infinity."""
    return value is None or not math.isfinite(float(value))


def share(value: Any) -> str:
    """An accuracy in [0, 1] with three decimals."""
    return NOTHING if missing(value) else signed(f"{value:.3f}")


def percent(value: Any) -> str:
    """A share in [0, 1] as a percentage: "72 %"."""
    return NOTHING if missing(value) else f"{100 * value:.0f} %"


def points(value: Any) -> str:
    """A difference of accuracies in [-1, 1] in points (hundredths), signed: "+1.2"."""
    if missing(value):
        return NOTHING
    text = f"{100 * value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", MINUS)


def detectable(value: Any) -> str:
    """The smallest difference that a trial finds four times of five: "25.5 points"; a dash for 100 points or more, as no two
    accuracies are farther apart."""
    text = f"{100 * value:.1f}" if not missing(value) else NOTHING
    return NOTHING if missing(value) or float(text) >= 100 else f"{text} points"


def signed(text: str) -> str:
    """`text` with true minus signs before its negative numbers; hyphens within words and ranges stay."""
    return re.sub(r"(?<![\w–])-(?=\d)", MINUS, text)


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


def breakable(name: str) -> Any:
    """A name as HTML that may break after each underscore and nowhere else."""
    from markupsafe import Markup, escape

    return Markup("_<wbr>").join(escape(part) for part in name.split("_"))


def pretty(value: Any) -> str:
    """JSON for reading."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def headline(verdict: Mapping[str, Any]) -> tuple[str, str]:
    """The verdict's sentence in two, what it says and the numbers behind it, with true minus signs."""
    first, colon, rest = signed(verdict["sentence"]).partition(": ")
    return first + colon.strip(), rest


def adds(verdict: Mapping[str, Any]) -> str:
    """What the verdict is about."""
    return str(verdict.get("adds", IMAGES))


def outcome(verdict: Mapping[str, Any]) -> str:
    """The verdict's word for the page, qualified where a cell gets worse."""
    told = str(verdict["outcome"]).capitalize()
    rows = worse_cells(verdict.get("cells", ()))
    if told != "Helps" or not rows:
        return told
    return f"{told}, but {'one cell gets' if len(rows) == 1 else f'{len(rows)} cells get'} worse"


def about_cells(verdict: Mapping[str, Any]) -> list[str]:
    """What a trial about cells adds to the meaning: its outcome, cells that get worse, and the cost; [] for other trials."""
    cost = verdict.get("overall")
    if not cost:
        return []
    said = [
        f"The outcome is {verdict['metric']}: every class counts equally there. A classifier that only answers one class more often "
        "gains in the empty cell and loses in its neighbour, so that it gains nothing here."
    ]
    if rows := worse_cells(verdict["cells"]):
        names = "; ".join(
            f"{short(row['cell'])} by {points(row['difference'])[1:]} points (interval {points(row['low'])} to {points(row['high'])})"
            for row in rows[:3]
        )
        more = f"; and {len(rows) - 3} more" if len(rows) > 3 else ""
        said.append(
            f"Weigh the loss before you use the {adds(verdict)}: {'one cell gets' if len(rows) == 1 else f'{len(rows)} cells get'} "
            f"significantly worse, {names}{more}. The intervals are corrected for the number of cells."
        )
    said.append(
        f"Over all {cost['test']:,} test images, balanced accuracy changes by {points(cost['difference'])} points "
        f"({points(cost['low'])} to {points(cost['high'])})."
    )
    few = [row["cell"] for row in verdict["cells"] if row["test"] < FEW or (row["groups"] or FEW) < FEW]
    if few:
        more = f" and {len(few) - 4} more cells" if len(few) > 4 else ""
        said.append(
            f"Take the numbers of {', '.join(map(short, few[:4]))}{more} with care: fewer than {FEW} test images, or groups (people, "
            "patients) to test."
        )
    return said


def meaning(verdict: Mapping[str, Any]) -> list[str]:
    """What the verdict's word means, in a few plain sentences."""
    if verdict["ratio"] == 0 and adds(verdict) != LAYERS:
        said = [
            f"No synthetic image was shown, so the {verdict['arm']} arm was trained without any; its difference shows only how "
            "far apart nearly equal trainings come out.",
            f"Leave the synthetic images out, and train as in the arm {verdict['comparator']}.",
        ]
    elif verdict["outcome"] == "underpowered":
        said = _underpowered(verdict)
    else:
        said = _settled(verdict)
    said += about_cells(verdict)
    if earlier := verdict.get("earlier"):
        said.append(
            f"This test part was looked at before, with {earlier} seeds, and the word was '{verdict['said']}'. Looking again, with more "
            "seeds, other arms or settings, or another generator, gives chance another go, so that a word is said without cause more "
            "often than one time in twenty, after a second look about one in twelve; a trial that is to grow is best begun with "
            "prove.max_seeds, which corrects for its looks."
        )
    return [*said, *_caution(verdict)]


def _underpowered(verdict: Mapping[str, Any]) -> list[str]:
    seeds, least = len(verdict["seeds"]), verdict["least_seeds"]
    if lacking := verdict.get("lacking"):
        return [
            f"No word can be given, whatever the difference: {lacking}.",
            _test_more(verdict),
        ]
    if crude := verdict.get("coarse"):
        return [
            f"What was seen leaves no room for a difference that matters, but what was not seen does: {crude}. Where no test image "
            "of a class tells two trainings apart, up to three more of them still may (the rule of three).",
            _test_more(verdict),
        ]
    if seeds < least:
        return [
            f"With {seeds} paired {'seed' if seeds == 1 else 'seeds'} the smallest p that the test can give is "
            f"{number(2.0 ** (1 - seeds))}, so it could not have found a difference of any size.",
            f"Run the trial again with {least} seeds or more before using the {adds(verdict)}, or leaving them out.",
        ]
    if verdict["low"] > 0 or verdict["high"] < 0:
        first = (
            "The interval excludes zero, but the sign-flip test does not agree (or the arm's own twin tells otherwise): "
            "Augury gives a word only when they agree."
        )
    elif -verdict["margin"] < verdict["low"] and verdict["high"] < verdict["margin"]:
        first = (
            f"The interval, {points(verdict['low'])} to {points(verdict['high'])} points, lies within {points(verdict['margin'])[1:]} "
            f"points, but the arm it is compared with was chosen as the best of several on these images, and once that is paid for "
            f"such a gain is not ruled out (p = {number(verdict['p_no_gain'])}), or a loss against the arm's own twin is not."
        )
    else:
        first = (
            f"The interval, {points(verdict['low'])} to {points(verdict['high'])} points, excludes neither zero nor a "
            f"difference of {points(verdict['margin'])[1:]} points, which would matter: a gain and none both fit in it."
        )
    if verdict["seeds_needed"] is None:
        second = (
            "More seeds would not settle it, as these few test images vary more than that; about "
            f"{verdict['images_needed']:,} test images would."
        )
    else:
        second = (
            f"About {verdict['seeds_needed']} seeds would settle a difference like this one; with "
            + (
                f"prove.seeds={verdict['seeds_needed']}"
                if verdict.get("folds", 1) > 1
                else f"prove.max_seeds={verdict['seeds_needed']} they are added until the word is clear, and"
            )
            + " only the missing trainings are done."
        )
    return [first, second]


def _test_more(verdict: Mapping[str, Any]) -> str:
    if verdict.get("folds", 1) > 1:
        return "Test more of them."
    return "Test more, or every image in turn with augury run --folds, which gives one verdict of all."


def _settled(verdict: Mapping[str, Any]) -> list[str]:
    per_hundred, matters = number(abs(round(100 * verdict["difference"], 1))), points(verdict["margin"])[1:]
    small = abs(verdict["difference"]) < verdict["margin"]
    what = adds(verdict) if adds(verdict) != LAYERS else f"the {LAYERS}"
    other, run = verdict["matched_control"]["against"], "RUN/fold-1" if verdict.get("folds", 1) > 1 else "RUN"
    matched_control = "it" if other == verdict["comparator"] else f"{same(adds(verdict))} ({other})"
    use = (
        "Use the real images together with these, in the ratio given here."
        if what == IMAGES
        else f"Use the real images together with the {what}, in the ratio given here; the pictures of this page are the run's own."
        if adds(verdict) != LAYERS
        else f"Begin with them: in Python, augury.pretrained('{run}')(channels, classes) is the network to train, on the real images."
    )
    note = [f"It is less than the {matters} points that this trial was told to call a difference."] if small else []
    where = "all classes alike" + verdict.get("metric", "").removeprefix("balanced accuracy")
    if verdict.get("cells"):
        use = f"Train as the arm {verdict['arm']} does: {ARMS[verdict['arm']].note.removeprefix('holes: ')}."
    return {
        "helps": [
            f"Of 100 test images, {where}, about {per_hundred} more are named rightly than after the "
            f"best training without {what}. The interval and the test agree that this is not chance.",
            *note,
            use,
        ],
        "hurts": [
            f"Of 100 test images, {where}, about {per_hundred} fewer are named rightly than after the "
            f"best training without {what}. The interval and the test agree that this is not chance, and it is "
            f"worse than {matched_control} too.",
            *note,
            "Leave them out. A better generator or more real images may change that; this page says what holds today.",
        ],
        "no difference": [
            f"The trial was fine enough to rule out a gain of {matters} points over the best training without {what}, "
            f"and a loss of as much against {matched_control}.",
            "The best of them is the control, which shows images of pure noise: what it gains over the others is a milder "
            "training, and not knowledge of the classes."
            if getattr(ARMS.get(verdict["comparator"]), "source", "") == NOISE
            else "The best of them is a control: what it gains does not come from what the translator learnt."
            if getattr(ARMS.get(verdict["comparator"]), "control", False)
            else f"Prefer {verdict['comparator']}, which does without {what}.",
        ],
    }[verdict["outcome"]]


def _caution(verdict: Mapping[str, Any]) -> list[str]:
    """What the verdict holds for, and the classes whose test images are too few to stand for others."""
    few = [row["class"] for row in verdict["per_class"] if row["test"] < FEW]
    alone = [row["class"] for row in verdict["per_class"] if row["test"] >= FEW > (row.get("groups") or FEW)]
    groups = of_groups(verdict["test_n"], verdict.get("test_groups"))
    said = [
        f"This holds for this data, this classifier and what was generated or learnt this once; that {verdict['test_n']:,} test images{groups} "
        "stand for others like them is in the interval, that another training of a generator may come out a point better or worse is "
        "not."
    ]
    for names, what in ((few, "test images"), (alone, "groups (people, patients) to test")):
        if names:
            told = ", ".join(short(name) for name in names[:4])
            told += f" and {len(names) - 4} more classes" if len(names) > 4 else ""
            said.append(f"Take it with care: {told} {'has' if len(names) == 1 else 'have'} fewer than {FEW} {what}.")
    return said


def confidence(level: float) -> str:
    """One minus `level` as a percentage: "95 %"."""
    return f"{100 * (1 - level):.3g} %"
