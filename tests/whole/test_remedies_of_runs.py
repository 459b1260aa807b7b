"""Remedies that errors of training, generation, trials and exports name are tried: the command with it succeeds."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from augury.cli.commands import app
from augury.errors import AuguryError
from augury.pipeline import session

pytestmark = pytest.mark.slow

SETTINGS = (
    "generate.sampling_strategy=3", "generate.filters=[]", "score.features=pixels", "score.limit=8", "train.batch=8", "prove.steps=2",
    "prove.seeds=2", "prove.batch=8", 'prove.arms=["none","gan"]', "prove.ratios=[0.5]", "prove.near_duplicates=allow",
)  # fmt: skip
SMALL = [word for setting in SETTINGS for word in ("--set", setting)]
TRAINED = ["--recipe", "dcgan", "--steps", "2", *SMALL]
TRIAL = [word for setting in SETTINGS[5:] for word in ("--set", setting)]
GENERATE = ["generate", "RUN", "-o", "OUT", "--number", "2"]


class Row(NamedTuple):
    """A command, a part of its error, the commands with each remedy, and commands that come before."""

    words: list[str]
    part: str
    remedies: list[list[str]]
    before: tuple[list[str], ...] = ()


ROWS: dict[str, Row] = {
    "two lengths": Row(
        ["train", "DATA", "-o", "NEW", *TRAINED, "--budget", "1s"], "--steps and --budget both set the training length; give one of them",
        [["train", "DATA", "-o", "NEW", *TRAINED]],
    ),
    "a time without unit": Row(
        ["train", "DATA", "-o", "NEW", *TRAINED, "--set", "train.checkpoint_every=5"], "write train.checkpoint_every=5s",
        [["train", "DATA", "-o", "NEW", *TRAINED, "--set", "train.checkpoint_every=5s"]],
    ),
    "a setting without section": Row(
        ["train", "DATA", "-o", "NEW", *TRAINED, "--set", "steps=3"], "write it as section.name=value",
        [["train", "DATA", "-o", "NEW", *TRAINED, "--set", "prove.steps=3"]],
    ),
    "a penalty without weight": Row(
        ["train", "DATA", "-o", "NEW", *TRAINED, "--penalty", "r1"], "write it as name=value",
        [["train", "DATA", "-o", "NEW", *TRAINED, "--penalty", "r1=1"]],
    ),
    "images of no class": Row(
        ["run", "DATA", "-o", "NEW", *TRAINED, "--set", "train.unconditional=true"],
        "use augury train and augury generate, or set train.unconditional=false",
        [
            ["train", "DATA", "-o", "NEW", *TRAINED, "--set", "train.unconditional=true"],
            ["run", "DATA", "-o", "NEW", *TRAINED, "--set", "train.unconditional=false"],
        ],
    ),
    "a run folder among the data": Row(
        ["train", "DATA", "-o", "DATA/run", *TRAINED], "choose another place with -o", [["train", "DATA", "-o", "NEW", *TRAINED]],
    ),
    "a run folder called like a file": Row(
        ["train", "DATA", "-o", "NEW.npz", *TRAINED], "choose a name without ending, as -o ", [["train", "DATA", "-o", "NEW", *TRAINED]],
    ),
    "an unfinished run": Row(["report", "RUN"], "continue the run with: augury run -o RUN", [["run", "-o", "RUN"]]),
    "images of other settings": Row(
        [*GENERATE, "--truncation", "0.5"], "choose another folder with -o, or draw other images with --seed or --start",
        [
            ["generate", "RUN", "-o", "NEW", "--number", "2", "--truncation", "0.5"],
            [*GENERATE, "--truncation", "0.5", "--seed", "1"],
            [*GENERATE, "--truncation", "0.5", "--start", "2"],
        ],
        (GENERATE,),
    ),
    "a folder of something else": Row(
        ["generate", "RUN", "-o", "DATA"], "choose another folder with -o", [["generate", "RUN", "-o", "NEW"]],
    ),
    "a class of another name": Row(
        [*GENERATE, "--label", "aa"], "did you mean 'a'", [[*GENERATE, "--label", "a"]],
    ),
    "a generator that does not translate": Row(
        ["translate", "RUN", "DATA", "-o", "NEW", "--change", "label=a"], "or generate images with: augury generate",
        [["generate", "RUN", "-o", "NEW"]],
    ),
    "an export called like a table": Row(
        ["export", "RUN", "-o", "NEW.csv"], "--format csv -o NEW", [["export", "RUN", "--format", "csv", "-o", "NEW"]],
    ),
    "an export over a file": Row(
        ["export", "RUN", "-o", "NEW.npz"], "--force",
        [["export", "RUN", "-o", "NEW.npz", "--force"]], (["export", "RUN", "-o", "NEW.npz"],),
    ),
    "a folder of a run for its trial": Row(
        ["prove", "RUN", "--seed", "1"], "--seed needs --with SYNTHETIC",
        [["prove", "DATA", "--with", "OUT", "-o", "NEW", "--seed", "1", *TRIAL]], (GENERATE,),
    ),
    "a setting that no external trial has": Row(
        ["prove", "DATA", "--with", "OUT", "-o", "NEW", "--set", "train.steps=3", *TRIAL], "has no effect with --with SYNTHETIC",
        [["prove", "DATA", "--with", "OUT", "-o", "NEW", *TRIAL]], (GENERATE,),
    ),
    "a score of two sets for a run": Row(
        ["evaluate", "RUN", "--scores", "fd"], "is for two sets of images, but only RUN is given; give the synthetic images too, or leave it out",
        [
            ["evaluate", "DATA", "OUT", "--scores", "fd", "--features", "pixels"],
            ["evaluate", "RUN"],
        ],
        (GENERATE,),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of data, DATA, and a run of it, RUN, up to the trained generator."""
    root = tmp_path_factory.mktemp("trained")
    for i in range(45):
        file = root / "DATA" / "aab"[i % 3] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (12, 12), np.uint8)).save(file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "CLASSIFIER_STEPS", 2)
        succeeds, printed = ended(root, ["train", "DATA", "-o", "RUN", *TRAINED])
    assert succeeds, printed
    return root


def ended(root: Path, words: list[str]) -> tuple[bool, str]:
    """Whether the command succeeds in this folder, and what it prints."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        result = CliRunner().invoke(app, words)
    if result.exception is not None and not isinstance(result.exception, AuguryError):
        raise result.exception
    return result.exception is None, f"{result.output}\n{result.exception or ''}"


@pytest.mark.parametrize("name", ROWS)
def test_a_remedy_does_what_the_error_says(
    trained: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "CLASSIFIER_STEPS", 2)
    monkeypatch.setenv("AUGURY_CACHE", str(trained / "cache"))
    row = ROWS[name]
    for number, remedy in enumerate(row.remedies):
        root = shutil.copytree(trained, tmp_path / str(number), ignore=shutil.ignore_patterns("cache", ".lock"))
        monkeypatch.chdir(root)
        run_file = root / "RUN" / "run.json"
        run_file.write_text(run_file.read_text().replace(str(trained), str(root)))
        for words in row.before:
            succeeds, printed = ended(root, words)
            assert succeeds, printed
        succeeds, error = ended(root, row.words)
        assert not succeeds and row.part in error, error
        succeeds, printed = ended(root, remedy)
        assert succeeds, (remedy, printed)
        assert row.part not in printed
