"""Which folders are classes, splits, masks or neither."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augury.data import from_arrays, load
from augury.data.decoding.split_names import split_code, split_codes
from augury.data.formats.masks import find_masks
from augury.errors import DataError, SettingsError
from tests.helpers.image_files import GREY, packed, png, rows, written


def tree(root: Path, *folders: str, count: int = 2) -> Path:
    """Write `count` different images into each folder."""
    return written(root, {f"{name}/{i}.png": png(i) for name in folders for i in range(count)})


SPELLINGS = {
    ("Training", "Testing"): (0, 2),
    ("TRAIN", "dev", "holdout"): (0, 1, 2),
    ("train", "evaluation"): (0, 2),
    ("train", "eval", "test"): (0, 1, 2),
    ("train_set", "ValidationSet", "test set"): (0, 1, 2),
    ("train2017", "val2017"): (0, 1),
    ("01_train", "02_held-out"): (0, 2),
    ("seg_train", "seg_test"): (0, 2),
    ("Training Data", "PublicTest", "PrivateTest"): (0, 1, 2),
}


@pytest.mark.parametrize("names", SPELLINGS)
def test_splits_in_every_usual_spelling(tmp_path: Path, names: tuple[str, ...]) -> None:
    data = load(tree(tmp_path / "in", *(f"{name}/{c}" for name in names for c in ("glioma", "no_tumor"))))
    assert data.classes == ("glioma", "no_tumor") and data.split is not None
    assert {data.names[i].partition("/")[0]: int(data.split[i]) for i in range(len(data))} == dict(
        zip(names, SPELLINGS[names], strict=True)
    )


@pytest.mark.parametrize(
    "names", [("steam_train", "freight_train"), ("Test 1", "Test 2"), ("train station", "bus stop")]
)
def test_classes_that_sound_like_splits_stay_classes(tmp_path: Path, names: tuple[str, str]) -> None:
    data = load(tree(tmp_path / "in", *names))
    assert data.classes == tuple(sorted(names)) and data.split is None


def test_a_name_of_a_split_is_one_word() -> None:
    assert split_code("Test_Set") == 2 and split_code("x_train_test") == -1 and split_code("attest") == -1
    assert split_codes(["seg_train", "seg_test", "seg_pred"]) == {"seg_train": 0, "seg_test": 2}


def test_splits_of_arrays_and_tables_have_the_same_spellings(tmp_path: Path) -> None:
    names = ["Training", "Training", "dev", "dev", "hold-out", "hold-out"]
    data = from_arrays(GREY, [0, 1] * 3, split=names)
    assert data.split is not None and data.split.tolist() == [0, 0, 1, 1, 2, 2]
    written(tmp_path, {f"{i}.png": png(i) for i in range(6)})
    table = rows(
        tmp_path / "set.csv", ["path", "label", "split"], [[f"{i}.png", "ab"[i % 2], names[i]] for i in range(6)]
    )
    tabled = load(table)
    assert tabled.split is not None and tabled.split.tolist() == [0, 0, 1, 1, 2, 2]


def test_outer_and_doubled_folders_are_no_classes(tmp_path: Path) -> None:
    names = ("data/set/train/train/a", "data/set/train/train/b", "data/set/test/images/a", "data/set/test/images/b")
    data = load(tree(tmp_path / "in", *names))
    assert data.classes == ("a", "b") and data.split is not None and sorted(data.split.tolist()) == [0] * 4 + [2] * 4
    assert data.names[0] == "data/set/test/images/a/0.png" and data.notes["class_folders"] == "those in data/set"
    assert load(tree(tmp_path / "zip", "pets/cats", "pets/dogs")).classes == ("cats", "dogs")


def test_splits_within_the_class_folders(tmp_path: Path) -> None:
    data = load(tree(tmp_path / "in", *(f"{c}/{part}" for c in ("cats", "dogs") for part in ("train", "test"))))
    assert data.classes == ("cats", "dogs") and data.split is not None and sorted(set(data.split.tolist())) == [0, 2]


@pytest.mark.parametrize(
    ("folders", "outer", "inner"),
    [
        (
            ("siteA/benign", "siteA/malignant", "siteB/benign", "siteB/malignant"),
            ("siteA", "siteB"),
            ("benign", "malignant"),
        ),
        (("p1/0", "p1/1", "p2/0", "p3/0", "p3/1"), ("p1", "p2", "p3"), ("0", "1")),
        (("color/a", "color/b", "grey/a", "grey/b", "grey/c"), ("color", "grey"), ("a", "b", "c")),
    ],
)
def test_recurring_inner_names_stop_with_both_readings(
    tmp_path: Path, folders: tuple[str, ...], outer: tuple[str, ...], inner: tuple[str, ...]
) -> None:
    root = tree(tmp_path / "in", *folders)
    with pytest.raises(
        DataError, match=rf"{len(outer)} classes: --class-folder 1.*{len(inner)} classes: --class-folder 2"
    ):
        load(root)
    assert load(root, class_folder=1).classes == outer and load(root, class_folder=2).classes == inner
    assert load(root, class_folder=-1).classes == inner
    with pytest.raises(DataError, match="lies in 2 folders below 'in', so that folder 3 cannot name its class"):
        load(root, class_folder=3)


def test_recurring_names_stop_below_splits_and_in_archives(tmp_path: Path) -> None:
    names = [f"{part}/{site}/{c}" for part in ("train", "test") for site in ("s1", "s2") for c in ("x", "y")]
    with pytest.raises(DataError, match="--class-folder 2"):
        load(tree(tmp_path / "in", *names))
    data = load(tmp_path / "in", class_folder=2)
    assert data.classes == ("x", "y") and data.split is not None
    path = packed(tmp_path / "set.tar", {f"{name}/{i}.png": png(i) for name in names for i in range(2)})
    with pytest.raises(DataError, match="--class-folder 2"):
        load(path)
    assert load(path, class_folder=2).counts.tolist() == data.counts.tolist()


def test_class_folder_where_there_are_none(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="lies at no path; leave class_folder out"):
        load((GREY, [0, 1] * 3), class_folder=1)
    with pytest.raises(SettingsError, match="class_folder is 0"):
        load(tree(tmp_path / "in", "a", "b"), class_folder=0)


def test_folders_of_one_class_may_hold_others(tmp_path: Path) -> None:
    data = load(tree(tmp_path / "in", "cats/2019", "cats/2020", "cats/indoor", "dogs/2019", "dogs/x", "dogs/y"))
    assert data.classes == ("cats", "dogs")


def test_masks_beside_images_are_skipped_and_reported(tmp_path: Path) -> None:
    files = {f"{c}/{c} ({i}).png": png(i) for c in ("benign", "malignant") for i in range(3)}
    files |= {f"benign/benign ({i})_mask{suffix}.png": png(4) for i, suffix in enumerate(("", "_1", ""))}
    files |= {"malignant/malignant (0)_segmentation.png": png(5), "malignant/lonely_mask.png": png(5)}
    data = load(written(tmp_path / "in", files))
    assert data.counts.tolist() == [3, 4] and data.notes["ignored"] == {"masks": 4}
    assert "malignant/lonely_mask.png" in data.names


@pytest.mark.parametrize(
    "folders",
    [
        ("{}/images", "{}/masks"),
        ("{}/Image", "{}/Ground Truth"),
        ("images/{}", "masks/{}"),
        ("{}", "{}/masks"),
        ("train/images/{}", "train/labels/{}"),
    ],
)
def test_folders_of_masks(tmp_path: Path, folders: tuple[str, str]) -> None:
    names = [folder.format(c) for folder in folders for c in ("covid", "normal")]
    data = load(tree(tmp_path / "in", *names))
    assert data.classes == ("covid", "normal") and data.counts.tolist() == [2, 2]
    assert data.notes["ignored"] == {"masks": 4}


def test_images_and_masks_without_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds images and another folder their masks, but no folder is a class"):
        load(tree(tmp_path / "in", "images", "masks"))


@pytest.mark.parametrize("names", [("mask", "no_mask"), ("with_mask", "without_mask", "mask_worn_incorrectly")])
def test_classes_may_be_called_mask(tmp_path: Path, names: tuple[str, ...]) -> None:
    data = load(tree(tmp_path / "in", *names))
    assert data.classes == tuple(sorted(names)) and data.notes["ignored"] == {}
    assert find_masks([("train", name, "1.png") for name in names], lambda i: png(0)) == set()


def test_stylegan_labels_are_read_and_its_folders_are_no_classes(tmp_path: Path) -> None:
    names = [f"{i // 2:05d}/img{i:08d}.png" for i in range(6)]
    root = written(tmp_path / "in", {name: png(i) for i, name in enumerate(names)})
    (root / "dataset.json").write_text(
        json.dumps({"labels": [[name, [0, 1] if i % 3 else [1, 0]] for i, name in enumerate(names[:5])]})
    )
    data = load(root)
    assert data.classes == ("0", "1") and data.labels.tolist() == [0, 1, 1, 0, 1]
    assert data.notes["ignored"] == {"images that no row names": 1}
    (root / "dataset.json").write_text(json.dumps({"labels": None}))
    with pytest.raises(DataError, match="its labels are null, so that the images have no classes"):
        load(root)
    (root / "dataset.json").write_text(json.dumps({"labels": [["00000/img00000000.png", [0.5, 0.5]]]}))
    with pytest.raises(DataError, match="neither a whole number nor a list of zeros with one 1"):
        load(root)


def test_another_dataset_json_leaves_class_folders(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", "cats", "dogs")
    (root / "dataset.json").write_text(json.dumps({"labels": ["cats", "dogs"]}))
    assert load(root).classes == ("cats", "dogs")


def test_stylegan_in_an_archive_is_refused(tmp_path: Path) -> None:
    labels = json.dumps({"labels": [[f"00000/{i}.png", i % 2] for i in range(6)]}).encode()
    files = {f"0000{i // 3}/{i}.png": png(i) for i in range(6)} | {"dataset.json": labels}
    with pytest.raises(DataError, match=r"dataset\.json, which has the labels .*unpack the archive"):
        load(packed(tmp_path / "set.tar", files), on_bad="skip")


def test_splits_in_the_middle_of_the_names_of_shards(tmp_path: Path) -> None:
    from tests.helpers.image_files import pictures

    (tmp_path / "in").mkdir()
    for part in ("train", "val"):
        packed(tmp_path / "in" / f"pets-{part}-000.tar", pictures("pets/"))
    data = load(tmp_path / "in")
    assert data.split is not None and sorted(data.split.tolist()) == [0] * 6 + [1] * 6


MASKS_APART = {
    "the same folders below masks": ("{c}/{i}.png", "masks/{c}/{i}.png"),
    "all in one folder": ("{c}/{c} ({i}).png", "masks/{c} ({i})_mask.png"),
    "two kinds in each class": ("{c}/{i}.png", "{c}/masks/{i}.png", "{c}/labels/{i}.png"),
}


@pytest.mark.parametrize("kind", MASKS_APART)
def test_masks_that_lie_apart(tmp_path: Path, kind: str) -> None:
    image, *masks = MASKS_APART[kind]
    every = [(c, i) for c in ("benign", "malignant") for i in range(3)]
    files = {image.format(c=c, i=i): png(i) for c, i in every}
    files |= {mask.format(c=c, i=i): png(5) for mask in masks for c, i in every}
    data = load(written(tmp_path / "in", files))
    assert data.classes == ("benign", "malignant") and data.counts.tolist() == [3, 3]
    assert data.notes["ignored"] == {"masks": 6 * len(masks)}


def test_stylegan_below_a_folder_is_refused(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", "train/00000", "train/00001", "test/00000", "test/00001")
    (root / "train" / "dataset.json").write_text(json.dumps({"labels": [["00000/0.png", 1]]}))
    with pytest.raises(DataError, match=r"train/dataset\.json: has the labels of its folder"):
        load(root)


def test_a_mask_may_differ_from_its_image_in_the_extension_alone(tmp_path: Path) -> None:
    flat = np.where(np.eye(9) > 0, 255, 0).astype(np.uint8)
    for c in "ab":
        for i in range(6):
            (tmp_path / "in" / c).mkdir(parents=True, exist_ok=True)
            Image.fromarray(GREY[i]).save(tmp_path / "in" / c / f"{i}.jpg")
            Image.fromarray(flat if c == "a" else GREY[5 - i]).save(tmp_path / "in" / c / f"{i}.png")
    data = load(tmp_path / "in")
    assert data.counts.tolist() == [6, 12] and data.notes["ignored"] == {"masks": 6}


def test_stylegan_labels_may_follow_other_entries(tmp_path: Path) -> None:
    root = tree(tmp_path / "in", "00000", "00001")
    labels = [[f"0000{i // 2}/{i % 2}.png", i % 2] for i in range(4)]
    (root / "dataset.json").write_text(json.dumps({"name": "pets", "labels": labels}, indent=1))
    assert load(root).classes == ("0", "1")
