"""In-memory arrays and .npz files: layouts, dtypes, labels, and what is refused."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augury.data import from_arrays, load
from augury.errors import DataError

GREY = np.random.default_rng(0).integers(0, 256, (6, 5, 7), np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (6, 5, 7, 3), np.uint8)
LABELS = np.array([0, 1, 0, 1, 0, 1])


def saved(tmp_path: Path, **arrays: Any) -> Path:
    np.savez_compressed(tmp_path / "set.npz", **arrays)
    return tmp_path / "set.npz"


def test_layouts() -> None:
    assert np.array_equal(from_arrays(GREY, LABELS).images, GREY[:, None])
    assert np.array_equal(from_arrays(GREY[..., None], LABELS).images, GREY[:, None])
    assert np.array_equal(from_arrays(GREY[:, None], LABELS).images, GREY[:, None])
    assert np.array_equal(from_arrays(COLOUR, LABELS).images, COLOUR.transpose(0, 3, 1, 2))
    assert np.array_equal(from_arrays(COLOUR.transpose(0, 3, 1, 2), LABELS).images, COLOUR.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("channels_first", [False, True])
def test_a_fourth_channel_is_opacity_only_on_request(channels_first: bool) -> None:
    alpha = np.full((6, 5, 7, 1), 51, np.uint8)
    four = np.concatenate([COLOUR, alpha], axis=3)
    pixels = four.transpose(0, 3, 1, 2) if channels_first else four
    with pytest.raises(DataError, match=r"four channels.*does not say.*--transparency ignore"):
        from_arrays(pixels, LABELS)
    planes = COLOUR.transpose(0, 3, 1, 2)
    assert np.array_equal(from_arrays(pixels, LABELS, transparency="ignore").images, planes)
    for colour, background in (("white", 255), ("black", 0)):
        data = from_arrays(pixels, LABELS, transparency=colour)
        assert data.images.shape[1] == 3 and f"put on {colour}" in data.notes["colour"]
        assert np.abs(data.images - (planes * 0.2 + background * 0.8)).max() <= 0.51


def test_arrays_of_one_colour_after_flattening_are_named() -> None:
    arrays = np.full((6, 8, 8, 4), 255, np.uint8)
    arrays[:, :4, :, 3] = 0
    with pytest.raises(DataError, match=r"image 0 becomes one colour once its transparency is put on white"):
        from_arrays(arrays, LABELS, transparency="white")
    assert from_arrays(arrays, LABELS, transparency="black").images[0, 0, ::7, 0].tolist() == [0, 255]


@pytest.mark.parametrize(
    ("array", "expected", "word"),
    [
        (GREY / 255, GREY, "times 255"),
        ((GREY / 255).astype(np.float32), GREY, "times 255"),
        (GREY.astype(np.float64), GREY, "whole numbers"),
        (GREY.astype(np.int64), GREY, "whole numbers"),
        (GREY.astype(np.uint16) * 257, GREY, "divided by 257"),
        (GREY > 127, np.where(GREY > 127, 255, 0), "bool"),
    ],
)
def test_pixel_types(array: Any, expected: Any, word: str) -> None:
    data = from_arrays(array, LABELS)
    assert np.array_equal(data.images[:, 0], expected) and word in data.notes["pixels"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_named_by_index(value: float) -> None:
    pixels = GREY / 255
    pixels[4, 2, 3] = value
    with pytest.raises(DataError, match=r"image 4 holds NaN or infinity.*mend or leave out"):
        from_arrays(pixels, LABELS)


@pytest.mark.parametrize("pixels", [GREY / 255 - 0.5, GREY / 100, GREY.astype(np.int32) - 1, GREY.astype(int) * 3])
def test_values_without_a_clear_white_are_refused(pixels: Any) -> None:
    with pytest.raises(DataError, match=r"pixels are .* from .* to .*within \[0, 1\] or be whole numbers"):
        from_arrays(pixels, LABELS)


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 7, 2), (6, 2, 5, 7), (0, 5, 7), (6, 0, 7), (2, 3, 4, 5, 6)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="shape"):
        from_arrays(np.zeros(shape, np.uint8), LABELS[: shape[0]])


def test_images_of_several_sizes_are_refused() -> None:
    ragged = np.empty(2, object)
    ragged[0], ragged[1] = np.zeros((3, 3), np.uint8), np.zeros((4, 3), np.uint8)
    with pytest.raises(DataError, match=r"differ in size.*one uint8 array"):
        from_arrays(ragged, LABELS[:2])


def test_labels_become_classes() -> None:
    assert from_arrays(GREY, LABELS).classes == ("0", "1")
    data = from_arrays(GREY, [10, 2, 10, -1, 2, 2])
    assert data.classes == ("-1", "2", "10") and data.labels.tolist() == [2, 1, 2, 0, 1, 1]
    words = from_arrays(GREY, ["b", "a", "c", "a", "b", "b"])
    assert words.classes == ("a", "b", "c") and words.labels.tolist() == [1, 0, 2, 0, 1, 1]
    assert from_arrays(GREY, LABELS, classes=["no", "yes"]).classes == ("no", "yes")
    ordered = from_arrays(GREY, ["b", "a"] * 3, classes=["b", "a"])
    assert ordered.classes == ("b", "a") and ordered.labels.tolist() == [0, 1] * 3


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        (LABELS[:5], None, r"labels have shape \[5\], but there are 6 images"),
        (np.eye(6, dtype=int), None, "several values an image"),
        (LABELS * 0.5, None, "labels are float64; give integers or strings"),
        (np.array([0, "a", None, 1, 1, 1], object), None, "Python objects"),
        (LABELS + 1, ["a", "b"], "labels run from 1 to 2, but 2 class names need 0 to 1"),
        (["a", "b"] * 3, ["a", "c"], "label 'b' is none of the 2 classes"),
        (LABELS, ["a", "a"], "name each class once"),
        (LABELS * 0, None, "at least two classes"),
    ],
)
def test_labels_that_are_refused(labels: Any, classes: list[str] | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        from_arrays(GREY, labels, classes=classes)


def test_fingerprint_names_the_content() -> None:
    base = from_arrays(GREY, LABELS)
    assert (
        len(base.fingerprint) == 16
        and from_arrays(GREY.copy(), LABELS, names=list("abcdef")).fingerprint == base.fingerprint
    )
    other = GREY.copy()
    other[0, 0, 0] ^= 1
    variants = [
        from_arrays(other, LABELS),
        from_arrays(GREY, 1 - LABELS),
        from_arrays(GREY, LABELS, classes=["a", "b"]),
        from_arrays(GREY, LABELS, attributes={"pose": LABELS}),
        from_arrays(GREY, LABELS, attributes={"stain": LABELS}),
        from_arrays(GREY, LABELS, groups=LABELS),
        from_arrays(GREY, LABELS, split=LABELS),
    ]
    assert len({base.fingerprint, *(data.fingerprint for data in variants)}) == len(variants) + 1


def test_npz_with_attributes_groups_and_split(tmp_path: Path) -> None:
    path = saved(
        tmp_path,
        image=COLOUR,
        label=np.array(["cat", "dog"] * 3),
        group=np.array(["p1", "p1", "p9", "p2", "p2", "p9"]),
        split=np.array(["train", "Val", "validation", "test", "TEST", "train"]),
        pose=np.array([3, 1, 3, 20, 1, 1]),
        stain=np.array([b"x", b"y", b"x", b"y", b"x", b"y"]),
        embedding=np.zeros((6, 9)),
        weight=np.zeros(6),
    )
    data = load(path)
    assert data.classes == ("cat", "dog") and set(data.attributes) == {"pose", "stain"}
    assert data.attributes["pose"].values == ("1", "3", "20") and data.attributes["pose"].codes.tolist() == [
        1,
        0,
        1,
        2,
        0,
        0,
    ]
    assert data.attributes["stain"].values == ("x", "y")
    assert data.groups is not None and data.groups.tolist() == [0, 0, 2, 1, 1, 2]
    assert data.split is not None and data.split.tolist() == [0, 1, 1, 2, 2, 0] and data.split.dtype == np.int8
    assert data.names[5] == "index 5" and data.notes["arrays_left_out"] == ["embedding", "weight"]


def test_npz_with_plural_names_class_names_and_codes(tmp_path: Path) -> None:
    path = saved(tmp_path, images=GREY, labels=LABELS[:, None], groups=LABELS, split=LABELS * 2, classes=["no", "yes"])
    data = load(path, size=(10, 14))
    assert data.classes == ("no", "yes") and data.shape == (1, 10, 14)
    assert data.split is not None and data.split.tolist() == [0, 2] * 3


def test_medmnist(tmp_path: Path) -> None:
    path = saved(
        tmp_path,
        train_images=GREY[:3], train_labels=np.array([[1], [0], [1]], np.uint8),
        val_images=GREY[3:4], val_labels=np.array([[0]], np.uint8),
        test_images=GREY[4:], test_labels=np.array([[1], [0]], np.uint8),
    )  # fmt: skip
    data = load(path)
    assert np.array_equal(data.images[:, 0], GREY) and data.labels.tolist() == [1, 0, 1, 0, 1, 0]
    assert data.split is not None and data.split.tolist() == [0, 0, 0, 1, 2, 2]
    assert data.names == ("train 0", "train 1", "train 2", "val 0", "test 0", "test 1")


def test_medmnist_that_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"set\.npz: .*several values an image"):
        load(saved(tmp_path, train_images=GREY, train_labels=np.eye(6, dtype=np.uint8)))
    with pytest.raises(DataError, match="train: 6 images, but 5 labels"):
        load(saved(tmp_path, train_images=GREY, train_labels=LABELS[:5]))
    with pytest.raises(DataError, match="no 'test_labels'"):
        load(saved(tmp_path, train_images=GREY, train_labels=LABELS, test_images=GREY))
    with pytest.raises(DataError, match=r"test_images are \[4, 7\], but train_images are \[5, 7\]"):
        load(saved(tmp_path, train_images=GREY, train_labels=LABELS, test_images=GREY[:, 1:], test_labels=LABELS))


def test_object_arrays_are_refused_without_unpickling(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    with pytest.raises(
        DataError, match=r"array 'labels' holds Python objects.*unpickling can run code; save images as uint8"
    ):
        load(saved(tmp_path, images=GREY, labels=np.array([Trap()] * 6, object)))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": GREY, "labels": LABELS[:4]}, "6 images, 4 labels; give one label an image"),
        ({"images": GREY}, "needs the arrays 'images' and 'labels'.*but holds: images"),
        ({"image": GREY, "images": GREY, "labels": LABELS}, "holds both 'image' and 'images'"),
        ({"images": GREY, "labels": LABELS, "groups": LABELS[:2]}, r"groups have shape \[2\], but there are 6 images"),
        (
            {"images": GREY, "labels": LABELS, "split": ["train", "early"] * 3},
            "split holds 'early'; write train, validation or",
        ),
        ({"images": GREY, "labels": LABELS, "split": LABELS * 3}, "split holds '3'"),
        ({"images": np.full((6, 5, 7), np.nan), "labels": LABELS}, "image 0 holds NaN"),
    ],
)
def test_npz_that_is_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=rf"set\.npz: .*{message}"):
        load(saved(tmp_path, **arrays))


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_npz(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "set.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"set\.npz: damaged, or not an \.npz file.*save it again"):
        load(tmp_path / "set.npz")


def test_a_damaged_member(tmp_path: Path) -> None:
    path = saved(tmp_path, images=np.random.default_rng(0).integers(0, 256, (6, 40, 40), np.uint8), labels=LABELS)
    raw = bytearray(path.read_bytes())
    raw[4000:4050] = bytes(50)
    path.write_bytes(raw)
    with pytest.raises(DataError, match="damaged"):
        load(path)


def test_a_header_that_declares_too_much_is_refused_before_decompression(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (10**6, 10**3, 10**3)}
    )
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.writestr("images.npy", header.getvalue())
    with pytest.raises(DataError, match="declare 1,000,000,000,000 bytes, but at most 4,294,967,296"):
        load(tmp_path / "set.npz")


def test_one_giant_image_is_refused() -> None:
    giant = np.broadcast_to(np.uint8(0), (2, 9000, 9000))
    with pytest.raises(DataError, match="9000 x 9000 exceed the 64,000,000 pixels"):
        from_arrays(giant, [0, 1])


def test_patients_of_an_npz_are_groups_whatever_their_shape_or_type(tmp_path: Path) -> None:
    random, n = np.random.default_rng(0), 30
    images, labels, patients = random.integers(0, 256, (n, 16, 16), dtype=np.uint8), np.arange(n) % 2, np.arange(n) // 3
    for name, stored in (("patient", patients.astype(float)), ("patient_id", patients[:, None]), ("Subject", patients)):
        np.savez(tmp_path / "a.npz", images=images, labels=labels, **{name: stored})
        data = load(tmp_path / "a.npz")
        assert data.groups is not None and data.groups.tolist() == patients.tolist() and name not in data.attributes
    np.savez(tmp_path / "b.npz", images=images, labels=labels, patient=patients + 0.5)
    with pytest.raises(DataError, match="groups are float64"):
        load(tmp_path / "b.npz")
    assert load(tmp_path / "b.npz", group="none").groups is None
    np.savez(tmp_path / "c.npz", images=images, labels=labels, where=patients + 0.5)
    with pytest.raises(DataError, match="groups are float64"):
        load(tmp_path / "c.npz", group="where")


def test_patients_of_medmnists_arrays_are_groups(tmp_path: Path) -> None:
    random, sizes = np.random.default_rng(0), {"train": 20, "val": 8, "test": 8}
    arrays = {}
    for k, (part, n) in enumerate(sizes.items()):
        arrays[f"{part}_images"] = random.integers(0, 256, (n, 16, 16), dtype=np.uint8)
        arrays[f"{part}_labels"] = (np.arange(n) % 2)[:, None]
        arrays[f"{part}_patient"] = 100 * k + np.arange(n) // 2
        arrays[f"{part}_side"] = np.array(["l", "r"])[np.arange(n) % 2]
    np.savez(tmp_path / "m.npz", **arrays, train_mask=np.zeros((20, 16, 16)))
    data = load(tmp_path / "m.npz")
    assert data.groups is not None and len(np.unique(data.groups)) == 18
    assert data.attributes["side"].values == ("l", "r") and data.notes["grouped_by"] == "patient"
    assert data.notes["arrays_left_out"] == ["train_mask"]
    assert load(tmp_path / "m.npz", group="side").notes["grouped_by"] == "side"
    del arrays["val_patient"]
    np.savez(tmp_path / "n.npz", **arrays)
    with pytest.raises(DataError, match="'val_patient' is missing"):
        load(tmp_path / "n.npz")


def test_an_array_with_a_value_of_its_own_for_every_image_is_no_attribute(tmp_path: Path) -> None:
    n = 30
    columns = {
        "source": np.array([f"IMG_{i:03}.jpg" for i in range(n)]),
        "number": np.arange(n) + 7,
        "age": np.arange(n) % 29,  # a measurement that one value repeats: bins can divide it
        "pose": np.array(["left", "right"])[np.arange(n) % 2],
    }
    images = np.random.default_rng(0).integers(0, 256, (n, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(n) // 15, **columns)
    data = load(tmp_path / "a.npz")
    assert set(data.attributes) == {"age", "pose"} and data.notes["arrays_left_out"] == ["number", "source"]
    assert load(tmp_path / "a.npz", bins={"number": 2}).attributes["number"].values == ("7–21", "22–36")
    assert load(tmp_path / "a.npz", group="source").groups is not None
