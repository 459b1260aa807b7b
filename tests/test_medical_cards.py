"""Cards of medical images state their limits; those of other images do not mention patients of a source."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from augury.cards import MEDICAL, Background, is_medical
from augury.cli.commands import app
from augury.data import load
from augury.exports import export_dicom, readme
from augury.training import Card, Synthesizer
from augury.training.card import data_facts
from augury.training.readme import readme as generator_card
from tests.helpers.export_data import real_images
from tests.helpers.linear_generator import linear_synthesizer

LIMIT = "this is no medical device"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUGURY_CACHE", str(tmp_path / "cache"))


def arrays(file: Path, group: str) -> Path:
    """Twelve images of two classes, three of each of four groups."""
    images = np.random.default_rng(0).integers(0, 256, (12, 9, 9), dtype=np.uint8)
    np.savez(file, images=images, label=np.arange(12) % 2, **{group: np.arange(12) // 3})
    return file


def split_card(source: Path, output: Path) -> str:
    result = CliRunner().invoke(app, ["split", str(source), "-o", str(output)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return (output / "README.md").read_text(encoding="utf-8")


def test_dicom_files_are_medical(tmp_path: Path) -> None:
    pytest.importorskip("pydicom", reason="pydicom is not installed: DICOM is an extra")
    export_dicom(tmp_path / "scans", real_images(number=40))
    data = load(tmp_path / "scans")
    assert data.notes["medical"] == "DICOM" and is_medical(data.notes, data.attributes)
    assert LIMIT in split_card(tmp_path / "scans", tmp_path / "split")
    facts = data_facts(data, ())
    card = Card("dcgan", {}, recipe="rpgan", seed=0, steps=1, batch=1, precision="fp32", **facts)
    text = generator_card(card, translates=False, parameters=1, fingerprint="")
    assert LIMIT in text and "medical DICOM" not in text  # the mark is no way of reading


@pytest.mark.parametrize(("group", "expected"), [("patient", True), ("person", False)])
def test_a_column_of_patients_is_medical(tmp_path: Path, group: str, expected: bool) -> None:
    data = load(arrays(tmp_path / "a.npz", group))
    assert data.groups is not None and is_medical(data.notes, data.attributes) == expected
    assert (LIMIT in split_card(tmp_path / "a.npz", tmp_path / "split")) == expected


@pytest.mark.parametrize(
    ("notes", "attributes", "expected"),
    [
        ({}, (), False),
        ({"medical": "DICOM"}, (), True),
        ({"grouped_by": "the PatientID of the DICOM files"}, (), True),
        ({"grouped_by": "person"}, ("pose", "eyes"), False),
        ({}, ("patient_age",), True),
    ],
)
def test_what_says_that_images_are_medical(notes: dict[str, str], attributes: tuple[str, ...], expected: bool) -> None:
    assert is_medical(notes, attributes) == expected


def test_the_cards_of_generated_images_follow_the_generator(tmp_path: Path) -> None:
    counts = {"synthetic": {"cat": 3}}
    assert MEDICAL in readme("out", counts, (1, 8, 8), Background(medical=True))
    assert LIMIT not in readme("out", counts, (1, 8, 8), Background())
    from augury.pipeline.tagged_files import write_card

    plain = linear_synthesizer()
    medical = Synthesizer(Card(**{**vars(plain.card), "data_reading": {"grouped_by": "patient"}}), plain.generator)
    for name, synthesizer in (("plain", plain), ("medical", medical)):
        (tmp_path / name).mkdir()
        write_card(tmp_path / name, name, synthesizer, json.loads('[{"class": "a"}]'), None)
        text = (tmp_path / name / "README.md").read_text(encoding="utf-8")
        assert (LIMIT in text) == (name == "medical")
