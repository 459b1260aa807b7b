"""idx, CIFAR, parquet and torch data sets: layouts, and what is refused."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from augury.data import load
from augury.data.decoding import array_store, safety
from augury.errors import DataError, SettingsError
from tests.helpers.image_files import CODES, GREY, LABELS, cifar, idx, idx_folder, png, written

TRAIN = {"train-images-idx3-ubyte": idx(GREY), "train-labels-idx1-ubyte": idx(CODES)}


@pytest.mark.parametrize("test", ["t10k", "test"])
@pytest.mark.parametrize("style", ["{}-{}-idx{}-ubyte", "{}-{}.idx{}-ubyte", "emnist-letters-{}-{}-idx{}-ubyte.gz"])
def test_idx_parts_and_names(tmp_path: Path, test: str, style: str) -> None:
    pack = gzip.compress if style.endswith("gz") else bytes
    files = {}
    for part in ("train", test):
        files[style.format(part, "images", 3)] = pack(idx(GREY))
        files[style.format(part, "labels", 1)] = pack(idx(CODES * 10))
    written(tmp_path, files)
    for path in (tmp_path, tmp_path / next(iter(files))):
        data = load(path)
        assert data.split is not None and data.split.tolist() == [0] * 6 + [2] * 6 and data.classes == ("0", "10")
        assert np.array_equal(data.images[6:, 0], GREY)


def test_idx_of_one_part_has_no_split_and_colour_is_read(tmp_path: Path) -> None:
    colour = np.stack([GREY, GREY, 255 - GREY], axis=3)
    written(tmp_path, {**TRAIN, "train-images-idx3-ubyte": idx(colour)})
    data = load(tmp_path)
    assert data.split is None and np.array_equal(data.images, colour.transpose(0, 3, 1, 2))


def test_idx_in_pieces_and_resized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = idx_folder(tmp_path / "in")
    full = np.array(load(path, size=7).images)
    monkeypatch.setattr(array_store, "PIECE", 4)
    assert np.array_equal(load(path, size=7, cache=tmp_path / "other").images, full)


def test_two_families_are_distinguished(tmp_path: Path) -> None:
    written(tmp_path, {f"{name}-{file}": raw for name in ("a", "b") for file, raw in TRAIN.items()})
    with pytest.raises(DataError, match=r"holds 2 sets \(a, b\); give one of the files"):
        load(tmp_path)
    assert len(load(tmp_path / "a-train-images-idx3-ubyte")) == 6


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train-labels-idx1-ubyte": None}, "there is no train-labels-idx1-ubyte beside it"),
        ({"train-labels-idx1-ubyte": idx(CODES[:5])}, "6 images, but 5 labels in train-labels"),
        ({"train-images-idx3-ubyte": idx(GREY)[:-1]}, r"declares 432 bytes, but of 447 at most|is cut off"),
        ({"train-images-idx3-ubyte": idx(GREY)[:9]}, "is cut off in its header"),
        ({"train-images-idx3-ubyte": b""}, r"begins with b''"),
        ({"train-images-idx3-ubyte": idx(CODES)}, "not as an idx file of 3 dimensions"),
        ({"train-images-idx3-ubyte": b"\0\0\x0d\x03" + idx(GREY)[4:]}, "numbers of type 0x0d; only bytes"),
        ({"train-images-idx3-ubyte": idx(GREY[:0])}, "declares 0 x 9 x 8: nothing"),
        ({"train-images-idx3-ubyte": b"\0\0\x08\x03" + struct.pack(">3I", 1, 9000, 9000)}, "64,000,000|declares"),
        ({"train-images-idx3-ubyte": b"\0\0\x08\x03" + b"\xff" * 12}, "declares .* bytes, but of 16 at most"),
        ({"train-images-idx3-ubyte": gzip.compress(b"\0\0\x08\x03" + b"\xff" * 12)}, "declares .* bytes, but of"),
        ({"train-images-idx3-ubyte": gzip.compress(idx(GREY))[:-20]}, "damaged, cannot be read|is cut off"),
        ({"other-images-idx3-ubyte": idx(GREY), "other-labels-idx1-ubyte": idx(CODES)}, "holds 2 sets"),
        (
            {"test-images-idx3-ubyte": idx(GREY[:, 1:]), "test-labels-idx1-ubyte": idx(CODES)},
            r"images are \[1, 8, 8\], but \[1, 9, 8\]",
        ),
    ],
)
def test_idx_that_is_refused(tmp_path: Path, files: dict[str, bytes | None], message: str) -> None:
    written(tmp_path, {name: raw for name, raw in {**TRAIN, **files}.items() if raw is not None})
    with pytest.raises(DataError, match=message) as raised:
        load(tmp_path)
    assert str(tmp_path) in str(raised.value)


def test_idx_that_unpacks_far_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safety, "FREE", 1000)
    monkeypatch.setattr(safety, "RATIO", 3)
    big = idx(np.zeros((600, 60, 60), np.uint8))
    written(tmp_path, {"train-images-idx3-ubyte.gz": gzip.compress(big), "train-labels-idx1-ubyte": idx(CODES)})
    with pytest.raises(DataError, match=r"declares 2,160,000 bytes, but of .* at most"):
        load(tmp_path)


def test_cifar_ten(tmp_path: Path) -> None:
    data = load(cifar(tmp_path / "in"))
    assert data.shape == (3, 32, 32) and data.classes == ("cat", "dog") and data.labels.tolist() == [0, 1, 1, 0, 1, 0]
    assert data.split is not None and data.split.tolist() == [0, 0, 0, 0, 2, 2]
    raw = (tmp_path / "in" / "data_batch_1.bin").read_bytes()
    assert data.images[0].tobytes() == raw[1:3073]
    assert load(tmp_path / "in" / "data_batch_1.bin").fingerprint == data.fingerprint


def test_cifar_hundred_has_a_coarse_attribute(tmp_path: Path) -> None:
    records = b"".join(bytes([c // 2, c]) + bytes([c]) * 3072 for c in range(4))
    names = {"fine_label_names.txt": b"a\nb\nc\nd\n", "coarse_label_names.txt": b"ab\ncd\n"}
    data = load(written(tmp_path, {"train.bin": records, **names}))
    assert data.classes == ("a", "b", "c", "d") and data.split is None
    assert data.attributes["coarse"].values == ("ab", "cd") and data.attributes["coarse"].codes.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("data_batch_1.bin", bytes(3072), "has 3,072 bytes, but each image takes 3,073"),
        ("data_batch_1.bin", b"", "has 0 bytes"),
        ("data_batch_1.bin", b"\x09" + bytes(3072), "lists 2 names, but there are labels up to 9"),
        ("batches.meta.txt", b"cat\ncat\n", "lists a name twice"),
        ("batches.meta.txt", b"\xff\xff", "is not text"),
    ],
)
def test_cifar_that_is_refused(tmp_path: Path, name: str, raw: bytes, message: str) -> None:
    written(cifar(tmp_path / "in"), {name: raw})
    with pytest.raises(DataError, match=rf"in/{name.replace('data_batch_1.bin', '.*')}: .*{message}|{message}"):
        load(tmp_path / "in")


def test_pickled_cifar_is_refused_with_the_remedy(tmp_path: Path) -> None:
    written(tmp_path, {"data_batch_1": b"\x80\x02.", "batches.meta": b"\x80\x02."})
    with pytest.raises(DataError, match=r"are pickles, which are refused.*fetch the binary version"):
        load(tmp_path)


Table = Callable[..., Path]


@pytest.fixture
def parquet(tmp_path: Path) -> Table:
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: parquet is an extra")
    files = pytest.importorskip("pyarrow.parquet")

    def make(columns: dict[str, list[Any]], features: object = None, name: str = "set.parquet", **options: Any) -> Path:
        cells = arrow.table(columns)
        if features is not None:
            cells = cells.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        (tmp_path / name).parent.mkdir(exist_ok=True)
        files.write_table(cells, tmp_path / name, **options)
        return tmp_path / name

    return make


IMAGES = [{"bytes": png(i), "path": f"{i}.png"} for i in range(6)]
CLASSES = {"_type": "ClassLabel", "names": ["zebra", "ant"]}


def test_parquet_as_hugging_face_writes_it(parquet: Table) -> None:
    columns = {
        "image": IMAGES,
        "label": CODES.tolist(),
        "breed": [1, 0] * 3,
        "id": list(range(6)),
        "patient": list("aabbcc"),
    }
    path = parquet(columns, {"label": CLASSES, "breed": CLASSES, "image": {"_type": "Image"}}, row_group_size=2)
    data = load(path)
    assert data.classes == ("zebra", "ant") and data.labels.tolist() == CODES.tolist()
    assert np.array_equal(data.images[:, 0], GREY) and data.attributes["breed"].values == ("ant", "zebra")
    assert data.groups is not None and data.groups.tolist() == [0, 0, 1, 1, 2, 2]
    assert data.notes["columns_left_out"] == ["id"] and data.names[2] == "set.parquet row 2 (2.png)"


def test_parquet_of_plain_bytes_in_parts(parquet: Table, tmp_path: Path) -> None:
    columns = {"img": [png(i) for i in range(6)], "fine": CODES.tolist()}
    parquet(columns, {"fine": CLASSES}, "data/train-00000-of-00001.parquet")
    parquet(columns, {"fine": CLASSES}, "data/test-00000-of-00001.parquet")
    data = load(tmp_path)
    assert data.classes == ("zebra", "ant") and data.split is not None and data.split.tolist() == [2] * 6 + [0] * 6


def test_parquet_columns_by_request(parquet: Table) -> None:
    path = parquet({"a": IMAGES, "b": IMAGES, "kind": list(LABELS)})
    with pytest.raises(DataError, match="2 columns hold encoded images"):
        load(path)
    with pytest.raises(DataError, match=r"no column is the label, there are a, b, kind"):
        load(path, columns={"image": "a"})
    assert load(path, columns={"image": "a", "label": "kind"}).classes == ("cat", "dog")
    with pytest.raises(DataError, match="the column 'kind' holds no encoded images"):
        load(path, columns={"image": "kind", "label": "kind"})
    with pytest.raises(SettingsError, match="there is no column 'z'"):
        load(path, columns={"image": "z"})


@pytest.mark.parametrize(
    ("image", "label", "message"),
    [
        ({"bytes": None, "path": "/etc/passwd"}, 0, "holds no bytes, but the path of a file, which is not followed"),
        (None, 0, "holds no bytes; embed"),
        ({"bytes": b"", "path": None}, 0, r"is empty \(0 bytes\)"),
        ({"bytes": b"x", "path": "../../x.png"}, 0, r"row 6 \(x.png\): is damaged, or not an image"),
        (IMAGES[0], 2, "has the code 2, but 2 names need 0 to 1"),
        (IMAGES[0], -1, "has no label"),
        (IMAGES[0], None, "has no label"),
    ],
)
def test_rows_of_parquet_that_cannot_be_used(parquet: Table, image: Any, label: Any, message: str) -> None:
    path = parquet({"image": [*IMAGES, image], "label": [*CODES.tolist(), label]}, {"label": CLASSES})
    with pytest.raises(DataError, match=message):
        load(path)
    assert len(load(path, on_bad="skip")) == 6


def test_parquet_that_unpacks_far_is_refused(parquet: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    path = parquet({"image": [bytes(2**20)] * 40, "label": [0, 1] * 20}, compression="zstd")
    monkeypatch.setattr(safety, "FREE", 2**20)
    with pytest.raises(DataError, match=r"unpacks to more than .* bytes"):
        load(path)


def test_parquet_without_rows(parquet: Table, tmp_path: Path) -> None:
    import pyarrow.parquet

    path = parquet({"image": IMAGES, "label": list(LABELS)})
    pyarrow.parquet.write_table(pyarrow.parquet.read_table(path).slice(0, 0), tmp_path / "none.parquet")
    with pytest.raises(DataError, match=r"none\.parquet: holds no images \(0 rows\)"):
        load(tmp_path / "none.parquet")


def test_parquet_files_of_different_columns(parquet: Table, tmp_path: Path) -> None:
    parquet({"image": IMAGES, "label": list(LABELS)}, None, "in/a.parquet")
    parquet({"image": IMAGES, "class": list(LABELS)}, None, "in/b.parquet")
    with pytest.raises(DataError, match=r"b\.parquet: its columns are not those of a\.parquet"):
        load(tmp_path / "in")


class Items:
    """A data set as torch's are, of whatever is given."""

    def __init__(self, images: list[Any], labels: list[Any], classes: list[str] | None = None) -> None:
        self.images, self.labels, self.asked = images, labels, 0
        if classes:
            self.classes = classes

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        self.asked += 1
        if isinstance(self.images[i], Exception):
            raise self.images[i]
        return self.images[i], self.labels[i]


