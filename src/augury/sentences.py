"""The verdict in words. The console, the page and the badge quote these sentences; differences are in points (hundredths)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from augury.verdict import Verdict

IMAGES, LAYERS = "synthetic images", "discriminator's layers"
"""What an arm can take from the training of a generator."""

PLAIN = "none"
"""The arm of plain training."""
PRETRAINED = (
    "The generator is a pretrained model, or started from one, whose training images are unknown. Test images may have been among "
    "them, which would make the result too optimistic; the check by pixel hashes cannot see that."
)
"""Caution where a part of the run has seen images that are not recorded."""
UNLOOKED = "The synthetic images were not checked for copies of test images (prove.near_duplicates=allow)."
TEST_MORE = (
    "Use a larger test split, or test every image once with augury run --folds 5 (data with given splits: --split new)"
)
TEST_MORE_IN_FOLDS = "Add more images to test"
"""Advice where the test split is too small: in a single trial, and in a cross-validation."""
ANSWERS = {
    "helps": "Yes",
    "no difference": "No",
    "hurts": "No",
    "underpowered": "Cannot tell",
    "not tested": "Not tested",
}
"""Outcome -> the answer to `question`."""
REMEDIES = {
    "agreement": "the classifier of real images does not recognise them, so train longer (--steps) or try another --recipe",
    "near_copy": "they are copies of training images, so train for fewer steps or with --set train.augment=diffaugment",
    "near_duplicate": "they are copies of each other (mode collapse), so train longer (--steps) or with --recipe rpgan",
    "identity": "they look like images of other groups, so raise `cycle` in train.overrides or train longer (--steps)",
    "changed": "the translator changes too little, so train longer (--steps)",
    "review": "they were rejected by hand, so keep some of them in augury explore or draw others with another --seed",
}
"""Filter -> why it rejects images, and what to do. Any other filter has OTHER_REMEDY."""
OTHER_REMEDY = "train longer (--steps), or relax this filter (--set generate.filters=…)"


def points(value: float) -> str:
    """A difference of shares in points (hundredths), signed: "+1.2"; zero has no sign."""
    text = f"{100 * value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


def unsigned(value: float) -> str:
    """The size of a difference in points: "1.2"."""
    return points(value).lstrip("+-")


def capitalised(text: str) -> str:
    """`text` with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def short(name: Any, most: int = 40) -> str:
    """A name of at most `most` characters; a longer one keeps its beginning and end."""
    text = str(name)
    tail = most // 3
    return text if len(text) <= most else f"{text[: most - tail - 1]}…{text[-tail:]}"


def spoken(name: Any) -> str:
    """A short name within a sentence; a number is called a class."""
    return f"class {name}" if str(name).isdigit() else short(name)


def gain(v: Verdict, arm: str, by: str = "validation") -> str:
    """What a user gains over plain training by training as `arm`: a sentence with the means of the trial on the test split.

    `by` says what chose the arm: "validation", or "verdict" where the validation split could not.
    """
    start = f"The best way to train here, by the {'validation split' if by == 'validation' else by}, is"
    share = {name: _mean(v.values(name)) for name in {arm, PLAIN} & v.arms.keys()}
    with_it = f"{100 * share[arm]:.1f} %"
    if arm == PLAIN:
        return f"{start} plain training: {with_it} {v.metric}."
    if PLAIN not in share:
        return f"{start} {arm}: {with_it} {v.metric}."
    plain = f"{100 * share[PLAIN]:.1f} %"
    if share[arm] > share[PLAIN]:
        return f"{start} {arm}: {with_it} instead of {plain} {v.metric} with plain training."
    return f"{start} {arm}, but nothing is gained on the test split: {with_it} {v.metric}, and {plain} with plain training."


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def name_of(row: Mapping[str, Any]) -> str:
    """The name of a row of cells or classes."""
    return str(row.get("cell", row.get("class")))


def question(v: Verdict) -> str:
    """The question that the verdict answers."""
    return f"Use {'these ' if v.adds == IMAGES else 'the '}{v.adds}?"


