"""`augury augment`: copies with their provenance, and the sheet."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import augury
from augury.augment import POLICIES, augmented
from augury.cli.commands import app
from augury.data import from_arrays, split
from augury.errors import DataError, SettingsError
from augury.exports import EXPORTS, FILES
from augury.images import Attribute, LabelledImages
from augury.pipeline.augmented_copies import copies, preview, shown

DATA = LabelledImages(
    np.random.default_rng(0).integers(0, 256, (6, 3, 12, 12), dtype=np.uint8),
    np.array([0, 0, 0, 0, 1, 1]),
    ("cat", "dog"),
    {"pose": Attribute(np.array([0, 1, 0, 1, 0, 1]), ("left", "right"))},
    groups=np.array([0, 0, 1, 1, 2, 2]),
    names=tuple(f"{i}.png" for i in range(6)),
)


def test_copies_follow_their_images_and_can_be_drawn_alone() -> None:
    copied = copies(DATA, "natural", per_image=2, seed=3)
    assert len(copied) == 18
    np.testing.assert_array_equal(copied.images[:6], DATA.images)
    for column in (copied.labels, copied.groups, copied.attributes["pose"].codes):
        np.testing.assert_array_equal(column[:6], column[6:12])
    assert copied.names[6:8] == ("0.png#0", "1.png#0") and copied.names[17] == "5.png#1"
    assert not np.array_equal(copied.images[6:12], copied.images[12:])
    repeated = copies(DATA, "natural", per_image=3, seed=3, originals=False)
    np.testing.assert_array_equal(repeated.images[6:12], copied.images[12:])
    with pytest.raises(SettingsError, match="1 or more"):
        copies(DATA, "natural", per_image=0)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for i, label in enumerate(DATA.labels):
        (root / DATA.classes[label]).mkdir(exist_ok=True)
        Image.fromarray(DATA.images[i].transpose(1, 2, 0)).save(root / DATA.classes[label] / f"{i}.png")
    return root


def by_split(parts: tuple[int, ...], grouped: bool = False, n: int = 36) -> LabelledImages:
    """Images of two classes, each under a name of its own, in these parts in turn (none: no split)."""
    pixels = np.random.default_rng(1).integers(0, 256, (n, 3, 10, 10), dtype=np.uint8)
    return from_arrays(
        pixels,
        np.arange(n) // len(parts or (0,)) % 2,
        ["cat", "dog"],
        split=np.resize(parts, n) if parts else None,
        groups=np.arange(n) // 6 if grouped else None,
        names=[f"{i}.png" for i in range(n)],
    )


def written_sources(path: Path, kind: str) -> dict[bytes, str]:
    """The file that each image was made of, by its pixels, as the export itself says: nothing of what reads groups or splits."""
    if kind == "npz":
        with np.load(path) as stored:
            pixels, rows = list(stored["images"]), [json.loads(text) for text in stored["provenance"]]
    elif kind == "tar":
        pixels, rows = [], []
        with tarfile.open(path) as archive:
            for member in archive:
                raw = archive.extractfile(member).read()  # type: ignore[union-attr]
                if member.name.endswith(".png"):
                    pixels.append(np.asarray(Image.open(io.BytesIO(raw))))
                elif member.name.endswith(".json"):
                    rows.append(json.loads(raw)["provenance"])
    elif kind == "parquet":
        table = pytest.importorskip("pyarrow.parquet").read_table(path).to_pylist()
        pixels = [np.asarray(Image.open(io.BytesIO(row["image"]["bytes"]))) for row in table]
        rows = [json.loads(row["provenance"]) for row in table]
    else:
        rows = [json.loads(line) for line in (path / "manifest.jsonl").read_text().splitlines()]
        if kind == "dicom":
            read = pytest.importorskip("pydicom").dcmread
            pixels = [read(path / row["file"]).pixel_array for row in rows]
        else:
            pixels = [np.asarray(Image.open(path / row["file"])) for row in rows]
    sources = [row["source"]["file"] if row["origin"] == "augmented" else row["source"] for row in rows]
    return {image.transpose(2, 0, 1).tobytes(): source for image, source in zip(pixels, sources, strict=True)}


CASES = {
    "no parts": ((), False),
    "groups": ((), True),
    "train and test": ((0, 0, 2), False),
    "all parts": ((0, 0, 0, 1, 2, 2), False),
}


@pytest.mark.parametrize("kind", EXPORTS)
@pytest.mark.parametrize("case", CASES)
def test_no_image_and_copy_of_it_lie_on_two_sides(kind: str, case: str, tmp_path: Path, monkeypatch) -> None:
    """Written, read by augury.load, divided: each part has images of sources of its own alone, and only train has copies."""
    monkeypatch.setenv("AUGURY_CACHE", str(tmp_path / "cache"))
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    data = by_split(*CASES[case])
    copied = copies(data, "natural", per_image=2, seed=4)
    path = tmp_path / (f"out.{kind}" if kind in FILES else "out")
    note = EXPORTS[kind](path, copied)
    assert ("note" in note) == (kind == "folder")
    read = augury.load(path / "labels.csv" if kind == "csv" else path)
    assert len(read) == len(copied)
    if kind == "folder" and case != "all parts":
        assert read.groups is None  # and the verb refuses to write it
        return
    source = written_sources(path, kind)
    names = [source[image.tobytes()] for image in read.images]
    if data.split is not None:
        part_of = dict(zip(data.names, data.split.tolist(), strict=True))
        assert read.split is not None and [part_of[name] for name in names] == read.split.tolist()
    for seed in range(3):
        codes = split(read, validation=0.25, test=0.25, seed=seed)
        sides = [{name for name, code in zip(names, codes, strict=True) if code == part} for part in range(3)]
        assert sides[0] and not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
        if data.split is not None:
            assert {data.names.index(name) for name in sides[2]} == set(np.flatnonzero(data.split == 2).tolist())
    if CASES[case][1]:
        people = [int(name.removesuffix(".png")) // 6 for name in names]
        assert read.groups is not None and len(set(zip(people, read.groups.tolist(), strict=True))) == 6


def test_only_the_train_part_is_copied_and_the_rest_passed_through() -> None:
    data = by_split((0, 1, 2))
    copied = copies(data, "natural", per_image=3)
    assert copied.split is not None and np.bincount(copied.split).tolist() == [48, 12, 12]
    np.testing.assert_array_equal(copied.images[:36], data.images)
    assert {int(name.split(".")[0]) % 3 for name in copied.names[36:]} == {0}
    copies_only = copies(data, "natural", per_image=3, originals=False)
    np.testing.assert_array_equal(copies_only.images, copied.images[36:])
    with pytest.raises(DataError, match="no train split"):
        copies(by_split((1, 2)), "natural", per_image=1)


def test_class_folders_that_would_leak_are_refused(photos: Path, tmp_path: Path) -> None:
    words = ["augment", str(photos), "-o", str(tmp_path / "more"), "--format", "folder"]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, SettingsError) and "--format imagefolder" in str(result.exception)
    assert "train, validation, test" in str(result.exception) and not (tmp_path / "more").exists()


@pytest.mark.parametrize("policy", POLICIES)
def test_a_copy_is_drawn_again_from_its_row(policy: str, tmp_path: Path, monkeypatch) -> None:
    """Bit for bit, from the manifest and the file that it names alone."""
    monkeypatch.setenv("AUGURY_CACHE", str(tmp_path / "cache"))
    for i, image in enumerate(by_split(()).images):
        (tmp_path / "in" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / "in" / "ab"[i % 2] / f"{i}.png")
    words = ["augment", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--per-image", "3", "--seed", "5"]
    result = CliRunner().invoke(app, [*words, "--policy", policy, "--flips"])
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]
    assert len(rows) == 4 * 36
    for row in [row for row in rows if row["origin"] == "augmented"][::7]:
        source = row["source"]
        assert source["data"] == augury.load(tmp_path / "in").fingerprint
        with Image.open(tmp_path / "in" / source["file"]) as image:
            redrawn = augmented(
                np.asarray(image),
                source["policy"],
                seed=source["seed"],
                epoch=source["epoch"],
                indices=[source["index"]],
                flips=source["flips"],
            )
        with Image.open(tmp_path / "out" / row["file"]) as image:
            np.testing.assert_array_equal(redrawn, np.asarray(image))


def test_copies_that_were_taken_apart_still_say_what_they_are(tmp_path: Path) -> None:
    copied = copies(by_split(()), "natural", per_image=1).take(np.array([0, 40, 3, 71]))
    EXPORTS["imagefolder"](tmp_path / "out", copied)
    rows = [json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]
    assert [row["origin"] for row in rows] == ["real", "augmented", "real", "augmented"]
    assert [row["source"]["index"] for row in rows[1::2]] == [4, 35]


def mirrored_share(copied: LabelledImages, data: LabelledImages) -> float:
    """Of ramps that rise to the right, how many copies fall."""
    halves = copied.images[len(data) :].astype(float).mean((1, 2))
    return float((halves[:, 5:].mean(1) < halves[:, :5].mean(1)).mean())


def test_by_default_copies_are_mirrored_as_the_policy_says_but_never_where_the_data_forbid_it() -> None:
    ramp = np.broadcast_to(np.linspace(40, 200, 10).astype(np.uint8), (200, 10, 10))
    data = from_arrays(ramp, np.arange(200) % 2)
    shares = {
        policy: mirrored_share(copies(data, policy, per_image=1), data)
        for policy in ("natural", "faces", "text", "medical")
    }
    assert 0.4 < shares["natural"] < 0.6 and 0.4 < shares["faces"] < 0.6 and shares["text"] == shares["medical"] == 0
    assert 0.4 < mirrored_share(copies(data, "medical", per_image=1, flips=True), data) < 0.6
    assert mirrored_share(copies(data, "natural", per_image=1, flips=False), data) == 0
    forbidden = replace(data, notes={**data.notes, "flips": False})
    assert mirrored_share(copies(forbidden, "natural", per_image=1), data) == 0
    assert 0.4 < mirrored_share(copies(forbidden, "natural", per_image=1, flips=True), data) < 0.6


@pytest.mark.parametrize(("written", "name"), [("imagefolder", "more"), ("npz", "more.npz")])
def test_the_verb_writes_a_data_set_that_augury_reads(written: str, name: str, photos: Path, tmp_path: Path) -> None:
    words = ["augment", str(photos), "-o", str(tmp_path / name), "--per-image", "2", "--format", written, "--json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["images"] == 18
    read = augury.load(tmp_path / name)
    assert read.counts.tolist() == [12, 6]
    if written == "imagefolder":
        rows = [json.loads(line) for line in (tmp_path / name / "manifest.jsonl").read_text().splitlines()]
        assert [row["origin"] for row in rows].count("augmented") == 12


def test_the_sheet_has_a_row_for_each_operator_and_policy(photos: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["augment", str(photos), "--preview", str(tmp_path / "sheet.png")])
    assert result.exit_code == 0, result.output
    assert Image.open(tmp_path / "sheet.png").height > 40 * len(POLICIES)


def test_a_preview_follows_policy_copies_and_flips(photos: Path, tmp_path: Path) -> None:
    data = augury.load(photos)
    for words, sheet in {
        (): preview(data),
        ("--no-flips",): preview(data, flips=False),
        ("--policy", "text", "--per-image", "4"): shown(data, "text", per_image=4),
        ("--policy", "natural", "--no-flips"): shown(data, "natural", per_image=1, flips=False),
        ("--per-image", "2"): shown(data, "classical", per_image=2),
    }.items():
        result = CliRunner().invoke(app, ["augment", str(photos), "--preview", str(tmp_path / "sheet.png"), *words])
        assert result.exit_code == 0, result.output
        assert np.array_equal(np.asarray(Image.open(tmp_path / "sheet.png")), np.asarray(sheet))
    assert not np.array_equal(np.asarray(preview(data)), np.asarray(preview(data, flips=False)))


def test_the_sheet_of_a_policy_shows_the_copies_that_would_be_written() -> None:
    data = DATA.take(np.array([0, 5]))
    sheet, copied = np.asarray(shown(data, "natural", per_image=1)), copies(data, "natural", per_image=1)
    tiles = {tile.repeat(4, 1).repeat(4, 2).transpose(1, 2, 0).tobytes() for tile in copied.images}  # 12 px shown at 48
    height, width = sheet.shape[:2]
    copy_tiles = {sheet[y : y + 48, x : x + 48].tobytes() for y in range(height - 47) for x in range(width - 47)}
    assert tiles <= copy_tiles


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ([], "either -o"),
        (["-o", "x", "--format", "zip"], "no format 'zip'"),
        (["--preview", "x.png", "--format", "npz"], "leave --format"),
        (["--preview", "x.png", "--no-originals"], "--no-originals out"),
    ],
)
def test_wrong_requests_are_refused_in_words(words: list[str], rule: str, photos: Path) -> None:
    result = CliRunner().invoke(app, ["augment", str(photos), *words])
    assert isinstance(result.exception, SettingsError) and rule in str(result.exception)