def test_a_torch_dataset(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    dataset = torch.utils.data.TensorDataset(torch.from_numpy(GREY[:, None] / np.float32(255)), torch.from_numpy(CODES))
    data = load(torch.utils.data.Subset(dataset, [5, 4, 3, 2]))
    assert np.array_equal(data.images[:, 0], GREY[[5, 4, 3, 2]]) and data.classes == ("0", "1")
    assert data.notes["format"] == "dataset" and data.names[0] == "item 0"


@pytest.mark.parametrize(
    "form",
    [
        lambda grey: Image.fromarray(grey),
        lambda grey: grey,
        lambda grey: grey[None],
        lambda grey: grey[..., None],
        lambda grey: grey.astype(np.uint16) * 257,
        lambda grey: grey / 255,
        lambda grey: grey.astype(np.int64),
        lambda grey: Image.fromarray(grey).convert("P"),
        lambda grey: Image.merge("LA", [Image.fromarray(grey), Image.new("L", (8, 9), 255)]),
    ],
)
def test_every_form_of_an_item(form: Callable[[Any], Any]) -> None:
    items = Items([form(grey) for grey in GREY], list(CODES), ["cat", "dog"])
    data = load(items)
    assert np.array_equal(data.images[:, 0], GREY) and data.classes == ("cat", "dog") and items.asked == 6


@pytest.mark.parametrize("key", ["image", "img"])
def test_items_as_hugging_face_gives_them(key: str) -> None:
    class Feature:
        names = ("no", "yes")

    class Rows(list[dict[str, object]]):
        features: ClassVar = {"label": Feature()}

    data = load(Rows({key: Image.fromarray(g), "label": int(c)} for g, c in zip(GREY, CODES, strict=True)))
    assert data.classes == ("no", "yes") and np.array_equal(data.images[:, 0], GREY)


def test_other_entries_of_an_item_are_columns_as_those_of_a_table() -> None:
    torch = pytest.importorskip("torch")

    class Feature:
        names = ("left", "right")

    class Rows(list[dict[str, object]]):
        features: ClassVar = {"view": Feature()}

    items = [
        {
            "img": g,
            "path": f"{i}.png",
            "diagnosis": "ab"[int(c)],
            "patient": torch.tensor(i // 2),
            "split": ("train", "test")[i > 3],
            "view": i % 2,
            "stain": np.int64(i % 3),
            "mask": g,
        }
        for i, (g, c) in enumerate(zip(GREY, CODES, strict=True))
    ]
    data = load(Rows(items), columns={"label": "diagnosis"})
    assert data.classes == ("a", "b") and np.array_equal(data.labels, CODES) and np.array_equal(data.images[:, 0], GREY)
    assert data.groups is not None and data.groups.tolist() == [0, 0, 1, 1, 2, 2]
    assert data.split is not None and data.split.tolist() == [0, 0, 0, 0, 2, 2]
    assert {k: [a.values[c] for c in a.codes] for k, a in data.attributes.items()} == {
        "view": ["left", "right"] * 3,
        "stain": ["0", "1", "2"] * 2,
    }
    assert data.notes["grouped_by"] == "patient" and data.notes["columns_left_out"] == ["path", "mask"]
    by_stain = load(Rows(items), columns={"label": "diagnosis"}, group="stain", attributes=["patient"])
    assert by_stain.groups is not None and by_stain.groups.tolist() == [0, 1, 2] * 2
    assert set(by_stain.attributes) == {"patient"}
    with pytest.raises(DataError, match=r"Rows: no column is the label .*there are: 'img', 'diagnosis'"):
        load(Rows(items))
    with pytest.raises(SettingsError, match="there is no column 'colour'"):
        load(Rows(items), columns={"label": "diagnosis"}, attributes=["colour"])
    with pytest.raises(DataError, match=r"is bad|are bad"):
        load([{**item, "img": None} for item in items], columns={"label": "diagnosis"}, attributes=["stain"])
    with pytest.raises(DataError, match="gives no"):
        load([None] * 3, attributes=["stain"])  # type: ignore[arg-type]
    del items[3]["patient"]
    with pytest.raises(DataError, match="item 3: has no 'patient'"):
        load(Rows(items), columns={"label": "diagnosis"})


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"columns": {"label": "y"}}, "has no columns"),
        ({"attributes": ["pose"]}, "has no columns"),
        ({"root": "."}, "leave root out"),
        ({"format": "npz"}, "leave format out"),
    ],
)
def test_options_that_do_not_apply_to_images_in_memory_are_refused(options: dict[str, Any], rule: str) -> None:
    for source in ((GREY, CODES), None):
        with pytest.raises(SettingsError, match=rule):
            load(source, **options)
    pairs = list(zip(GREY, CODES, strict=True))
    with pytest.raises(SettingsError, match=rule.replace("has", "have")):
        load(pairs, **options)


