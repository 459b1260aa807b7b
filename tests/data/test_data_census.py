"""Counts, duplicates and advice against sets whose answer is known; the embedded sample; the picture sheet."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from augury.cli import console
from augury.cli.commands import app
from augury.data import census, from_arrays, inspect, load, picture_sheet, sample, split
from augury.errors import DataError
from augury.images import LabelledImages

Pets = Callable[..., Path]


def distinct(count: int) -> np.ndarray:
    return np.arange(count * 16, dtype=np.uint32).view(np.uint8).reshape(count, 8, 8)


def test_counts_parts_and_imbalance() -> None:
    data = from_arrays(distinct(30), [0] * 24 + [1] * 6, classes=["happy", "disgust"], split=([0] * 4 + [1] + [2]) * 5)
    facts = census(data)
    assert facts.total == 30 and facts.counts == {"happy": 24, "disgust": 6} and facts.imbalance == 4
    assert facts.splits == {
        "happy": {"train": 16, "validation": 4, "test": 4},
        "disgust": {"train": 4, "validation": 1, "test": 1},
    }
    assert facts.advice[0] == "'disgust' has 4 train images, 4.0 times fewer than 'happy'"
    assert not facts.duplicates


def test_advice_in_words_without_a_split() -> None:
    facts = census(from_arrays(distinct(204), [0] * 192 + [1] * 12, classes=["happy", "disgust"]))
    assert facts.advice[0] == "'disgust' has 12 images, 16 times fewer than 'happy'" and facts.splits == {}
    assert "'disgust': fewer than 20 images to learn from" in facts.advice[1]


def test_equal_classes_get_no_advice() -> None:
    assert census(from_arrays(distinct(60), [0, 1] * 30)).advice == ()


def test_duplicates_across_parts_and_labels() -> None:
    pixels = distinct(8)
    pixels[3] = pixels[0]
    pixels[5] = pixels[1]
    pixels[7] = pixels[1]
    data = from_arrays(pixels, [0, 0, 0, 0, 1, 0, 1, 1], split=[0, 0, 0, 0, 0, 0, 2, 2], names=list("abcdefgh"))
    facts = census(data)
    assert facts.duplicates == (("a", "d"), ("b", "f", "h"))
    assert facts.across_parts == facts.conflicting == (("b", "f", "h"),)
    assert any(line.startswith("3 needless copies") and "a = d" in line for line in facts.advice)
    assert any("1 picture in more than one part" in line for line in facts.advice)
    assert any("1 picture under more than one label" in line for line in facts.advice)


def test_inspect_lists_unreadable_files_sizes_and_modes(pets: Pets) -> None:
    root = pets(count=3, size=(20, 10))
    Image.new("RGB", (100, 50)).save(root / "cats" / "wide.png")
    (root / "cats" / "zero.png").write_bytes(b"")
    data, facts = inspect(root)
    assert data.shape == facts.shape == (3, 64, 64)
    assert facts.unreadable == ({"file": "cats/zero.png", "reason": "is empty (0 bytes)"},)
    assert facts.sizes == {"smallest": (20, 10), "median": (20, 10), "largest": (50, 100)}
    assert facts.modes == {"L": 6, "RGB": 1}
    assert any("1 file left out as unreadable; the first: cats/zero.png is empty" in line for line in facts.advice)
    assert any("came as 20 x 10 to 50 x 100" in line and "at 64 x 64" in line for line in facts.advice)
    as_json = facts.as_dict()
    assert json.loads(json.dumps(as_json, allow_nan=False)) == as_json and as_json["sizes"]["largest"] == [50, 100]


def test_as_dict_of_everything_is_plain_json() -> None:
    pixels = distinct(6)
    pixels[1] = pixels[0]
    as_json = census(from_arrays(pixels, [0, 1] * 3, split=[0, 2, 0, 0, 2, 2])).as_dict()
    assert json.loads(json.dumps(as_json)) == as_json and as_json["duplicates"] == [["index 0", "index 1"]]


def test_the_sample_has_its_long_tail_and_a_level_test_part() -> None:
    data = sample()
    assert data.split is not None and data.shape == (1, 28, 28) and len(data.classes) == 10
    train = np.bincount(data.labels[data.split == 0], minlength=10)
    assert sorted(train.tolist(), reverse=True) == [round(500 * 50 ** (-k / 9)) for k in range(10)]
    assert train[np.random.default_rng(0).permutation(10)].tolist() == [round(500 * 50 ** (-k / 9)) for k in range(10)]
    assert np.bincount(data.labels[data.split == 2]).tolist() == [250] * 10 and set(data.split.tolist()) == {0, 2}
    assert data.notes["flips"] is True and data.notes["licence"] == "MIT" and "Fashion-MNIST" in data.notes["source"]
    assert "Zalando" in files("augury.data").joinpath("sample", "NOTICE").read_text()
    assert load().fingerprint == data.fingerprint and load(size=32).shape == (1, 32, 32)
    assert len(split(data)) == len(data) and not census(data).across_parts


def test_the_sample_file_is_the_one_that_was_built() -> None:
    raw = files("augury.data").joinpath("sample", "fashion_long_tail.npz").read_bytes()
    assert len(raw) < 3_000_000
    assert hashlib.sha256(raw).hexdigest() == "a89240f5327094bea56db29621ec5585e2e52faa1cff133c95efc9e867f60743"


def labelled(classes: int, size: tuple[int, int], channels: int = 1) -> LabelledImages:
    count = classes * 3
    values = np.linspace(50, 200, count).astype(np.uint8)
    pixels = np.broadcast_to(values[:, None, None, None], (count, *size, channels))
    return from_arrays(pixels, np.arange(count) % classes, size=size, names=[str(i) for i in range(count)])


@pytest.mark.parametrize(("size", "tile"), [((16, 16), 48), ((28, 28), 56), ((64, 60), 64), ((200, 100), 96)])
def test_the_sheet_shows_each_image_at_a_readable_size(size: tuple[int, int], tile: int) -> None:
    data = labelled(3, size, 3)
    pixels = np.asarray(picture_sheet(data, per_class=3))
    for value in np.unique(data.images[:, 0]):  # each image has a colour of its own: its area on the sheet is its tile
        rows, columns = np.nonzero((pixels == value).all(axis=2))
        area = [(len(np.unique(rows)), len(np.unique(columns)))]
        assert (tile, round(tile * size[1] / size[0])) in area or len(rows) >= tile * round(tile * size[1] / size[0])


def test_the_sheet_grows_with_classes_up_to_twenty() -> None:
    heights = [picture_sheet(labelled(classes, (8, 8))).height for classes in (10, 20, 40)]
    assert heights[0] < heights[1] == heights[2]


def test_the_sheet_shows_the_train_part_only() -> None:
    pixels = np.full((6, 16, 16), 10, np.uint8)
    pixels[3:] = 200
    sheet = np.asarray(picture_sheet(from_arrays(pixels, [0, 1, 0, 1, 0, 1], split=[0, 0, 0, 2, 2, 2])))
    dark, bright = ((sheet == value).all(axis=2).sum() for value in (10, 200))
    assert dark >= 3 * 48 * 48 and bright < 48 * 48


def test_images_that_come_out_nearly_black_are_reported(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    scans, labels = random.integers(0, 4096, (20, 16, 16)).astype(np.uint16), np.arange(20) % 2
    for divisor, dark in ((1, True), (1 / 16, False)):
        np.savez(tmp_path / "a.npz", images=(scans / divisor).astype(np.uint16), labels=labels)
        assert any("nearly black" in line for line in inspect(tmp_path / "a.npz")[1].advice) == dark


def test_a_class_of_which_nothing_can_be_read_is_reported_with_the_reason(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.fromarray(np.full((20, 20), 40 * i, np.uint8)).save(tmp_path / name / f"{i}.png")
    for file in (tmp_path / "a").iterdir():
        file.write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"there is only one: 'b'.*Left out was .*0\.png"):
        inspect(tmp_path)


def test_inspect_begins_with_advice_and_ends_in_a_table_by_class(tmp_path: Path) -> None:
    numbers = np.random.default_rng(1)
    for name, count in (("cats", 12), ("dogs", 3)):
        (tmp_path / name).mkdir()
        for i in range(count):
            Image.fromarray(numbers.integers(0, 256, (20, 10), dtype=np.uint8)).save(tmp_path / name / f"{i}.png")
    Image.open(tmp_path / "cats" / "0.png").save(tmp_path / "cats" / "copy.png")
    (tmp_path / "dogs" / "empty.png").write_bytes(b"")
    (tmp_path / "dogs" / "raw").mkdir()
    for name in ("dogs/a.heic", "dogs/raw/b.cr2", "dogs/.hidden", "notes.txt"):  # the last two belong to no class
        (tmp_path / name).write_bytes(b"other")
    result = CliRunner().invoke(app, ["inspect", str(tmp_path), "--on-bad", "skip"], catch_exceptions=False)
    lines = result.stdout.splitlines()
    assert lines[0].startswith("- ")
    assert [line.split() for line in lines[-4:]] == [
        ["class", "images", "effective", "plan", "duplicates", "skipped"],
        ["cats", "13", "12.2", "0", "2", "0"],
        ["dogs", "3", "3.0", "6", "0", "3"],
        ["all", "16", "15.2", "6", "2", "3"],
    ]


def test_the_table_by_class_fits_the_terminal_and_names_what_it_hides(capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"a class with a name that is far too long {i:03}" for i in range(60)]
    data = from_arrays(distinct(180), np.arange(180) % 60, classes=names, split=[0] * 60 + [1] * 60 + [2] * 60)
    console.classes(census(data))
    table = capsys.readouterr().out.splitlines()[4:]
    assert table[0].split() == ["class", "train", "validation", "test", "effective", "plan", "duplicates", "skipped"]
    assert len(table) == 1 + 41 + 1 and max(map(len, table)) <= 80
    assert any(line.startswith("… 20 more") for line in table)
    assert table[-1].split()[:4] == ["all", "60", "60", "60"]
