"""Synthetic images say that they are synthetic, and are recognised when they are read again."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from augury import data as data_package
from augury import provenance
from augury.data import cautions, load
from augury.errors import SettingsError
from augury.exports import EXPORTS, ExportOptions, export_folder
from augury.settings import ExportSettings
from tests.helpers.export_data import real_images, synthetic_images

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8))
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
FACTS = {"class": "Katze | ü", "seed": 7, "index": 12, "synthesizer": "f00d", "recipe": "rpgan"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUGURY_CACHE", str(tmp_path / "cache"))


def test_the_text_chunks_state_the_facts_and_leave_the_pixels_alone() -> None:
    raw = provenance.tagged_png(PICTURE, FACTS)
    image = Image.open(io.BytesIO(raw))
    np.testing.assert_array_equal(np.asarray(image), np.asarray(PICTURE))
    assert image.mode == "RGB"
    assert image.text["synthetic"] == "true" and image.text["Software"].startswith("Augury ")
    assert image.text["DigitalSourceType"].endswith("/digitalsourcetype/trainedAlgorithmicMedia")
    assert json.loads(image.text["augury"]) == FACTS
    (described,) = ElementTree.fromstring(image.text["XML:com.adobe.xmp"]).iter(f"{{{RDF}}}Description")
    assert (
        described.get("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType")
        == provenance.DIGITAL_SOURCE_TYPE
    )
    assert described.get("{http://ns.adobe.com/xap/1.0/}CreatorTool") == provenance.SOFTWARE


def saved(**options: object) -> bytes:
    file = io.BytesIO()
    PICTURE.save(file, **options)
    return file.getvalue()


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'xmlns:xmp="http://ns.adobe.com/xap/1.0/"><xmp:CreatorTool>Painter &amp; Co</xmp:CreatorTool></rdf:Description>'
    b"http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia</rdf:RDF></x:xmpmeta>"
)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (saved(format="PNG"), ""),
        (saved(format="JPEG", xmp=XMP), "Painter &amp; Co"),
        (saved(format="WEBP", xmp=XMP), "Painter &amp; Co"),
        (saved(format="JPEG", comment=b"...digitalsourcetype/trainedAlgorithmicMedia"), provenance.UNNAMED),
        (provenance.tagged_png(PICTURE, FACTS), provenance.SOFTWARE),
        (provenance.tagged_png(PICTURE, FACTS, tool=""), provenance.UNNAMED),
    ],
)
def test_files_of_any_format_and_program_are_recognised(raw: bytes, expected: str) -> None:
    assert provenance.synthetic_by(raw) == expected


@pytest.mark.parametrize("kind", ["folder", "imagefolder", "csv", "dicom", "tar", "parquet", "npz"])
def test_an_export_that_is_read_again_is_cautioned_about(tmp_path: Path, kind: str) -> None:
    if kind == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed: parquet is an extra")
    if kind == "dicom":
        pytest.importorskip("pydicom", reason="pydicom is not installed: DICOM is an extra")
    path = tmp_path / (f"out.{kind}" if kind in ("tar", "parquet", "npz") else "out")
    EXPORTS[kind](path, real_images(), synthetic_images())
    read = path / "labels.csv" if kind == "csv" else path
    for _ in range(2):  # decoded, and from the cache
        data = load(read)
        (caution,) = [text for text in cautions(data) if "synthetic" in text]
        by = "their attribute 'origin'" if kind == "npz" else provenance.SOFTWARE
        assert caution.startswith(f"3 of 10 images say that they are synthetic, by {by}. ")
    assert kind == "npz" or data.notes["synthetic"] == {provenance.SOFTWARE: 3}
    assert not any("README" in str(note) or ".md" in str(note) for note in data.notes.get("ignored", {}))
    EXPORTS[kind](path, real_images(), options=ExportOptions(force=True))
    assert not [text for text in cautions(load(read)) if "synthetic" in text]


def test_inspect_counts_synthetic_images(tmp_path: Path) -> None:
    export_folder(tmp_path / "out", real_images(), synthetic_images())
    _, census = data_package.inspect(tmp_path / "out")
    assert census.as_dict()["synthetic"] == {provenance.SOFTWARE: 3}
    assert any(line.startswith("3 of 10 images say that they are synthetic") for line in census.advice)


def test_tags_of_an_export_name_what_redraws_the_image(tmp_path: Path) -> None:
    export_folder(tmp_path / "out", real_images(), synthetic_images())
    image = Image.open(tmp_path / "out" / "cat" / "synthetic-000002.png")
    assert json.loads(image.text["augury"]) == {"class": "cat", "seed": 3, "index": 92, "synthesizer": "f00d"}
    assert not Image.open(tmp_path / "out" / "cat" / "real-000002.png").text
    export_folder(tmp_path / "other", real_images(), replace(real_images(number=2), names=("v/1.jpg", "v/2.jpg")))
    text = Image.open(tmp_path / "other" / "cat" / "synthetic-000000.png").text
    assert json.loads(text["augury"])["source_name"] == "v/1.jpg" and "Software" not in text


def test_sidecars_bind_unsigned_assertions_to_the_file(tmp_path: Path) -> None:
    export_folder(tmp_path / "out", real_images(), synthetic_images(), ExportOptions(sidecar=True))
    files = sorted((tmp_path / "out").rglob(f"*{provenance.SIDECAR}"))
    assert [file.name for file in files] == [f"synthetic-00000{i}.png.c2pa.json" for i in (0, 2, 4)]
    stored = json.loads(files[0].read_text(encoding="utf-8"))
    assertions = {row["label"]: row["data"] for row in stored["assertions"]}
    image = files[0].with_name("synthetic-000000.png")
    digest = hashlib.sha256(image.read_bytes()).digest()
    assert base64.b64decode(assertions["c2pa.hash.data"]["hash"]) == digest
    (action,) = assertions["c2pa.actions.v2"]["actions"]
    assert action["action"] == "c2pa.created" and action["parameters"]["index"] == 90
    assert stored["signed"] is False and "not a signed C2PA manifest" in stored["note"]
    assert load(tmp_path / "out").notes["ignored"] == {}  # sidecars are no data
    export_folder(tmp_path / "out", real_images())  # they belong to the export, which may be replaced
    assert not list((tmp_path / "out").rglob(f"*{provenance.SIDECAR}"))


def test_the_source_of_a_translation_is_an_ingredient() -> None:
    facts = {**FACTS, "source_name": "a.png", "source_sha256": "00ff"}
    (ingredient,) = (row["data"] for row in provenance.sidecar("x.png", b"", facts)["assertions"]
                     if row["label"] == "c2pa.ingredient.v3")  # fmt: skip
    assert ingredient == {"title": "a.png", "relationship": "inputTo", "pixels_sha256": "00ff"}


def test_one_file_has_no_sidecars(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="leave sidecar out, or export a folder"):
        EXPORTS["tar"](tmp_path / "x.tar", real_images(), synthetic_images(), ExportOptions(sidecar=True))
    with pytest.raises(ValueError, match="a npz is one file; use sidecar=false"):
        ExportSettings(format="npz", sidecar=True)
