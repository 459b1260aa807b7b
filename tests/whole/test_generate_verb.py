"""`augury generate`: class folders and a manifest, which keep the images of other calls and which a trial accepts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import augury
from augury.cli.commands import app
from augury.data import from_arrays
from augury.errors import AuguryError
from augury.images import LabelledImages
from augury.pipeline.external_trial import judge
from augury.settings import RunSettings, TrainSettings
from augury.training import Synthesizer
from augury.validation import validated

CLASSES = ("cats", "dogs/wolves", "owls")


def photos() -> LabelledImages:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 8, 8), dtype=np.uint8)
    return from_arrays(pixels, np.arange(90) % 3, classes=CLASSES)


@pytest.fixture(scope="module")
def generator(tmp_path_factory) -> Path:
    settings = TrainSettings(recipe="dcgan", steps=1, batch=4, overrides={"width": 8}, precision="fp32")
    augury.train(photos(), settings=settings, device="cpu").save(tmp_path_factory.mktemp("dcgan"))
    return next(tmp_path_factory.getbasetemp().glob("dcgan*"))


def generate(*words: object) -> tuple[int, str]:
    try:
        result = CliRunner().invoke(app, ["generate", *map(str, words)], catch_exceptions=False)
    except AuguryError as error:
        return 1, str(error)
    return result.exit_code, result.stdout


def contents(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*.*") if file.name[0] != "."
    }


def test_all_classes_are_drawn_into_folders_that_load_reads(generator: Path, tmp_path: Path) -> None:
    code, printed = generate(generator, "-o", tmp_path / "more", "--number", 3, "--start", 5, "--seed", 2, "--json")
    facts = json.loads(printed)
    rows = [json.loads(line) for line in Path(facts["manifest"]).read_text().splitlines()]
    assert code == 0 and len(facts["files"]) == len(rows) == 9
    synthesizer = Synthesizer.load(generator)
    for row in rows:
        image = synthesizer.sample([row["class"]], seed=row["seed"], start=row["index"]).images[0, 0]
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "more" / row["file"])), image)
    assert {(row["class"], row["index"]) for row in rows} == {(name, i) for name in CLASSES for i in (5, 6, 7)}
    data = augury.load(tmp_path / "more")
    assert data.classes == ("cats", "dogs_wolves", "owls") and data.counts.tolist() == [3, 3, 3]


def test_a_further_call_adds_images_and_leaves_the_others_alone(generator: Path, tmp_path: Path) -> None:
    out = tmp_path / "more"
    generate(generator, "-o", out, "--label", "cats", "--label", "owls", "--number", 2)
    before = contents(out)
    assert generate(generator, "-o", out, "--label", "cats", "--number", 2, "--seed", 1)[0] == 0
    after = contents(out)
    assert set(after) - set(before) == {"cats/seed1-000000.png", "cats/seed1-000001.png"}
    manifest, card = before.pop("manifest.jsonl"), before.pop("README.md")
    assert b"| cats | 2 |" in card and b"| cats | 4 |" in after["README.md"]  # the card counts all images
    assert all(after[name] == content for name, content in before.items())
    assert after["manifest.jsonl"].startswith(manifest) and after["manifest.jsonl"].count(b"\n") == 6
    generate(generator, "-o", out, "--label", "cats", "--number", 2, "--seed", 1)  # the same call again
    assert contents(out) == after


def test_an_interrupted_call_can_be_repeated(generator: Path, tmp_path: Path) -> None:
    generate(generator, "-o", tmp_path / "more", "--label", "cats", "--number", 3)
    before = contents(tmp_path / "more")
    (tmp_path / "more" / "cats" / "seed0-000001.png").unlink()
    assert generate(generator, "-o", tmp_path / "more", "--label", "cats", "--number", 3)[0] == 0
    assert contents(tmp_path / "more") == before


def test_images_of_other_calls_and_other_files_are_never_replaced(generator: Path, tmp_path: Path) -> None:
    out = tmp_path / "more"
    generate(generator, "-o", out, "--label", "cats", "--number", 2)
    (out / "owls").mkdir()
    (out / "owls" / "seed0-000000.png").write_bytes(b"mine")
    before = contents(out)
    for words, reason in (
        (["--label", "cats", "--truncation", ".5"], "drawn with another truncation"),
        (["--label", "owls"], "no call of augury generate wrote it"),
    ):
        code, error = generate(generator, "-o", out, "--number", 2, *words)
        assert code == 1 and reason in error and "--seed or --start" in error
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    code, error = generate(generator, "-o", tmp_path / "other")
    assert code == 1 and "holds other files" in error and contents(tmp_path / "other") == {"notes.txt": b"mine"}
    code, error = generate(generator, "-o", tmp_path / "more.csv")
    assert code == 1 and f"-o {tmp_path / 'more'}" in error and not (tmp_path / "more.csv").exists()
    assert generate(generator, "-o", tmp_path / "new", "--label", "cows")[0] == 1 and not (tmp_path / "new").exists()
    assert contents(out) == before


def test_a_trial_accepts_the_folder_as_it_is(generator: Path, tmp_path: Path) -> None:
    generate(generator, "-o", tmp_path / "more", "--number", 4)
    sections = {
        "prove": {"steps": 2, "seeds": 2, "arms": ["none", "gan"], "ratios": [0, 0.5], "near_duplicates": "allow"},
        "data": {"near_duplicates": "allow"},
        "device": "cpu",
    }
    verdict = judge(photos(), tmp_path / "more", tmp_path / "judged", settings=validated(RunSettings, sections))
    assert verdict.outcome == "underpowered"
    assert json.loads((tmp_path / "judged" / "judged.json").read_text())["made"]["n"] == 12
