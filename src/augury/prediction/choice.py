"""Which way to train the classifier: the arm of the trial that was best on validation, or the one that the verdict advises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from augury.proof.arms import ARMS, complexity
from augury.proof.measures import VALIDATION
from augury.sentences import on_validation
from augury.verdict import Verdict

TIE = 1e-9
"""Values that differ by less are equal; they are means of rounded floats."""


@dataclass(frozen=True)
class Choice:
    """The chosen arm; `why` and `remarks` are sentences. `scores` are the values by which arms were compared."""

    arm: str
    by: Literal["validation", "verdict"]
    why: str
    scores: dict[str, float]
    remarks: tuple[str, ...]


def choose(
    verdict: Verdict,
    *,
    blind: str = "",
    unstorable: Callable[[str], str] = lambda arm: "",
    chosen_on_validation: Callable[[str], str] = lambda arm: "",
) -> Choice | str:
    """Choose the arm with the highest value of the metric on validation, mean over the seeds; ties go to the simpler arm.

    Parameters
    ----------
    verdict
        The verdict of the trial.
    blind
        Why the validation split cannot choose, such as "it has no image of an empty cell"; "" if it can. The choice then
        follows the verdict: its arm if that helps, else the best comparator. The test split has then taken part in the choice.
    unstorable
        Why the classifier of an arm cannot be stored; "" if it can.
    chosen_on_validation
        What of an arm was already chosen on validation, in words; "" for nothing.

    Returns
    -------
    Choice, or the reason why no arm can be stored.
    """
    reasons = {name: unstorable(name) for name in verdict.arms}
    usable = [name for name in verdict.arms if not reasons[name]]
    if not usable:
        return f"no classifier is stored: {next(iter(reasons.values()))}"
    skipped = [name for name in verdict.arms if reasons[name]]
    remarks = [f"Not stored: {', '.join(skipped)}, because {reasons[skipped[0]]}."] if skipped else []
    if blind or not all(VALIDATION in verdict.arms[name] for name in usable):
        return _advised(verdict, usable, blind or "the trial did not measure on it", remarks)
    scores = {name: float(np.mean(verdict.arms[name][VALIDATION])) for name in usable}
    best = max(scores.values())
    arm = min((name for name in usable if scores[name] > best - TIE), key=complexity)
    if shared := [name for name in usable if name != arm and scores[name] > best - TIE]:
        remarks.append(f"{', '.join(shared)} did as well on validation; {arm} is the simpler way.")
    if favour := chosen_on_validation(arm):
        remarks.append(f"The {favour} of {arm} was chosen on the same validation split, which favours it slightly.")
    why = (
        f"best of {len(usable)} ways to train by {on_validation(verdict)} on the validation split, mean of {len(verdict.seeds)} "
        "trainings; the test split took no part in the choice"
    )
    return Choice(arm, "validation", why, scores, tuple(remarks))


def _advised(verdict: Verdict, usable: list[str], blind: str, remarks: list[str]) -> Choice:
    """The arm that the verdict advises; where it cannot be stored, the best arm without a generator, else the best of all."""
    scores = {name: float(np.mean(verdict.values(name))) for name in usable}
    advised = verdict.arm if verdict.outcome == "helps" else verdict.comparator
    if advised not in usable:
        plain = [name for name in usable if not ARMS[name].generative]
        advised = max(plain or usable, key=lambda name: scores[name])
    outcome = (
        "arm of the verdict, which helps" if advised == verdict.arm else "best arm of the trial without a generator"
    )
    remarks = [
        *remarks,
        "The test split took part in the choice of the arm, so the accuracy above is slightly optimistic.",
    ]
    return Choice(
        advised, "verdict", f"{outcome}; the validation split cannot choose, because {blind}", scores, tuple(remarks)
    )
