"""The verdict: paired results per arm, the difference that matters, and one outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from augury.errors import RunFolderError
from augury.notebook import panel, paragraph, table

FORMAT = 9
"""Increased when the computation of verdicts changes, so that older verdicts are computed again."""

IMAGES, LAYERS = "synthetic images", "discriminator's layers"
"""What an arm can take from the training of a generator."""

UNLOOKED = "The synthetic images were not checked for copies of test images (prove.near_duplicates=allow)."
TEST_MORE = (
    "Use a larger test split, or test every image once with augury run --folds 5 (data with given splits: --split new)"
)
TEST_MORE_IN_FOLDS = "Add more images to test"
"""Advice where the test split is too small: in a single trial, and in a cross-validation."""


@dataclass(frozen=True)
class Verdict:
    """`difference` is the mean over `seeds` of (arm − comparator) in balanced accuracy on the test split, in [-1, 1].

    [`low`, `high`] is its interval at confidence 1 − `level`, over seeds and test images. `level` is .05, or less to correct for
    several generative arms or interim looks. `p` is the p-value of the sign-flip test over the seeds, corrected for the number of
    generative arms.

    `p_no_gain` and `p_no_loss` are one-sided p-values. `p_no_gain` tests a gain of `margin` or more over the
    comparator, corrected
    for choosing the best as the comparator. `p_no_loss` tests a loss of `margin` or more against the `matched_control`: the same
    training without synthetic images, or from random weights. A small value rules out that gain or loss.

    `detectable` is the difference that such a trial finds with power 0.8. `seeds_needed` (None: no number suffices) and
    `images_needed` would settle a difference of this size. With fewer than `least_seeds`, no sign-flip test can.

    `ratio` is that of the images, also where the best arm shows none. `comparisons` has a row for each generative arm, `arms` one
    value per seed, and `per_class` 95 % intervals. `ratio_curve` was measured on validation. `looks` are the interim looks at a
    growing trial. `folds` is the number of pooled trials, each with its own test split and generator. `leaks` says what was
    checked for having seen no test image.

    `adds` names what `arm` has and `comparator` lacks: "synthetic images" ("of" another generator) or "discriminator's layers".
    `lacking` says why the test split allows only the outcome "underpowered", if so. `coarse` says why it cannot give
    "no difference" where all other conditions hold. `test_groups` counts the groups (people, patients) of the test split, None
    without groups. `earlier_seeds` and `earlier_outcome` are those of an earlier interim look at this trial with other seeds or
    arms, which is not corrected for.

    A trial about holes (cells of class × attribute without train images) measures the mean recall of the cells within the
    attribute values that contain a hole. `metric` names them and `test_n` counts their images. `cells` then has a row for every
    cell: {cell, class, attributes, hole, within, train, synthetic, test, groups, recall_comparator, interval_comparator,
    recall_arm, interval_arm, difference, low, high, level, p_adjusted, worse}. Intervals of differences are
    corrected for the number
    of cells. `overall` is the difference in balanced accuracy over all test images: {difference, low, high (95 %), test,
    worst_comparator, worst_arm}, the last two {cell, recall}. `per_class` covers all test images, and `arms` also have `overall`.
    `ratio` counts generated images shown for each train image.
    """

    outcome: str
    arm: str
    comparator: str
    difference: float
    low: float
    high: float
    p: float
    level: float
    ratio: float
    seeds: tuple[int, ...]
    test_n: int
    margin: float
    p_no_gain: float
    p_no_loss: float
    detectable: float
    least_seeds: int
    seeds_needed: int | None
    images_needed: int
    matched_control: dict[str, Any]
    comparisons: tuple[dict[str, Any], ...]
    arms: dict[str, dict[str, list[Any]]]
    ratio_curve: tuple[dict[str, Any], ...]
    per_class: tuple[dict[str, Any], ...]
    looks: tuple[dict[str, Any], ...] = ()
    folds: int = 1
    leaks: dict[str, Any] | None = None
    metric: str = "balanced accuracy"
    adds: str = IMAGES
    lacking: str = ""
    coarse: str = ""
    test_groups: int | None = None
    earlier_seeds: int = 0
    earlier_outcome: str = ""
    cells: tuple[dict[str, Any], ...] = ()
    overall: dict[str, Any] | None = None
    format: int = FORMAT

    def __repr__(self) -> str:
        effect = f"{points(self.difference)} points of {self.metric} ({points(self.low)} to {points(self.high)})"
        trial = f"{len(self.seeds)} seeds, {self.test_n:,} test images"
        return f"Verdict({self.outcome}: {effect}, {self.arm} against {self.comparator}, {trial})"

    def _repr_html_(self) -> str:
        head = ["arm", "against", "points", "from", "to"]
        rows = [
            [row["arm"], row["against"], *(points(row[name]) for name in ("difference", "low", "high"))]
            for row in self.comparisons
        ]
        return panel(self.title, paragraph(self.sentence), table(rows, head))

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        plain: dict[str, Any] = _plain(asdict(self))
        return {**plain, "sentence": self.sentence}

    @property
    def title(self) -> str:
        """The outcome as a heading, qualified where the images help but a cell gets worse."""
        rows = worse_cells(self.cells)
        return self.outcome.capitalize() + (
            f", but {_cells_get(rows)} worse" if self.outcome == "helps" and rows else ""
        )

    @property
    def sentence(self) -> str:
        """The verdict in words, to quote."""
        return sentence(self)

    def checked(self, leaks: dict[str, Any]) -> Verdict:
        """The same verdict with `leaks`."""
        return replace(self, leaks=leaks)

    @property
    def look(self) -> tuple[int, str]:
        """(seeds, outcome) of the first interim look at this test split that could have given an outcome other than
        "underpowered".

        (0, "") where none could.
        """
        if self.earlier_seeds:
            return self.earlier_seeds, self.earlier_outcome
        return (len(self.seeds), self.outcome) if len(self.seeds) >= self.least_seeds and not self.lacking else (0, "")

    def after(self, before: Verdict | None, look: tuple[int, str] = (0, "")) -> Verdict:
        """The same verdict, marked with an earlier interim look that could have given an outcome other than "underpowered".

        `before` is an earlier verdict on the same trainings. `look` is that of a trial with other settings on the
        same test split.
        """
        earlier = look
        if before is not None and not look[0]:
            same = (len(before.seeds), set(before.arms), before.ratio, before.margin)
            other = same != (len(self.seeds), set(self.arms), self.ratio, self.margin)
            again = before.earlier_seeds == len(self.seeds) if before.earlier_seeds else not other
            earlier = (0, "") if again else before.look
        return replace(self, earlier_seeds=earlier[0], earlier_outcome=earlier[1])

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Verdict:
        """The verdict that `as_dict` wrote. Raises RunFolderError for another format."""
        if stored.get("format") != FORMAT:
            raise RunFolderError(
                f"this verdict is of format {stored.get('format', 1)}, but this version of Augury reads and writes format "
                f"{FORMAT}; compute it again with: augury prove RUN"
            )
        values: dict[str, Any] = {f.name: stored[f.name] for f in fields(cls) if f.name in stored}
        tuples = {"seeds", "comparisons", "ratio_curve", "per_class", "looks", "cells"}
        return cls(**values | {name: tuple(values.get(name, ())) for name in tuples})


def points(value: float) -> str:
    """A difference of shares in points (hundredths), signed: "+1.2"; zero has no sign."""
    text = f"{100 * value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


def sentence(v: Verdict) -> str:
    """The verdict as text to quote; differences are in points (hundredths)."""
    ours = {"difference": v.difference, "level": v.level, "low": v.low, "high": v.high, "p": v.p}
    numbers = _numbers(v, ours)
    margin = f"{100 * v.margin:g} points"
    if v.ratio == 0 and v.adds != LAYERS:
        return (
            "The synthetic images do not help here: no synthetic image was shown, so they make no difference. Leave them out. "
            f"The best arm without them is {v.comparator}."
        )
    unlooked = v.leaks is not None and not v.leaks.get("looked_for", True)
    numbers += (
        f", not corrected for an earlier interim look at {v.earlier_seeds} seeds (outcome '{v.earlier_outcome}'),"
        if v.earlier_seeds
        else ""
    )
    small = f", less than the {margin} that count as a difference in this trial" if abs(v.difference) < v.margin else ""
    said = {
        "helps": f"The {v.adds} help{', but not everywhere' if worse_cells(v.cells) else ''}: {numbers} over the best arm without them ({v.comparator}){small}.",
        "hurts": f"The {v.adds} hurt: {numbers} against the best arm without them ({v.comparator}){small}. Leave them out.",
        "no difference": f"The {v.adds} make no difference of {margin} or more: {_no_difference(v, numbers)}. Leave them out.",
        "underpowered": f"This trial cannot tell whether the {v.adds} help: {numbers} against the best arm without "
        f"them ({v.comparator}). {capitalised(remedy(v))}.",
    }[v.outcome]
    return said + _of_images(v) + _of_cells(v) + (f" {UNLOOKED}" if unlooked else "")


def capitalised(text: str) -> str:
    """`text` with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def of_groups(images: int, groups: int | None) -> str:
    """Say " of 14 groups" for images of that many people or patients; "" where (nearly) every image is its own group."""
    return f" of {groups:,} groups" if groups is not None and groups < 0.9 * images else ""


