"""From the measures of every arm to the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from augury.images import LabelledImages, SyntheticImages
from augury.proof import composition
from augury.proof.arms import ARMS, CHOSEN, OWN
from augury.proof.cells import Holes
from augury.proof.crossed import Effects, effects
from augury.proof.judging_cells import absent, judged_images, with_cells
from augury.proof.measures import PER_CLASS, SCALARS, VALIDATION, unpacked
from augury.proof.operating_point import PRIMARY, OperatingPoint, hits_of
from augury.proof.power import detectable, images_needed, seeds_needed
from augury.proof.recalls import LEVEL, alone, differences, untested
from augury.proof.statistics import holm, least_seeds, sign_flip_p
from augury.sentences import name_of, spoken, unsigned
from augury.verdict import Verdict

Hits = Mapping[str, npt.NDArray[np.bool_]]

SHOWN = {
    "note", "source", "ratio", "schedule", "synthetic_weight", "synthetic_smoothing", "trained_weights", "cells", "fill", "control",
}  # fmt: skip
"""Fields of an arm that describe its use of a generative training. Arms that agree in all other fields are matched controls."""
OWN_OF_CELLS = frozenset({"real", "objective"})
"""Fields in which an arm for holes may differ from its matched control, if no arm agrees in them."""


@dataclass(frozen=True)
class Comparison:
    """One arm against another: effects, sign-flip p over the seeds, and the interval at confidence 1 - `level`."""

    arm: str
    against: str
    effects: Effects
    p: float
    p_adjusted: float
    level: float
    low: float
    high: float

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        names = ("arm", "against", "p", "p_adjusted", "level", "low", "high")
        summary = {"difference": self.effects.value, "adds": ARMS[self.arm].adds}
        return summary | {name: getattr(self, name) for name in names}


def judge(
    results: Mapping[str, list[dict[str, Any]]],
    seeds: tuple[int, ...],
    ratio: float,
    curve: Sequence[dict[str, Any]],
    train: LabelledImages,
    generated: SyntheticImages | Mapping[str, SyntheticImages],
    test: LabelledImages,
    *,
    level: float = 0.05,
    margin: float = 0.02,
    max_class_loss: float | None = None,
    holes: Holes | None = None,
    augmentation: str = "",
    point: OperatingPoint | None = None,
) -> Verdict:
    """Judge the best arm that shows synthetic images against its comparator, and separately the discriminator's layers.

    A generative arm uses synthetic images or the discriminator's layers. The verdict is about the images where any arm shows
    some, else about the layers. The comparator of an arm is the arm with neither that is best *on test*. This choice is
    conservative: it can only count against the generative arms. p and level are corrected for their number.

    Arms with the discriminator's network, also from random weights, are compared with all others. They are not
    comparators for arms that train the usual classifier: a gain from a different architecture must not be credited to
    the images.

    Parameters
    ----------
    results
        Arm -> its measures, one for each seed.
    seeds, ratio, curve
        The seeds, the ratio shown, and the validation curve that the ratio was chosen from.
    generated
        The images shown; by source if there are several.
    level
        Level of the two-sided test.
    margin
        Smallest difference that matters.
    max_class_loss
        If given, "helps" needs every class (cell) to lose less than this; see `within_class_loss`.
    holes
        If given, only test images within their attribute values are judged, and the cells are the classes; see
        `judging_cells`.
    augmentation
        The augmentation that was chosen for the arms that add images; "" if there was none, or several in pooled trials.
    point
        If given, only test images of its class are judged, and the hits are those at the threshold; None for balanced
        accuracy. It does not go with holes.
    """
    all_hits = {name: np.stack([unpacked(hits_of(m), len(test)) for m in each]) for name, each in results.items()}
    hits, judged, ratio = all_hits, test, 1.0 if holes else ratio
    if holes:
        judged, inside = judged_images(test, holes)
        hits = {name: each[:, inside] for name, each in all_hits.items()}
    if point:
        judged, inside = point.judged(test)
        hits = {name: each[:, inside] for name, each in all_hits.items()}
    sources = {OWN: generated} if isinstance(generated, SyntheticImages) else generated
    rivals = compared(hits, judged, level, shown=ratio > 0)
    main, layers = _subjects(rivals, hits, judged, level)
    comparator = main.against
    decide = partial(
        _decide,
        hits=hits,
        judged=judged,
        margin=margin,
        seeds=len(seeds),
        level=level,
        holes=holes,
        augmentation=augmentation,
    )
    decision, matched_control, lacking, crude = decide(main)
    shown = ratio > 0 and ARMS[main.arm].shows
    if ARMS[main.arm].shows and not shown:  # no synthetic image was shown, so none had an effect
        decision, crude = "not tested", ""
    far = max(abs(main.effects.value), margin - abs(main.effects.value))
    more = seeds_needed(main.effects, far, main.level)
    images = sources.get(ARMS[main.arm].source if shown else OWN, next(iter(sources.values())))
    images = composition.shown(ARMS[main.arm], train, images, holes) if holes else images
    names = (
        *SCALARS,
        *PER_CLASS,
        *((PRIMARY, "specificity", "threshold") if point else ()),
        *([VALIDATION] if all(VALIDATION in m for each in results.values() for m in each) else ()),
    )
    arms = {n: {k: [m[k] for m in each] for k in names} for n, each in results.items()}
    verdict = Verdict(
        outcome=decision,
        arm=main.arm,
        comparator=comparator,
        difference=main.effects.value,
        low=main.low,
        high=main.high,
        p=main.p_adjusted,
        level=main.level,
        ratio=ratio,
        seeds=seeds,
        test_n=len(judged),
        margin=margin,
        p_no_gain=no_gain(main, matched_control, margin, len(eligible(hits, main.arm))),
        p_no_loss=matched_control.effects.p_above(-margin),
        detectable=detectable(main.effects.error, main.effects.freedom(), main.level),
        least_seeds=least_seeds(main.level),
        seeds_needed=None if more is None else max(more, int(np.ceil(1.5 * len(seeds))), least_seeds(main.level)),
        images_needed=images_needed(main.effects, far, len(judged), main.level),
        matched_control=matched_control.as_dict(),
        comparisons=tuple(c.as_dict() for c in rivals),
        arms=arms,
        ratio_curve=tuple(curve),
        per_class=_per_class(
            all_hits,
            main.arm,
            comparator,
            train,
            images if shown else images.take(np.empty(0, int)),
            test,
            max_class_loss,
        ),
        adds=ARMS[main.arm].adds,
        lacking=lacking,
        coarse=crude,
        test_groups=None if judged.groups is None else len(np.unique(judged.groups)),
        initialisation=None if layers is None else layers.as_dict() | {"outcome": decide(layers)[0]},
        max_class_loss=max_class_loss,
    )
    if point:
        realised = point.realised(all_hits, main.arm, comparator, test)
        verdict = replace(verdict, metric=point.metric, operating_point=realised)
    if holes:
        verdict = with_cells(verdict, all_hits, inside, train, images, test, holes, max_class_loss)
    return verdict if max_class_loss is None else within_class_loss(verdict, max_class_loss)


def _subjects(
    rivals: list[Comparison], hits: Hits, test: LabelledImages, level: float
) -> tuple[Comparison, Comparison | None]:
    """The best arm that shows images, and the best one that starts from the discriminator's layers; None where there is none.

    In a trial without arms that show images, the verdict is about the layers. Images that were not shown are no rivals: their
    best arm stands for a verdict of "not tested".
    """
    with_images = [c for c in rivals if ARMS[c.arm].shows]
    layers = max((c for c in rivals if not ARMS[c.arm].shows), key=lambda c: c.effects.value, default=None)
    asked = any(ARMS[name].shows and ARMS[name].generative for name in hits)
    if asked and not with_images:
        images_alone = {name: each for name, each in hits.items() if not ARMS[name].generative or ARMS[name].shows}
        with_images = compared(images_alone, test, level, shown=True)
    if with_images:
        return max(with_images, key=lambda c: c.effects.value), layers
    assert layers is not None, "a trial has a generative arm"
    return layers, None


def _decide(
    main: Comparison,
    *,
    hits: Hits,
    judged: LabelledImages,
    margin: float,
    seeds: int,
    level: float,
    holes: Holes | None,
    augmentation: str,
) -> tuple[str, Comparison, str, str]:
    """(outcome, comparison with the matched control, `lacking`, `coarse`) of one comparison; see `Verdict`."""
    control = matched_control_of(main, hits, judged, augmentation)
    lacking, crude = (holes and absent(judged)) or few(judged, main.level), ""
    decision = (
        "underpowered" if lacking else outcome(main, control, margin, seeds, level, len(eligible(hits, main.arm)))
    )
    if decision == "no difference" and (crude := coarse(judged, margin)):
        decision = "underpowered"
    return decision, control, lacking, crude


def within_class_loss(verdict: Verdict, most: float) -> Verdict:
    """Make "no class loses more than `most`" part of "helps".

    A class whose corrected interval lies below -`most` makes the outcome "hurts". A class whose loss of `most` or more is not
    ruled out (one-sided test at 5 %) makes it "underpowered". All classes must pass, so these tests need no correction.
    """
    if verdict.outcome != "helps":
        return verdict
    rows = sorted((row for row in verdict.rows if row["test"]), key=lambda row: float(row["difference"]))
    limit = f"{100 * most:g} points (prove.max_class_loss)"
    for row in rows:
        if row["worse"] and row["high"] < -most:
            text = f"{spoken(name_of(row))} loses {unsigned(row['difference'])} points, more than the allowed {limit}"
            return replace(verdict, outcome="hurts", class_loss=text)
    open_rows = [row for row in rows if row["p_no_loss"] > LEVEL]
    if not open_rows:
        return verdict
    names = ", ".join(spoken(name_of(row)) for row in open_rows[:3]) + (" …" if len(open_rows) > 3 else "")
    text = f"a loss of more than {limit} is not ruled out for {names}"
    return replace(verdict, outcome="underpowered", class_loss=text)


def outcome(
    main: Comparison, matched_control: Comparison, margin: float, seeds: int, level: float = 0.05, among: int = 1
) -> str:
    """One of four outcomes for an arm whose images were shown.

    `main` compares the arm with the comparator, the best of `among` arms. `matched_control` compares it with the same
    training without synthetic images, or from random weights.

    - helps: above the comparator. The interval and the sign-flip test (adjusted p at most `level`) agree.
    - hurts: below both. Being below the comparator alone may be chance, since it was chosen as the best.
    - no difference: a gain over the comparator of `margin` or more is ruled out. So is a loss of `margin` or more against
      the matched control. Each needs a one-sided test and its interval.
    - underpowered: none of these, or fewer seeds than a sign-flip test at this level needs.
    """
    if seeds < least_seeds(main.level):
        return "underpowered"
    if main.p_adjusted <= level and main.low > 0:
        return "helps"
    if (
        main.p_adjusted <= level
        and main.high < 0
        and matched_control.p <= matched_control.level
        and matched_control.high < 0
    ):
        return "hurts"
    tested = (
        no_gain(main, matched_control, margin, among) <= main.level
        and matched_control.effects.p_above(-margin) <= matched_control.level
    )
    within = tested and main.effects.interval(1 - 2 * main.level)[1] < margin
    within = within and matched_control.effects.interval(1 - 2 * matched_control.level)[0] > -margin
    return "no difference" if within else "underpowered"


def no_gain(main: Comparison, matched_control: Comparison, margin: float, among: int) -> float:
    """One-sided p that a gain of `margin` or more over all of `among` arms is not ruled out.

    The comparator did best on these very images, which makes gains look too small, so its p is corrected for the choice.
    The matched control was fixed beforehand; no gain over it means no gain over the best. Each test gets half of the
    error (Bonferroni).
    """
    best = among * main.effects.p_below(margin)
    if (
        among == 1 or matched_control.level < main.level
    ):  # nothing was chosen; or there is no matched control but the comparator
        return min(1.0, best)
    return min(1.0, 2 * best, 2 * matched_control.effects.p_below(margin))


def few(test: LabelledImages, level: float) -> str:
    """Why the test split allows only "underpowered" with any number of seeds; "" if it allows other outcomes.

    Images of a group are not independent, so an outcome needs as many groups as seeds. One group is too few to estimate
    the variation of a class.
    """
    if test.groups is not None and (count := len(np.unique(test.groups))) < least_seeds(level):
        return f"the test images come from {count} {'group' if count == 1 else 'groups'} (people, patients), but an outcome other than 'underpowered' needs at least {least_seeds(level)}"
    for c, name in enumerate(test.classes):
        count, least = alone(test, test.labels == c)
        if 0 < count < least:
            has = (
                "a single test image"
                if least == 2
                else f"test images from only {count} {'group' if count == 1 else 'groups'} (people, patients)"
            )
            return f"the class '{name}' has {has}, but an outcome other than 'underpowered' needs at least {least}"
    return ""


def coarse(test: LabelledImages, margin: float) -> str:
    """Why no number of seeds can rule out a difference of `margin` on this test split; "" if some number can.

    If the arms agree on all n test images (groups) of a class, they may still differ on up to 3 / n of the population.
    This is the rule of three, at 95 % (Hanley & Lippman-Hand 1983). One of K classes moves balanced accuracy by 1 / K of
    that.
    """
    classes = len(np.unique(test.labels))
    units = [(alone(test, test.labels == c)[0], name) for c, name in enumerate(test.classes)]
    count, name = min((n, name) for n, name in units if n)
    if 3 / (count * classes) <= margin:
        return ""
    least, unit = int(np.ceil(3 / (margin * classes))), "test images" if test.groups is None else "groups to test"
    return f"the class '{name}' has {count} {unit}, but at least {least} are needed to rule out {100 * margin:g} points"


def eligible(hits: Hits, arm: str) -> list[str]:
    """The arms that `arm` can be compared with."""
    return [n for n in hits if not ARMS[n].generative and ARMS[n].network in ("", ARMS[arm].network)]


def compared(hits: Hits, test: LabelledImages, level: float, shown: bool = True) -> list[Comparison]:
    """Compare every generative arm with its best comparator, Holm-corrected for the number of arms.

    If no images were `shown`, arms that show images are left out as long as arms with the discriminator's layers exist.
    """
    names = [name for name in hits if ARMS[name].generative]
    names = [name for name in names if shown or not ARMS[name].shows] or names
    plain = {name: _accuracy(each, test) for name, each in hits.items() if not ARMS[name].generative}
    against = {name: max(eligible(hits, name), key=plain.__getitem__) for name in names}
    differences = [_difference(hits, name, against[name], test) for name in names]
    raw = [sign_flip_p(each.value + each.seeds) for each in differences]
    adjusted, levels = holm(raw, level)
    rows = zip(names, differences, raw, adjusted, levels, strict=True)
    return [Comparison(n, against[n], e, p, a, lv, *e.interval(1 - lv)) for n, e, p, a, lv in rows]


def _accuracy(hits: npt.NDArray[np.bool_], test: LabelledImages) -> float:
    """Balanced accuracy, averaged over the seeds."""
    return float(np.mean([hits[:, test.labels == c].mean() for c in np.unique(test.labels)]))


def matched_control_of(main: Comparison, hits: Hits, test: LabelledImages, augmentation: str = "") -> Comparison:
    """Compare the arm with the same training without synthetic images, or from random weights.

    If that arm was not trained, the comparator takes its place. The level is then corrected for its choice among the
    arms that are not generative.
    """
    plain = [n for n in hits if not ARMS[n].source and not ARMS[n].trained_weights and not ARMS[n].fill]
    name = next((n for n in plain if _training(n) == _training(main.arm, augmentation=augmentation)), None)
    if name is None and ARMS[main.arm].cells:  # allow other real images or another objective
        plain = [n for n in plain if ARMS[n].real == "all" and not ARMS[n].objective]
        name = next((n for n in plain if _training(n, OWN_OF_CELLS) == _training(main.arm, OWN_OF_CELLS)), None)
    if name is None:
        level = main.level / len(eligible(hits, main.arm))
        low, high = main.effects.interval(1 - level)
        return replace(main, level=level, low=low, high=high)
    difference = _difference(hits, main.arm, name, test)
    p = sign_flip_p(difference.value + difference.seeds)
    return Comparison(main.arm, name, difference, p, p, main.level, *difference.interval(1 - main.level))


def _training(name: str, less: frozenset[str] = frozenset(), augmentation: str = "") -> dict[str, Any]:
    """Fields of an arm without those of a generative training and those in `less`, with the `augmentation` that was chosen."""
    fields = {field: value for field, value in asdict(ARMS[name]).items() if field not in SHOWN | less}
    if fields["augment"] == CHOSEN:
        fields["augment"] = augmentation
    return fields | {"method": fields["method"].removeprefix("source_only")}  # source_only adapts to nothing


def _difference(hits: Hits, arm: str, against: str, test: LabelledImages) -> Effects:
    return effects(hits[arm].astype(float) - hits[against], test.labels, test.groups)


def _per_class(
    hits: Hits,
    arm: str,
    comparator: str,
    train: LabelledImages,
    shown: SyntheticImages,
    test: LabelledImages,
    most_loss: float | None,
) -> tuple[dict[str, Any], ...]:
    """One row for each class: numbers of images, and the recalls and corrected difference of `differences`."""
    added, rows = np.bincount(shown.labels, minlength=len(train.classes)), []
    subsets = {int(c): test.labels == c for c in np.unique(test.labels)}
    tested = differences(hits[arm], hits[comparator], test, subsets, most_loss)
    for c, name in enumerate(train.classes):
        row = {"class": name, "train": int(train.counts[c]), "test": int(test.counts[c]), "synthetic": int(added[c])}
        rows.append({**row, **tested.get(c, untested())})
    return tuple(rows)
