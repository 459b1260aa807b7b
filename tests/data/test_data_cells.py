"""The table class × attribute as text and JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from augury.cli.commands import app
from augury.data import census, from_arrays
from augury.data.cells import Cells
from augury.errors import DataError

FACES = (("label", ("man", "woman")), ("age", ("young", "old")))


def test_the_table_marks_empty_and_rare_cells() -> None:
    table = Cells(np.array([[4000, 30], [19, 0]]), FACES)
    assert table.lines() == [
        "       age=young   age=old",
        "man        4,000        30",
        "woman         19*        0*",
    ]
    assert [row["state"] for row in table.rows()] == ["", "", "rare", "empty"]
    assert table.rows()[2] == {"class": "woman", "attributes": {"age": "young"}, "images": 19, "state": "rare"}


def test_the_shorter_side_makes_the_columns_and_a_wide_table_is_a_list() -> None:
    values = tuple(f"{i}0" for i in range(5))
    lines = Cells(np.arange(10).reshape(2, 5), (FACES[0], ("age", values))).lines()
    assert lines[0].split() == ["man", "woman"] and lines[1].split() == ["age=00", "0*", "5*"]
    forty_classes = tuple(f"class {i} of many" for i in range(40))
    wide = Cells(np.full((40, 40), 20), (("label", forty_classes), ("age", forty_classes))).lines()
    assert len(wide) == 1600 and wide[0] == "class 0 of many, age=class 0 of many: 20"


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """60 men and 50 women; no woman is old; every age is another number."""
    numbers = np.random.default_rng(0)
    rows = ["file,label,old,age,half"]
    for i in range(110):
        Image.fromarray(numbers.integers(0, 256, (8, 8), dtype=np.uint8)).save(tmp_path / f"{i}.png")
        rows.append(f"{i}.png,{'man' if i < 60 else 'woman'},{'yes' if i < 30 else 'no'},{i // 3},{i % 2}")
    (tmp_path / "people.csv").write_text("\n".join(rows))
    return tmp_path / "people.csv"


def inspected(*words: object) -> str:
    result = CliRunner().invoke(app, ["inspect", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_inspect_shows_tables_with_empty_cells_and_offers_bins(people: Path) -> None:
    text = inspected(people)
    assert "images by class and old (* empty or rare: fewer than 20)" in text and "class and half" not in text
    assert ["woman", "50", "0*"] in [line.split() for line in text.splitlines()]
    assert "augury run DATA --recipe translator --condition old" in text
    assert "'age' has 37 values, all of them numbers; --bins age=3" in text
    both = inspected(people, "--condition", "age,half", "--bins", "age=2")
    assert "images by class and age,half" in both and "age=0–17, half=0" in both and "class and old" not in both
    by_age = inspected(people, "--condition", "age")
    assert (
        "no translator can fill these cells: the attribute 'age' has 37 values" in by_age and "--bins age=2" in by_age
    )
    assert "no cell is empty or rare" in inspected(people, "--condition", "half", "--attributes", "half").replace(
        "15*", ""
    )


def test_cells_are_in_the_json_and_count_train_images_where_there_are_parts(people: Path) -> None:
    summary = json.loads(inspected(people, "--json"))
    assert set(summary["cells"]) == {"old", "half"}
    assert [row for row in summary["cells"]["old"] if row["state"]] == [
        {"class": "woman", "attributes": {"old": "yes"}, "images": 0, "state": "empty"}
    ]
    pixels = np.arange(30 * 16, dtype=np.uint32).view(np.uint8).reshape(30, 8, 8)
    split_data = from_arrays(pixels, [0, 1] * 15, attributes={"side": [0, 0, 1] * 10}, split=([0] * 20 + [2] * 10))
    counts = [row["images"] for row in census(split_data).cells["side"]]
    assert sum(counts) == 20
    with pytest.raises(DataError, match="no attribute 'sid'"):
        census(split_data, condition=("sid",))
