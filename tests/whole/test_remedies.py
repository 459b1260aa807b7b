"""Every remedy that a text about data names is tried: the same command with it ends without that text."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import augury
from augury.cli.commands import app
from augury.data import load, read_target
from augury.errors import AuguryError
from augury.pipeline.inputs import Callbacks
from tests.helpers.texts import OPTION, texts

RANDOM = np.random.default_rng(0)
N = 60


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUGURY_CACHE", str(tmp_path / "cache"))


def noise(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 256, shape, np.uint8)


def saved(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def table(root: Path, header: list[str], line: Callable[[int], list[Any]], folder: str = "") -> Path:
    """set.csv of N images; `line` gives what follows the name of image i."""
    for i in range(N):
        saved(root / folder / f"{i}.png", noise(12, 12))
    with (root / "set.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *([f"{i}.png", *line(i)] for i in range(N))])
    return root / "set.csv"


def npz(root: Path, images: np.ndarray, **columns: Any) -> Path:
    np.savez(root / "set.npz", images=images, labels=np.arange(len(images)) % 2, **columns)
    return root / "set.npz"


def blank_person(root: Path) -> Path:
    return table(root, ["path", "label", "Patient ID"], lambda i: [i % 2, "" if i == 3 else i // 3])


def unknown_columns(root: Path) -> Path:
    return table(root, ["Image Index", "Finding Labels"], lambda i: [i % 2])


def two_groups(root: Path) -> Path:
    return table(root, ["path", "label", "person", "track"], lambda i: [i % 2, i // 6, i // 3])


def two_labels(root: Path) -> Path:
    return table(root, ["path", "label", "class"], lambda i: [i % 2, "ab"[i % 2]])


def elsewhere(root: Path) -> Path:
    return table(root, ["path", "label"], lambda i: [i % 2], "pictures")


def damaged(root: Path) -> Path:
    for i in range(N):
        saved(root / "pets" / "ab"[i % 2] / f"{i}.png", noise(12, 12))
    (root / "pets" / "a" / "x.png").write_bytes(b"no image")
    return root / "pets"


def four_channels(root: Path) -> Path:
    return npz(root, noise(N, 12, 12, 4))


def white_drawings(root: Path, ending: str = "png") -> Path:
    for i in range(N):
        pixels = np.full((12, 12, 4), 255, np.uint8)
        pixels[..., 3] = noise(12, 12)
        saved(root / "icons" / "ab"[i % 2] / f"{i}.{ending}", pixels)
    return root / "icons"


def white_arrays(root: Path) -> Path:
    pixels = np.full((N, 12, 12, 4), 255, np.uint8)
    pixels[..., 3] = noise(N, 12, 12)
    return npz(root, pixels)


def hidden_colours(root: Path) -> Path:
    pixels = noise(N, 12, 12, 4)
    pixels[..., 3] = 0
    return npz(root, pixels)


def absent_from_test(root: Path) -> Path:
    for part, number in (("train", 24), ("test", 12)):
        for i in range(number):
            for label in "abc" if part == "train" else "ab":
                saved(root / "parts" / part / label / f"{i}.png", noise(12, 12))
    return root / "parts"


def twins_in_two_parts(root: Path) -> Path:
    path = absent_from_test(root)
    for i in range(12):
        saved(path / "test" / "c" / f"{i}.png", noise(12, 12))
    for i in (0, 1):
        (path / "test" / "c" / f"twin{i}.png").write_bytes((path / "train" / "c" / f"{i}.png").read_bytes())
    return path


def given_parts(root: Path) -> Path:
    return npz(root, noise(N, 12, 12), split=np.repeat(["train", "val", "test"], N // 3))


def person_in_two_parts(root: Path) -> Path:
    return npz(root, noise(N, 12, 12), split=np.repeat(["train", "val", "test"], N // 3), person=np.arange(N) % 25)


def one_hot_or_else(root: Path) -> Path:
    return table(root, ["path", "male", "female", "dx"], lambda i: [i % 2, 1 - i % 2, "ab"[i % 3 % 2]])


def several_labels(root: Path) -> Path:
    return table(root, ["path", "A", "B"], lambda i: [1, int(i == 3)] if i % 2 else [0, 1])


def no_label_in_row(root: Path) -> Path:
    return table(root, ["path", "label"], lambda i: ["" if i == 5 else i % 2])


def one_group(root: Path) -> Path:
    return table(root, ["path", "label", "patient"], lambda i: [i % 2, "ANONYMOUS"])


def another_id(root: Path) -> Path:
    return table(root, ["path", "label", "Site ID"], lambda i: [i % 2, i // 3])


def people(root: Path) -> Path:
    return table(root, ["path", "label", "patient"], lambda i: [i % 2, i // 3])


def ages(root: Path) -> Path:
    return table(root, ["path", "label", "age"], lambda i: [i % 2, 20 + i // 2 % 20])


def file_names(root: Path) -> Path:
    return table(root, ["path", "label", "source"], lambda i: [i % 2, f"IMG_{i}.jpg"])


def large(root: Path) -> Path:
    for i in range(N):
        saved(root / "large" / "ab"[i % 2] / f"{i}.png", noise(80, 80))
    return root / "large"


def twice_the_names(root: Path) -> Path:
    for i in range(N):
        saved(root / "plants" / ("oak", "elm")[i % 2] / ("leaf", "bark")[i // 2 % 2] / f"{i}.png", noise(12, 12))
    return root / "plants"


def linked(root: Path) -> Path:
    for i in range(N):
        saved(root / "pool" / f"{i}.png", noise(12, 12))
        path = root / "links" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(root / "pool" / f"{i}.png")
    return root / "links"


PIXELS = ("--features", "pixels", "--scores", "fd", "--baseline", "none")
SPLIT, LOOK = ("split", "-o", "OUT"), ("inspect",)
ROWS: dict[str, tuple[Callable[[Path], Path], tuple[str, ...], str, list[list[str]]]] = {
    "a person without a name": (blank_person, SPLIT, "has no 'Patient ID'", [["--group", "none"], ["--on-bad", "skip"]]),
    "columns of other names": (
        unknown_columns, LOOK, "no column is the image", [["--column", "image=Image Index", "--column", "label=Finding Labels"]],
    ),
    "two groups": (two_groups, LOOK, "could both be the group", [["--group", "person"], ["--group", "track"]]),
    "two labels": (two_labels, LOOK, "could both be the label", [["--column", "label=label"], ["--column", "label=class"]]),
    "files elsewhere": (elsewhere, LOOK, "none of its files is there", [["--root", "IN/pictures"]]),
    "a damaged file": (damaged, SPLIT, "damaged, or not an image", [["--on-bad", "skip"]]),
    "a row without a label": (no_label_in_row, SPLIT, "has no label", [["--on-bad", "skip"]]),
    "four channels": (
        four_channels, LOOK, "does not say whether the fourth is opacity",
        [["--transparency", "white"], ["--transparency", "black"], ["--transparency", "ignore"]],
    ),
    "white drawings": (white_drawings, SPLIT, "becomes one colour", [["--transparency", "black"]]),
    "white drawings in an array": (
        white_arrays, (*LOOK, "--transparency", "white"), "becomes one colour", [["--transparency", "black"]],
    ),
    "colours under transparency": (
        hidden_colours, (*LOOK, "--transparency", "white"), "becomes one colour", [["--transparency", "ignore"]],
    ),
    "a class without test images": (absent_from_test, SPLIT, "no image in the given test split", [["--split", "new"]]),
    "the same, inspected": (absent_from_test, LOOK, "no image in the test split", [["--split", "new"]]),
    "near-duplicates in two parts": (
        twins_in_two_parts, SPLIT, "lie in more than one part",
        [["--set", "data.near_duplicates=drop"], ["--set", "data.near_duplicates=allow"], ["--split", "new"]],
    ),
    "a person in two parts": (person_in_two_parts, SPLIT, "of the given split, and", [["--split", "new"]]),
    "folds of data with parts": (
        given_parts, (*SPLIT, "--set", "data.fold=[1,3]"), "folds divide them anew", [["--split", "new"]],
    ),
    "columns that may be the label": (
        one_hot_or_else, LOOK, "no column is called the label", [["--column", "label=male,female"], ["--column", "label=dx"]],
    ),
    "several labels an image": (
        several_labels, SPLIT, "Augury learns one class an image", [["--column", "label=A,B", "--on-bad", "skip"]],
    ),
    "white drawings that are scored": (
        white_drawings, ("evaluate", "IN/icons", *PIXELS), "becomes one colour", [["--transparency", "black"]],
    ),
    "columns of tables that are scored": (
        unknown_columns, ("evaluate", "IN/set.csv", *PIXELS), "no column is the image", [["--column", "image=Image Index"]],
    ),
    "one group": (one_group, LOOK, "are in one group", [["--group", "none"]]),
    "an id that recurs": (another_id, LOOK, "looks like an id", [["--group", "Site ID"], ["--group", "none"]]),
    "groups": (people, LOOK, "20 groups, each kept in one part", [["--group", "none"]]),
    "an attribute of numbers": (ages, LOOK, "all of them numbers", [["--bins", "age=3"]]),
    "the same as a condition": (ages, (*LOOK, "--condition", "age"), "a translator needs a few categories", [["--bins", "age=2"]]),
    "a column of file names": (file_names, LOOK, "not used as attributes", [["--attributes", "source"]]),
    "inner folders of the same names": (
        twice_the_names, LOOK, "unclear which are the classes", [["--class-folder", "1"], ["--class-folder", "2"]],
    ),
    "links out of the folder": (linked, LOOK, "links that lead outside", [["--follow-links", "IN/pool"]]),
    "large images": (large, LOOK, "are used at 64 x 64", [["--size", "80"]]),
}  # fmt: skip
"""The situation -> what makes the data, the command, a part of the text, and the remedies that the text names."""
ELSEWHERE = {
    "--fit": "test_target_images_are_padded_or_the_labelled_ones_smaller",
    "--sampling-strategy": "the plan of a run, not a remedy: tests/generation/test_amounts.py",
    "--with": "prove of the images of another generator: tests/proof/test_judging.py",
    "--set": "with a setting, as --set data.near_duplicates=drop above",
}


def ended(data: Path, out: Path, words: list[str]) -> tuple[bool, str]:
    """Whether the command succeeded, and all that it printed."""
    replaced = [word.replace("IN/", f"{data.parent}/").replace("OUT", str(out)) for word in words]
    result = CliRunner().invoke(app, [replaced[0], str(data), *replaced[1:]])
    if result.exception is not None and not isinstance(result.exception, AuguryError):
        raise result.exception
    return result.exception is None, f"{result.output}\n{result.exception or ''}"


@pytest.mark.parametrize("name", ROWS)
def test_a_remedy_does_what_the_text_says(tmp_path: Path, name: str) -> None:
    make, command, part, remedies = ROWS[name]
    data = make(tmp_path)
    _, message = ended(data, tmp_path / "before", list(command))
    assert part in message
    for number, words in enumerate(remedies):
        for option in OPTION.findall(" ".join(words)):
            assert option in message or option == "--set"
        fine, after = ended(data, tmp_path / f"after-{number}", [*command, *words])
        assert fine, (words, after)
        assert part not in after, words


def test_every_option_named_in_texts_about_data_is_tried_here() -> None:
    tried = {
        option
        for _, _, _, remedies in ROWS.values()
        for words in remedies
        for option in OPTION.findall(" ".join(words))
    }
    option_names = {option for origin, text in texts() if origin.startswith("data/") for option in OPTION.findall(text)}
    assert option_names - tried <= ELSEWHERE.keys() and not ELSEWHERE.keys() - option_names


def test_target_images_are_padded_or_the_labelled_ones_smaller(tmp_path: Path) -> None:
    for i in range(24):
        saved(tmp_path / "wide" / f"{i}.png", noise(16, 64))
        saved(tmp_path / "small" / f"{i}.png", noise(8, 8))
        saved(tmp_path / "labelled" / "ab"[i % 2] / f"{i}.png", noise(64, 64))
    labelled = load(tmp_path / "labelled")
    with pytest.raises(AuguryError, match=r"would lose 75% of their area.*--fit pad"):
        read_target(tmp_path / "wide", load(tmp_path / "labelled", size=16))
    assert len(read_target(tmp_path / "wide", load(tmp_path / "labelled", size=16), fit="pad").images) == 24
    with pytest.raises(AuguryError, match=r"would be enlarged 8\.0 times.*\(--size\)"):
        read_target(tmp_path / "small", labelled)
    assert len(read_target(tmp_path / "small", load(tmp_path / "labelled", size=32)).images) == 24


def test_a_run_repeats_what_inspect_warns_of(tmp_path: Path) -> None:
    """Masks of 0 and 1, and an id that is not used: said again before anything is trained, and by `split`."""
    path = npz(tmp_path, RANDOM.integers(0, 2, (N, 12, 12)).astype(np.uint8), site_id=np.arange(N) // 3)
    notes: list[str] = []
    augury.run(path, tmp_path / "run", until="split", callbacks=Callbacks(note=notes.append), steps=3)
    for part in ("nearly black", "looks like an id"):
        assert sum(part in note for note in notes) == 1
        result = CliRunner().invoke(app, ["split", str(path), "-o", str(tmp_path / re.sub(r"\W", "", part))])
        assert part in result.stderr and part not in result.stdout
