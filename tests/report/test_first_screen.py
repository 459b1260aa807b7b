"""The first screen: what is asked, what is answered, and nothing said three times."""

import re
from dataclasses import replace

import pytest

from augury.report import render, wording
from tests.helpers.report_facts import OUTCOMES, facts, verdict
from tests.helpers.report_page import Page, words


def screen(report_facts) -> str:
    """The words of the first screen, without those of its chart."""
    return words(Page(re.sub("<svg.*?</svg>", "", render(report_facts), flags=re.S)).text["verdict"])


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_no_heading_ends_in_a_colon(outcome):
    headings = re.findall(r"<h[1-6][^>]*>(.*?)</h[1-6]>", render(facts(outcome)), re.S)
    assert len(headings) > 10 and not any(words(re.sub("<[^>]*>", "", each)).endswith(":") for each in headings)


@pytest.mark.parametrize("outcome", [name for name in OUTCOMES if name != "not tested"])
def test_no_number_of_the_verdict_is_printed_three_times(outcome):
    report_facts = facts(outcome, classes=3)
    v, text = report_facts.verdict, screen(report_facts)
    for value in (v.difference, v.low, v.high):
        formatted = f"{abs(100 * value):.1f}"
        assert 1 <= len(re.findall(rf"(?<![\d.]){re.escape(formatted)}(?![\d%])", text)) <= 2, formatted
    assert text.count(f"p = {wording.share(v.p)}") == 1


@pytest.mark.parametrize(
    ("p", "low", "high", "expected"),
    [
        (0.09, 0.003, 0.03, "The interval excludes zero although p is above 0.05"),
        (0.016, -0.002, 0.03, "p is small although the interval includes zero"),
        (0.016, 0.003, 0.03, ""),
        (0.4, -0.002, 0.03, ""),
    ],
)
def test_p_and_interval_that_seem_to_disagree_are_explained(p, low, high, expected):
    report_facts = facts("underpowered", classes=2)
    verdict = replace(report_facts.verdict, p=p, low=low, high=high)
    assert wording.disagreement(verdict).startswith(expected) and bool(wording.disagreement(verdict)) == bool(expected)
    if expected:
        html = render(replace(report_facts, verdict=verdict))
        assert expected in words(re.sub("<[^>]*>", "", html[html.index('class="lead"') : html.index('class="answer')]))


def test_layers_have_a_second_answer():
    report_facts = facts("hurts", classes=2)
    assert "Start from the discriminator" not in screen(report_facts)
    row = {"arm": "discriminator_init", "against": "balanced", "outcome": "helps", "difference": 0.0097, "low": 0.0013,
           "high": 0.018, "level": 0.05, "p_adjusted": 0.031}  # fmt: skip
    text = screen(replace(report_facts, verdict=replace(report_facts.verdict, initialisation=row)))
    assert text.index("No They cost 1.9 points") < text.index(
        "Start from the discriminator’s layers? Yes. +1.0 points, 95 % interval +0.1 to +1.8, p = 0.031, compared with balanced."
    )


def test_images_and_the_worst_class_are_on_it():
    report_facts = facts("helps")
    html = render(report_facts)
    first = Page(html[: html.index("<nav")] + "</main></body></html>")
    alts = [each["alt"] for each in first.all("img")]
    worst = min(report_facts.verdict.per_class, key=lambda row: row["recall_arm"])
    assert alts[:2] == ["8 real training images, of the same classes as the synthetic ones", "8 synthetic images"]
    assert alts[2] == f"8 real training images of {worst['class']}"
    assert f"Worst class with the synthetic images: {worst['class']}, recall {worst['recall_arm']:.0%}"[:-1] in screen(
        report_facts
    )
    thumbnails = Page(render(facts("not tested"))).all("img")
    assert thumbnails[1]["alt"] == "8 rejected synthetic images"


def test_a_generator_that_failed_its_check_is_named_with_a_remedy():
    report_facts = facts("underpowered", classes=2)
    assert "The generator in use" not in screen(report_facts)
    log = [
        *report_facts.log[:-1],
        {**report_facts.log[-1], "used": {"collapsed": "6% of the variety; use --set 'train.augment=none' and more"}},
    ]
    assert "The generator in use: 6% of the variety; use --set 'train.augment=none' and more." in screen(
        replace(report_facts, log=log)
    )


def test_options_are_code_that_does_not_break_and_stays_text():
    html = str(wording.code("train longer (--steps) with --penalty r1=1 <b> or prove.max_seeds=14"))
    assert "(<code>--steps</code>)" in html and "<code>--penalty r1=1</code> &lt;b&gt;" in html
    assert "<code>prove.max_seeds=14</code>" in html


def test_no_difference_beside_a_much_better_other_training_names_that_training() -> None:
    plain = verdict("no difference", ("a", "b"), (20, 20))
    control = plain.matched_control | {"against": "classical", "difference": -0.004, "low": -0.01, "high": 0.003}
    behind = replace(
        plain, comparator="pretrained", difference=-0.157, low=-0.19, high=-0.125, p=0.031, matched_control=control
    )
    assert behind.headline == "No. The best training without them (pretrained) is 15.7 points better."
    assert "no difference of 2 points or more to the same training, and another one is better" in behind.sentence
    assert wording.disagreement(behind) == ""
    assert plain.headline == "No. They make no difference of 2 points or more."
