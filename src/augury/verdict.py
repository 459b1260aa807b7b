"""The verdict: paired results per arm, the difference that matters, and one outcome."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from augury import sentences
from augury.errors import RunFolderError
from augury.notebook import panel, paragraph, table

FORMAT = 13
"""Increased when the computation of verdicts changes, so that older verdicts are computed again."""


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
    value per seed: measures on the test split, and `validation`, the metric on the validation split. `ratio_curve`
    was measured on validation. `looks` are the interim looks at a growing trial. `folds` is the number of pooled trials, each
    with its own test split and generator. `leaks` says what was checked for having seen no test image.

    `adds` names what `arm` has and `comparator` lacks: "synthetic images" ("of" another generator) or "discriminator's layers". A
    trial in which an arm shows images is about the images. `initialisation` is then the best arm that starts from the
    discriminator's layers: a row as in `comparisons`, with its own `outcome`; None where there is none.

    `per_class` has a row for each class: {class, train, synthetic, test, groups, recall_comparator, interval_comparator,
    recall_arm, interval_arm, difference, low, high, level, p_adjusted, worse}. Intervals of differences are corrected for the
    number of classes (Holm), and `worse` means that one lies below zero. With `max_class_loss`, "helps" needs every class to lose
    less; otherwise `class_loss` says which class decides.

    `synthetic` counts the images that were drawn: {drawn, accepted, rejected: {filter: number}, left_out: near-duplicates of
    held-out images}. With none to show, the outcome is "not tested".

    `classifier` is what the arms train: {name, size: height and width of the images that it sees, why it was chosen, validation:
    {name: balanced accuracy on validation} of the candidates, if it was chosen between several}.

    `augmentation` is the choice on validation for the arms that add images: {chosen, values: {augmentation: the metric, one
    value per seed}}; the latter is empty where the trial compares with one augmentation only. None where no arm needs it.

    `lacking` says why the test split allows only the outcome "underpowered", if so. `coarse` says why it cannot give
    "no difference" where all other conditions hold. `test_groups` counts the groups (people, patients) of the test split, None
    without groups. `earlier_seeds` and `earlier_outcome` are those of an earlier interim look at this trial with other seeds or
    arms, which is not corrected for.

    A trial about holes (cells of class × attribute without train images) measures the mean recall of the cells within the
    attribute values that contain a hole. `metric` names them and `test_n` counts their images. `cells` then has a row for every
    cell: {cell, class, attributes, hole, within, train, synthetic, test, groups, recall_comparator, interval_comparator,
    recall_arm, interval_arm, difference, low, high, level, p_adjusted, worse}. Intervals of differences are corrected for the
    number of cells. `overall` is the difference in balanced accuracy over all test images: {difference, low, high (95 %), test}.
    `per_class` covers all test images, and `arms` also have `overall`. `ratio` counts generated images for each train image.

    A trial about sensitivity at a stated specificity (`prove.metric`) measures the share of test images of one class above a
    threshold, which is chosen on validation for every training. `metric` names them and `test_n` counts them. `operating_point`
    is then {class, specificity: the stated one, specificity_arm, specificity_comparator: on the test images, difference, low,
    high (95 %), test: number of images of other classes}; None otherwise. `arms` also have `primary` (the sensitivity),
    `specificity` and `threshold`. Recalls in `per_class` are those at the threshold: for other classes, their specificity.
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
    adds: str = sentences.IMAGES
    lacking: str = ""
    coarse: str = ""
    test_groups: int | None = None
    earlier_seeds: int = 0
    earlier_outcome: str = ""
    cells: tuple[dict[str, Any], ...] = ()
    overall: dict[str, Any] | None = None
    initialisation: dict[str, Any] | None = None
    synthetic: dict[str, Any] = field(default_factory=dict)
    max_class_loss: float | None = None
    classifier: dict[str, Any] = field(default_factory=dict)
    class_loss: str = ""
    augmentation: dict[str, Any] | None = None
    operating_point: dict[str, Any] | None = None
    format: int = FORMAT

    def __repr__(self) -> str:
        effect = f"{sentences.points(self.difference)} points of {self.metric} ({sentences.points(self.low)} to {sentences.points(self.high)})"
        trial = f"{len(self.seeds)} seeds, {self.test_n:,} test images"
        return f"Verdict({self.outcome}: {effect}, {self.arm} against {self.comparator}, {trial})"

    def _repr_html_(self) -> str:
        head = ["arm", "against", "points", "from", "to"]
        rows = [
            [row["arm"], row["against"], *(sentences.points(row[name]) for name in ("difference", "low", "high"))]
            for row in self.comparisons
        ]
        return panel(self.title, paragraph(self.sentence), table(rows, head))

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        plain: dict[str, Any] = _plain(asdict(self))
        worst = {role: self.worst(role) for role in ("comparator", "arm")}
        derived = {"headline": self.headline, "sentence": self.sentence, "worse": self.worse, "worst": worst}
        return {**plain, **_plain(derived)}

    @property
    def compares_images(self) -> bool:
        """Whether the verdict is about synthetic images, and not about the discriminator's layers."""
        return self.adds != sentences.LAYERS

    @property
    def title(self) -> str:
        """The outcome as a heading, qualified where the images help but a class or cell gets worse."""
        return sentences.title(self)

    @property
    def headline(self) -> str:
        """The answer to `sentences.question`, in one or two short sentences."""
        return sentences.headline(self)

    @property
    def sentence(self) -> str:
        """The verdict in words, to quote."""
        return sentences.sentence(self)

    def values(self, arm: str) -> list[float]:
        """The metric of an arm on the test split, one value per seed."""
        own = self.arms[arm]
        return [float(value) for value in own.get("primary", own["balanced_accuracy"])]

    @property
    def rows(self) -> tuple[dict[str, Any], ...]:
        """The rows of `cells`, or of `per_class` for a trial that is not about cells."""
        return self.cells or self.per_class

    @property
    def worse(self) -> list[dict[str, Any]]:
        """The classes or cells that get worse, largest loss first: {name, difference, low, high}."""
        losing = sorted((row for row in self.rows if row.get("worse")), key=lambda row: float(row["difference"]))
        return [
            {"name": sentences.name_of(row), **{name: row[name] for name in ("difference", "low", "high")}}
            for row in losing
        ]

    def worst(self, role: str) -> dict[str, Any] | None:
        """{name, recall} of the class or cell with the lowest recall in the `role` "arm" or "comparator"."""
        tested = [row for row in self.rows if row["test"] and row[f"recall_{role}"] is not None]
        if not tested:
            return None
        lowest = min(tested, key=lambda row: float(row[f"recall_{role}"]))
        return {"name": sentences.name_of(lowest), "recall": lowest[f"recall_{role}"]}

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
        unclear = len(self.seeds) < self.least_seeds or self.lacking or self.outcome == "not tested"
        return (0, "") if unclear else (len(self.seeds), self.outcome)

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


def _plain(value: Any) -> Any:
    """The value with all tuples replaced by lists, as in JSON."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
