"""Files of one JSON object per line: no damaged row is lost without a word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from augury.errors import RunFolderError
from augury.exports import ExportOptions, export_folder
from augury.files import read_lines, write_lines
from augury.generation import load, save
from augury.images import LabelledImages, SyntheticImages

ROWS = [{"a": 1, "name": "line\u2028separator"}, {"a": 2}, {"a": 3}]


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_lines(tmp_path / "rows.jsonl", ROWS)
    assert read_lines(tmp_path / "rows.jsonl") == ROWS
    write_lines(tmp_path / "none.jsonl", [])
    assert read_lines(tmp_path / "none.jsonl") == []


def test_a_last_row_that_was_cut_off_is_skipped(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    write_lines(file, ROWS)
    file.write_bytes(file.read_bytes()[:-3])
    assert read_lines(file) == ROWS[:2]


@pytest.mark.parametrize("damage", ["{", "", "[1]", "7"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_any_other_damaged_row_is_an_error_with_its_line(tmp_path: Path, number: int, damage: str) -> None:
    file = tmp_path / "rows.jsonl"
    write_lines(file, ROWS)
    lines = file.read_text().split("\n")
    lines[number - 1] = damage
    file.write_text("\n".join(lines))
    with pytest.raises(RunFolderError, match=rf"rows\.jsonl: line {number} of 3 is not a JSON object .*; remove it"):
        read_lines(file, "remove it")


def test_a_damaged_manifest_of_synthetic_images_or_of_an_export_stops_with_a_remedy(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 1, 8, 8), np.uint8)
    labels = np.array([0, 1, 0, 1])
    train = LabelledImages(images, labels, ("a", "b"), {})
    synthetic = SyntheticImages(images, labels[:, None], (), ("a", "b"), 0, np.arange(4), "x", reasons=("",) * 4)
    save(synthetic, tmp_path / "synthetic")
    export_folder(tmp_path / "out", train, synthetic)
    for folder in ("synthetic", "out"):
        manifest = tmp_path / folder / "manifest.jsonl"
        manifest.write_text(manifest.read_text().replace("{", "", 1))
    with pytest.raises(RunFolderError, match=r"line 1 of 4 .* draw them again with: augury run -o RUN"):
        load(tmp_path / "synthetic", ("a", "b"), ())
    with pytest.raises(RunFolderError, match=r"line 1 of 8 .* choose another folder, or remove this one"):
        export_folder(tmp_path / "out", train, synthetic, ExportOptions(force=True))
