"""The exported folder, read back by loaders that are not ours."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_files

from augury.errors import DataError, RunFolderError, SettingsError
from augury.exports import ExportOptions, export_folder, format_of
from augury.exports.rows import rows_of
from augury.images import LabelledImages, SyntheticImages


def images(n, channels=1, size=7, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, channels, size, size + 1), dtype=np.uint8)


def real(classes=("cat", "dog"), n=7, channels=1, names=()):
    return LabelledImages(images(n, channels), np.arange(n) % len(classes), classes, names=names)


def synthetic_images(classes=("cat", "dog"), n=5, channels=1, reasons=("", "agreement", "", "near_copy", "")):
    conditions = (np.arange(n) % len(classes))[:, None]
    scores = {"agreement": np.linspace(0, 1, n), "near_copy": np.array([1.0, 2.0, np.nan, 4.0, 5.0])}
    return SyntheticImages(
        images(n, channels, seed=1), conditions, ("class",), classes, 3, np.arange(n) + 90, "f00d", scores, reasons
    )


def image_folder(root):
    """torchvision's ImageFolder rule: classes are the sorted directories, samples are walked in sorted order."""
    classes = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
    return [
        (Path(folder, name), label)
        for label, class_folder in enumerate(classes)
        for folder, _, names in sorted(os.walk(root / class_folder))
        for name in sorted(names)
        if name.lower().endswith((".png", ".jpg", ".bmp"))
    ]


