"""Tar files: layouts, WebDataset samples, and archives made to do harm."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augury.data import load
from augury.data.decoding import safety
from augury.errors import DataError, SettingsError
from tests.helpers import image_files
from tests.helpers.image_files import LABELS, packed, pictures, png


def sample(i: int, label: str, **metadata: object) -> dict[str, bytes]:
    return {f"{i}.png": png(i), f"{i}.cls": b"7", f"{i}.json": json.dumps({"label": label, **metadata}).encode()}


def shard(path: Path, **columns: list[object]) -> Path:
    members: dict[str, bytes] = {}
    for i, label in enumerate(LABELS):
        members |= sample(i, label, **{name: values[i] for name, values in columns.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    return packed(path, members)


def tar_with(path: Path, *members: tarfile.TarInfo) -> Path:
    """A good set of class folders, and these."""
    packed(path, pictures())
    with tarfile.open(path, "a") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(png(0)) if member.size else None)
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.type, header.linkname, header.size = kind, link, len(png(0)) if kind == tarfile.REGTYPE else 0
    return header


@pytest.mark.parametrize("prefix", ["", "./", "flowers/", "./a/b/"])
@pytest.mark.parametrize("kind", ["", ":gz", ":bz2", ":xz"])
def test_class_folders_packed_in_any_way(tmp_path: Path, prefix: str, kind: str) -> None:
    data = load(packed(tmp_path / "set.tar", pictures(prefix), f"w{kind}"))
    assert data.classes == ("cat", "dog") and data.split is None and data.names[0] == "cat/0.png"
    assert np.array_equal(data.images[0, 0], image_files.GREY[0])
    assert not list((tmp_path / "cache").glob("*.part")) and not (tmp_path / "flowers").exists()


def test_parts_set_the_split(tmp_path: Path) -> None:
    data = load(packed(tmp_path / "set.tar", {**pictures("all/train/"), **pictures("all/test/")}))
    assert (
        data.split is not None and sorted(data.split.tolist()) == [0] * 6 + [2] * 6 and data.classes == ("cat", "dog")
    )


def test_a_tar_is_known_by_its_content(tmp_path: Path) -> None:
    assert load(packed(tmp_path / "set", pictures())).notes["format"] == "tar"


def test_webdataset_gives_attributes_groups_and_split(tmp_path: Path) -> None:
    data = load(
        shard(
            tmp_path / "x.tar",
            pose=["left", "up", "up", "left", "left", None],
            patient=[3, 3, 10, 10, 20, 20],
            split=["train", "train", "val", "val", "test", "test"],
            caption=[f"text {i}" for i in range(6)],
            boxes=[[1, 2]] * 6,
        )
    )
    assert data.attributes["pose"].values == ("", "left", "up") and set(data.attributes) == {"pose"}
    assert data.groups is not None and data.groups.tolist() == [0, 0, 1, 1, 2, 2]
    assert data.split is not None and data.split.tolist() == [0, 0, 1, 1, 2, 2]
    assert data.notes["columns_left_out"] == ["caption", "boxes"] and data.notes["columns"]["label"] == "label"


def test_numbers_in_cls_sort_as_numbers_and_order_the_names(tmp_path: Path) -> None:
    members_without_json = {
        f"{i}.{s}": raw for i in range(3) for s, raw in (("png", png(i)), ("cls", (b"10", b"2", b"-1")[i]))
    }
    assert load(packed(tmp_path / "a.tar", members_without_json)).classes == ("-1", "2", "10")
    members = members_without_json | {f"{i}.json": json.dumps({"label": "abc"[i]}).encode() for i in range(3)}
    assert load(packed(tmp_path / "b.tar", members)).classes == ("c", "b", "a")


@pytest.mark.parametrize("archives", [("train-000.tar", "test-000.tar"), ("train/0.tar", "val/0.tar")])
def test_shards_tell_the_part(tmp_path: Path, archives: tuple[str, str]) -> None:
    for archive in archives:
        shard(tmp_path / "in" / archive)
    data = load(tmp_path / "in")
    assert data.notes["format"] == "webdataset" and len(data) == 12
    assert data.split is not None and sorted(set(data.split.tolist())) == [0, 1 if "val" in archives[1] else 2]


def test_shards_without_parts_have_no_split_and_links_outside_are_no_shards(tmp_path: Path) -> None:
    shard(tmp_path / "in" / "a-000.tar")
    shard(tmp_path / "out" / "a-001.tar")
    (tmp_path / "in" / "a-001.tar").symlink_to(tmp_path / "out" / "a-001.tar")
    data = load(tmp_path / "in")
    assert len(data) == 6 and data.split is None and data.notes["ignored"] == {"links that lead outside": 1}


HARM = {
    "up": (member("../../x.png"), r"\.\./\.\./x\.png: has '\.\.' in its path"),
    "deep": (member("cat/../../x.png"), "has '..' in its path"),
    "absolute": (member("/etc/x.png"), "/etc/x.png: is an absolute path"),
    "drive": (member("C:\\x\\y.png"), "is an absolute path"),
    "symlink": (member("cat/x.png", tarfile.SYMTYPE, "/etc/passwd"), "cat/x.png: is a link, a device"),
    "hardlink": (member("cat/x.png", tarfile.LNKTYPE, "cat/0.png"), "is a link, a device"),
    "device": (member("cat/x.png", tarfile.CHRTYPE), "is a link, a device"),
    "fifo": (member("cat/x.png", tarfile.FIFOTYPE), "is a link, a device"),
    "twice": (member("cat/0.png"), "cat/0.png: occurs twice"),
}


@pytest.mark.parametrize("name", HARM)
def test_harmful_members_are_refused_or_left_out(tmp_path: Path, name: str) -> None:
    header, message = HARM[name]
    path = tar_with(tmp_path / "deep" / "er.tar", header) if (tmp_path / "deep").mkdir() is None else tmp_path
    with pytest.raises(DataError, match=rf"er\.tar: .*{message}.*on_bad='skip'"):
        load(path)
    data = load(path, on_bad="skip")
    assert len(data) == 6 and len(data.notes["skipped"]) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "deep"] and len(list(path.parent.iterdir())) == 1


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            {"0.jpg": png(0)},
            r"0.png: is of a sample with several images, 0.png and 0.jpg: the name of a sample ends at the first dot",
        ),
        ({"9.png": png(0)}, "9.png: has no label; give it one"),
        ({"9.png": png(0), "9.cls": b""}, r"9.png: has a \.cls beside it that is not one short line"),
        ({"9.png": png(0), "9.cls": b"x" * 5_000_000}, r"has a \.cls of more than 1,048,576 bytes"),
        ({"9.png": png(0), "9.json": b"[1]"}, r"has a \.json beside it that is not an object"),
        (
            {"9.png": png(0), "9.json": b'{"label": "cat", "patient": 1, "label": "dog"}'},
            r"9.png: has a \.json beside it that tells 'label' twice",
        ),
        ({"9.png": png(0), "9.json": b"[" * 100_000}, r"has a damaged \.json"),
        ({"9.png": b"no image", "9.cls": b"1", "9.json": b'{"label": "cat"}'}, "9.png: is damaged, or not an image"),
    ],
)
def test_samples_that_cannot_be_used(tmp_path: Path, members: dict[str, bytes], message: str) -> None:
    valid_members = {name: raw for i, label in enumerate(LABELS) for name, raw in sample(i, label).items()}
    path = packed(tmp_path / "x.tar", valid_members | members)
    with pytest.raises(DataError, match=message):
        load(path)
    data = load(path, on_bad="skip")
    used = 6 - ("0.jpg" in members)  # both images of a sample are bad
    assert len(data) == used and len(data.notes["skipped"]) == len(valid_members) // 3 + 1 - used


def test_json_with_ever_new_keys_is_refused(tmp_path: Path) -> None:
    valid_members = {name: raw for i, label in enumerate(LABELS) for name, raw in sample(i, label).items()}
    for i in range(40):
        metadata = {"label": "cat", **{f"k{i}-{k}": 1 for k in range(40)}}
        valid_members |= {f"m{i}.png": png(0), f"m{i}.json": json.dumps(metadata).encode()}
    with pytest.raises(DataError, match=r"has 1,602 columns, but at most 1,000"):
        load(packed(tmp_path / "x.tar", valid_members))


@pytest.mark.parametrize("cut", [100, 700, 2000, 5000])
def test_a_cut_off_archive(tmp_path: Path, cut: int) -> None:
    path = packed(tmp_path / "x.tar", pictures())
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match=r"x\.tar: .*(damaged|cut off)"):
        load(path)
    if cut == 5000:
        assert 2 <= len(load(path, on_bad="skip")) < 6


def test_damage_in_the_middle_is_noticed(tmp_path: Path) -> None:
    path = packed(tmp_path / "x.tar", pictures())
    raw = bytearray(path.read_bytes())
    raw[4 * 1024 : 4 * 1024 + 100] = b"?" * 100
    path.write_bytes(raw)
    with pytest.raises(DataError, match="what stands at byte 4,096 is no member"):
        load(path)


def test_a_negative_size_does_not_loop_for_ever(tmp_path: Path) -> None:
    header = tarfile.TarInfo("cat/x.png")
    header.size = -1024
    header = header.tobuf(tarfile.GNU_FORMAT)
    path = packed(tmp_path / "x.tar", pictures())
    path.write_bytes(header + path.read_bytes())
    with pytest.raises(DataError, match=r"x\.tar: .*damaged"):
        load(path)


def test_a_huge_header_is_not_read(tmp_path: Path) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 2**20
    path = tmp_path / "x.tar"
    path.write_bytes(header.tobuf(tarfile.USTAR_FORMAT) + b"1" * 2**20)
    with pytest.raises(DataError, match=r"a header of 1,048,576 bytes"):
        load(path)


def test_an_archive_that_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safety, "FREE", 2**16)
    path = tmp_path / "x.tar.gz"
    path.write_bytes(gzip.compress(bytes(20 * 2**20)))
    with pytest.raises(DataError, match=r"x\.tar\.gz: unpacks to more than .* bytes, 200 times its own size"):
        load(path)


def test_a_damaged_gzip(tmp_path: Path) -> None:
    path = packed(tmp_path / "x.tgz", pictures(), "w:gz")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"x\.tgz: damaged, cannot be unpacked"):
        load(path)


def test_other_members_are_counted(tmp_path: Path) -> None:
    extra = {"cat/.DS_Store": b"x", "cat/._0.png": b"x", "notes.txt": b"x", "top.png": png(0), "classes.json": b"{}"}
    data = load(packed(tmp_path / "x.tar", pictures() | extra))
    assert data.notes["ignored"] == {"hidden": 2, "images directly in the root": 1, ".json": 1, ".txt": 1}


def test_a_json_that_tells_no_class_leaves_class_folders(tmp_path: Path) -> None:
    notes = {f"{name[:-4]}.json": b'{"lens": 50}' for name in pictures()}
    assert load(packed(tmp_path / "x.tar", pictures() | notes)).notes["format"] == "tar"


@pytest.mark.parametrize("archives", [("train.tar", "test.tar"), ("train/0.tar", "test/0.tar")])
def test_class_folders_in_several_archives(tmp_path: Path, archives: tuple[str, str]) -> None:
    for archive in archives:
        (tmp_path / "in" / archive).parent.mkdir(parents=True, exist_ok=True)
        packed(tmp_path / "in" / archive, pictures("pets/"))
    data = load(tmp_path / "in")
    assert (
        data.classes == ("cat", "dog") and data.split is not None and sorted(data.split.tolist()) == [0] * 6 + [2] * 6
    )
    with pytest.raises(SettingsError, match="class folders have no columns"):
        load(tmp_path / "in", columns={"group": "x"})


def test_an_archive_beside_class_folders_is_left_alone(tmp_path: Path) -> None:
    image_files.written(tmp_path / "in", {**pictures(), "old.parquet": b"PAR1"})
    packed(tmp_path / "in" / "backup.tar", pictures())
    assert load(tmp_path / "in").notes["format"] == "folder"


def test_an_empty_archive(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x\.tar: found no images"):
        load(packed(tmp_path / "x.tar", {}))


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_read_as_tarfile_reads_them(format: int, tmp_path: Path) -> None:
    path, random = tmp_path / "a.tar", np.random.default_rng(0)
    with tarfile.open(path, "w", format=format) as archive:
        for i in range(40):
            long_name = "d" * int(random.integers(1, 90)) + "/" + "n" * int(random.integers(1, 60))
            member = tarfile.TarInfo(f"{LABELS[i % 6]}/{long_name}é{i}.png" if i % 3 else f"{LABELS[i % 6]}/{i}.png")
            member.type = tarfile.DIRTYPE if i % 11 == 5 else tarfile.SYMTYPE if i % 11 == 7 else tarfile.REGTYPE
            member.linkname = "x" if member.issym() else ""
            file = io.BytesIO()
            Image.fromarray(random.integers(0, 256, (9, 8), np.uint8)).save(file, "PNG", compress_level=i % 10)
            member.size = file.tell() if member.isreg() else 0
            archive.addfile(member, io.BytesIO(file.getvalue()))
    with tarfile.open(path) as archive:
        expected = {m.name: Image.open(archive.extractfile(m)).tobytes() for m in archive if m.isreg()}
        links = sorted(m.name for m in archive if m.issym())
    data = load(path, on_bad="skip")
    assert {name: image.tobytes() for name, image in zip(data.names, data.images, strict=True)} == expected
    assert sorted(each["file"] for each in data.notes["skipped"]) == links and len(links) == 3
    raw = bytearray(path.read_bytes())
    raw[3] ^= 1  # the first name no longer has its checksum
    path.write_bytes(raw)
    with pytest.raises(DataError, match="damaged, or not a tar"):
        load(path)
