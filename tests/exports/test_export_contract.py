"""What every export promises: it reads back as it was, says where each image came from, and overwrites nothing unasked."""

from __future__ import annotations

import csv
import inspect
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augury.data import load
from augury.errors import DataError, MissingExtraError, RunFolderError, SettingsError
from augury.exports import EXPORTS, ExportOptions
from augury.images import Attribute, LabelledImages, SyntheticImages

SUFFIX = {"npz": ".npz", "tar": ".tar", "parquet": ".parquet"}
READ = {"csv": "labels.csv"}
N = 12


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUGURY_CACHE", str(tmp_path / "cache"))


@pytest.fixture(params=EXPORTS)
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed: parquet is an extra")
    if request.param == "dicom":
        pytest.importorskip("pydicom", reason="pydicom is not installed: DICOM is an extra")
    return str(request.param)


def pixels(n: int, channels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, channels, 6, 5), np.uint8)


def real(channels: int = 1, classes: tuple[str, ...] = ("2", "10", 'cat\'s, "ö"')) -> LabelledImages:
    attributes = {
        "pose": Attribute(np.arange(N) % 2, ("left", "up")),
        "origin": Attribute(np.arange(N) // 6, ("x", "y")),
    }
    groups = np.arange(N) // 2 + 9
    names = tuple(f"in/{i}.png" for i in range(N))
    return LabelledImages(pixels(N, channels), np.arange(N) % len(classes), classes, attributes, groups, names=names)


def synthetic_images(channels: int = 1) -> SyntheticImages:
    conditions = np.stack([np.arange(5) % 3, np.arange(5) % 2], axis=1)
    reasons = ("", "agreement", "", "", "near_copy")
    scores = {"agreement": np.array([0.5, 0, np.nan, 1, 1])}
    return SyntheticImages(
        pixels(5, channels, 1), conditions, ("pose",), real().classes, 3, np.arange(5) + 90, "f00d", scores, reasons
    )


def target_path(tmp_path: Path, kind: str) -> Path:
    return tmp_path / f"out{SUFFIX.get(kind, '')}"


def read_back(path: Path, kind: str) -> LabelledImages:
    return load(path / READ[kind] if kind in READ else path)


def by_content(data: LabelledImages, names: tuple[str, ...] = ()) -> set[tuple[object, ...]]:
    """The set without its order: pixels, class name, and the named attributes of each image."""
    texts = [[data.attributes[name].values[c] for c in data.attributes[name].codes] for name in names]
    return {
        (image.tobytes(), data.classes[label], *(column[i] for column in texts))
        for i, (image, label) in enumerate(zip(data.images, data.labels, strict=True))
    }


def test_all_formats_take_the_same_arguments() -> None:
    signatures = {inspect.signature(export, eval_str=True) for export in EXPORTS.values()}
    (signature,) = signatures
    assert list(signature.parameters) == ["path", "train", "synthetic", "options"]
    assert signature.parameters["options"].default == ExportOptions()


@pytest.mark.parametrize("channels", [1, 3])
def test_real_images_come_back_as_they_were(tmp_path: Path, kind: str, channels: int) -> None:
    train = real(channels)
    note = EXPORTS[kind](target_path(tmp_path, kind), train)
    data = read_back(target_path(tmp_path, kind), kind)
    assert (note["real"], note["synthetic"]) == (N, 0) and note["path"] == str(target_path(tmp_path, kind))
    if kind == "folder":
        assert len(data) == N and data.shape == train.shape
        return  # which can hold no more than safe names of classes
    assert by_content(data, ("pose",)) == by_content(train, ("pose",))
    assert data.groups is not None and len(set(data.groups.tolist())) == 6
    position_of = {image.tobytes(): i for i, image in enumerate(train.images)}
    groups = {
        (int(train.groups[position_of[x.tobytes()]]), int(g)) for x, g in zip(data.images, data.groups, strict=True)
    }
    assert len(groups) == 6
    if kind in ("npz", "tar", "parquet"):
        assert data.classes == train.classes and np.array_equal(data.images, train.images)
        assert np.array_equal(data.labels, train.labels)


def test_synthetic_images_are_added_and_distinguished(tmp_path: Path, kind: str) -> None:
    note = EXPORTS[kind](target_path(tmp_path, kind), real(), synthetic_images())
    data = read_back(target_path(tmp_path, kind), kind)
    assert (note["real"], note["synthetic"]) == (N, 3) and len(data) == N + 3
    if kind == "folder":
        return
    expected = {
        (pixels(5, 1, 1)[i].tobytes(), real().classes[i % 3], ("left", "up")[i % 2], "synthetic") for i in (0, 2, 3)
    }
    actual = by_content(data, ("pose", "origin"))
    assert expected < actual and sum(row[-1] == "real" for row in actual) == N
    origins = data.attributes["origin_given"]
    assert sorted(origins.values) == ["", "x", "y"] and (origins.codes == list(origins.values).index("")).sum() == 3


def test_parts_come_back_and_synthetic_images_are_for_training(tmp_path: Path, kind: str) -> None:
    train = replace(real(), classes=("a", "b", "c"), split=np.repeat([0, 1, 2, 0], 3).astype(np.int8))
    EXPORTS[kind](target_path(tmp_path, kind), train, replace(synthetic_images(), classes=train.classes))
    data = read_back(target_path(tmp_path, kind), kind)
    part_of = {image.tobytes(): int(part) for image, part in zip(train.images, train.split, strict=True)}
    assert data.split is not None and len(data) == N + 3
    for image, part in zip(data.images, data.split, strict=True):
        assert part == part_of.get(image.tobytes(), 0)
    train_only = replace(train, split=np.zeros(N, np.int8))
    EXPORTS[kind](target_path(tmp_path, kind), train_only, options=ExportOptions(force=True))
    assert read_back(target_path(tmp_path, kind), kind).split is None  # all are train images: nothing to tell


def test_metadata_as_jsonl_tells_the_same(tmp_path: Path) -> None:
    """The table turned into metadata.jsonl row by row, as other tools write it: the same images, labels, attributes, groups, parts."""
    train = replace(real(), split=np.repeat([0, 1, 2, 0], 3).astype(np.int8))
    EXPORTS["imagefolder"](tmp_path / "out", train, synthetic_images())
    first = load(tmp_path / "out")
    table = tmp_path / "out" / "metadata.csv"
    with table.open(newline="", encoding="utf-8") as file:
        lines = [json.dumps(row) for row in csv.DictReader(file)]
    table.unlink()
    table.with_suffix(".jsonl").write_text("\n".join(lines), encoding="utf-8")
    again_jsonl = load(tmp_path / "out")
    assert (
        len(again_jsonl) == N + 3 and again_jsonl.fingerprint == first.fingerprint and again_jsonl.names == first.names
    )
    assert by_content(again_jsonl, ("pose", "origin")) == by_content(first, ("pose", "origin"))
    assert np.array_equal(again_jsonl.groups, first.groups) and np.array_equal(again_jsonl.split, first.split)
    assert by_content(again_jsonl, ("pose",)) > by_content(train, ("pose",))


def provenance(path: Path, kind: str) -> list[dict[str, object]]:
    if kind == "npz":
        with np.load(path) as stored:
            return [json.loads(text) for text in stored["provenance"]]
    if kind == "tar":
        import tarfile

        with tarfile.open(path) as archive:
            members = [m for m in archive if m.name.endswith(".json")]
            return [json.loads(archive.extractfile(m).read())["provenance"] for m in members]  # type: ignore[union-attr]
    if kind == "parquet":
        import pyarrow.parquet

        return [json.loads(text) for text in pyarrow.parquet.read_table(path)["provenance"].to_pylist()]
    return [json.loads(line) for line in (path / "manifest.jsonl").read_text().splitlines()]


def test_every_image_says_where_it_came_from(tmp_path: Path, kind: str) -> None:
    EXPORTS[kind](target_path(tmp_path, kind), real(), synthetic_images())
    rows = provenance(target_path(tmp_path, kind), kind)
    assert len(rows) == N + 3 and rows[4]["source"] == "in/4.png" and rows[4]["origin"] == "real"
    assert rows[N + 1]["source"] == {"seed": 3, "index": 92, "synthesizer": "f00d"}
    assert rows[N + 1]["scores"] == {"agreement": None} and rows[N]["scores"] == {"agreement": 0.5}


def test_nothing_is_overwritten_unasked(tmp_path: Path, kind: str) -> None:
    path = target_path(tmp_path, kind)
    if kind in SUFFIX:
        path.write_text("precious")
        with pytest.raises(RunFolderError, match="is there already; choose another name, or --force"):
            EXPORTS[kind](path, real())
        assert path.read_text() == "precious"
    else:
        path.mkdir()
        (path / "mine.txt").write_text("precious")
        for force in (False, True):
            with pytest.raises(RunFolderError, match="not empty and not an export"):
                EXPORTS[kind](path, real(), options=ExportOptions(force=force))
        assert (path / "mine.txt").read_text() == "precious"
        (path / "mine.txt").unlink()
    EXPORTS[kind](path, real(), options=ExportOptions(force=True))
    assert len(read_back(path, kind)) == N
    if kind not in SUFFIX:
        EXPORTS[kind](path, real(), synthetic_images())  # an older export, with nothing added, is replaced
        assert len(read_back(path, kind)) == N + 3


def test_a_failed_export_leaves_nothing(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image, "fromarray", fail)
    monkeypatch.setattr(np.lib.format, "write_array", fail)
    with pytest.raises(RunFolderError, match="the disk is full"):
        EXPORTS[kind](target_path(tmp_path, kind), real())
    assert list(tmp_path.iterdir()) == []


def test_the_same_data_give_the_same_bytes(tmp_path: Path, kind: str) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        EXPORTS[kind](target_path(tmp_path / name, kind), real(), synthetic_images())
    files = {p.relative_to(tmp_path / "a"): p.read_bytes() for p in (tmp_path / "a").rglob("*") if p.is_file()}
    assert files == {p.relative_to(tmp_path / "b"): p.read_bytes() for p in (tmp_path / "b").rglob("*") if p.is_file()}


def test_originals_go_in_byte_for_byte(tmp_path: Path, kind: str) -> None:
    files = [tmp_path / f"{i}.jpg" for i in range(N)]
    for i, file in enumerate(files):
        Image.fromarray(pixels(N, 1, 5)[i, 0]).resize((40, 30)).save(file)
    if kind in ("npz", "dicom"):
        with pytest.raises(DataError, match="leave originals out"):
            EXPORTS[kind](target_path(tmp_path, kind), real(), options=ExportOptions(originals=files))
        return
    EXPORTS[kind](target_path(tmp_path, kind), real(), synthetic_images(), ExportOptions(originals=files))
    data = read_back(target_path(tmp_path, kind), kind)
    assert data.notes["original_sizes"] == {"30x40": N, "6x5": 3}
    with pytest.raises(DataError, match=f"2 original files for {N} training images"):
        EXPORTS[kind](target_path(tmp_path, kind), real(), options=ExportOptions(originals=files[:2], force=True))


def test_options_that_a_format_cannot_follow_are_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(DataError, match="only possible beside original files"):
        EXPORTS[kind](target_path(tmp_path, kind), real(), options=ExportOptions(synthetic_size=(30, 20)))
    if kind in SUFFIX:
        with pytest.raises(SettingsError, match="leave sidecar out, or export a folder"):
            EXPORTS[kind](target_path(tmp_path, kind), real(), options=ExportOptions(sidecar=True))
    assert list(tmp_path.iterdir()) == []


def test_synthetic_images_of_other_data_are_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(DataError, match="generate them from this data set"):
        EXPORTS[kind](target_path(tmp_path, kind), real(), synthetic_images(channels=3))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", SUFFIX)
def test_the_name_of_a_file_must_tell_the_format(tmp_path: Path, kind: str) -> None:
    with pytest.raises(SettingsError, match=f"let its name end with {SUFFIX[kind]}"):
        EXPORTS[kind](tmp_path / "out", real())
    (tmp_path / f"out{SUFFIX[kind]}").mkdir()
    with pytest.raises(RunFolderError, match="a folder is in the way"):
        EXPORTS[kind](tmp_path / f"out{SUFFIX[kind]}", real(), options=ExportOptions(force=True))


def test_parquet_without_pyarrow_tells_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'augury\[hf\]'"):
        EXPORTS["parquet"](tmp_path / "x.parquet", real())


def test_an_export_is_read_again_and_exported_alike(tmp_path: Path, kind: str) -> None:
    EXPORTS[kind](target_path(tmp_path, kind), real(), synthetic_images())
    data = read_back(target_path(tmp_path, kind), kind)
    (tmp_path / "again").mkdir()
    EXPORTS[kind](target_path(tmp_path / "again", kind), data)
    reexported = read_back(target_path(tmp_path / "again", kind), kind)
    assert by_content(reexported) == by_content(data)