def manifest(root):
    return [json.loads(line) for line in (root / "manifest.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_folder_loader_reads_the_same_pixels_and_labels(tmp_path, channels):
    train, synthetic = real(channels=channels), synthetic_images(channels=channels)
    note = export_folder(tmp_path / "out", train, synthetic)
    samples = image_folder(tmp_path / "out")
    assert len(samples) == 7 + 3 == note["real"] + note["synthetic"]
    for file, label in samples:
        origin, number = file.stem.split("-")
        source = train if origin == "real" else synthetic
        assert source.labels[int(number)] == label
        read = np.asarray(Image.open(file))
        expected = source.images[int(number)]
        np.testing.assert_array_equal(read, expected[0] if channels == 1 else expected.transpose(1, 2, 0))


def test_scikit_learn_reads_it_too(tmp_path):
    export_folder(tmp_path / "out", real(), synthetic_images())
    loaded = load_files(str(tmp_path / "out"), load_content=False)
    assert loaded.target_names == ["cat", "dog"]
    assert np.bincount(loaded.target).tolist() == [4 + 3, 3 + 0]


def test_the_manifest_names_every_file_and_where_it_came_from(tmp_path):
    export_folder(tmp_path / "out", real(names=tuple(f"a/{i}.jpg" for i in range(7))), synthetic_images())
    rows = manifest(tmp_path / "out")
    files = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.png")}
    assert {row["file"] for row in rows} == files and len(rows) == len(files)
    assert rows[2] == {
        "file": "cat/real-000002.png", "class": "cat", "label": 0, "origin": "real", "source": "a/2.jpg", "scores": {}
    }  # fmt: skip
    assert rows[8] == {
        "file": "cat/synthetic-000002.png", "class": "cat", "label": 0, "origin": "synthetic",
        "source": {"seed": 3, "index": 92, "synthesizer": "f00d"}, "scores": {"agreement": 0.5, "near_copy": None},
    }  # fmt: skip
    assert not any("000001" in row["file"] or "000003" in row["file"] for row in rows if row["origin"] == "synthetic")


def test_hostile_class_names_stay_inside_and_apart(tmp_path):
    classes = ("../../etc", "a/b", "CON", "", "A", "a", "..", "a_b", "classes.json", "bad\udcff")
    note = export_folder(tmp_path / "deep" / "er" / "out", real(classes, n=20), synthetic_images(classes))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["deep"]
    assert [p.name for p in (tmp_path / "deep" / "er").iterdir()] == ["out"]
    out = tmp_path / "deep" / "er" / "out"
    folders = [p for p in out.iterdir() if p.is_dir()]
    assert len(folders) == len(classes) and set(note["folders"].values()) == {p.name for p in folders}
    listed = json.loads((out / "classes.json").read_text())["classes"]
    assert [row["class"] for row in listed[:9]] == list(classes[:9])
    for row in listed:
        assert len(list((out / row["folder"]).glob("real-*.png"))) == 2
        assert {m["label"] for m in manifest(out) if m["file"].startswith(row["folder"] + "/")} == {row["label"]}


def originals(folder, n=7):
    folder.mkdir()
    kinds = [".jpg", ".PNG", ".bmp"]
    files = [folder / f"{i}{kinds[i % 3]}" for i in range(n)]
    for i, file in enumerate(files):
        Image.fromarray(images(n, 3, 20, seed=9)[i].transpose(1, 2, 0)).save(file)
    return files


@pytest.mark.parametrize("link", [True, False])
def test_originals_are_brought_byte_for_byte(tmp_path, link):
    files = originals(tmp_path / "in")
    note = export_folder(tmp_path / "out", real(), synthetic_images(), ExportOptions(originals=files, link=link))
    assert note["linked"] == (7 if link else 0)
    for i, file in enumerate(files):
        (exported,) = (tmp_path / "out").rglob(f"real-{i:06d}.*")
        assert exported.suffix == file.suffix.lower() and exported.read_bytes() == file.read_bytes()
        assert exported.samefile(file) == link


def test_originals_are_copied_where_links_do_not_exist(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    files = originals(tmp_path / "in")
    assert export_folder(tmp_path / "out", real(), options=ExportOptions(originals=files))["linked"] == 0
    assert len(image_folder(tmp_path / "out")) == 7


def test_an_original_behind_a_symbolic_link_is_exported_as_a_file(tmp_path):
    files = originals(tmp_path / "in")
    alias = tmp_path / "alias.jpg"
    alias.symlink_to(files[0])
    export_folder(tmp_path / "out", real(), options=ExportOptions(originals=[alias, *files[1:]]))
    (file,) = (tmp_path / "out").rglob("real-000000.jpg")
    assert not file.is_symlink() and file.read_bytes() == files[0].read_bytes()


def test_an_original_of_an_unknown_kind_is_written_as_png(tmp_path):
    unknown_type = tmp_path / "notes.exe"
    unknown_type.write_bytes(b"MZ")
    train = real(n=1)
    export_folder(tmp_path / "out", train, options=ExportOptions(originals=[unknown_type]))
    assert [p.name for p in (tmp_path / "out" / "cat").iterdir()] == ["real-000000.png"]


def test_originals_that_do_not_fit_are_refused(tmp_path):
    files = originals(tmp_path / "in")
    with pytest.raises(DataError, match="6 original files for 7 training images"):
        export_folder(tmp_path / "out", real(), options=ExportOptions(originals=files[:6]))
    files[3].unlink()
    with pytest.raises(DataError, match=r"3\.jpg: this original is missing"):
        export_folder(tmp_path / "out", real(), options=ExportOptions(originals=files))
    assert not (tmp_path / "out").exists()


def test_the_folder_of_the_originals_is_never_replaced(tmp_path):
    files = originals(tmp_path / "in")
    with pytest.raises(DataError, match="export elsewhere"):
        export_folder(tmp_path / "in", real(), options=ExportOptions(originals=files, force=True))
    assert len(list((tmp_path / "in").iterdir())) == 7


def test_an_older_export_is_replaced_whole(tmp_path):
    export_folder(tmp_path / "out", real(n=9), synthetic_images())
    export_folder(tmp_path / "out", real(n=2))
    assert len(image_folder(tmp_path / "out")) == len(manifest(tmp_path / "out")) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_other_peoples_folders_are_refused_and_files_added_to_an_export_unless_forced(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    export_folder(out, real())  # empty is fine
    (out / "cat" / "mine.txt").write_text("precious")
    with pytest.raises(RunFolderError, match=r"1 files were added to this export, as cat/mine\.txt.*--force"):
        export_folder(out, real())
    text = (out / "classes.json").read_text()
    (out / "classes.json").write_text("[]")
    for force in (False, True):
        with pytest.raises(RunFolderError, match=r"not empty and not an export of Augury; choose another folder$"):
            export_folder(out, real(), options=ExportOptions(force=force))
    assert (out / "cat" / "mine.txt").read_text() == "precious"
    (out / "classes.json").write_text(text)
    export_folder(out, real(), options=ExportOptions(force=True))
    assert not (out / "cat" / "mine.txt").exists()
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(RunFolderError, match="a file is in the way"):
        export_folder(file, real(), options=ExportOptions(force=True))


def test_a_failed_export_leaves_the_older_one(tmp_path, monkeypatch):
    export_folder(tmp_path / "out", real())
    before = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*.*")}

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(RunFolderError, match="the disk is full"):
        export_folder(tmp_path / "out", real(n=9))
    assert {p: p.read_bytes() for p in (tmp_path / "out").rglob("*.*")} == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_synthetic_images_of_other_data_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"cat, cow.*cat, dog"):
        export_folder(tmp_path / "out", real(), synthetic_images(classes=("cat", "cow")))
    with pytest.raises(DataError, match=r"\[3, 7, 8\].*\[1, 7, 8\]"):
        export_folder(tmp_path / "out", real(), synthetic_images(channels=3))


def test_nothing_kept_still_exports_the_real_images(tmp_path):
    note = export_folder(tmp_path / "out", real(), synthetic_images(reasons=("agreement",) * 5))
    assert (note["real"], note["synthetic"]) == (7, 0)
    assert len(image_folder(tmp_path / "out")) == 7


def test_a_translation_names_its_source_and_belongs_to_its_group(tmp_path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 1, 8, 8), dtype=np.uint8)
    groups, labels = np.array([7, 7, 8, 8, 9, 9]), np.array([0, 1] * 3)
    train = LabelledImages(images, labels, ("a", "b"), groups=groups, names=tuple("uvwxyz"), fingerprint="f")
    synthetic = SyntheticImages(
        255 - images[:2],
        np.array([[1], [0]]),
        (),
        ("a", "b"),
        0,
        np.arange(2),
        "t",
        reasons=("", ""),
        sources=np.array([4, 3]),
    )
    rows = [row for row in rows_of(train, synthetic, tmp_path) if row.origin == "synthetic"]
    assert [row.group for row in rows] == ["9", "8"]
    assert [row.source["source_name"] for row in rows] == ["y", "x"]
    assert rows[0].source["source_sha256"] == hashlib.sha256(images[4].tobytes()).hexdigest()


def test_synthetic_images_get_a_size_of_their_own_beside_originals(tmp_path):
    files, synthetic = originals(tmp_path / "in"), synthetic_images()
    export_folder(tmp_path / "out", real(), synthetic, ExportOptions(originals=files, synthetic_size=(30, 20)))
    for row in manifest(tmp_path / "out"):
        content = (tmp_path / "out" / row["file"]).read_bytes()
        number = int(row["file"].split("-")[-1].partition(".")[0])
        if row["origin"] == "real":
            assert content == files[number].read_bytes()
        else:
            image = Image.open(tmp_path / "out" / row["file"])
            assert image.size == (20, 30)
            # a resized image has about the mean of its original
            assert abs(np.asarray(image).mean() - synthetic.images[number].mean()) < 8
    with pytest.raises(DataError, match="only possible beside original files"):
        export_folder(tmp_path / "b", real(), synthetic, ExportOptions(synthetic_size=(30, 20)))


@pytest.mark.parametrize(
    ("name", "requested", "remedy"),
    [
        ("e.csv", None, "--format csv -o e"),
        ("e.csv", "csv", "--format csv -o e"),
        ("e.CSV", None, "--format csv -o e"),
        ("e.tar.gz", None, "-o e, or one of"),
        ("e.npz", "folder", "-o e, or one of"),
        ("e.jsonl", "imagefolder", "-o e, or one of"),
    ],
)
def test_no_folder_gets_the_name_of_a_file(name, requested, remedy):
    with pytest.raises(SettingsError, match=remedy):
        format_of(Path(name), requested, "folder")


@pytest.mark.parametrize(
    ("name", "requested", "expected"),
    [
        ("e.npz", None, "npz"),
        ("e.tar", "tar", "tar"),
        ("v1.5", None, "folder"),
        ("e", "csv", "csv"),
        ("e", None, "folder"),
    ],
)
def test_the_format_is_the_requested_one_or_that_of_the_ending(name, requested, expected):
    assert format_of(Path(name), requested, "folder") == expected
