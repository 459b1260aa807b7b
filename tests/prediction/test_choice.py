"""Validation chooses the arm; where it cannot, the verdict does, and the card says so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from augury import proof
from augury.prediction import Choice, choose
from augury.proof.arms import complexity
from augury.verdict import Verdict
from tests.helpers.report_facts import facts


def verdict(validation: dict[str, float], outcome: str = "hurts") -> Verdict:
    """A verdict of the arms none, class_weights, balanced, classical and gan with these accuracies on validation."""
    result: Verdict = facts(outcome, classes=3).verdict
    arms: dict[str, Any] = {
        name: values | {"validation": [validation.get(name, 0.5)] * len(result.seeds)}
        for name, values in result.arms.items()
    }
    return replace(result, arms=arms)


def chosen(*values: Any, **options: Any) -> Choice:
    choice = choose(*values, **options)
    assert isinstance(choice, Choice), choice
    return choice


def test_the_arm_that_is_best_on_validation_is_chosen_whatever_the_test_split_says() -> None:
    result = verdict({"none": 0.7, "balanced": 0.6})
    means = {name: sum(values["balanced_accuracy"]) for name, values in result.arms.items()}
    assert min(means, key=means.__getitem__) == "none", "the worst on test"
    choice = chosen(result)
    assert (choice.arm, choice.by) == ("none", "validation") and choice.scores["none"] == pytest.approx(0.7)
    assert "the test split took no part" in choice.why and not choice.remarks


def test_ties_go_to_the_simpler_arm() -> None:
    choice = chosen(verdict({"gan": 0.7, "balanced": 0.7, "classical": 0.7}))
    assert choice.arm == "balanced"
    assert choice.remarks == ("classical, gan did as well on validation; balanced is the simpler way.",)


def test_no_generator_and_fewer_parts_are_simpler() -> None:
    order = sorted(
        ("gan", "randaugment", "none", "discriminator_init", "pretrained", "balanced", "noise"), key=complexity
    )
    assert order[:3] == ["none", "balanced", "randaugment"] and order[-2:] == ["discriminator_init", "gan"]
    assert len({complexity(name) for name in proof.ARMS}) == len(proof.ARMS)


def test_a_choice_on_the_same_split_is_admitted() -> None:
    remarks = chosen(verdict({"gan": 0.9}), chosen_on_validation=lambda arm: "ratio" if arm == "gan" else "").remarks
    assert remarks == ("The ratio of gan was chosen on the same validation split, which favours it slightly.",)


@pytest.mark.parametrize(("outcome", "arm"), [("helps", "gan"), ("hurts", "classical"), ("underpowered", "classical")])
def test_where_validation_cannot_choose_the_verdict_does(outcome: str, arm: str) -> None:
    choice = chosen(verdict({"none": 0.99}, outcome), blind="it has no image of an empty cell")
    assert (choice.arm, choice.by) == (arm, "verdict") and "it has no image of an empty cell" in choice.why
    assert any("slightly optimistic" in remark for remark in choice.remarks)


def test_an_arm_that_cannot_be_stored_is_not_chosen_and_named() -> None:
    result = verdict({"gan": 0.9, "none": 0.8}, "helps")
    without = chosen(result, unstorable=lambda arm: "a forest is no network" if arm == "gan" else "")
    assert without.arm == "none" and without.remarks[0] == "Not stored: gan, because a forest is no network."
    assert chosen(result, blind="so", unstorable=lambda arm: "no" if arm == "gan" else "").arm == "classical"
    assert (
        choose(result, unstorable=lambda arm: "a forest is no network")
        == "no classifier is stored: a forest is no network"
    )
