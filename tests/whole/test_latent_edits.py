"""`augury latent directions`, `edit`, `invert` and `smoothness` on small trained runs, and requests refused in words."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from augury import generation
from augury.cli.commands import app
from augury.errors import AuguryError, DataError, MissingExtraError, RunFolderError, SettingsError
from augury.generation import Directions
from augury.pipeline import latent_runs
from augury.training import Synthesizer
from tests.whole.test_latent_verbs import call, tile

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Data d.npz, and runs of them: stylegan, dcgan, vae, and one that is unconditional."""
    root = tmp_path_factory.mktemp("edits")
    numbers = np.random.default_rng(0)
    labels, pose, smile = np.arange(60) % 2, np.arange(60) // 2 % 2, np.arange(60) // 4 % 3
    images = numbers.integers(0, 60, (60, 12, 12, 3), dtype=np.uint8) + (60 * labels + 90 * pose)[:, None, None, None]
    named = {"labels": np.array(["cat", "dog"])[labels], "pose": np.array(["left", "right"])[pose]}
    np.savez(root / "d.npz", images=images.astype(np.uint8), **named, smile=np.array(["no", "faint", "broad"])[smile])
    small = ["--steps", "3", "--set", "train.batch=8", "--precision", "fp32", "--quiet"]
    wide = ["--set", 'train.overrides={"width": 8, "widest": 16, "latent": 8}']
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("augury.pipeline.session.CLASSIFIER_STEPS", 5)
        for recipe in ("stylegan", "dcgan", "vae"):
            conditioned = ["--condition", "label,pose"]
            call("train", root / "d.npz", "-o", root / recipe, "--recipe", recipe, *small, *wide, *conditioned)
        alone = ["--set", "train.unconditional=true"]
        call("train", root / "d.npz", "-o", root / "alone", "--recipe", "stylegan", *small, *wide, *alone)
    Image.fromarray(images[3].astype(np.uint8)).resize((30, 20)).convert("L").save(root / "grey.png")
    Image.fromarray(images[5].astype(np.uint8)).save(root / "fits.png")
    (root / "text.png").write_text("no image")
    return root


def test_directions_are_listed_stored_and_drawn(root: Path, tmp_path: Path) -> None:
    words = ["--number", "3", "--layers", "middle", "-o", tmp_path / "d.png", "--label", "dog", "--seed", "2"]
    output = json.loads(call("latent", "directions", root / "stylegan", *words, "--json"))
    names = [row["name"] for row in output["directions"]]
    assert names == ["sefa0", "sefa1", "sefa2", "pca0", "pca1", "pca2", "label", "pose"] and output["space"] == "w"
    assert output["folder"] == str(root / "stylegan" / "directions") and not output["skipped"]
    synthesizer = Synthesizer.load(root / "stylegan")
    stored = Directions.load(root / "stylegan" / "directions", synthesizer)
    assert stored.rows() == generation.find_directions(synthesizer, number=3, layers="middle", seed=2).rows()
    assert stored["sefa0"].layers == (2,)
    drawn = synthesizer.sample([[1, 0]], seed=2).images[0]
    np.testing.assert_array_equal(tile(tmp_path / "d.png", 4, 3, 7), drawn)  # no steps, in every row
    text = call("latent", "directions", root / "stylegan", "--number", "3")
    assert "from left to right" in text and "steps apart" in text and text.count("sefa") == 6
    assert not list((root / "stylegan").glob(".*.part"))


def test_edits_are_strips_and_walks(root: Path, tmp_path: Path) -> None:
    call("latent", "directions", root / "stylegan", "--number", "3")
    words = [
        "--label",
        "cat",
        "--attribute",
        "pose=right",
        "--edit",
        "pose.left=+2",
        "--edit",
        "pca1=-1.5",
        "--seed",
        "4",
    ]
    output = json.loads(
        call("latent", "edit", root / "stylegan", "-o", tmp_path / "e.png", "--rows", "2", *words, "--json")
    )
    assert output["edits"] == {"pose.left": 2, "pca1": -1.5}
    synthesizer = Synthesizer.load(root / "stylegan")
    stored = Directions.load(root / "stylegan" / "directions", synthesizer)
    moves = {"pose": -2.0, "pca1": -1.5}
    expected = generation.edit(synthesizer, stored, moves, [[0, 1]] * 2, frames=5, seed=4)
    np.testing.assert_array_equal(expected[:, 0], synthesizer.sample([[0, 1]] * 2, seed=4).images)
    for row in range(2):
        for column in range(5):
            np.testing.assert_array_equal(tile(tmp_path / "e.png", row, column, 5), expected[row, column])
    call("latent", "edit", root / "stylegan", "-o", tmp_path / "t.png", "--rows", "1", "--truncation", "0.5", *words)
    nearer = generation.edit(synthesizer, stored, moves, [[0, 1]], frames=5, seed=4, truncation=0.5)
    np.testing.assert_array_equal(tile(tmp_path / "t.png", 0, 4, 5), nearer[0, 4])
    assert (nearer != expected[:1]).any()
    call("latent", "edit", root / "stylegan", "-o", tmp_path / "e.gif", "--frames", "6", *words)
    with Image.open(tmp_path / "e.gif") as walk:
        assert walk.n_frames == 10
    call(
        "latent",
        "interpolate",
        root / "stylegan",
        "-o",
        tmp_path / "i.gif",
        "--label",
        "cat",
        "--attribute",
        "pose=left",
    )
    with Image.open(tmp_path / "i.gif") as walk:
        assert walk.n_frames == 14


