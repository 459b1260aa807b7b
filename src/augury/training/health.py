"""Checks of the training log for known failures, each reported with the setting that usually helps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import mean
from typing import Any

from augury.losses import ADVERSARIAL_LOSSES
from augury.training.recipes import Recipe

Rows = list[dict[str, Any]]
SETTLED = (0.3, 300)
"""Share of the training, and steps, before which nothing is reported."""
EARLY_MINIMUM = (0.05, 50)
"""The same for the findings in EARLY."""
STILL, INVERTED = 0.02, 0.8
"""Mean change of a translation on the scale [-1, 1]. Below the first limit nothing changes; above the second colours are
inverted."""


def recent(rows: Rows, name: str, most: int) -> list[float]:
    """The last values of this name, at most `most`."""
    return [row[name] for row in rows if name in row][-most:]


def saturated(rows: Rows, rule: Recipe) -> str | None:
    """A discriminator that separates all images, so its loss gives the generator no gradient. Critics are exempt, since
    their loss is a distance.
    """
    apart = recent(rows, "pairwise_accuracy", 3)
    if (
        rule.loss not in ADVERSARIAL_LOSSES
        or ADVERSARIAL_LOSSES[rule.loss].critic
        or len(apart) < 3
        or min(apart) < 0.97
    ):
        return None
    return (
        f"the discriminator separates {min(apart):.0%} of the real images from fakes, so the generator learns little; usual "
        "remedies: --penalty r1=1, --set train.augment=diffaugment, or a lower discriminator_lr"
    )


def vanished(rows: Rows, rule: Recipe) -> str | None:
    """A discriminator that separates nothing."""
    apart = recent(rows, "pairwise_accuracy", 3)
    if len(apart) < 3 or not all(0.47 < share < 0.53 for share in apart):
        return None
    return (
        f"the discriminator separates real images from fakes no better than chance ({mean(apart):.0%}), so the generator "
        "learns nothing; usual remedies: a higher discriminator_lr, a weaker --set train.augment, or smaller penalties"
    )


def collapsed(rows: Rows, rule: Recipe) -> str | None:
    """Classes whose images are nearly alike."""
    spread = recent(rows, "spread", 2)
    if len(spread) < 2 or max(spread) > 0.4:
        return None
    worst = [row for row in rows if "worst_class" in row][-1:]
    least = "".join(f", lowest for '{row['worst_class']}' ({row['worst_spread']:.0%})" for row in worst)
    return (
        f"the images of a class are nearly alike: {spread[-1]:.0%} of the variety of real ones{least} (mode collapse); usual "
        "remedies: recipe rpgan, --penalty r1=1, or --set 'train.overrides={\"mode_seeking\": 0.1}'"
    )


def narrow(rows: Rows, rule: Recipe) -> str | None:
    """A class whose images are nearly alike while those of others vary; a mean over classes would hide it."""
    looked = [row for row in rows if "worst_spread" in row][-2:]
    names = {row["worst_class"] for row in looked}
    if len(looked) < 2 or len(names) > 1 or max(row["worst_spread"] for row in looked) > 0.3 or collapsed(rows, rule):
        return None
    return (
        f"the images of class '{names.pop()}' are nearly alike: {looked[-1]['worst_spread']:.0%} of the variety of its real ones, "
        "while other classes vary; usual remedies: --set train.label_sampling=uniform, and with a dcgan's networks --set "
        "'train.overrides={\"spectral_control\": 0.1}'"
    )


def repeated(rows: Rows, rule: Recipe) -> str | None:
    """Fakes that are copies of each other."""
    share = recent(rows, "duplicates", 2)
    if len(share) < 2 or min(share) < 0.2:
        return None
    return (
        f"{share[-1]:.0%} of the synthetic images are near-duplicates of another (mode collapse); usual remedies: recipe rpgan, "
        "--set 'train.overrides={\"mode_seeking\": 0.1}', or fewer steps"
    )


def copied(rows: Rows, rule: Recipe) -> str | None:
    """Fakes that come nearer to the training images than real images are, while training goes on."""
    near = recent(rows, "closeness", len(rows))
    if rule.network == "translator" or len(near) < 4 or max(near[-2:]) > 0.6 or near[-1] > 0.9 * max(near[:-2]):
        return None
    return (
        f"the distance of synthetic images to the training images is {near[-1]:.0%} of that of held-out real images and "
        "falling: training images may be memorised; usual remedies: fewer steps, --set train.augment=diffaugment, or more images"
    )


def unmoved(rows: Rows, rule: Recipe) -> str | None:
    """A translator that returns its input."""
    moved = recent(rows, "moved", 3)
    if len(moved) < 3 or max(moved) >= STILL:
        return None
    return (
        f"the translator changes its images by {mean(moved):.3f} on average (on the scale from -1 to 1), which is almost nothing; "
        'usual remedies: --set \'train.overrides={"cycle": 0.1, "identity": 0.1}\', and more --steps'
    )


def inverted(rows: Rows, rule: Recipe) -> str | None:
    """A translator that turns dark into bright. With a cycle loss this costs nothing, because inverting twice restores the
    image.
    """
    moved = recent(rows, "moved", 2)
    if len(moved) < 2 or min(moved) <= INVERTED:
        return None
    return (
        f"the translator changes its images by {mean(moved):.2f} on average (on the scale from -1 to 1), as if it inverted their "
        "colours; inspect samples/. Usual remedies: --set 'train.overrides={\"identity\": 1}', a lower generator_lr, or another --seed"
    )


FINDINGS: dict[str, Callable[[Rows, Recipe], str | None]] = {
    f.__name__: f for f in (saturated, vanished, collapsed, narrow, repeated, copied, unmoved, inverted)
}
"""Each check: (rows of the log so far, the recipe) -> a finding and its usual remedies, or None."""
EARLY = frozenset({"inverted"})
"""Checks that run from the beginning, because the training does not recover by itself."""


def findings(rows: Rows, rule: Recipe, progress: float) -> dict[str, str]:
    """The findings that no earlier row reports: name -> sentence."""
    reported = {name for row in rows for name in row.get("warnings", {})}
    due = {name for name in FINDINGS if _passed(EARLY_MINIMUM if name in EARLY else SETTLED, progress, rows)} - reported
    results = {name: check(rows, rule) for name, check in FINDINGS.items() if name in due}
    return {name: text for name, text in results.items() if text is not None}


def check_used(row: Mapping[str, Any], rule: Recipe, steps: int) -> dict[str, str]:
    """Check the generator that a training returns, however short it was: name -> sentence.

    `row` is the row of the log that evaluated it. One evaluation suffices, because there is no later one.
    """
    alike: Rows = [dict(row)] * 3
    results = {name: FINDINGS[name](alike, rule) for name in ("collapsed", "narrow", "repeated", "unmoved", "inverted")}
    few = (
        f"; it was trained for {steps:,} steps, and the recipe's default is {rule.steps:,}"
        if steps < rule.steps
        else ""
    )
    return {name: text + few for name, text in results.items() if text is not None}


def _passed(least: tuple[float, int], progress: float, rows: Rows) -> bool:
    return progress >= least[0] and rows[-1]["step"] >= least[1]