def title(v: Verdict) -> str:
    """The outcome as a heading, qualified where the images help but a class or cell gets worse."""
    return v.outcome.capitalize() + (f", but {get_worse(v)}" if v.outcome == "helps" and v.worse else "")


def headline(v: Verdict) -> str:
    """The answer to `question`, and by how much, in two short sentences."""
    return f"{ANSWERS[v.outcome]}. {effect(v)}"


def effect(v: Verdict) -> str:
    """What the answer rests on: the size of the effect, the class that decides, or why nothing was tested."""
    size, metric = unsigned(v.difference), v.metric
    if v.outcome == "not tested":
        return f"{_none_shown(v)}."
    if v.class_loss:
        return f"{capitalised(v.class_loss)}."
    if v.outcome == "hurts":
        return f"They cost {size} points of {metric}."
    if is_behind(v):
        return f"The best training without them ({v.comparator}) is {size} points better."
    if v.outcome == "no difference":
        return f"They make no difference of {100 * v.margin:g} points or more."
    if v.outcome == "underpowered":
        return f"The effect is between {points(v.low)} and {points(v.high)} points of {metric}."
    if not v.worse:
        return f"They add {size} points of {metric}."
    worst, others = v.worse[0], len(v.worse) - 1
    more = f", and {others} more {'gets' if others == 1 else 'get'} worse" if others else ""
    return f"On average they add {size} points, but {spoken(worst['name'])} loses {unsigned(worst['difference'])} points{more}."


def sentence(v: Verdict) -> str:
    """The verdict as text to quote."""
    if v.outcome == "not tested":
        return f"The {v.adds} were not tested. {_none_shown(v)}. {capitalised(remedy(v))}.{_initialisation(v)}"
    numbers, margin = _numbers(v), f"{100 * v.margin:g} points"
    unlooked = v.leaks is not None and not v.leaks.get("looked_for", True)
    pretrained = (v.leaks or {}).get("pretrained", False)
    if v.earlier_seeds:
        numbers += (
            f", not corrected for an earlier interim look at {v.earlier_seeds} seeds (outcome '{v.earlier_outcome}'),"
        )
    small = f", less than the {margin} that count as a difference in this trial" if abs(v.difference) < v.margin else ""
    against = f"the best arm without them ({v.comparator})"
    if v.class_loss:
        start = f"The {v.adds} help on average, but {'are not safe to use' if v.outcome == 'hurts' else 'may not be safe to use'}"
        text = f"{start}: {numbers} over {against}{small}. {capitalised(v.class_loss)}."
        text += " Leave them out." if v.outcome == "hurts" else f" {capitalised(remedy(v))}."
    else:
        text = {
            "helps": f"The {v.adds} help{', but not everywhere' if v.worse else ''}: {numbers} over {against}{small}.",
            "hurts": f"The {v.adds} hurt: {numbers} against {against}{small}. Leave them out.",
            "no difference": f"The {v.adds} {_none_gained(v, margin)}: {_no_difference(v, numbers)}. Leave them out.",
            "underpowered": f"This trial cannot tell whether the {v.adds} help: {numbers} against {against}. "
            f"{capitalised(remedy(v))}.",
        }[v.outcome]
    worse = f" {capitalised(losses(v))}." if v.worse else ""
    overall = f" {cost(v) or specificity(v)}" if v.overall is not None or v.operating_point is not None else ""
    return (
        text
        + worse
        + overall
        + _initialisation(v)
        + (f" {UNLOOKED}" if unlooked else "")
        + (f" {PRETRAINED}" if pretrained else "")
    )


def get_worse(v: Verdict) -> str:
    """Say "one class gets worse", or how many; cells in a trial about cells."""
    singular, plural = ("cell", "cells") if v.cells else ("class", "classes")
    return f"one {singular} gets worse" if len(v.worse) == 1 else f"{len(v.worse)} {plural} get worse"


def losses(v: Verdict, most: int = 3) -> str:
    """The classes or cells that get worse: "one class gets significantly worse: ..."; at most `most` by name."""
    named = [
        f"{spoken(row['name'])} by {unsigned(row['difference'])} points ({points(row['low'])} to {points(row['high'])})"
        for row in v.worse[:most]
    ]
    more = f", and {len(v.worse) - most} more" if len(v.worse) > most else ""
    return f"{get_worse(v).replace(' worse', ' significantly worse')}: {', '.join(named)}{more}"