def test_edits_without_stored_directions_find_them(root: Path, tmp_path: Path) -> None:
    call("latent", "edit", root / "dcgan", "-o", tmp_path / "e.png", "--edit", "sefa1=-3:3", "--rows", "1")
    synthesizer = Synthesizer.load(root / "dcgan")
    directions = generation.find_directions(synthesizer)
    expected = generation.edit(synthesizer, directions, {"sefa1": (-3, 3)}, [[0, 0]], frames=5)[0]
    np.testing.assert_array_equal(tile(tmp_path / "e.png", 0, 4, 5), expected[4])
    assert not (root / "dcgan" / "directions").exists()


def test_labelled_images_give_directions_of_other_attributes(root: Path) -> None:
    words = ["--images", root / "d.npz", "--method", "labels", "--method", "pca", "--limit", "50", "--json"]
    output = json.loads(call("latent", "directions", root / "vae", *words, "--steps", "0"))
    assert output["space"] == "code"
    sources = {row["name"]: row["source"] for row in output["directions"]}
    assert sources.keys() | output["skipped"].keys() >= {"pca0", "label", "pose", "smile.no", "smile.broad"}
    assert set(sources.values()) == {"pca", "images"} and "label" in sources
    with pytest.raises(SettingsError, match="give labelled images with --images"):
        call("latent", "directions", root / "vae", "--method", "pca")
    with pytest.raises(SettingsError, match="needs the encoder of a vae or ae"):
        call("latent", "directions", root / "stylegan", *words, "--steps", "0")


def test_the_classifier_labels_the_images_of_an_unconditional_generator(root: Path) -> None:
    directions = latent_runs.store_directions(root / "alone", number=2)
    labels = [d for d in directions.entries if d.source == "classifier"]
    assert [d.name for d in labels] == ["label"] or directions.skipped.keys() == {"label"}
    assert latent_runs.directions_of(root / "alone", Synthesizer.load(root / "alone")).rows() == directions.rows()
    # the synthesizer's own folder is that of its run
    synthesizer = Synthesizer.load(root / "alone" / "synthesizer")
    assert latent_runs.directions_of(root / "alone" / "synthesizer", synthesizer).rows() == directions.rows()


def test_photos_are_inverted_with_a_word_about_every_change(root: Path, tmp_path: Path) -> None:
    words = ["--steps", "5", "--features", "classifier", "-o", tmp_path / "i.png", "--edit", "pca0=2", "--frames", "3"]
    text = call("latent", "invert", root / "stylegan", root / "grey.png", root / "fits.png", *words)
    assert (
        "20x30 (height x width) was brought to 12x12" in text
        and "the image is grey, and the generator draws colour" in text
    )
    assert text.count("PSNR") == 2 and "fits.png: " in text
    output = json.loads(call("latent", "invert", root / "stylegan", root / "fits.png", *words, "--json"))
    assert output["measured"] == "pixels and features" and not output["notes"] and output["photos"][0]["psnr"] > 0
    photo = np.asarray(Image.open(root / "fits.png")).transpose(2, 0, 1)
    np.testing.assert_array_equal(tile(tmp_path / "i.png", 0, 0, 5), photo)
    np.testing.assert_array_equal(tile(tmp_path / "i.png", 0, 1, 5), tile(tmp_path / "i.png", 0, 2, 5))
    call("latent", "invert", root / "vae", root / "fits.png", *words[:6], "--label", "cat", "--attribute", "pose=left")


def test_smoothness_is_a_score_with_its_settings(root: Path) -> None:
    words = ["--number", "30", "--features", "classifier", "--json"]
    score = json.loads(call("latent", "smoothness", root / "stylegan", *words))
    assert score["name"] == "PPL-classifier" and score["settings"] == "sampling=full, space=w, epsilon=0.0001"
    assert score["low"] <= score["value"] <= score["high"] and score["n"] == 30
    assert json.loads(call("latent", "smoothness", root / "stylegan", *words)) == score
    text = call("latent", "smoothness", root / "dcgan", "--number", "20", "--features", "pixels", "--sampling", "end")
    assert "lower is smoother" in text and "sampling=end, space=z" in text


