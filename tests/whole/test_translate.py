"""A run of a translator as a user goes it: what is printed before, what it leaves, and `augury translate`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import augury
from augury import proof
from augury.cli.commands import app
from augury.errors import AuguryError
from augury.images import Attribute, LabelledImages
from augury.pipeline import session
from augury.pipeline.inputs import Callbacks
from augury.pipeline.run_folder import Run
from augury.settings import RunSettings, TrainSettings
from augury.training import Synthesizer
from augury.validation import validated

SETTINGS = {
    "train": {"recipe": "translator", "steps": 4, "batch": 8, "precision": "fp32", "condition": ["ground"]},
    "score": {"features": "pixels"},
    "prove": {"steps": 3, "near_duplicates": "allow"},
    "data": {"near_duplicates": "allow"},
    "device": "cpu",
}


def bars(counts: tuple[int, int, int, int] = (40, 40, 40, 5)) -> LabelledImages:
    """Lying or standing bars on dark or bright ground, 12 px; few stand on bright ground."""
    labels, grounds = np.repeat([0, 0, 1, 1], counts), np.repeat([0, 1, 0, 1], counts)
    numbers = np.random.default_rng(0)
    images = numbers.normal(np.array([50, 140])[grounds][:, None, None], 15, (len(labels), 12, 12))
    for image, label, offset in zip(images, labels, numbers.integers(0, 12, len(labels)), strict=True):
        image[(slice(None), offset) if label else (offset,)] += 70
    ground = Attribute(grounds.astype(np.int64), ("dark", "bright"))
    pixels = np.clip(images, 0, 255).astype(np.uint8)[:, None]
    return LabelledImages(
        pixels, labels.astype(np.int64), ("lying", "standing"), {"ground": ground}, fingerprint="bars"
    )


@pytest.fixture(scope="module")
def translated_run(tmp_path_factory) -> tuple[Run, list[str]]:
    notes: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "CLASSIFIER_STEPS", 5)
        patch.setitem(proof.column_classifiers.__globals__, "STEPS", 5)
        folder = tmp_path_factory.mktemp("translator") / "run"
        settings = validated(RunSettings, SETTINGS)
        for until in ("generate", "score"):
            run = augury.run(bars(), folder, settings=settings, until=until, callbacks=Callbacks(note=notes.append))
    return run, notes


def test_the_table_and_the_plan_are_reported_before_training(translated_run) -> None:
    _, notes = translated_run
    table = [text for text in notes if text.startswith("Train images of each cell (* empty or rare: fewer than 20):")]
    plan = [text for text in notes if text.startswith("Cells to fill, and their source cells:")]
    assert len(table) == len(plan) == 1  # not again where the training is done
    assert table[0].splitlines()[1].split() == ["ground=dark", "ground=bright"] and table[0].endswith("*")
    assert "\n  standing, ground=dark → standing, ground=bright: " in plan[0]
    assert notes.index(table[0]) < notes.index(plan[0])


def test_the_plan_is_stored_with_what_became_of_it(translated_run) -> None:
    run, _ = translated_run
    plan = json.loads((run / "generation.json").read_text())["plan"]
    rows = (run / "synthetic" / "manifest.jsonl").read_text().splitlines()
    assert sum(row["translated"] for row in plan) == len(rows)
    assert sum(row["accepted"] for row in plan) == sum(json.loads(row)["accepted"] for row in rows)
    for row in plan:
        assert row["translated"] == row["accepted"] + sum(row["rejected"].values())


def test_a_translator_has_no_scores_of_memorisation_and_its_sources_are_no_copies(translated_run) -> None:
    run, _ = translated_run
    card = json.loads((run / "scores.json").read_text())
    names = {row["name"] for row in card["scores"]}
    assert "KID-pixels" in names and "GAN-train" in names
    assert not {name for name in names if name.startswith(("C_T", "authenticity", "duplicates", "membership"))}
    assert "a translation resembles its source by design" in " ".join(card["notes"]).replace("  ", " ")
    # four steps leave the translator near the identity, so that every image nearly is its source
    assert {row["features"].split("@")[0]: row["copies"] for row in card["copies"]["looked"]}["pixels"] == 0


def call(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(outcome) for outcome in words])
    error = str(result.exception) if isinstance(result.exception, AuguryError) else result.stderr
    return result.exit_code, result.stdout, error


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Unlabelled grey images of 12 px, and one in a format of its own."""
    (tmp_path / "photos").mkdir()
    numbers = np.random.default_rng(3)
    for i in range(5):
        pixels = numbers.integers(0, 256, (12, 12), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"my photo {i}.{'bmp' if i else 'png'}")
    return tmp_path / "photos"


def test_own_images_are_translated_and_the_manifest_says_how(translated_run, photos: Path, tmp_path: Path) -> None:
    run, _ = translated_run
    words = ["translate", run.path, photos, "--change", "ground=bright", "-o", tmp_path / "out", "--json"]
    code, out, error = call(*words)
    assert code == 0, error
    output = json.loads(out)
    assert [Path(file).name for file in output["files"]] == [f"00000{i}-my-photo-{i}.png" for i in range(5)]
    rows = [json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]
    translator = Synthesizer.load(run.path)
    for row in rows:
        source = np.array(Image.open(photos / row["source_name"]))
        assert row["source_sha256"] == hashlib.sha256(source.tobytes()).hexdigest()
        assert row["changes"] == {"ground": "bright"} and row["translator"] == translator.fingerprint
        changes = translator.changes_of({"ground": "bright"})
        single = translator.translate(source[None, None], changes, seed=row["seed"], indices=[row["index"]])
        np.testing.assert_array_equal(np.array(Image.open(tmp_path / "out" / row["file"])), single[0, 0])
    code, _, error = call(*words)
    assert code == 1 and "exists already; choose another folder with -o" in error