def cost(v: Verdict) -> str:
    """What a trial about cells costs over all images: a sentence; "" for another trial."""
    if v.overall is None:
        return ""
    return (
        f"Over all {v.overall['test']:,} test images, balanced accuracy changes by {points(v.overall['difference'])} points "
        f"({points(v.overall['low'])} to {points(v.overall['high'])})."
    )


def on_validation(v: Verdict) -> str:
    """The metric by which the validation split chooses. In a trial about cells it has no image of an empty one."""
    return "balanced accuracy" if v.operating_point is None else v.metric


def specificity(v: Verdict) -> str:
    """What the thresholds of a trial about sensitivity give on the test images of other classes; "" for another trial."""
    row = v.operating_point
    if row is None:
        return ""
    with_it, without = (f"{100 * row[f'specificity_{role}']:.1f} %" for role in ("arm", "comparator"))
    return (
        f"The thresholds were chosen on validation; on {row['test']:,} test images of other classes their specificity is {with_it} "
        f"({v.arm}) and {without} ({v.comparator}), a difference of {points(row['difference'])} points ({points(row['low'])} to "
        f"{points(row['high'])})."
    )


LITE0 = "a linear layer on features of EfficientNet-Lite0 (trained on ImageNet)"
CLASSIFIERS = {
    "cnn": "a small network of three convolutions from random weights",
    "resnet": "a small residual network from random weights",
    "linear_probe": LITE0,
    "linear_probe:lite0": LITE0,
    "linear_probe:pixels": "a linear layer on the pixels",
}
"""Name of a classifier -> what the arms train, where the name says too little."""


def classifier(v: Verdict) -> str:
    """What the arms train and at which size, and why; "" for a verdict of several trials."""
    if not v.classifier:
        return ""
    name, (height, width) = str(v.classifier["name"]), v.classifier["size"]
    text = f"Every arm trains {CLASSIFIERS.get(name, name)}, on images of {height}×{width} px."
    accuracies: Mapping[str, float] = v.classifier["validation"]
    if len(accuracies) > 1:
        candidates = " and ".join(
            f"{100 * value:.1f} % with {CLASSIFIERS.get(key, key)}" for key, value in accuracies.items()
        )
        return (
            f"{text} It was chosen on validation: trained on the real images alone, {on_validation(v)} is {candidates}."
        )
    return f"{text} {SMALL}" if name == "cnn" else text


SMALL = "A pretrained network may gain less from the images, or nothing."
"""Limit of a trial with a small network from random weights."""


def of_groups(images: int, groups: int | None) -> str:
    """Say " of 14 groups" for images of that many people or patients; "" where (nearly) every image is its own group."""
    return f" of {groups:,} groups" if groups is not None and groups < 0.9 * images else ""


def same(adds: str) -> str:
    """Description of the matched control."""
    return "the same training without them" if adds != LAYERS else "the same network from random weights"


def remedy(v: Verdict) -> str:
    """What would settle an underpowered trial, or give a trial images to test."""
    if v.outcome == "not tested":
        return _images_remedy(v)
    if v.lacking:
        return f"{v.lacking}. {advise_testing(v)}"
    if v.class_loss:
        return f"more test images of this class may rule it out. {advise_testing(v)}"
    if v.coarse:
        return f"no number of seeds can settle it: {v.coarse}. {advise_testing(v)}"
    if len(v.seeds) < v.least_seeds:
        return (
            f"an outcome other than 'underpowered' needs at least {v.least_seeds} seeds (prove.seeds={v.least_seeds})"
        )
    if v.seeds_needed is None:
        return (
            f"no number of seeds can settle it with {v.test_n:,} test images: about {v.images_needed:,} are needed for a "
            f"difference of this size. {advise_testing(v)}"
        )
    setting = "seeds" if v.folds > 1 else "max_seeds"
    return f"about {v.seeds_needed} seeds would settle a difference of this size (prove.{setting}={v.seeds_needed})"