REFUSED = [
    (["edit", "stylegan", "-o", "x.png", "--edit", "smile=1"], SettingsError, "There are: sefa0"),
    (["edit", "stylegan", "-o", "x.png", "--edit", "pose.lft=1"], SettingsError, "did you mean 'pose.left'"),
    (["edit", "stylegan", "-o", "x.png", "--edit", "pose"], SettingsError, "write a direction and its steps"),
    (["edit", "stylegan", "-o", "x.png", "--edit", "pose=much"], SettingsError, "write a direction and its steps"),
    (["edit", "stylegan", "-o", "x.png", "--edit", "pose=1", "--edit", "pose=2"], SettingsError, "given twice"),
    (["edit", "stylegan", "-o", "x.png"], SettingsError, "nothing to edit"),
    (["edit", "stylegan", "-o", "x.bmp", "--edit", "pose=1"], SettingsError, r"written as \.png"),
    (["edit", "stylegan", "-o", "x.png", "--edit", "pose=1", "--label", "cow"], DataError, "it has: cat, dog"),
    (["edit", "stylegan", "-o", "x.png", "--edit", "pose=1", "--attribute", "pose=up"], DataError, "no pose 'up'"),
    (["edit", "dcgan", "-o", "x.png", "--edit", "pca0=1"], SettingsError, "z of recipe dcgan is Gaussian"),
    (["edit", "dcgan", "-o", "x.png", "--edit", "pose=1"], SettingsError, "z of recipe dcgan is Gaussian"),
    (["edit", "none", "-o", "x.png", "--edit", "pca0=1"], RunFolderError, "train one with: augury train"),
    (["directions", "dcgan", "--method", "labels"], SettingsError, "train with recipe stylegan"),
    (["directions", "stylegan", "-o", "x.gif"], SettingsError, r"ends in \.png"),
    (["mix", "stylegan", "-o", "x.gif", "--label", "cat"], SettingsError, r"ends in \.png"),
    (["invert", "stylegan", "text.png", "-o", "x.png"], DataError, "text.png"),
    (["invert", "stylegan", "gone.png", "-o", "x.png"], DataError, "gone.png"),
    (["invert", "stylegan", "fits.png", "-o", "x.gif"], SettingsError, "a walk needs an edit"),
    (["invert", "stylegan", "fits.png", "-o", "x.png", "--fit", "bend"], SettingsError, "choose crop or pad"),
    (["invert", "dcgan", "fits.png", "-o", "x.png"], SettingsError, "inversion needs the class; give --label"),
    (["invert", "dcgan", "fits.png", "-o", "x.png", "--label", "cat"], DataError, "one value each of: label, pose"),
    (["smoothness", "dcgan", "--space", "w"], SettingsError, "train with recipe stylegan"),
    (["smoothness", "dcgan", "--features", "phash"], AuguryError, "take 8-bit images only"),
]


@pytest.mark.parametrize(("words", "error", "rule"), REFUSED, ids=[" ".join(words) for words, *_ in REFUSED])
def test_wrong_requests_are_refused_in_words(root: Path, tmp_path: Path, words: list[str], error, rule: str) -> None:
    verb, run, *rest = words
    paths = {name: root / name for name in ("text.png", "fits.png", "gone.png")} | {
        f"x.{ending}": tmp_path / f"x.{ending}" for ending in ("png", "gif", "bmp")
    }
    with pytest.raises(error, match=rule):
        call("latent", verb, root / run, *(paths.get(word, word) for word in rest))
    assert not list(tmp_path.iterdir())


def test_an_mp4_without_its_package_is_refused_before_any_work(root: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'augury\[video\]'"):
        call("latent", "edit", root / "stylegan", "-o", tmp_path / "x.mp4", "--edit", "pose=1")


def test_directions_of_another_training_are_refused(root: Path, tmp_path: Path) -> None:
    call("latent", "directions", root / "stylegan", "--number", "2")
    other = tmp_path / "other"
    Synthesizer.load(root / "dcgan").save(other / "synthesizer")
    Directions.load(root / "stylegan" / "directions", Synthesizer.load(root / "stylegan")).save(other / "directions")
    with pytest.raises(RunFolderError, match=r"find them again with: augury latent directions"):
        call("latent", "edit", other, "-o", tmp_path / "x.png", "--edit", "sefa0=1")


def test_the_examples_of_the_help_name_real_options() -> None:
    for verb in ("directions", "edit", "invert", "smoothness"):
        text = CliRunner().invoke(app, ["latent", verb, "--help"]).stdout
        (example,) = [line for line in text.splitlines() if "Example: augury latent" in line] or [""]
        assert f"augury latent {verb} runs/" in example
        options = {word for word in example.split() if word.startswith("-")}
        listed = text.replace(example, "").replace(",", " ").split()
        assert options <= set(listed), options