def test_links_are_followed_and_options_that_the_images_do_not_have_are_refused(
    translated_run, photos: Path, tmp_path
) -> None:
    run, change = translated_run[0], ["--change", "ground=dark", "-o", tmp_path / "out"]
    links = tmp_path / "links"
    links.mkdir()
    for file in photos.iterdir():
        (links / file.name).symlink_to(file)
    code, _, error = call("translate", run.path, links, *change)
    assert code == 1 and "links that lead outside" in error
    code, _, error = call("translate", run.path, links, *change, "--root", photos)
    assert code == 1 and "the format 'folder' knows no root; leave it out" in error
    code, out, error = call("translate", run.path, links, *change, "--follow-links", photos)
    assert code == 0 and out.startswith("5 images in "), error


def test_several_changes_and_labelled_images_of_another_format(translated_run, tmp_path: Path) -> None:
    run, _ = translated_run
    data = bars()
    np.savez(tmp_path / "some.npz", images=data.images[:, 0], labels=data.labels)
    both = ["--change", "ground=dark", "--change", "label=standing"]
    code, out, error = call("translate", run.path, tmp_path / "some.npz", *both, "-o", tmp_path / "out")
    assert code == 0 and out.startswith("125 images in "), error
    row = json.loads((tmp_path / "out" / "manifest.jsonl").read_text().splitlines()[7])
    assert row["changes"] == {"ground": "dark", "label": "standing"} and row["source_name"].endswith("7")
    assert Synthesizer.load(run.path).changes_of(row["changes"], 2).tolist() == [[1, 0], [1, 0]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--change", "grond=dark"], "cannot change 'grond'; did you mean 'ground'? It changes: label, ground"),
        (["--change", "ground=drak"], "no ground 'drak'; did you mean 'dark'? It has: dark, bright"),
        (["--change", "label=sitting"], "no label 'sitting'"),
        (["--change", "ground"], "write it as name=value"),
        (["--change", "ground=dark", "--change", "ground=bright"], "contradict each other"),
        (["--change", "ground=dark", "--size", "10"], "resize them with --size 12x12, and --fit crop"),
        ([], "Missing option '--change'"),
    ],
)
def test_what_cannot_be_translated_is_refused_in_words(
    translated_run, photos: Path, tmp_path: Path, words, message
) -> None:
    code, _, error = call("translate", translated_run[0].path, photos, *words, "-o", tmp_path / "out")
    assert code != 0 and message in error and not (tmp_path / "out").exists()


def test_images_of_another_size_or_mode_and_runs_without_translator_are_refused(
    translated_run, photos: Path, tmp_path
) -> None:
    run, _ = translated_run
    change = ["--change", "ground=dark", "-o", tmp_path / "out"]
    (tmp_path / "large").mkdir()
    (tmp_path / "colour").mkdir()
    Image.fromarray(np.full((30, 20), 9, np.uint8)).save(tmp_path / "large" / "a.png")
    Image.fromarray(np.full((12, 12, 3), (9, 80, 200), np.uint8)).save(tmp_path / "colour" / "a.png")
    code, _, error = call("translate", run.path, tmp_path / "large", *change)
    assert code == 1 and "the images are 30 x 20 (height x width), but the translator takes 12 x 12" in error
    code, _, error = call("translate", run.path, tmp_path / "large", *change, "--size", "12x12", "--fit", "pad")
    assert code == 0, error
    code, _, error = call("translate", run.path, tmp_path / "colour", "--change", "ground=dark", "-o", tmp_path / "b")
    assert code == 1 and "are colour, but the translator was trained on grey" in error
    code, _, error = call("translate", run.path, photos, "--change", "ground=dark", "-o", tmp_path / "x.npz")
    assert code == 1 and "choose a name without ending" in error and not (tmp_path / "x.npz").exists()
    code, _, error = call("translate", photos, photos, "--change", "ground=dark", "-o", tmp_path / "b")
    assert code == 1 and "no card.json" in error
    code, _, error = call("generate", run.path, "-o", tmp_path / "b", "--label", "standing")
    assert code == 1 and f"augury translate {run.path} images/ --change ground=dark" in error
    drawing = augury.train(bars(), settings=TrainSettings(recipe="dcgan", steps=1, batch=4, overrides={"width": 8}))
    drawing.save(tmp_path / "dcgan")
    code, _, error = call("translate", tmp_path / "dcgan", photos, "--change", "label=lying", "-o", tmp_path / "b")
    assert code == 1 and "recipe, dcgan, generates images from noise" in error


def test_help_has_an_example() -> None:
    code, out, _ = call("translate", "--help")
    assert code == 0 and "augury translate runs/faces photos/ --change young=no" in " ".join(out.split())
