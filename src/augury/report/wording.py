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
from augury.sentences import (
    ANSWERS,
    IMAGES,
    LAYERS,
    PRETRAINED,
    advise_testing,
    capitalised,
    classifier,
    confidence,
    cost,
    get_worse,
    is_behind,
    name_of,
    of_groups,
    remedy,
    same,
    short,
    spoken,
)
from augury.sentences import points as plain_points
from augury.verdict import Verdict

NOTHING = "–"
MINUS = "−"

FEW = 5
"""With fewer test images than this, a class gives little evidence about other images of it."""
SIGNS = {"helps": "▲", "no difference": "=", "hurts": "▼", "underpowered": "?", "not tested": "!"}


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
    digits = 2 - math.floor(math.log10(max(float(others.max()), 1e-9)))
    return f"{value:.{min(max(0, digits), 4)}f}"


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


def breakable(name: str) -> Any:
    """A name as HTML that may break only after underscores."""
    from markupsafe import Markup, escape

    return Markup("_<wbr>").join(escape(part) for part in name.split("_"))


OPTION = re.compile(
    r"--[a-z][\w-]*(?: '[^']*'| \w+=[\w.]+)?|\b(?:prove|train|generate|data)\.\w+(?:=[\w.…]+)?|\baugury [a-z]+\b"
)
"""Options with their values, settings and commands within a sentence."""


def code(text: str) -> Any:
    """A sentence as HTML with its options, settings and commands set as code; only long ones may break."""
    from markupsafe import Markup, escape

    pieces, at = [], 0
    for option in OPTION.finditer(text):
        kind = ' class="long"' if len(option[0]) > 30 else ""
        pieces += [escape(text[at : option.start()]), Markup(f"<code{kind}>{{}}</code>").format(option[0])]
        at = option.end()
    return Markup("").join([*pieces, escape(text[at:])])


def pretty(value: Any) -> str:
    """JSON, indented."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def lead(verdict: Verdict) -> str:
    """What stands behind the headline: the interval, p, seeds, test images and the comparator; or why nothing was tested."""
    if verdict.outcome == "not tested":
        return f"{capitalised(remedy(verdict))}. Nothing is known about what such images do for a classifier."
    measured = f"{points(verdict.difference)} points of {verdict.metric}"
    interval = f"{confidence(verdict.level)} interval {points(verdict.low)} to {points(verdict.high)}"
    if verdict.outcome == "underpowered" and not verdict.class_loss:
        first = f"Measured {measured}; the {confidence(verdict.level)} interval is the range above"
    elif verdict.outcome == "no difference" or verdict.class_loss:
        first = f"Measured {measured}, {interval}"
    else:
        first = capitalised(interval)
    of = of_groups(verdict.test_n, verdict.test_groups)
    folds = f" in {verdict.folds} folds" if verdict.folds > 1 else ""
    return (
        f"{first}; p = {share(verdict.p)}; {len(verdict.seeds)} paired seeds; {verdict.test_n:,} test images{of}{folds}. Compared with "
        f"{verdict.comparator}, the best training without them."
    )


def disagreement(verdict: Verdict) -> str:
    """Why p and the interval seem to disagree; "" where they agree or nothing was tested."""
    if verdict.outcome == "not tested":
        return ""
    level = verdict.looks[-1]["level"] if verdict.looks else 0.05
    small, apart = verdict.p <= level, verdict.low > 0 or verdict.high < 0
    if apart and not small:
        return (
            f"The interval excludes zero although p is above {number(level)}. p is a test of the signs of {len(verdict.seeds)} "
            "differences, corrected for the number of arms, so few seeds cannot make it small. A yes or no needs both."
        )
    if small and not apart:
        return (
            "p is small although the interval includes zero. p asks whether the seeds agree on these test images. The interval also "
            "covers other test images of the same kind. A yes or no needs both."
        )
    if small and verdict.outcome == "no difference" and not is_behind(verdict):
        return "p is small because the seeds agree on a difference, but the difference is too small to matter."
    return ""


def losses(verdict: Verdict, most: int = 3) -> str:
    """The classes (cells) that get significantly worse, with recall before and after; "" where none does."""
    rows = [row for row in verdict.rows if row.get("worse")]
    if not rows or verdict.outcome == "not tested":
        return ""
    named = [
        f"{spoken(name_of(row))} from {percent(row['recall_comparator'])} to {percent(row['recall_arm'])} recall (change "
        f"{points(row['low'])} to {points(row['high'])} points)"
        for row in sorted(rows, key=lambda row: float(row["difference"]))[:most]
    ]
    more = f"; and {len(rows) - most} more" if len(rows) > most else ""
    kind = "cells" if verdict.cells else "classes"
    return (
        f"{capitalised(get_worse(verdict).replace(' worse', ' significantly worse'))}: {'; '.join(named)}{more}. Intervals are corrected "
        f"for the number of {kind} (Holm)."
    )


def generator_warnings(log: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the final check found wrong with the generator that drew the images."""
    return [text for row in log for text in row.get("used", {}).values()]


