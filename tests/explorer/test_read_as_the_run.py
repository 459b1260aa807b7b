"""An uploaded file is read as the run reads its own images, and the page `data` says which files the run skipped."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette", reason="the extra [explore] is not installed")

import augury
from augury.data.decoding.load_options import LoadOptions
from augury.errors import DataError
from augury.explorer.uploads import SCIENTIFIC, USUAL, Reading, changes, decoded
from augury.pipeline.run_folder import Run
from tests.explorer.test_pages import client
from tests.helpers.image_files import dicom_file, fits_file, written
from tests.helpers.tiff_files import tiff

Encode = Callable[[np.ndarray], bytes]


def png(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return file.getvalue()


def transparent(values: np.ndarray) -> bytes:
    """Grey of the lower byte with the higher one as opacity."""
    grey, opacity = (values % 256).astype(np.uint8), (values // 256).astype(np.uint8)
    return png(np.stack([grey, grey, grey, opacity], axis=2))


KINDS: dict[str, tuple[str, Encode, dict[str, Any], str]] = {
    "DICOM": ("dcm", dicom_file, {"window": (30000.0, 20000.0)}, "pydicom"),
    "FITS": ("fits", lambda values: fits_file(values.astype(np.float32)), {"stretch": "linear"}, "astropy"),
    "floating-point TIFF": ("tif", lambda values: tiff(values.astype(np.float32) - 700), {}, ""),
    "16-bit PNG": ("png", png, {"fit": "pad", "size": 12}, ""),
    "PNG with opacity": ("png", transparent, {"transparency": "black"}, ""),
}  # fmt: skip
"""Images of a run: extension, how uint16 [H, W] is encoded, the settings of the run, and the package that is needed."""


def photos(folder: Path, extension: str = "png", encode: Encode = png) -> Path:
    """Twelve images of each of two classes; each uses another part of the values."""
    random, files = np.random.default_rng(0), {}
    for i in range(24):
        values = random.integers(500 * i, 40_000 + 1000 * i, (20, 16)).astype(np.uint16)
        files[f"{'dogs' if i % 2 else 'cats'}/{i:02}.{extension}"] = encode(values)
    return written(folder, files)


@pytest.mark.parametrize("kind", KINDS)
def test_an_uploaded_file_has_the_pixels_of_the_same_file_in_the_run(kind: str, tmp_path: Path) -> None:
    extension, encode, settings, package = KINDS[kind]
    if package:
        pytest.importorskip(package)
    folder = photos(tmp_path / "photos", extension, encode)
    run = augury.run(folder, tmp_path / "run", settings={"data": settings, "device": "cpu"}, until="split")
    own, reading = augury.load(folder, **settings), Reading.of(run)
    usual, differs = Reading(LoadOptions(), reading.scientific), False
    for i in (0, 9, 23):
        raw = (folder / own.names[i]).read_bytes()
        np.testing.assert_array_equal(decoded(raw, own.names[i], own.shape, reading)[0], own.images[i])
        differs |= not np.array_equal(decoded(raw, own.names[i], own.shape, usual)[0], own.images[i])
    assert differs  # other settings give other pixels


def test_what_was_done_to_the_values_is_said(tmp_path: Path) -> None:
    _, encode, _, _ = KINDS["floating-point TIFF"]
    raw = encode(np.arange(320, dtype=np.uint16).reshape(20, 16))
    folder = photos(tmp_path / "photos", "tif", encode)
    run = augury.run(folder, tmp_path / "run", settings={"device": "cpu"}, until="split")
    limits = np.concatenate([np.asarray(Image.open(file)).ravel() for file in folder.rglob("*.tif")])
    whose = f"{limits.min():g} is black and {limits.max():g} is white, as in the training images"
    assert changes(raw, (1, 20, 16), Reading.of(run)) == (whose,)
    alone = "-700 is black and -381 is white, chosen for this file alone"
    assert changes(raw, (1, 20, 16), Reading(LoadOptions(), ())) == (alone,)


@pytest.mark.parametrize("kind", ["DICOM", "FITS"])
def test_scientific_files_are_read_only_in_runs_of_them(kind: str, tmp_path: Path) -> None:
    _, encode, _, package = KINDS[kind]
    pytest.importorskip(package)
    raw = encode(np.arange(320, dtype=np.uint16).reshape(20, 16))
    with pytest.raises(DataError, match=r"scan: .*give a PNG, JPEG, WebP, TIFF, BMP or GIF image"):
        decoded(raw, "scan", (1, 20, 16), Reading(LoadOptions(), ()))
    reading = Reading(LoadOptions(), (kind,))
    assert decoded(raw, "scan", (3, 8, 8), reading).shape == (1, 3, 8, 8)
    assert reading.accept.endswith(SCIENTIFIC[kind])
    with pytest.raises(DataError, match=f"give a PNG, JPEG, WebP, TIFF, BMP, GIF or {kind} image"):
        decoded(raw[:400], "scan", (1, 20, 16), reading)


@pytest.mark.parametrize("name", USUAL)
def test_every_offered_kind_of_file_is_read(name: str) -> None:
    file = io.BytesIO()
    Image.fromarray(np.full((9, 9), 77, np.uint8)).save(file, name)
    image = decoded(file.getvalue(), "", (1, 9, 9), Reading(LoadOptions(), ()))
    assert np.abs(image.astype(int) - 77).max() <= 2


def test_skipped_files_are_listed(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos")
    phone = {f"cats/{i}.heic": b"ftypheic" for i in range(3)}
    written(folder, {**phone, "dogs/notes.txt": b"a dog", "dogs/.thumbs": b"", "dogs/broken.png": b"no image"})
    settings = {"data": {"on_bad": "skip"}, "device": "cpu"}
    page = client(augury.run(folder, tmp_path / "run", settings=settings, until="split").path).get("/data").text
    section = re.search(r'<section id="skipped">(.*?)</section>', page, re.S)
    assert section is not None
    text = " ".join(re.sub(r"<[^>]+>", " ", section[1]).split())
    assert "6 files were not used. 1 of them could not be read." in text
    assert "3 .heic: convert to JPEG or PNG 1 .txt 1 hidden" in text
    assert "dogs/broken.png: is damaged, or not an image of a known kind" in text
    rest = page.partition('<section id="notes">')[2]
    assert "broken.png" not in rest  # it is listed once


def test_a_run_that_skipped_nothing_says_so(tmp_path: Path) -> None:
    run = augury.run(photos(tmp_path / "photos"), tmp_path / "run", settings={"device": "cpu"}, until="split")
    assert "No file was skipped." in client(run.path).get("/data").text
    assert Run(run.path).metadata["data"]["notes"]["skipped"] == []
