"""A score with everything that is needed to interpret and compare it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from augury.errors import RunFolderError, ScoreError
from augury.files import read_json, write_json
from augury.notebook import panel, table

Direction = Literal["higher", "lower"]
COMPARED = ("name", "group", "features", "preprocessing", "settings", "better")
"""Attributes that must be equal before two scores are compared."""


@dataclass(frozen=True)
class Score:
    """One number about a set of images.

    `value` lies in the 95 % interval `low` … `high`. `n` is the number of images on the smaller side. `better` is the
    good direction. `features` and `preprocessing` say what was measured. `baseline` is the same score of real images
    against real images at the same N, where there is one. `note` is a message for the reader, "" if none. `settings`
    are the parameters of the formula ("k=5"). `group` is the class, "" for all images together. `same_n` says that the
    value depends on N, so that only scores of the same N may be compared.

    Raises ScoreError when a number is not finite.
    """

    name: str
    value: float
    low: float
    high: float
    n: int
    better: Direction
    features: str
    preprocessing: str
    baseline: float | None = None
    note: str = ""
    settings: str = ""
    group: str = ""
    same_n: bool = False

    def __post_init__(self) -> None:
        numbers = (self.value, self.low, self.high, 0.0 if self.baseline is None else self.baseline)
        if not all(map(math.isfinite, numbers)):
            raise ScoreError(
                f"{self.name} came out as {self.value} in [{self.low}, {self.high}], baseline {self.baseline}, but a "
                "score must be finite; look at the features it was computed from"
            )

    def __repr__(self) -> str:
        group = f" of {self.group}" if self.group else ""
        real = "" if self.baseline is None else f", real images {self.baseline:.3g}"
        return (
            f"Score({self.name}{group} {self.value:.3g} [{self.low:.3g}, {self.high:.3g}]{real}, n={self.n:,}, "
            f"{self.better} is better)"
        )

    @property
    def meaningful(self) -> bool:
        """False where the note says that N is too small for this score."""
        return not self.note.startswith("not meaningful")

    def compare(self, other: Score) -> float:
        """By how much this score is better than `other`: above 0 better, below 0 worse.

        Raises ScoreError when score, class, features, preprocessing or settings differ, or N where the value depends on
        N.
        """
        for attribute in (*COMPARED, "n") if self.same_n or other.same_n else COMPARED:
            mine, theirs = getattr(self, attribute), getattr(other, attribute)
            if mine != theirs:
                raise ScoreError(
                    f"{self.name} {self.value:.4g} and {other.name} {other.value:.4g} must not be compared, as {attribute} "
                    f"is '{mine}' in one and '{theirs}' in the other; score both sets with the same extractor, "
                    "settings and number of images"
                )
        difference = self.value - other.value
        return difference if self.better == "higher" else -difference


@dataclass(frozen=True)
class ScoreCard:
    """The scores of one set of synthetic images: first those of all images together, then those of each class.

    Examples
    --------
    >>> card = augury.evaluate(train, synthetic)
    >>> card["recall-pixels"]
    Score(recall-pixels 0.71 [0.66, 0.75], real images 0.95, n=412, higher is better)
    """

    scores: tuple[Score, ...]

    def __repr__(self) -> str:
        pooled = [score for score in self.scores if not score.group]
        shown = ", ".join(f"{score.name} {score.value:.3g}" for score in pooled[:4])
        more = len(self.scores) - len(pooled[:4])
        return f"ScoreCard({shown}{f', and {more:,} more' if more else ''})"

    def _repr_html_(self) -> str:
        rows = [
            [s.name, s.value, s.low, s.high, "–" if s.baseline is None else s.baseline, s.n, s.better, _remark(s)]
            for s in self.scores
            if not s.group
        ]
        by_class = len(self.scores) - len(rows)
        title = f"{len(rows)} scores" + (f", and {by_class:,} by class" if by_class else "")
        return panel(title, table(rows, ["score", "value", "low", "high", "real images", "n", "better", ""]))

    def __getitem__(self, name: str) -> Score:
        """The score called `name` over all images; raises ScoreError with the available names."""
        return self.of(name)

    def of(self, name: str, group: str = "") -> Score:
        """The score called `name` of one class; raises ScoreError with the available names of that class."""
        for score in self.scores:
            if (score.name, score.group) == (name, group):
                return score
        available = ", ".join(score.name for score in self.scores if score.group == group) or "none"
        raise ScoreError(f"this card has no score '{name}'{f' of {group}' if group else ''}; it has: {available}")

    def compare(self, other: ScoreCard) -> dict[tuple[str, str], float]:
        """(name, class or "") -> by how much this card is better, over the meaningful scores that both cards have.

        Raises ScoreError when the cards share no score, or two scores of one name must not be compared
        (`Score.compare`).
        """
        theirs = {(score.name, score.group): score for score in other.scores}
        shared = [(s, theirs[s.name, s.group]) for s in self.scores if (s.name, s.group) in theirs]
        if not shared:
            mine, others = (", ".join(sorted({s.name for s in c.scores})) or "none" for c in (self, other))
            raise ScoreError(
                f"the cards share no score, as one has {mine} and the other {others}; score both with the same extractor"
            )
        return {(a.name, a.group): a.compare(b) for a, b in shared if a.meaningful and b.meaningful}

    def write(self, path: Path) -> None:
        """Write the card as JSON, atomically."""
        write_json(path, self.as_dict())

    @classmethod
    def read(cls, path: Path) -> ScoreCard:
        """The card in a JSON file; raises ScoreError when the file is not a card."""
        try:
            return cls.from_dict(read_json(path))
        except RunFolderError as error:
            raise ScoreError(
                f"{path}: cannot be read as a score card; score the images again: augury evaluate"
            ) from error

    def as_dict(self) -> dict[str, Any]:
        """The card as plain JSON values."""
        return {"scores": [asdict(score) for score in self.scores]}

    @classmethod
    def from_dict(cls, value: Any) -> ScoreCard:
        """The card from the output of `as_dict`; raises ScoreError when the values have another form."""
        field_names = {field.name for field in fields(Score)}
        try:
            rows = [{key: row[key] for key in row if key in field_names} for row in value["scores"]]
            return cls(tuple(Score(**row) for row in rows))
        except (KeyError, TypeError) as error:
            raise ScoreError(f"this is no score card ({error}); score the images again: augury evaluate") from error


def _remark(score: Score) -> str:
    return "" if score.meaningful else "too few images for this score"
