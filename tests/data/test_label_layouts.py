"""Two more layouts of a table: a column of 0 and 1 for each class (ISIC), and the pixels themselves (FER-2013, Kaggle's MNIST)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from augury.data import load, pictures
from augury.errors import DataError, SettingsError
from tests.helpers.image_files import png, rows, written

CLASSES = ["MEL", "NV", "BCC"]
CODES = np.arange(12) % 3
PIXELS = np.random.default_rng(2).integers(0, 256, (30, 8, 8))
Y = np.arange(30) % 3


def isic(
    root: Path,
    header: list[str] = CLASSES,
    values: np.ndarray | None = None,
    columns: dict[str, list[object]] | None = None,
) -> Path:
    """The ground truth of ISIC 2018, task 3: names without extension, the images in a folder of their own."""
    written(root / "images", {f"ISIC_{i:07d}.jpg": png(i % 6) for i in range(12)})
    values = np.eye(3)[CODES] if values is None else values
    extra = columns or {}
    lines = [[f"ISIC_{i:07d}", *values[i], *(column[i] for column in extra.values())] for i in range(12)]
    return rows(root / "truth.csv", ["image", *header, *extra], lines)


def test_one_column_for_each_class(tmp_path: Path) -> None:
    data = load(isic(tmp_path), root=tmp_path / "images")
    assert [data.classes[c] for c in data.labels] == [CLASSES[c] for c in CODES] and not data.attributes
    assert data.names[0] == "ISIC_0000000.jpg" and data.notes["columns"]["label"] == "MEL, NV, BCC (one column each)"
    words = np.array([["False", "True"][int(v)] for v in np.eye(3)[CODES].ravel()]).reshape(12, 3)
    assert load(isic(tmp_path, values=words), root=tmp_path / "images").labels.tolist() == data.labels.tolist()
    group = load(isic(tmp_path, columns={"lesion_id": [i // 2 for i in range(12)]}), root=tmp_path / "images")
    assert group.labels.tolist() == data.labels.tolist() and len(set(group.groups.tolist())) == 6  # type: ignore[union-attr]


def test_what_may_be_something_else_is_not_guessed(tmp_path: Path) -> None:
    """Sex as two columns beside a diagnosis that has an unusual name is no label."""
    sex = np.eye(2)[np.arange(12) % 2].astype(int)
    path = isic(tmp_path, ["male", "female"], sex, {"dx": ["mel", "nv", "bcc"] * 4})
    with pytest.raises(DataError, match=r"--column label=male,female reads .*--column label=dx"):
        load(path, root=tmp_path / "images")
    assert load(path, root=tmp_path / "images", columns={"label": "dx"}).classes == ("bcc", "mel", "nv")
    assert load(path, root=tmp_path / "images", columns={"label": "male,female"}).classes == ("female", "male")
    two = np.concatenate([sex, np.eye(3)[CODES].astype(int)], axis=1)
    with pytest.raises(DataError, match="could both be the label"):
        lines = [[f"ISIC_{i:07d}", *two[i, :2], i + 7, *two[i, 2:]] for i in range(12)]
        load(
            rows(tmp_path / "two.csv", ["image", "male", "female", "visit", *CLASSES], lines), root=tmp_path / "images"
        )


def test_several_labels_an_image_are_refused_or_left_out(tmp_path: Path) -> None:
    values = np.eye(3)[CODES].astype(int)
    values[4], values[7] = [1, 1, 0], [0, 0, 0]
    path = isic(tmp_path, values=values)
    with pytest.raises(DataError, match=r"none or several of the columns MEL, NV, BCC.*--column label=MEL,NV,BCC"):
        load(path, root=tmp_path / "images")
    with pytest.raises(DataError, match=r"ISIC_0000004\.jpg: has 2 of the labels MEL, NV, BCC; give it exactly one"):
        load(path, root=tmp_path / "images", columns={"label": "MEL,NV,BCC"})
    data = load(path, root=tmp_path / "images", columns={"label": "MEL,NV,BCC"}, on_bad="skip")
    assert len(data) == 10 and [item["file"] for item in data.notes["skipped"]] == [
        "ISIC_0000004.jpg",
        "ISIC_0000007.jpg",
    ]
    with pytest.raises(SettingsError, match="no column 'X'"):
        load(path, root=tmp_path / "images", columns={"label": "MEL,X"})


def test_an_extension_is_added_only_where_one_file_fits(tmp_path: Path) -> None:
    path = isic(tmp_path)
    written(tmp_path / "images", {"ISIC_0000003.png": png(3)})
    with pytest.raises(DataError, match=r"ISIC_0000003: cannot be opened"):
        load(path, root=tmp_path / "images")
    outside = written(tmp_path / "outside", {"x.png": png(0)})
    secret = rows(tmp_path / "secret.csv", ["image", "label"], [["../outside/x", "a"], ["ISIC_0000001", "b"]])
    with pytest.raises(DataError, match=r"\.\.' in its path"):
        load(secret, root=tmp_path / "images")
    assert outside.is_dir()


def fer(root: Path, usage: str = "Usage") -> Path:
    parts = ["Training"] * 18 + ["PublicTest"] * 6 + ["PrivateTest"] * 6
    lines = [[Y[i], " ".join(map(str, PIXELS[i].ravel())), parts[i]] for i in range(30)]
    return rows(root / "fer2013.csv", ["emotion", "pixels", usage], lines)


@pytest.mark.parametrize("usage", ["Usage", " Usage"])
def test_all_pixels_in_one_cell(tmp_path: Path, usage: str) -> None:
    data = load(fer(tmp_path, usage))
    assert data.classes == ("0", "1", "2") and data.labels.tolist() == Y.tolist() and data.notes["format"] == "pixels"
    assert np.array_equal(data.images[:, 0], PIXELS) and np.bincount(data.split).tolist() == [18, 6, 6]
    assert load(tmp_path / "fer2013.csv", split="new").split is None
    assert len(pictures(tmp_path / "fer2013.csv")) == 30


def flat(root: Path, header: list[str], pixels: np.ndarray, last: bool = False) -> Path:
    lines = [[*x.ravel(), y] if last else [y, *x.ravel()] for x, y in zip(pixels, Y, strict=True)]
    return rows(root / "set.csv", [*header, "label"] if last else ["label", *header], lines)


def test_a_column_for_each_pixel(tmp_path: Path) -> None:
    data = load(flat(tmp_path, [f"pixel{i + 1}" for i in range(64)], PIXELS))  # sign-language MNIST, Fashion-MNIST
    assert np.array_equal(data.images[:, 0], PIXELS) and data.labels.tolist() == Y.tolist() and data.split is None
    assert np.array_equal(load(flat(tmp_path, [f"pixel{i}" for i in range(64)], PIXELS)).images[:, 0], PIXELS)
    colour = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3))  # HAM10000's hmnist_28_28_RGB.csv
    data = load(flat(tmp_path, [f"pixel{i:04d}" for i in range(192)], colour, last=True))
    assert np.array_equal(data.images.transpose(0, 2, 3, 1), colour)
    wide = np.random.default_rng(0).integers(0, 256, (30, 4, 9))
    data = load(flat(tmp_path, [f"{r + 1}x{c + 1}" for r in range(4) for c in range(9)], wide))
    assert np.array_equal(data.images[:, 0], wide)
    fractions = load(flat(tmp_path, [f"pixel{i}" for i in range(64)], PIXELS / 255))
    assert np.array_equal(fractions.images[:, 0], PIXELS)


def test_pixel_tables_have_the_columns_of_other_tables(tmp_path: Path) -> None:
    header = ["diagnosis", "age", "Patient ID", *[f"pixel{i}" for i in range(64)]]
    path = rows(tmp_path / "set.csv", header, [["abc"[Y[i]], i % 5, i // 3, *PIXELS[i].ravel()] for i in range(30)])
    with pytest.raises(DataError, match=r"no column is the label.*'diagnosis', 'age', 'Patient ID'"):
        load(path)
    data = load(path, columns={"label": "diagnosis"})
    assert (
        data.classes == ("a", "b", "c") and set(data.attributes) == {"age"} and data.notes["grouped_by"] == "Patient ID"
    )
    assert data.groups is not None and data.groups.tolist() == [i // 3 for i in range(30)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (["0", "1 2 x 4", "Training"], "has a pixel that is no number"),
        (["0", "1 2 3", "Training"], "has 3 pixels, but most rows have 64"),
        (["0", "1 2 3"], "has 2 values for 3 columns"),
        (["", " ".join(["9"] * 64), "Training"], "has no label"),
    ],
)
def test_bad_rows_of_pixels_are_named_or_left_out(tmp_path: Path, row: list[str], reason: str) -> None:
    path = fer(tmp_path)
    with path.open("a") as file:
        file.write(",".join(row) + "\n")
    with pytest.raises(DataError, match=rf"row 31: {reason}.*--on-bad skip"):
        load(path)
    data = load(path, on_bad="skip")
    assert len(data) == 30 and data.notes["skipped"][0]["file"] == "row 31"


def test_pixels_of_no_square_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="images of 63 pixels are no square"):
        load(flat(tmp_path, [f"pixel{i}" for i in range(63)], PIXELS.reshape(30, 64)[:, :63]))