def _of_images(v: Verdict) -> str:
    """Where the best arm shows no images, the result of the best arm that does; "" elsewhere."""
    rows = [row for row in v.comparisons if row.get("adds", LAYERS) != LAYERS]
    if v.adds != LAYERS or not rows or v.ratio == 0:
        return ""
    best = max(rows, key=lambda row: row["difference"])
    return (
        f" The best arm with the {best['adds']} ({best['arm']}) differs by {points(best['difference'])} points "
        f"({points(best['low'])} to {points(best['high'])}) from {best['against']}."
    )


def worse_cells(cells: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows of the cells that get significantly worse, largest loss first."""
    return sorted((row for row in cells if row["worse"]), key=lambda row: float(row["difference"]))


def losses(rows: Sequence[Mapping[str, Any]], most: int = 3) -> str:
    """The rows of `worse_cells` in words: "one cell gets significantly worse, ..."; at most `most` by name."""
    named = [
        f"{row['cell']} by {points(-row['difference'])[1:]} points ({points(row['low'])} to {points(row['high'])})"
        for row in rows[:most]
    ]
    more = f", and {len(rows) - most} more" if len(rows) > most else ""
    return f"{_cells_get(rows)} significantly worse: {', '.join(named)}{more}"


def cost(v: Verdict) -> str:
    """What a trial about cells costs over all images: a sentence; "" for another trial."""
    if v.overall is None:
        return ""
    return (
        f"Over all {v.overall['test']:,} test images, balanced accuracy changes by {points(v.overall['difference'])} points "
        f"({points(v.overall['low'])} to {points(v.overall['high'])})."
    )


def _cells_get(rows: Sequence[Mapping[str, Any]]) -> str:
    return "one cell gets" if len(rows) == 1 else f"{len(rows)} cells get"


def _of_cells(v: Verdict) -> str:
    """The cells that get worse, and the cost over all images; "" for a trial that is not about cells."""
    rows = worse_cells(v.cells)
    return (f" {capitalised(losses(rows))}." if rows else "") + (f" {cost(v)}" if v.overall is not None else "")


def _numbers(v: Verdict, numbers: dict[str, Any]) -> str:
    return (
        f"{points(numbers['difference'])} points of {v.metric} ({100 * (1 - numbers['level']):.3g} % interval "
        f"{points(numbers['low'])} to {points(numbers['high'])}, p = {numbers['p']:.3f}, {len(v.seeds)} paired seeds, "
        f"{v.test_n:,} test images{of_groups(v.test_n, v.test_groups)}{f' in {v.folds} folds' if v.folds > 1 else ''})"
    )


def _no_difference(v: Verdict, numbers: str) -> str:
    if v.matched_control["against"] == v.comparator:
        return f"{numbers} against the best arm without them ({v.comparator})"
    matched_control = f"{points(v.matched_control['difference'])} ({points(v.matched_control['low'])} to {points(v.matched_control['high'])})"
    return f"{numbers} against the best arm without them ({v.comparator}), and {matched_control} against {same(v.adds)} ({v.matched_control['against']})"


def same(adds: str) -> str:
    """Description of the matched control."""
    return "the same training without them" if adds != LAYERS else "the same network from random weights"


def remedy(v: Verdict) -> str:
    """What would settle an underpowered trial."""
    if v.lacking:
        return f"{v.lacking}. {test_more(v)}"
    if v.coarse:
        return f"no number of seeds can settle it: {v.coarse}. {test_more(v)}"
    if len(v.seeds) < v.least_seeds:
        return (
            f"an outcome other than 'underpowered' needs at least {v.least_seeds} seeds (prove.seeds={v.least_seeds})"
        )
    if v.seeds_needed is None:
        return (
            f"no number of seeds can settle it with {v.test_n:,} test images: about {v.images_needed:,} are needed for a "
            f"difference of this size. {test_more(v)}"
        )
    setting = "seeds" if v.folds > 1 else "max_seeds"
    return f"about {v.seeds_needed} seeds would settle a difference of this size (prove.{setting}={v.seeds_needed})"


def test_more(v: Verdict) -> str:
    """The advice where the test split is too small."""
    return TEST_MORE_IN_FOLDS if v.folds > 1 else TEST_MORE


def _plain(value: Any) -> Any:
    """The value with all tuples replaced by lists, as in JSON."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
