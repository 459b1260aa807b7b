"""CSV and Hugging Face's imagefolder: columns, paths that lead elsewhere, rows that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from augury.data import load
from augury.data.decoding import safety
from augury.errors import AuguryError, DataError, SettingsError
from tests.helpers.image_files import GREY, LABELS, png, rows, written


def csv(root: Path, header: list[str], *columns: list[object]) -> Path:
    written(root, {f"{i}.png": png(i) for i in range(6)})
    names = [f"{i}.png" for i in range(6)]
    return rows(root / "set.csv", header, [list(row) for row in zip(names, *columns, strict=True)])


PEOPLE = ["p1", "p1", "p2", "p2", "p10", "p10"]


@pytest.mark.parametrize("image", ["path", "file", "File_Name", "image", "filename"])
@pytest.mark.parametrize("label", ["label", "Class"])
@pytest.mark.parametrize("group", ["group", "Patient", "person", "subject"])
def test_columns_are_known_by_their_names(tmp_path: Path, image: str, label: str, group: str) -> None:
    data = load(csv(tmp_path, [image, label, group], list(LABELS), PEOPLE))
    assert data.classes == ("cat", "dog") and data.labels.tolist() == [0, 1, 1, 0, 1, 0]
    assert data.groups is not None and data.groups.tolist() == [0, 0, 2, 2, 1, 1] and not data.attributes
    assert np.array_equal(data.images[:, 0], GREY) and data.names == tuple(f"{i}.png" for i in range(6))


def test_columns_by_request_attributes_and_split(tmp_path: Path) -> None:
    path = csv(
        tmp_path, ["scan", "diagnosis", "no", "set", "stain", "age"],
        list(LABELS), PEOPLE, ["train", "Train", "val", "test", "validation", "TEST"], ["a", "b"] * 3, [1, 2, 3, 4, 5, 6],
    )  # fmt: skip
    columns = {"image": "scan", "label": "diagnosis", "group": "no", "split": "set"}
    data = load(path, columns=columns)
    assert data.split is not None and data.split.tolist() == [0, 0, 1, 2, 1, 2] and set(data.attributes) == {"stain"}
    assert data.notes["columns"] == columns and data.notes["columns_left_out"] == ["age"]
    assert set(load(path, columns=columns, attributes=["age"]).attributes) == {"age"}
    assert load(path, columns=columns, attributes=["age"]).attributes["age"].values == ("1", "2", "3", "4", "5", "6")
    with pytest.raises(DataError, match=r"no column is the image .*'scan', 'diagnosis'.*columns=\{'image'"):
        load(path)
    with pytest.raises(SettingsError, match="there is no column 'x'; the columns are 'scan'"):
        load(path, columns={"label": "x"})


def test_two_candidates_are_not_guessed_between(tmp_path: Path) -> None:
    path = csv(tmp_path, ["path", "label", "class"], [0, 1] * 3, list(LABELS))
    with pytest.raises(DataError, match=r"'label' and 'class' could both be the label; choose with columns="):
        load(path)
    assert load(path, columns={"label": "class"}).classes == ("cat", "dog")


def test_numbers_sort_as_numbers(tmp_path: Path) -> None:
    assert load(csv(tmp_path, ["path", "label"], [10, 2, 10, 2, 0, 0])).classes == ("0", "2", "10")
    assert load(csv(tmp_path, ["path", "label"], ["10", "2", "02", "2", "0", "0"])).classes == ("0", "02", "10", "2")


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_and_a_byte_order_mark(tmp_path: Path, separator: str) -> None:
    path = csv(tmp_path, ["path", "label"], list(LABELS))
    path.write_text("\ufeff" + path.read_text().replace(",", separator), encoding="utf-8")
    assert load(path).classes == ("cat", "dog")


def test_images_elsewhere_by_root_only(tmp_path: Path) -> None:
    csv(tmp_path / "images", ["path", "label"], list(LABELS))
    (tmp_path / "images" / "set.csv").rename(tmp_path / "set.csv")
    with pytest.raises(DataError, match=r"set\.csv: none of its files is there, such as .*0\.png; --root says"):
        load(tmp_path / "set.csv")
    with pytest.raises(DataError, match="nowhere is no folder"):
        load(tmp_path / "set.csv", root=tmp_path / "nowhere")
    assert len(load(tmp_path / "set.csv", root=tmp_path / "images")) == 6


BAD = {
    "up": (["../x.png", "cat"], r"\.\./x\.png: has '\.\.' in its path, which is not followed; write it relative"),
    "absolute": (["/etc/passwd", "cat"], r"/etc/passwd: is an absolute path"),
    "drive": (["C:/x.png", "cat"], "is an absolute path"),
    "link": (["link.png", "cat"], "leads outside the folder of images"),
    "folder link": (["away/9.png", "cat"], "leads outside the folder of images"),
    "missing": (["9.png", "cat"], "cannot be opened"),
    "folder": (["sub", "cat"], "sub: .*(not a plain file|Is a directory)"),
    "fifo": (["pipe", "cat"], "is not a plain file"),
    "nothing": (["", "cat"], "row 7: is not the name of a file"),
    "zero": (["a\0b.png", "cat"], "is not the name of a file|is not a table"),
    "no label": (["6.png", " "], "6.png: has no label"),
    "twice": (["0.png", "cat"], r"0.png: is named twice \(rows 1 and 7\)"),
    "short": (["6.png"], "row 7 has 1 values for 2 columns"),
    "long": (["6.png", "cat", "x"], "row 7 has 3 values for 2 columns"),
    "text": (["notes.txt", "cat"], "not an image of a known kind"),
    "very long": (["x" * 5000, "cat"], "a text of 5,000 characters, too long for the name of a file"),
}


@pytest.mark.parametrize("name", BAD)
def test_each_bad_row_is_named_or_left_out(tmp_path: Path, name: str) -> None:
    import os

    row, message = BAD[name]
    root = tmp_path / "in"
    path = csv(root, ["path", "label"], list(LABELS))
    written(tmp_path / "out", {"9.png": png(0)})
    written(root, {"6.png": png(5)[:-1] + b"x", "notes.txt": b"hello", "sub/x": b""})
    (root / "link.png").symlink_to(tmp_path / "out" / "9.png")
    (root / "away").symlink_to(tmp_path / "out")
    os.mkfifo(root / "pipe")
    with path.open("a", newline="") as file:
        file.write(",".join(row) + "\r\n")
    with pytest.raises(DataError, match=message):
        load(path)
    if name != "zero":
        data = load(path, on_bad="skip")
        assert len(data) == 6 and len(data.notes["skipped"]) == 1


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "no column is the image|has no rows"),
        (b"path,label\n", "has no rows"),
        (b"path,path\n1,2\n", "two columns called 'path'"),
        (b"path,label\n\xff\xfe,1\n", r"is not UTF-8 text \(byte"),
        (b'path,label\n"x,1\n', "is not a table"),
        (b",".join(b"%d" % i for i in range(2000)) + b"\n1\n", "has 2,000 columns, but at most 1,000"),
        (b"path,label,split\n0.png,a,early\n", r"0.png: is in the split 'early'; write train"),
        (b"path,label,group\n0.png,a,\n", "has no 'group'; give it one"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, raw: bytes, message: str) -> None:
    (tmp_path / "set.csv").write_bytes(raw)
    with pytest.raises(DataError, match=rf"set\.csv: .*({message})"):
        load(tmp_path / "set.csv")


@given(name=st.text(max_size=60) | st.from_regex(r"(\.\.?/|/|\\|a|~|C:){1,6}", fullmatch=True))
@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
def test_no_name_leads_outside(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    root = tmp_path_factory.getbasetemp() / "fence"
    root.mkdir(exist_ok=True)
    try:
        path = safety.fence(root)(safety.safe_parts(name))
    except AuguryError:
        return
    except OSError:
        assert len(name.encode("utf-8", "replace")) > 200
        return
    assert path != root and path.resolve().is_relative_to(root.resolve())


def metadata(root: Path, kind: str, records: list[dict[str, object]]) -> None:
    if kind == "csv":
        rows(root / "metadata.csv", list(records[0]), [list(row.values()) for row in records])
    else:
        written(root, {"metadata.jsonl": "\n".join(json.dumps(row) for row in records).encode()})


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_imagefolder_with_attributes(tmp_path: Path, kind: str) -> None:
    written(tmp_path, {f"pics/{i}.png": png(i) for i in range(6)})
    records = [
        {"file_name": f"pics/{i}.png", "label": LABELS[i], "patient": PEOPLE[i], "stain": "ab"[i % 2], "id": i}
        for i in range(6)
    ]
    metadata(tmp_path, kind, records)
    for path in (tmp_path, tmp_path / f"metadata.{kind}"):
        data = load(path)
        assert data.notes["format"] == "imagefolder" and data.classes == ("cat", "dog") and data.split is None
        assert set(data.attributes) == {"stain"} and data.groups is not None
        assert np.array_equal(data.images[:, 0], GREY)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_imagefolder_with_parts_and_labels_by_folder(tmp_path: Path, kind: str) -> None:
    for part, members in (("train", range(4)), ("test", range(2, 6))):
        written(tmp_path / part, {f"{LABELS[i]}/{i}.png": png(i) for i in members})
        metadata(tmp_path / part, kind, [{"file_name": f"{LABELS[i]}/{i}.png", "note": "x"} for i in members])
    data = load(tmp_path)
    assert data.classes == ("cat", "dog") and data.split is not None and data.split.tolist() == [2] * 4 + [0] * 4
    assert data.names[0] == "test/dog/2.png"


def test_imagefolder_says_what_is_amiss(tmp_path: Path) -> None:
    written(tmp_path, {f"{i}.png": png(i) for i in range(6)})
    metadata(tmp_path, "csv", [{"file_name": f"{i}.png", "label": LABELS[i]} for i in range(5)])
    assert load(tmp_path).notes["ignored"] == {"images that no row names": 1}
    written(tmp_path, {"metadata.jsonl": b'{"file_name": "5.png"}\n[]\n'})
    with pytest.raises(DataError, match="differ in the column 'label'"):
        load(tmp_path)
    (tmp_path / "metadata.csv").unlink()
    with pytest.raises(DataError, match=r"row 2: row 2 is not a JSON object|5\.png: has no label"):
        load(tmp_path)
    written(tmp_path, {"metadata.jsonl": b'{"file": "5.png"}\n'})
    with pytest.raises(DataError, match="has no column 'file_name', but file; name each image there"):
        load(tmp_path)


def test_a_key_that_a_row_tells_twice_is_refused_or_left_out(tmp_path: Path) -> None:
    written(tmp_path, {f"{i}.png": png(i) for i in range(6)})
    records = [json.dumps({"file_name": f"{i}.png", "label": LABELS[i]}) for i in range(5)]
    records.append('{"file_name": "5.png", "label": "cat", "label": "dog"}')
    written(tmp_path, {"metadata.jsonl": "\n".join(records).encode()})
    with pytest.raises(DataError, match="row 6 tells 'label' twice in one JSON object; keep one"):
        load(tmp_path)
    data = load(tmp_path, on_bad="skip")
    assert len(data) == 5 and len(data.notes["skipped"]) == 1


def test_jsonl_with_ever_new_keys_is_refused(tmp_path: Path) -> None:
    lines = b"\n".join(json.dumps({f"k{i}-{k}": 1 for k in range(100)}).encode() for i in range(20))
    written(tmp_path, {"metadata.jsonl": lines})
    with pytest.raises(DataError, match="has 1,001 columns, but at most 1,000"):
        load(tmp_path)
