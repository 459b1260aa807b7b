"""`augury augment`: copies with their provenance, and the sheet."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import augury
from augury.augment import POLICIES
from augury.cli import app
from augury.copies import copies
from augury.errors import SettingsError
from augury.images import Attribute, LabelledImages

DATA = LabelledImages(
    np.random.default_rng(0).integers(0, 256, (6, 3, 12, 12), dtype=np.uint8),
    np.array([0, 0, 0, 0, 1, 1]),
    ("cat", "dog"),
    {"pose": Attribute(np.array([0, 1, 0, 1, 0, 1]), ("left", "right"))},
    groups=np.array([0, 0, 1, 1, 2, 2]),
    names=tuple(f"{i}.png" for i in range(6)),
)


def test_copies_follow_their_images_and_can_be_drawn_alone() -> None:
    made = copies(DATA, "natural", per_image=2, seed=3)
    assert len(made) == 18
    np.testing.assert_array_equal(made.images[:6], DATA.images)
    for column in (made.labels, made.groups, made.attributes["pose"].codes):
        np.testing.assert_array_equal(column[:6], column[6:12])
    assert made.names[6:8] == ("0.png#0", "1.png#0") and made.names[17] == "5.png#1"
    assert not np.array_equal(made.images[6:12], made.images[12:])
    again = copies(DATA, "natural", per_image=3, seed=3, originals=False)
    np.testing.assert_array_equal(again.images[6:12], made.images[12:])
    with pytest.raises(SettingsError, match="1 or more"):
        copies(DATA, "natural", per_image=0)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for i, label in enumerate(DATA.labels):
        (root / DATA.classes[label]).mkdir(exist_ok=True)
        Image.fromarray(DATA.images[i].transpose(1, 2, 0)).save(root / DATA.classes[label] / f"{i}.png")
    return root


@pytest.mark.parametrize(("written", "name"), [("folder", "more"), ("npz", "more.npz")])
def test_the_verb_writes_a_data_set_that_augury_reads(written: str, name: str, photos: Path, tmp_path: Path) -> None:
    words = ["augment", str(photos), "-o", str(tmp_path / name), "--per-image", "2", "--format", written, "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["images"] == 18
    read = augury.load(tmp_path / name)
    assert read.counts.tolist() == [12, 6]
    if written == "folder":
        rows = [json.loads(line) for line in (tmp_path / name / "manifest.jsonl").read_text().splitlines()]
        assert [row["origin"] for row in rows].count("augmented") == 12


def test_the_sheet_has_a_row_for_each_operator_and_policy(photos: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["augment", str(photos), "--preview", str(tmp_path / "sheet.png")])
    assert done.exit_code == 0, done.output
    assert Image.open(tmp_path / "sheet.png").height > 40 * len(POLICIES)


@pytest.mark.parametrize(("words", "rule"), [([], "either -o"), (["-o", "x", "--format", "zip"], "no format 'zip'")])
def test_wrong_requests_are_refused_in_words(words: list[str], rule: str, photos: Path) -> None:
    done = CliRunner().invoke(app, ["augment", str(photos), *words])
    assert isinstance(done.exception, SettingsError) and rule in str(done.exception)
