"""The heat maps of class × attribute: rows and columns, marks, words, and the page around them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from augury.report import badge, cells, render
from augury.report.charts import WIDTH
from augury.verdict import Verdict
from tests.helpers.report_facts import facts


def rows(classes: int = 2, values: int = 2, worse: tuple[int, ...] = ()) -> list[dict[str, Any]]:
    """All cells; the last one is a hole that was filled."""
    cell_rows = []
    for i in range(classes * values):
        c, v = divmod(i, values)
        is_hole = i == classes * values - 1
        before, after = (0.2, 0.7) if is_hole else (0.9, 0.85)
        cell_rows.append(
            {
                "cell": f"ring {c}, age={v}", "class": f"ring {c}", "attributes": {"age": str(v)}, "hole": is_hole,
                "within": v == values - 1, "train": 0 if is_hole else 300 + i, "synthetic": 600 if is_hole else 0, "test": 40,
                "groups": None, "recall_comparator": before, "interval_comparator": [before - 0.1, before + 0.1],
                "recall_arm": after, "interval_arm": [after - 0.1, after + 0.1], "difference": after - before,
                "low": after - before - 0.04, "high": after - before + 0.04, "level": 0.0125, "worse": i in worse,
                "p_adjusted": 0.5,
            }
        )  # fmt: skip
    return cell_rows


OVERALL = {
    "difference": 0.09, "low": 0.05, "high": 0.12, "test": 160,
    "worst_comparator": {"cell": "ring 1, age=1", "recall": 0.2}, "worst_arm": {"cell": "ring 1, age=1", "recall": 0.7},
}  # fmt: skip


def of_cells(outcome: str = "helps", **changes: Any) -> Verdict:
    verdict: Verdict = facts(outcome).verdict
    arms = {name: arm | {"overall": arm["balanced_accuracy"]} for name, arm in verdict.arms.items()}
    return replace(
        verdict, cells=tuple(rows(**changes)), overall=OVERALL, metric="balanced accuracy within age=1", arms=arms,
        ratio_curve=(),
    )  # fmt: skip


def page(verdict: Verdict) -> str:
    return render(replace(facts("helps"), verdict=verdict))


def test_before_and_after_show_recall_change_and_counts() -> None:
    section = cells.section(of_cells())
    before, after = section["charts"]["comparator"], section["charts"]["arm"]
    texts = {name: [mark.text for mark in chart.marks] for name, chart in (("before", before), ("after", after))}
    assert [t for t in texts["before"] if "%" in t] == ["90 %", "90 %", "90 %", "20 %"]
    assert [t for t in texts["after"] if "%" in t] == ["85 %", "85 %", "85 %", "70 %"]
    assert "+50.0" in texts["after"] and "0 + 600 new" in texts["after"] and "0 real" in texts["before"]
    heat = [float(mark.attributes["fill-opacity"]) for mark in before.marks if mark.attributes["class"] == "heat"]
    assert heat[0] > heat[3] and max(heat) <= 0.5  # darker for a higher recall, the text on it readable
    assert sum(mark.attributes["class"] == "cell-hole" for mark in before.marks) == 1
    assert "ring 1, age=1 20 % (0 real train images)" in before.alt and before.alt.startswith("Before, recall")
    for chart in (before, after):
        for mark in chart.marks:
            if mark.tag == "rect":
                assert mark.attributes["x"] + mark.attributes["width"] <= WIDTH
                assert mark.attributes["y"] + mark.attributes["height"] <= chart.height


def test_a_cell_that_gets_worse_is_marked_by_more_than_colour() -> None:
    verdict = of_cells(worse=(0,))
    after = cells.section(verdict)["charts"]["arm"]
    assert sum(mark.attributes["class"] == "cell-worse" for mark in after.marks) == 1
    assert "▼ −5.0" in [mark.text for mark in after.marks]
    assert verdict.title == "Helps, but one cell gets worse" and ", a cell worse" in badge(verdict)
    assert of_cells(worse=(0, 1)).title == "Helps, but 2 cells get worse"
    text = page(verdict)
    assert "On average they add 2.1 points, but ring 0, age=0 loses 5.0 points." in text
    assert (
        "One cell gets significantly worse: ring 0, age=0 from 90 % to 85 % recall (change −9.0 to −1.0 points)" in text
    )


@pytest.mark.parametrize(
    ("classes", "values", "shape"),
    [(2, 2, (2, 2)), (3, 4, (3, 4)), (2, 9, (9, 2)), (9, 3, (9, 3)), (9, 9, (9, 1))],
)
def test_no_more_columns_than_a_phone_shows(classes: int, values: int, shape: tuple[int, int]) -> None:
    table = cells.grid(rows(classes, values))
    assert table is not None and (len(table.rows), len(table.columns)) == shape
    assert len(table.cells) == shape[0] and all(len(line) == shape[1] for line in table.cells)
    by_name = {(row["class"], row["attributes"]["age"]): row for row in rows(classes, values)}
    shown_cells = {(row["class"], row["attributes"]["age"]) for line in table.cells for row in line}
    assert shown_cells <= set(by_name)


def test_a_table_that_fits_nowhere_is_left_to_the_rows() -> None:
    everywhere = [row | {"within": True} for row in rows(9, 9)]
    assert cells.grid(everywhere) is None
    verdict = replace(of_cells(), cells=tuple(everywhere))
    assert cells.section(verdict)["charts"] == {} and 'id="cells"' in page(verdict)


def test_the_page_shows_the_cells_and_says_what_they_mean() -> None:
    text = page(of_cells())
    section = text[text.index('<section id="cells">') : text.index('<section id="classes">')]
    assert section.count("<svg") == 2 and 'href="#cells"' in text
    assert "Before: classical" in section and "After: gan" in section
    assert len(re.findall(r"<tr[^>]*><th scope=\"row\">ring", section)) == 4
    assert (
        "changes by +9.0 points" in section
        and "Worst cell: ring 1, age=1, recall 20 % without the synthetic images and 70 % with them." in section
    )
    assert "The trial measures balanced accuracy within age=1, where every class counts equally." in text
    assert "Balanced accuracy within age=1 on the test split. Dots: seeds." in text and "over all 0." in text
    assert "No ratio was chosen, because an empty cell has no validation images." in text


def test_a_cell_without_test_images_is_a_dash() -> None:
    verdict = of_cells()
    empty = (
        "recall_comparator",
        "interval_comparator",
        "recall_arm",
        "interval_arm",
        "difference",
        "low",
        "high",
        "level",
    )
    *others, last = verdict.cells
    verdict = replace(verdict, cells=(*others, {**last, **dict.fromkeys(empty), "test": 0}))
    assert "no test image" in [mark.text for mark in cells.section(verdict)["charts"]["arm"].marks]
    assert "–" in page(verdict)


def test_verdicts_that_are_not_about_cells_have_no_such_section() -> None:
    text = render(facts("helps"))
    assert 'id="cells"' not in text and 'href="#cells"' not in text and "over all 0." not in text
    assert facts("helps").verdict.title == "Helps"


def test_names_from_outside_are_escaped() -> None:
    verdict = of_cells()
    for row in verdict.cells:
        row["class"], row["cell"] = "<b>x</b>", "<b>x</b>, age=1"
    assert "<b>x</b>" not in page(verdict)
