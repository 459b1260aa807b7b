"""The verdict: paired results per arm, the difference that matters, and one word."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Verdict:
    """`difference` is the mean over `seeds` of (arm − comparator) in balanced accuracy on the test part, in [-1, 1], with
    its 95 % interval [low, high] and sign-flip p. `arms` holds one value a seed; `ratio_curve` was measured on validation.
    """

    word: str
    sentence: str
    arm: str
    comparator: str
    difference: float
    low: float
    high: float
    p: float
    ratio: float
    seeds: tuple[int, ...]
    test_n: int
    arms: dict[str, dict[str, list[Any]]]
    ratio_curve: tuple[dict[str, Any], ...]
    per_class: tuple[dict[str, Any], ...]
    metric: str = "balanced accuracy"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Verdict:
        """The verdict that `as_dict` described."""
        tuples = {"seeds", "ratio_curve", "per_class"}
        values: dict[str, Any] = {f.name: stored[f.name] for f in fields(cls)}
        values |= {name: tuple(values[name]) for name in tuples}
        return cls(**values)


def sentence(
    word: str, arm: str, comparator: str, difference: float, low: float, high: float, p: float, ratio: float, n: int
) -> str:
    """The verdict as one sentence; differences are told in points (hundredths)."""
    middle, bottom, top = (
        f"{round(100 * value, 1) + 0.0:+.1f}" for value in (difference, low, high)
    )  # + 0.0: no "-0.0"
    points = f"{middle} points of balanced accuracy (95 % interval {bottom} to {top}, p = {p:.3f}, {n} paired seeds)"
    if ratio == 0:
        return (
            "The synthetic images do not help here: on validation, showing none of them was best, so they make no "
            f"difference; leave them out. The best arm without them is {comparator}."
        )
    return {
        "helps": f"The synthetic images help: {points} over the best arm without them ({comparator}).",
        "hurts": f"The synthetic images hurt: {points} against the best arm without them ({comparator}); do not add them.",
        "no difference": f"The synthetic images make no difference that can be told from chance: {points} against the best "
        f"arm without them ({comparator}).",
        "underpowered": f"This trial cannot tell whether the synthetic images help: {points} against the best arm without "
        f"them ({comparator}); give it more seeds (augury prove RUN --set prove.seeds={max(12, 2 * n)}) and, if you can, more test images.",
    }[word]
