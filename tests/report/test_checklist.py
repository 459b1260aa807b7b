"""The reporting checklists: every item of the published lists, answers from the run's own numbers, and the rest left to the author."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from augury.cli.commands import app
from augury.errors import RunFolderError, SettingsError
from augury.report.checklist import ANSWERS, AUTHOR, LISTS, WHERE, Study, checklist, risks
from tests.helpers.report_facts import verdict

CLASSES = ("benign", "malignant")
METADATA = {
    "source": "/hospital/scans.npz",
    "versions": {"augury": "0.1.0", "torch": "2.13.0"},
    "machine": {"processor": "x86", "cores": 2, "device": "cpu"},
    "settings": {"seed": 4, "data": {"split": "given"}, "prove": {"steps": 300, "batch": 64}},
    "data": {
        "n": 780,
        "shape": [1, 28, 28],
        "classes": list(CLASSES),
        "fingerprint": "abc",
        "counts": {"train": [400, 146], "validation": [57, 21], "test": [114, 42]},
        "notes": {"resizing": "native, not resized", "skipped": ["a.png"], "columns": {"split": "split"}},
    },
}
POINT = {
    "class": "malignant", "specificity": 0.9, "specificity_arm": 0.88, "specificity_comparator": 0.9, "difference": -0.02,
    "low": -0.06, "high": 0.02, "test": 114,
}  # fmt: skip


def study(**more: object) -> Study:
    result = replace(verdict("helps", CLASSES, (400, 146)), **more)
    looked = {"looked": [{"features": "pixels", "fakes": 200, "train": 546, "copies": 3}]}
    score = {
        "name": "membership-AUC",
        "value": 0.61,
        "low": 0.55,
        "high": 0.67,
        "baseline": 0.5,
        "features": "pixels",
        "group": "",
    }
    return Study(METADATA, result, scores={"scores": [score], "copies": looked})


def rows(text: str, title: str) -> dict[str, list[str]]:
    """Item number -> cells of the table below a heading."""
    table = text.split(f"## {title}")[1].split("\n## ")[0]
    cells = [
        line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ") and line[2].isdigit()
    ]
    return {each[0]: each for each in cells}


@pytest.mark.parametrize(("title", "items"), [("CLAIM (2020)", 42), ("TRIPOD+AI (2024)", 27)])
def test_every_item_is_there_once_and_has_an_answer_or_is_the_authors(title: str, items: int) -> None:
    text = checklist(study())
    cells_of = rows(text, title)
    assert list(cells_of) == [str(n) for n in range(1, items + 1)]
    open_items = sum(cells[2] == AUTHOR for cells in cells_of.values())
    assert f"{items - open_items} of {items} items have an answer from the run." in text and 5 < open_items < items / 2
    assert all(cells[2].strip() for cells in cells_of.values())


def test_ethics_funding_and_registration_are_never_answered() -> None:
    claim, tripod = (rows(checklist(study()), title) for title, _ in LISTS.values())
    assert [claim[n][2] for n in ("12", "40", "42")] == [AUTHOR] * 3 and tripod["17"][2] == AUTHOR


def test_answers_hold_the_numbers_of_the_run() -> None:
    cells_of = rows(checklist(study(test_groups=31)), "CLAIM (2020)")
    assert "scans.npz, 780 images" in cells_of["7"][2] and "/hospital" not in checklist(study())
    assert "as the data give them: train 546 (benign 400, malignant 146)" in cells_of["20"][2]
    assert "31 groups are tested" in cells_of["21"][2] and "1 unreadable" in cells_of["13"][2]
    assert "the author must say" in rows(checklist(study()), "CLAIM (2020)")["21"][2]
    assert "300 steps of 64 images" in cells_of["25"][2] and "torch 2.13.0" in cells_of["23"][2]
    detected = study(metric="sensitivity for malignant at 90 % specificity", operating_point=POINT)
    point = rows(checklist(detected), "CLAIM (2020)")
    assert "sensitivity for malignant" in point["28"][2] and "chosen on validation" in point["28"][2]
    assert "specificity is 88.0 % (gan)" in point["36"][2]


@pytest.mark.parametrize(
    ("more", "by", "present", "absent"),
    [
        (
            {},
            "validation",
            ("in one evaluation", "took no part in the choice"),
            ("interim", "optimistic", "earlier trial"),
        ),
        ({"looks": ({"seeds": 6}, {"seeds": 12})}, "validation", ("at 2 planned interim looks",), ("one evaluation",)),
        ({"earlier_seeds": 5, "earlier_outcome": "no difference"}, "validation", ("earlier trial with 5 seeds",), ()),
        ({}, "verdict", ("It also chose the classifier", "optimistic"), ("took no part",)),
        ({}, "", ("No classifier was stored.",), ("optimistic", "took no part")),
    ],
)
def test_every_use_of_the_test_split_is_stated(
    more: dict[str, object], by: str, present: tuple[str, ...], absent: tuple[str, ...]
) -> None:
    card = {"arm": {"name": "none", "by": by, "why": "for a reason"}} if by else {}
    answer = ANSWERS["selection"](replace(study(**more), card=card))
    assert all(text in answer for text in present) and not any(text in answer for text in absent)


def test_risks_come_first_and_are_not_silent_without_a_score() -> None:
    text = checklist(study())
    assert text.index(
        "membership-AUC over pixels: 0.61 (0.55 to 0.67); real images not used in training: 0.5"
    ) < text.index("CLAIM")
    assert "3 of 200 generated images are near-copies" in text and "No test image was seen by: classifier" in text
    assert "were not measured" in risks(replace(study(), scores={}))[0]


def test_answers_are_used_and_named(tmp_path: Path) -> None:
    used = {line.rpartition(": ")[2] for _, items in LISTS.values() for line in items.splitlines()}
    assert ANSWERS.keys() <= used and WHERE.keys() <= ANSWERS.keys()
    with pytest.raises(SettingsError, match="claim, tripod-ai"):
        CliRunner().invoke(app, ["checklist", str(tmp_path), "--only", "consort"], catch_exceptions=False)
    with pytest.raises(RunFolderError, match="not a run folder"):
        CliRunner().invoke(app, ["checklist", str(tmp_path)], catch_exceptions=False)
