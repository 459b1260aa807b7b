"""Progress: bars on a terminal that are never wider than it, lines elsewhere, callbacks and the logger."""

from __future__ import annotations

import io
import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import augury
from augury import Callbacks
from augury.cli.commands import app
from augury.cli.options import ORDER
from augury.images import LabelledImages
from augury.pipeline import session as sessions
from augury.pipeline.display import Display, clock
from augury.pipeline.progress import RunCost, StageCost
from augury.training import Progress
from tests.helpers.command_line import in_terminal

LOSSES = {"loss_d": 0.693, "loss_g": 1.2, "score_real": 0.1, "pairwise_accuracy": 0.5} | {
    f"loss_{i}": i / 7 for i in range(20)
}
COST = RunCost({"train": StageCost("1 training", 60.0), "prove": StageCost("4 trainings", 40.0)}, 5, 10**7)


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def lines_on_screen(text: str) -> list[str]:
    """Each line as it was drawn, without the sequences that move the cursor or colour it."""
    return re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text))


def played(stream: io.StringIO) -> Display:
    """A display that has gone through a training to the middle and a trial to its first quarter, in 70 s."""
    time = Clock()
    display = Display(stream, time)
    calls = display.callbacks()
    assert calls.plan is not None
    calls.plan(COST)
    calls.begin("split", True)
    calls.begin("train", False)
    for step in (1, 100, 500, 1000):
        time.seconds = step * 0.06
        calls.training(Progress(step, 1000, LOSSES, 12345.6, 60.0 - time.seconds))
        calls.note("a note of many words " * 20) if step == 500 else None
    calls.end("train")
    calls.begin("prove", False)
    time.seconds = 70.0
    calls.amount("trainings", 1, 4)
    return display


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_no_line_is_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    stream = Screen()
    played(stream).close()
    screen_lines = lines_on_screen(stream.getvalue())
    assert max(map(len, screen_lines)) <= columns
    assert any(line.startswith("run ") for line in screen_lines) and any(
        line.startswith("train ") for line in screen_lines
    )


def test_the_bar_of_the_run_follows_the_plan_and_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    stream = Screen()
    played(stream).close()
    text = "\n".join(lines_on_screen(stream.getvalue()))
    # The training is 60 % of the plan: half of it is 30 %. It took 30 s, so the other 70 % take 70 s.
    assert re.search(
        r"run .* 30%  1:10 left *\ntrain .* 500/1,000 steps  0:30 left *\nloss_d \+0\.693  loss_g \+1\.200", text
    )
    # A quarter of the trial is a tenth of the plan: 70 % in 70 s. The trial itself has taken 10 s.
    assert re.search(r"run .* 70%  0:30 left *\nprove .* 1/4 trainings  0:30 left", text)
    assert "train     1:00" in text and "split (done before)" in text and "score_real" not in text


def test_a_file_gets_plain_lines() -> None:
    stream = io.StringIO()
    played(stream)
    text = stream.getvalue()
    assert "\x1b" not in text and "\r" not in text
    assert text.startswith("Plan, by the speed measured on this machine just now:\n  train  1 training")
    assert "\nsplit (done before)\ntrain\n" in text and "  500/1,000 steps  loss_d +0.693" in text
    assert "  100/1,000 steps" not in text, "a line every 15 s, and this one came after 6 s"


def test_times_are_written_as_a_clock_shows_them() -> None:
    assert [clock(n) for n in (0.4, 65, 3725, -3)] == ["0:00", "1:05", "1:02:05", "0:00"]


@pytest.fixture
def noise(monkeypatch: pytest.MonkeyPatch) -> LabelledImages:
    monkeypatch.setattr(sessions, "CLASSIFIER_STEPS", 3)
    images = np.random.default_rng(0).integers(0, 256, (60, 1, 12, 12), dtype=np.uint8)
    return LabelledImages(images, np.repeat([0, 1], [40, 20]), ("a", "b"))


def test_python_shows_progress_calls_back_and_logs(
    noise: LabelledImages, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    steps: list[int] = []
    stages: list[Any] = []
    callbacks = Callbacks(training=lambda progress: steps.append(progress.step), end=stages.append)
    with caplog.at_level(logging.DEBUG, "augury"):
        options = {"recipe": "dcgan", "steps": 4, "batch": 8}
        augury.run(noise, tmp_path / "r", until="train", verbose=True, callbacks=callbacks, **options)
    output = capsys.readouterr()
    assert output.out == "" and "\nsplit\nclassify\ntrain\n" in output.err and output.err.startswith("Plan")
    assert stages == ["split", "classify", "train"] and steps[-1] == 4
    messages = [record.getMessage() for record in caplog.records]
    assert messages[0].startswith("plan:\nsplit") and "train: begins" in messages and "train: ends" in messages
    augury.run(noise, tmp_path / "r", until="train")
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
def test_a_command_in_a_terminal_of_80_columns(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 12, 12), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", images=images, labels=np.repeat([0, 1], [40, 20]))
    words = ["train", str(tmp_path / "d.npz"), "-o", str(tmp_path / "r"), "--recipe", "dcgan", "--steps", "20"]
    status, text = in_terminal(*words, "--set", "train.batch=8")
    screen_lines = [line for line in lines_on_screen(text) if "/r" not in line]  # the path of the result may be longer
    assert status == 0 and max(map(len, screen_lines)) <= 80
    assert any(re.match(r"run .*% .* left", line) for line in screen_lines)
    assert any(re.match(r"train .* 20/20 steps", line) for line in screen_lines)
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h"), "the cursor is hidden at the end"
    status, text = in_terminal(
        "train", "-o", str(tmp_path / "s"), "--steps", "5", "--unlabelled", str(tmp_path / "none")
    )
    assert (
        status == 1
        and text.startswith("No path given: using the embedded sample")
        and "augury run photos/" in text[:200]
    )
    quiet = CliRunner().invoke(app, [*words, "--set", "train.batch=8", "--quiet", "--json"])
    assert (quiet.exit_code, quiet.stderr) == (0, "") and quiet.stdout.startswith("{")


def _verbs() -> list[str]:
    return [name for name in ORDER if name not in ("latent", "explore")] + [  # explore is a server
        f"latent {name}" for name in ("directions", "edit", "interpolate", "invert", "mix", "smoothness", "truncate")
    ]


@pytest.mark.parametrize("verb", _verbs())
def test_every_verb_takes_quiet_and_json(verb: str) -> None:
    text = CliRunner().invoke(app, [*verb.split(), "--help"]).stdout
    assert "--quiet" in text and "--json" in text


def test_the_list_of_commands_is_in_order_and_complete() -> None:
    text = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "80"}).stdout
    text = text[text.index("Commands:") :]
    assert re.findall(r"^  ([a-z]+)  +[A-Z]", text, re.MULTILINE) == list(ORDER)
    assert "..." not in text and "…" not in text and max(map(len, text.splitlines())) <= 80
    assert "as a run does" in text and "self-test" in text


def test_train_explains_its_losses_and_has_no_option_of_a_whole_run() -> None:
    text = " ".join(CliRunner().invoke(app, ["train", "--help"]).stdout.split())
    assert "loss_d and loss_g are the losses of discriminator and generator" in text
    assert all(option not in text for option in ("--folds", "--time ", "--quick"))
    assert all(
        option in CliRunner().invoke(app, ["run", "--help"]).stdout for option in ("--folds", "--time", "--quick")
    )
