"""The page in a browser at the width of a phone and of a desk: nothing is cut off, and the answer is on the first screen."""

from dataclasses import replace
from pathlib import Path

import pytest

from augury.report import render
from tests.helpers.browser import MISSING, browser, measured
from tests.helpers.report_facts import facts

LONG = (
    "a-class-name-without-any-space-that-goes-on-and-on-" + "x" * 60,
    "short",
    "Ring, with a comma and words",
    "d",
    "e",
)

pytestmark = pytest.mark.skipif(browser() is None, reason=MISSING)


def page(kind: str) -> str:
    report_facts = facts("helps" if kind in ("long names", "a class gets worse", "folds") else kind)
    if kind == "long names":
        report_facts = facts("helps", names=LONG)
    if kind == "folds":
        rows = [{**row, "groups": 9} for row in report_facts.verdict.per_class]
        return render(
            replace(report_facts, verdict=replace(report_facts.verdict, folds=5, test_groups=14, per_class=tuple(rows)))
        )
    if kind == "a class gets worse":
        rows = [dict(row) for row in report_facts.verdict.per_class]
        rows[1] |= {"difference": -0.069, "low": -0.112, "high": -0.03, "worse": True}
        layers = {
            "arm": "discriminator_init", "against": "balanced", "outcome": "helps", "difference": 0.01, "low": 0.001,
            "high": 0.018, "level": 0.05, "p_adjusted": 0.031,
        }  # fmt: skip
        report_facts = replace(
            report_facts, verdict=replace(report_facts.verdict, per_class=tuple(rows), initialisation=layers)
        )
    return render(report_facts)


@pytest.mark.parametrize("kind", ["a class gets worse", "long names", "not tested", "underpowered", "folds"])
@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_is_cut_off(kind: str, width: int, tmp_path: Path) -> None:
    cut_off = measured(page(kind), width, tmp_path, "h1, .lead, .card:first-of-type .strip")
    assert cut_off["width"] == width
    assert cut_off["page"] <= width and cut_off["over"] == []
    assert cut_off["scrolls"] and set(cut_off["scrolls"]) == {"auto"}
    assert cut_off["first"][1] < 900  # the answer and its interval, without scrolling


def test_the_check_finds_what_is_cut_off(tmp_path: Path) -> None:
    wide = page("underpowered").replace('<p class="lead">', '<p class="lead" style="width:700px">', 1)
    cut_off = measured(wide, 390, tmp_path)
    assert cut_off["page"] > 390 and any(each.startswith("P.lead") for each in cut_off["over"])