def second_answer(verdict: Verdict) -> tuple[str, str] | None:
    """(answer, effect) on starting from the discriminator's layers; None where no arm did, or the verdict is about them."""
    row = verdict.initialisation
    if row is None:
        return None
    numbers = (
        f"{points(row['difference'])} points, {confidence(row['level'])} interval {points(row['low'])} to {points(row['high'])}, "
        f"p = {share(row['p_adjusted'])}, compared with {row['against']}."
    )
    small = " This is less than the margin that counts." if abs(row["difference"]) < verdict.margin else ""
    return ANSWERS[row["outcome"]], numbers + (small if row["outcome"] in ("helps", "hurts") else "")


def cell_results(verdict: Verdict) -> list[str]:
    """What a trial about cells adds to the meaning: its outcome, cells that get worse, and the cost; [] for other trials."""
    if verdict.overall is None:
        return []
    sentences = [
        f"The trial measures {verdict.metric}, where every class counts equally. A classifier that merely predicts one class more "
        "often gains in the empty cell and loses in its neighbour, so it gains nothing here."
    ]
    sentences.append(signed(cost(verdict)))
    few = [row["cell"] for row in verdict.cells if row["test"] < FEW or (row["groups"] or FEW) < FEW]
    if few:
        more = f" and {len(few) - 4} more cells" if len(few) > 4 else ""
        sentences.append(
            f"Interpret the numbers of {', '.join(map(short, few[:4]))}{more} with caution: they rest on fewer than {FEW} test images "
            "or groups (people, patients)."
        )
    return sentences


def meaning(verdict: Verdict) -> list[str]:
    """What the verdict's outcome means, in a few plain sentences."""
    if verdict.outcome == "not tested":
        return [
            f"No synthetic image was shown, so the arm {verdict.arm} was trained without any. Its difference shows only how much nearly "
            "identical trainings vary.",
            f"Until there are images to test, train as in the arm {verdict.comparator}.",
        ]
    sentences = _underpowered(verdict) if verdict.outcome == "underpowered" else _settled(verdict)
    if verdict.worse and verdict.outcome == "helps":
        sentences.append(
            f"Weigh this loss before you use the {verdict.adds}. Intervals of a {'cell' if verdict.cells else 'class'} are corrected for "
            "their number. The setting prove.max_class_loss makes a limit part of the answer."
        )
    sentences += cell_results(verdict)
    if earlier := verdict.earlier_seeds:
        sentences.append(
            f"An earlier trial with {earlier} seeds used this test split; its outcome was '{verdict.earlier_outcome}'. Every further interim look, with more "
            "seeds, other arms or settings, or another generator, raises the error rate above one in twenty. After a second it is "
            "about one in twelve. If a trial may grow, start it with prove.max_seeds, which corrects for the interim looks."
        )
    return [*sentences, *_caution(verdict)]