def advise_testing(v: Verdict) -> str:
    """The advice where the test split is too small."""
    return TEST_MORE_IN_FOLDS if v.folds > 1 else TEST_MORE


def rejections(counts: Mapping[str, Any]) -> list[tuple[str, int]]:
    """(filter, number of images that it rejected), largest number first."""
    return sorted(counts.get("rejected", {}).items(), key=lambda item: -int(item[1]))


def count_rejected(counts: Mapping[str, Any], most: int = 3) -> str:
    """Say "the filter agreement rejected 640, near_copy 60"; "" where no filter rejected an image."""
    rows: Sequence[tuple[str, int]] = rejections(counts)
    named = ", ".join(f"{name} {number:,}" for name, number in rows[1:most])
    return f"the filter {rows[0][0]} rejected {rows[0][1]:,}{f', {named}' if named else ''}" if rows else ""


def _none_shown(v: Verdict) -> str:
    """Why no image was shown: nothing drawn, nothing accepted, or only copies of held-out images."""
    drawn, accepted = int(v.synthetic.get("drawn", 0)), int(v.synthetic.get("accepted", 0))
    if not drawn:
        return "No synthetic image was generated"
    if not accepted:
        rejected = count_rejected(v.synthetic)
        return f"None of the {drawn:,} synthetic images was accepted{f'; {rejected}' if rejected else ''}"
    if v.synthetic.get("left_out", 0) >= accepted:
        return f"All {accepted:,} accepted synthetic images are near-duplicates of held-out images and were left out"
    return f"prove.ratios shows none of the {accepted:,} accepted synthetic images"


def _images_remedy(v: Verdict) -> str:
    rows = rejections(v.synthetic)
    if v.synthetic.get("accepted"):
        if v.synthetic.get("left_out", 0) >= v.synthetic["accepted"]:
            return "generate images that are not copies of real ones: fewer --steps, or --set train.augment=diffaugment"
        return "add a ratio above 0 to prove.ratios"
    if not rows:
        return "request images with --sampling-strategy, such as level or 0.5"
    return f"{rows[0][0]} rejects most of them: {REMEDIES.get(rows[0][0], OTHER_REMEDY)}"


def _initialisation(v: Verdict) -> str:
    """The second answer, about the discriminator's layers; "" where they were not tested."""
    row = v.initialisation
    if row is None:
        return ""
    return (
        f" Separately, starting from the {LAYERS} ({row['arm']}): {row['outcome']}, {points(row['difference'])} points "
        f"({confidence(row['level'])} interval {points(row['low'])} to {points(row['high'])}) against {row['against']}."
    )


def confidence(level: float) -> str:
    """One minus `level` as a percentage: "95 %"."""
    return f"{100 * (1 - level):.3g} %"


def _numbers(v: Verdict) -> str:
    return (
        f"{points(v.difference)} points of {v.metric} ({confidence(v.level)} interval {points(v.low)} to {points(v.high)}, "
        f"p = {v.p:.3f}, {len(v.seeds)} paired seeds, {v.test_n:,} test images{of_groups(v.test_n, v.test_groups)}"
        f"{f' in {v.folds} folds' if v.folds > 1 else ''})"
    )


def is_behind(v: Verdict) -> bool:
    """Whether the outcome is "no difference", but the best training without the images, another one, is clearly better.

    Then the images do not change the training that they are added to, and another training is the better choice.
    """
    return v.outcome == "no difference" and v.high < 0 and v.difference <= -v.margin


def _none_gained(v: Verdict, margin: str) -> str:
    if is_behind(v):
        return f"make no difference of {margin} or more to the same training, and another one is better without them"
    return f"make no difference of {margin} or more"


def _no_difference(v: Verdict, numbers: str) -> str:
    control = v.matched_control
    text = f"{numbers} against the best arm without them ({v.comparator})"
    if control["against"] == v.comparator:
        return text
    return (
        f"{text}, and {points(control['difference'])} ({points(control['low'])} to {points(control['high'])}) against "
        f"{same(v.adds)} ({control['against']})"
    )
