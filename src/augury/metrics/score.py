"""A score with everything that must be known before it is believed or compared."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from augury.errors import ScoreError


@dataclass(frozen=True)
class Score:
    """One number about a set of images.

    `value` lies in the 95 % interval `low` … `high`; `n` images on the smaller side; `better` is the good direction;
    `features` and `preprocessing` say what was measured; `baseline` is the same score of real images against real
    images at the same N, where there is one; `note` is what the reader must be told, "" when nothing.
    """

    name: str
    value: float
    low: float
    high: float
    n: int
    better: Literal["higher", "lower"]
    features: str
    preprocessing: str
    baseline: float | None = None
    note: str = ""

    def compare(self, other: Score) -> float:
        """By how much this score is better than `other`: above 0 better, below 0 worse.

        Raises ScoreError when the two are not of the same score, features and preprocessing.
        """
        for what in ("name", "features", "preprocessing", "better"):
            mine, theirs = getattr(self, what), getattr(other, what)
            if mine != theirs:
                raise ScoreError(
                    f"{self.name} {self.value:.4g} and {other.name} {other.value:.4g} must not be compared, as {what} "
                    f"is '{mine}' in one and '{theirs}' in the other; score both sets with the same extractor"
                )
        difference = self.value - other.value
        return difference if self.better == "higher" else -difference


@dataclass(frozen=True)
class ScoreCard:
    """The scores of one set of synthetic images."""

    scores: tuple[Score, ...]

    def __getitem__(self, name: str) -> Score:
        """The score called `name`; raises ScoreError listing the names there are."""
        for score in self.scores:
            if score.name == name:
                return score
        known = ", ".join(score.name for score in self.scores) or "none"
        raise ScoreError(f"this card has no score '{name}'; it has: {known}")

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"scores": [asdict(score) for score in self.scores]}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> ScoreCard:
        """The card that `as_dict` wrote; raises ScoreError when the values are not of that form."""
        known = {field.name for field in fields(Score)}
        try:
            rows = [{key: row[key] for key in row if key in known} for row in value["scores"]]
            return cls(tuple(Score(**row) for row in rows))
        except (KeyError, TypeError) as error:
            raise ScoreError(f"this is no score card ({error}); score the images again: augury evaluate") from error