def test_colours_and_sizes_mix_in_a_dataset() -> None:
    items = Items([GREY[0], np.stack([GREY[1]] * 3), Image.new("CMYK", (90, 70)), np.ones((5, 5), bool)], list("abab"))
    assert load(items).shape == (3, 64, 64)


@pytest.mark.parametrize(
    ("image", "label", "message"),
    [
        (ValueError("gone"), 0, r"item 2: gives no \(image, label\) \(gone\)"),
        (GREY[0] / 255 - 0.5, 0, r"floats from .*leave Normalize out"),
        (np.full((4, 4), np.nan), 0, "floats from"),
        (np.zeros((2, 5, 5)), 0, r"has the shape \[2, 5, 5\]"),
        (np.zeros((0, 4)), 0, "has the shape"),
        ("x.png", 0, "has the shape|has pixels"),
        (None, 0, "has the shape|has pixels"),
        (GREY[0].astype(int) * 3, 0, "has pixels of int64"),
        (GREY[0], 2, "has the label 2, but 2 classes need 0 to 1"),
        (GREY[0], "owl", "has the label 'owl', which is none of the 2 classes"),
        (GREY[0], 0.5, "has the label 0.5"),
        (GREY[0], [0, 1], "has a label of type list"),
        (GREY[0], "", "which is none of the 2"),
    ],
)
def test_items_that_cannot_be_used(image: Any, label: Any, message: str) -> None:
    items = Items([GREY[0], GREY[1], image], [0, 1, label], ["cat", "dog"])
    with pytest.raises(DataError, match=message):
        load(items)
    data = load(items, on_bad="skip")
    assert len(data) == 2 and len(data.notes["skipped"]) == 1


def test_an_empty_dataset() -> None:
    with pytest.raises(DataError, match=r"Items: holds no images \(0 rows\)"):
        load(Items([], []))
