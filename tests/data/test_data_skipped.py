"""Files that are not read: counted by extension, reported with the next step, and a class without images stops a run."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features
from typer.testing import CliRunner

from augury.cli.commands import app
from augury.data import inspect, load, pictures, read_unlabelled, skipped_lines
from augury.errors import DataError, SettingsError
from tests.helpers.image_files import png, rows, written

HEIC = b"\0\0\0\x24ftypheic" + bytes(200)


def encoded(kind: str, i: int = 0) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(i).integers(0, 256, (9, 8, 3), np.uint8)).save(file, kind)
    return file.getvalue()


@pytest.fixture
def phone(tmp_path: Path) -> Path:
    """As a phone and a scraper leave them: one class HEIC, one half AVIF, one without extensions, one empty."""
    files = {f"daisy/d{i}.JPG": encoded("JPEG", i) for i in range(4)}
    files |= {f"rose/IMG_{i}.HEIC": HEIC for i in range(3)}
    files |= {f"tulip/t{i}.{'avif' if i % 2 else 'jpg'}": encoded("AVIF" if i % 2 else "JPEG", i) for i in range(4)}
    files |= {f"lily/n0144_{i}": encoded("JPEG", i) for i in range(4)}
    written(tmp_path / "in", files | {"daisy/notes.txt": b"x", "daisy/.DS_Store": b"x"})
    (tmp_path / "in" / "violet").mkdir()
    return tmp_path / "in"


needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")


@needs_avif
def test_skipped_files_are_counted_by_extension_and_classes_without_images_named(phone: Path) -> None:
    data, facts = inspect(phone)
    assert facts.counts == {"daisy": 4, "lily": 4, "tulip": 4}
    assert facts.skipped == {".heic": 3, ".txt": 1, "hidden": 1}
    assert facts.empty_classes == {"rose": "3 .heic", "violet": "empty"}
    assert facts.advice[0] == "5 files were skipped: 3 .heic (convert to JPEG or PNG), 1 .txt, 1 hidden"
    assert "'rose' (3 .heic), 'violet' (empty)" in facts.advice[1]
    assert facts.as_dict()["skipped"] == data.notes["ignored"]


@needs_avif
def test_a_class_folder_without_images_is_an_error_unless_skipped(phone: Path) -> None:
    with pytest.raises(DataError, match=r"'rose' \(3 \.heic\), 'violet' \(empty\)\. \.heic: convert .*--on-bad skip"):
        load(phone)
    assert len(load(phone, on_bad="skip")) == 12


def test_a_folder_of_documents_is_no_class_and_is_reported(tmp_path: Path) -> None:
    files = {f"{c}/{i}.png": png(i) for c in "ab" for i in range(3)}
    others = {"docs/index.html": b"x", "docs/sub/notes.MD": b"x", "docs/LICENSE": b"x"}
    data, facts = inspect(written(tmp_path / "in", files | others))
    assert data.classes == ("a", "b") and not facts.empty_classes
    assert data.notes["ignored"] == {".html": 1, ".md": 1, "without an extension": 1}
    assert any("folders without any image are no classes: 'docs' (1 .html, 1 .md, " in line for line in facts.advice)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.heic", HEIC),
        ("x.npy", b"x"),
        ("x.raw", b"x"),
        ("x", b"x"),
        ("x.jpg", b""),
        ("test/x.md", b"x"),
        ("x.zip", b"x"),
    ],
)
def test_a_folder_that_may_have_held_images_still_stops(tmp_path: Path, name: str, content: bytes) -> None:
    files = {f"{c}/{i}.png": png(i) for c in "ab" for i in range(3)}
    folder = "" if "/" in name else "c/"
    with pytest.raises(DataError, match=r"no image can be read|is empty"):
        load(written(tmp_path / "in", files | {f"{folder}{name}": content}))


def test_documents_beside_one_class_still_stop(tmp_path: Path) -> None:
    files = {f"a/{i}.png": png(i) for i in range(3)}
    with pytest.raises(DataError, match="no image can be read"):
        load(written(tmp_path / "in", files | {"b/urls.txt": b"x"}))


@needs_avif
def test_the_command_line_reports_skipped_files(phone: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    result = run(app, ["inspect", str(phone)]).stdout
    assert "3 .heic (convert to JPEG or PNG)" in result and "'violet' (empty)" in result
    assert json.loads(run(app, ["inspect", str(phone), "--json"]).stdout)["skipped"][".heic"] == 3
    result_split = run(app, ["split", str(phone), "-o", str(tmp_path / "parts")])
    assert isinstance(result_split.exception, DataError) and "'rose' (3 .heic)" in str(result_split.exception)
    result_skip = run(app, ["split", str(phone), "-o", str(tmp_path / "parts"), "--on-bad", "skip", "--json"])
    assert json.loads(result_skip.stdout)["skipped"] == {".heic": 3, ".txt": 1, "hidden": 1}
    assert json.loads(result_skip.stdout)["empty_classes"] == {"rose": "3 .heic", "violet": "empty"}
    assert "3 .heic (convert to JPEG or PNG)" in result_skip.stderr


def test_a_class_in_which_every_image_is_damaged_is_named(tmp_path: Path) -> None:
    files = {f"{c}/{i}.png": png(i) for c in "ab" for i in range(3)}
    data = load(written(tmp_path / "in", files | {"c/0.png": b"damaged", "c/1.jpg": HEIC}), on_bad="skip")
    assert data.notes["empty_classes"] == {"c": "2 unreadable"}
    assert {item["reason"].partition(";")[0] for item in data.notes["skipped"]} == {
        "is damaged, or not an image of a known kind (it begins with b'damaged')",
        "is an HEIC image, which is not read",
    }


@pytest.mark.parametrize("name", ["scan.3", "photo.jpg?w=200", "photo.jpg_large", "1.2.840.10008"])
def test_an_unusual_extension_is_looked_into(tmp_path: Path, name: str) -> None:
    files = {
        "a/0.png": png(0),
        f"a/{name}": encoded("JPEG"),
        "b/1.png": png(1),
        "b/2.3": b"no image",
        "b/x.bak": png(0),
    }
    data = load(written(tmp_path / "in", files))
    assert f"a/{name}" in data.names and data.counts.tolist() == [2, 1]
    assert data.notes["ignored"] == {".3": 1, ".bak": 1}


def test_an_image_without_an_extension_is_copied_with_one(tmp_path: Path) -> None:
    raws = {f"{c}/{c}{i}": encoded("JPEG", i + 50 * (c == "b")) for c in "ab" for i in range(8)}
    result = CliRunner().invoke(app, ["split", str(written(tmp_path / "in", raws)), "-o", str(tmp_path / "parts")])
    assert result.exit_code == 0
    assert {file.read_bytes() for file in (tmp_path / "parts").rglob("*.jpg")} == set(raws.values())


def test_folders_of_operating_systems_are_no_classes(tmp_path: Path) -> None:
    files = {f"{c}/{i}.png": png(i) for c in "ab" for i in range(2)}
    data = load(written(tmp_path / "in", files | {"__MACOSX/a/x.png": png(2), "a/@eaDir/0.png": png(0)}))
    assert data.classes == ("a", "b") and len(data) == 4 and data.notes["ignored"] == {"system folders": 2}


def test_images_that_no_row_of_a_csv_names_are_counted(tmp_path: Path) -> None:
    written(tmp_path, {f"images/{i}.png": png(i) for i in range(6)})
    table = rows(tmp_path / "set.csv", ["path", "label"], [[f"images/{i}.png", "ab"[i % 2]] for i in range(4)])
    assert load(table).notes["ignored"] == {"images that no row names": 2}


def test_links_are_allowed_into_a_named_folder_alone(tmp_path: Path) -> None:
    pool, root = written(tmp_path / "pool", {f"{i}.png": png(i) for i in range(4)}), tmp_path / "in"
    secret = written(tmp_path / "secret", {"9.png": png(5)})
    for i in range(4):
        (root / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        (root / "ab"[i % 2] / f"{i}.png").symlink_to(pool / f"{i}.png")
    (root / "a" / "9.png").symlink_to(secret / "9.png")
    with pytest.raises(DataError, match=r"found no images \(5 links that lead outside \(copy.*--follow-links FOLDER"):
        load(root)
    data = load(root, follow_links=pool)
    assert data.counts.tolist() == [2, 2] and data.notes["ignored"] == {"links that lead outside": 1}
    with pytest.raises(SettingsError, match="which is no folder"):
        load(root, follow_links=tmp_path / "nowhere")
    table = rows(root / "set.csv", ["path", "label"], [[f"{'ab'[i % 2]}/{i}.png", "ab"[i % 2]] for i in range(4)])
    with pytest.raises(DataError, match=r"leads outside the folder of images.*--follow-links FOLDER"):
        load(table)
    assert len(load(table, follow_links=pool)) == 4


def test_links_of_unlabelled_and_synthetic_images_are_reported_and_allowed_too(tmp_path: Path) -> None:
    pool, root = written(tmp_path / "pool", {f"{i}.png": png(i) for i in range(6)}), tmp_path / "in"
    written(root, {f"{i}.png": png(i) for i in range(2)} | {"9.heic": HEIC, "0_mask.png": png(5)})
    (root / "linked.png").symlink_to(pool / "5.png")
    notes: list[str] = []
    assert len(read_unlabelled(root, (1, 9, 8), on_note=notes.append)) == 2
    assert len(read_unlabelled(root, (1, 9, 8), follow_links=pool)) == len(pictures(root, follow_links=pool)) == 3
    assert notes[0].startswith("unlabelled images: 3 files were skipped: 1 .heic (convert to JPEG or PNG), 1 links")


def test_an_archive_reports_other_files_too(tmp_path: Path) -> None:
    from tests.helpers.image_files import packed

    files = {f"set/{c}/{i}.png": png(i) for c in "ab" for i in range(2)} | {f"set/c/{i}.heic": HEIC for i in range(3)}
    path = packed(tmp_path / "set.tar", files | {"set/a/7": encoded("JPEG")})
    with pytest.raises(DataError, match=r"this class folder: 'c' \(3 \.heic\)"):
        load(path)
    data = load(path, on_bad="skip")
    assert data.counts.tolist() == [3, 2] and data.notes["ignored"] == {".heic": 3}
    assert skipped_lines(data, "x: ")[0] == "x: 3 files were skipped: 3 .heic (convert to JPEG or PNG)"


def test_the_error_about_one_class_names_a_table_beside_the_images(tmp_path: Path) -> None:
    for i in range(6):
        saved = tmp_path / "chest" / "images" / f"{i}.png"
        saved.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((12, 12), 40 * i, np.uint8)).save(saved)
    (tmp_path / "chest" / "Data_Entry.csv").write_text("Image Index,Finding Labels\n0.png,a\n")
    with pytest.raises(DataError, match=r"only one: 'images'.*1 \.csv \(give this file as the data"):
        load(tmp_path / "chest")