def _underpowered(verdict: Verdict) -> list[str]:
    seeds, least = len(verdict.seeds), verdict.least_seeds
    if verdict.class_loss:
        return [
            "Averaged over the classes the images help, but the limit that you set for a single class is not shown to hold.",
            f"{capitalised(remedy(verdict))}.",
        ]
    if lacking := verdict.lacking:
        return [
            f"No outcome other than 'underpowered' is possible, whatever the difference: {lacking}.",
            f"{advise_testing(verdict)}.",
        ]
    if crude := verdict.coarse:
        return [
            f"The tested images rule out a difference that matters, but images that were not tested may still show one: {crude}. "
            "Two trainings that agree on every test image of a class may differ on up to three of as many others (the rule of three).",
            f"{advise_testing(verdict)}.",
        ]
    if seeds < least:
        return [
            f"With {seeds} paired {'seed' if seeds == 1 else 'seeds'}, the smallest possible p-value of the test is "
            f"{number(2.0 ** (1 - seeds))}, so it cannot detect a difference of any size.",
            f"Run the trial again with at least {least} seeds before you use the {verdict.adds} or leave them out.",
        ]
    if verdict.low > 0 or verdict.high < 0:
        first = "An answer needs the interval, the sign-flip test and the comparison with the matched control to agree, and they do not."
    elif -verdict.margin < verdict.low and verdict.high < verdict.margin:
        first = (
            f"The interval lies within {100 * verdict.margin:g} points. However, the comparator was chosen as the best of several arms on these images. Corrected for that choice, such a "
            f"gain is not ruled out (p = {number(verdict.p_no_gain)}), or such a loss against the matched control is not."
        )
    else:
        first = (
            f"The interval excludes neither zero nor a difference of {100 * verdict.margin:g} points, which would matter. It is "
            "compatible with a gain and with none."
        )
    if verdict.seeds_needed is None:
        second = (
            "More seeds would not settle it, because these few test images vary too much. About "
            f"{verdict.images_needed:,} test images would. {advise_testing(verdict)}."
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
    per_hundred, matters = number(abs(round(100 * verdict.difference, 1))), f"{100 * verdict.margin:g}"
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
    if (point := verdict.operating_point) is not None:
        where = f"images of {point['class']} alone, at the threshold for {100 * point['specificity']:g} % specificity"
    if verdict.cells:
        use = f"Train as the arm {verdict.arm} does: {ARMS[verdict.arm].note.removeprefix('holes: ')}."
    if verdict.class_loss:
        return [
            "Averaged over the classes the images help, but one class loses more than the limit that you set.",
            f"Train as in the arm {verdict.comparator}, or generate images for the classes that do not lose.",
        ]
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
    """The scope of the verdict, what is unknown of a pretrained generator, and the classes with too few test images."""
    few = [row["class"] for row in verdict.per_class if row["test"] < FEW]
    alone = [row["class"] for row in verdict.per_class if row["test"] >= FEW > (row.get("groups") or FEW)]
    groups = of_groups(verdict.test_n, verdict.test_groups)
    sentences = [
        *([sentence] if (sentence := classifier(verdict)) else []),
        "This holds for this data, this classifier and this one training of the generator. The interval covers other test images of the "
        f"same kind as these {verdict.test_n:,}{groups}. It does not cover retraining the generator, which may shift the result by about "
        "a point.",
    ]
    if (verdict.leaks or {}).get("pretrained"):
        sentences.append(PRETRAINED)
    for names, unit in ((few, "test images"), (alone, "groups (people, patients) to test")):
        if names:
            listed = ", ".join(short(name) for name in names[:4])
            listed += f" and {len(names) - 4} more classes" if len(names) > 4 else ""
            sentences.append(
                f"Interpret with caution: {listed} {'has' if len(names) == 1 else 'have'} fewer than {FEW} {unit}."
            )
    return sentences
