"""Layouts of folders, and what is passed over."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augury.data import load
from augury.errors import DataError, SettingsError

Pets = Callable[..., Path]


def put(path: Path, value: int = 0, size: tuple[int, int] = (8, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path)


def test_class_folders_give_classes_names_and_exact_pixels(pets: Pets) -> None:
    root = pets()
    data = load(root)
    assert data.classes == ("cats", "dogs") and data.counts.tolist() == [4, 4] and data.split is None
    assert data.names == tuple(f"{label}/{i}.png" for label in ("cats", "dogs") for i in range(4))
    for name, image in zip(data.names, data.images, strict=True):
        assert np.array_equal(image[0], np.asarray(Image.open(root / name)))
    assert data.shape == (1, 12, 10) and data.notes["resizing"].startswith("native")


def test_every_format_is_read_and_nested_files_belong_to_their_class(tmp_path: Path) -> None:
    for i, extension in enumerate(("png", "JPG", "webp", "bmp", "tif", "gif", "pgm")):
        put(tmp_path / "in" / "a" / "deep" / str(i) / f"x.{extension}", 40)
        put(tmp_path / "in" / "b" / f"x{i}.{extension}", 200)
    data = load(tmp_path / "in")
    assert data.counts.tolist() == [7, 7] and data.shape[0] == 3  # WebP knows no grey
    assert np.abs(data.images[data.labels == 0].astype(int) - 40).max() <= 2
    assert np.abs(data.images[data.labels == 1].astype(int) - 200).max() <= 2


def test_parts_in_any_case_set_the_split_and_a_class_may_miss_from_one(tmp_path: Path) -> None:
    for name in ("Train/a/1", "Train/b/1", "VAL/a/2", "valid/b/2", "validation/b/3", "test/a/3", "test/c/4"):
        put(tmp_path / f"{name}.png", len(name))
    data = load(tmp_path)
    assert data.classes == ("a", "b", "c") and data.split is not None
    assert dict(zip(data.names, data.split.tolist(), strict=True)) == {
        "Train/a/1.png": 0, "Train/b/1.png": 0, "VAL/a/2.png": 1, "valid/b/2.png": 1, "validation/b/3.png": 1,
        "test/a/3.png": 2, "test/c/4.png": 2,
    }  # fmt: skip


def test_a_class_may_be_called_train_but_parts_beside_classes_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "train" / "1.png")
    put(tmp_path / "plane" / "1.png")
    assert load(tmp_path).classes == ("plane", "train")
    put(tmp_path / "test" / "boat" / "1.png")
    with pytest.raises(DataError, match=r"'test' looks like a part.*'plane'"):
        load(tmp_path)


def test_images_directly_in_a_part_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "train" / "1.png")
    put(tmp_path / "test" / "1.png")
    with pytest.raises(DataError, match=r"found 1 images directly in this folder.*one folder per class"):
        load(tmp_path)


def test_hidden_foreign_and_outside_files_are_counted_not_read(pets: Pets, tmp_path: Path) -> None:
    root = pets()
    (root / "cats" / "notes.txt").write_text("x")
    (root / "cats" / ".DS_Store").write_text("x")
    put(root / ".thumbs" / "1.png")
    put(root / "cover.png")
    put(tmp_path / "elsewhere" / "9.png")
    (root / "cats" / "9.png").symlink_to(tmp_path / "elsewhere" / "9.png")
    (root / "owls").symlink_to(tmp_path / "elsewhere")
    (root / "dogs" / "again").symlink_to(root / "dogs")
    with pytest.raises(DataError, match=r"this class folder: 'owls' \(1 links that lead outside\)"):
        load(root)
    data = load(root, on_bad="skip")
    assert data.counts.tolist() == [4, 4] and data.notes["empty_classes"] == {"owls": "1 links that lead outside"}
    assert data.notes["ignored"] == {
        "hidden": 2, "images directly in the root": 1, "links in a loop": 1, "links that lead outside": 2,
        ".txt": 1,
    }  # fmt: skip


def test_links_inside_the_root_are_followed(pets: Pets) -> None:
    root = pets()
    (root / "cats" / "twin.png").symlink_to(root / "cats" / "0.png")
    data = load(root)
    assert np.array_equal(data.images[data.names.index("cats/twin.png")], data.images[data.names.index("cats/0.png")])


@pytest.mark.parametrize("names", [["a/x.png", "b/x.png"], ["a/é.png", "ß/日本.png"]])
def test_names_of_any_alphabet(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        put(tmp_path / name)
    assert list(load(tmp_path).names) == sorted(names)


def test_a_name_that_is_no_utf8_is_read_and_shown_as_text(tmp_path: Path) -> None:
    put(tmp_path / "b" / "x.png")
    (tmp_path / "a").mkdir()
    source = (tmp_path / "b" / "x.png").read_bytes()
    try:
        with open(os.fsencode(tmp_path / "a") + b"/\xff.png", "wb") as file:  # noqa: PTH123 (a name Path cannot spell)
            file.write(source)
    except OSError:
        pytest.skip("this file system holds only UTF-8 names")
    assert load(tmp_path).names == ("a/�.png", "b/x.png")


def test_no_such_path(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: there is no such file or folder; give"):
        load(tmp_path / "nowhere")


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"")
    with pytest.raises(DataError, match=r"'\.zip' is not a format that is read \(unpack it.*one folder per class"):
        load(tmp_path / "x.zip")


def test_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "in" / "cats").mkdir(parents=True)
    with pytest.raises(DataError, match=r"found no images \(the folder is empty\); put them in one folder per class"):
        load(tmp_path / "in")


def test_images_only_in_the_root(tmp_path: Path) -> None:
    for i in range(3):
        put(tmp_path / f"{i}.png")
    with pytest.raises(DataError, match=r"found 3 images directly in this folder.*one folder per class"):
        load(tmp_path)


def test_one_class_only(tmp_path: Path) -> None:
    put(tmp_path / "cats" / "1.png")
    with pytest.raises(DataError, match=r"at least two classes.*'cats' with 1 images; add a folder"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size = 0"),
        ({"size": (8, 9000)}, "1 to 4096"),
        ({"fit": "stretch"}, "crop"),
        ({"on_bad": "x"}, "skip"),
    ],
)
def test_settings_out_of_range(pets: Pets, options: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load(pets(), **options)  # type: ignore[arg-type]


def test_fingerprint_follows_content_not_place(pets: Pets, tmp_path: Path) -> None:
    root = pets()
    first = load(root)
    renamed = root.rename(tmp_path / "moved")
    (renamed / "cats" / "3.png").rename(renamed / "cats" / "4.png")
    assert load(renamed).fingerprint == first.fingerprint
    (renamed / "cats" / "4.png").rename(renamed / "dogs" / "4.png")
    assert load(renamed).fingerprint != first.fingerprint
    assert load(renamed, size=8).fingerprint != load(renamed).fingerprint
