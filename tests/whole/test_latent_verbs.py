"""`augury latent` on a small trained run: the pictures' layout and contents, and requests refused in words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from augury.cli.commands import app
from augury.errors import AuguryError, DataError, SettingsError
from augury.training import Synthesizer

pytestmark = pytest.mark.slow

TILE, GAP = 72, 4  # pixels: images of 12 are enlarged to at least 64


def call(*words: str | Path) -> str:
    result = CliRunner().invoke(app, [str(outcome) for outcome in words])
    if isinstance(result.exception, AuguryError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("latent")
    numbers = np.random.default_rng(0)
    labels, pose = np.arange(40) % 2, np.arange(40) // 2 % 2
    images = numbers.integers(0, 256, (40, 12, 12, 3), dtype=np.uint8)
    arrays = {"labels": np.array(["cat", "dog"])[labels], "pose": np.array(["left", "right"])[pose]}
    np.savez(root / "d.npz", images=images, **arrays)
    small = ["--steps", "3", "--set", "train.batch=8", "--precision", "fp32", "--quiet", "--condition", "label,pose"]
    for recipe in ("stylegan", "dcgan"):
        wide = ["--set", 'train.overrides={"width": 8, "widest": 16}']
        call("train", root / "d.npz", "-o", root / recipe, "--recipe", recipe, *small, *wide)
    return {recipe: root / recipe for recipe in ("stylegan", "dcgan")}


def tile(picture: Path, row: int, column: int, columns: int) -> np.ndarray:
    """uint8 [3, 12, 12], a tile of the grid, which ends a gap and a margin from the right edge."""
    pixels = np.asarray(Image.open(picture))
    left = pixels.shape[1] - 24 - columns * (TILE + GAP) + column * (TILE + GAP)
    top = 40 + row * (TILE + GAP)
    return pixels[top : top + TILE, left : left + TILE][3::6, 3::6].transpose(2, 0, 1)


def test_a_walk_is_drawn_with_its_ends(runs, tmp_path: Path) -> None:
    words = ["--label", "cat", "--to", "dog", "--attribute", "pose=left", "--frames", "5", "--rows", "2", "--seed", "4"]
    for name, run in runs.items():
        file = tmp_path / f"{name}.png"
        output = json.loads(call("latent", "interpolate", run, "-o", file, *words, "--json"))
        synthesizer = Synthesizer.load(run / "synthesizer")
        assert output == {"file": str(file), "synthesizer": synthesizer.fingerprint}
        single = synthesizer.sample([[0, 0], [0, 0], [1, 0], [1, 0]], seed=4).images
        for row in range(2):
            np.testing.assert_array_equal(tile(file, row, 0, 5), single[row])
        interpolated = synthesizer.interpolate([[0, 0], [1, 0]], seed=4, indices=[1, 3], frames=5)
        for column in range(5):
            np.testing.assert_array_equal(tile(file, 1, column, 5), interpolated[column])
    second_file = tmp_path / "again.png"
    call("latent", "interpolate", runs["stylegan"], "-o", second_file, *words)
    assert second_file.read_bytes() == (tmp_path / "stylegan.png").read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_a_mixing_table_has_its_sources_at_the_edges(runs, tmp_path: Path) -> None:
    file, options = (
        tmp_path / "m.png",
        ["--attribute", "pose=right", "--rows", "2", "--columns", "3", "--layers", "fine"],
    )
    call("latent", "mix", runs["stylegan"], "-o", file, "--label", "cat", "--to", "dog", *options)
    synthesizer = Synthesizer.load(runs["stylegan"] / "synthesizer")
    cats, dogs = [[0, 1]] * 2, [[1, 1]] * 3
    sampled = synthesizer.sample([*cats, *dogs]).images
    assert (tile(file, 0, 0, 4) == 255).all()
    for column in range(3):
        np.testing.assert_array_equal(tile(file, 0, 1 + column, 4), sampled[2 + column])
    mixed = synthesizer.mix(cats, dogs, layers="fine")
    for row in range(2):
        np.testing.assert_array_equal(tile(file, 1 + row, 0, 4), sampled[row])
        np.testing.assert_array_equal(tile(file, 1 + row, 3, 4), mixed[row, 2])


def test_a_sweep_has_a_row_for_each_image_of_each_class(runs, tmp_path: Path) -> None:
    file, words = tmp_path / "t.png", ["--label", "cat", "--label", "dog", "--attribute", "pose=left", "--rows", "2"]
    call("latent", "truncate", runs["dcgan"], "-o", file, *words, "--values", "0,.5,1", "--start", "7")
    truncated = Synthesizer.load(runs["dcgan"] / "synthesizer").truncate([[1, 0]] * 2, (0, 0.5, 1), start=7)
    for column in range(3):
        np.testing.assert_array_equal(tile(file, 3, column, 3), truncated[1, column])


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ("dcgan", ["interpolate", "--label", "cat", "--to", "dog", "--frames", "3"]),
        ("stylegan", ["mix", "--label", "cat", "--to", "dog", "--columns", "2"]),
        ("dcgan", ["truncate", "--label", "cat", "--label", "dog"]),
        ("stylegan", ["edit", "--edit", "sefa0=1"]),
        ("dcgan", ["directions", "--method", "sefa"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else value,
)
def test_an_attribute_that_is_not_given_takes_its_first_value(runs, tmp_path: Path, run: str, words: list[str]) -> None:
    def drawn(name: str, *more: str) -> tuple[bytes, str]:
        rows = [] if words[0] == "directions" else ["--rows", "1"]
        file = tmp_path / f"{name}.png"
        result = CliRunner().invoke(
            app, ["latent", words[0], str(runs[run]), "-o", str(file), *words[1:], *rows, *more]
        )
        assert result.exit_code == 0, result.output
        return file.read_bytes(), result.stderr

    picture, message = drawn("filled")
    line = "! an attribute that is not given takes its first value: pose=left"
    assert message.splitlines().count(line) == 1
    left, message = drawn("left", "--attribute", "pose=left")
    assert picture == left and line not in message
    assert picture != drawn("right", "--attribute", "pose=right")[0]


@pytest.mark.parametrize(
    ("words", "error", "rule"),
    [
        (["mix", "dcgan", "--label", "cat"], SettingsError, "recipe stylegan"),
        (["mix", "stylegan", "--label", "cat", "--layers", "rough"], SettingsError, "choose coarse, middle, fine"),
        (["interpolate", "dcgan", "--label", "cat", "--space", "w"], SettingsError, "recipe stylegan"),
        (["interpolate", "stylegan", "--label", "cow"], DataError, "it has: cat, dog"),
        (["truncate", "stylegan", "--label", "cat", "--values", "0,much"], SettingsError, "comma-separated"),
        (["truncate", "stylegan", "--label", "cat", "--values", "7"], SettingsError, "from -2 to 2"),
        (["interpolate", "dcgan", "--label", "cat", "--attribute", "pose=up"], DataError, "no pose 'up'"),
        (["mix", "stylegan", "--label", "cat", "--attribute", "smile=broad"], DataError, "no column 'smile'"),
    ],
)
def test_wrong_requests_are_refused_in_words(runs, tmp_path: Path, words: list[str], error, rule: str) -> None:
    verb, run, *options = words
    with pytest.raises(error, match=rule):
        call("latent", verb, runs[run], "-o", tmp_path / "x.png", "--attribute", "pose=left", *options)
    assert not list(tmp_path.iterdir())
