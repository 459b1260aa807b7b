"""The table class × attribute as text and JSON."""

from __future__ import annotations

import numpy as np

from augury.data.cells import Cells

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
    many = tuple(f"class {i} of many" for i in range(40))
    wide = Cells(np.full((40, 40), 20), (("label", many), ("age", many))).lines()
    assert len(wide) == 1600 and wide[0] == "class 0 of many, age=class 0 of many: 20"
