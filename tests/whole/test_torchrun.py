"""`augury run` and `augury train` in several processes that torchrun starts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from augury.files import read_json, read_lines
from tests.helpers.command_line import wait_until

pytestmark = pytest.mark.slow

SETTINGS = [
    *("--recipe", "rpgan", "--set", "train.batch=12", "--set", 'train.overrides={"width": 4, "ada_target": 0.6}'),
    *("--set", "train.augment=diffaugment_light"),
]


def torchrun(processes: int, *words: str) -> subprocess.Popen[str]:
    """`augury` with these words in so many processes."""
    return started(processes, "-m", "augury", *words)


def started(processes: int, *program: str) -> subprocess.Popen[str]:
    """A program, as torchrun starts it, in so many processes."""
    start = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes))
    return subprocess.Popen(
        [sys.executable, *start, *program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def ended(process: subprocess.Popen[str], seconds: float = 300) -> tuple[int, str, str]:
    """(exit status, standard output, standard error)."""
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def process_of_rank(parent: subprocess.Popen[str], rank: int) -> int:
    """The number of the process of this rank."""
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    return next(int(c) for c in children if f"RANK={rank}" in Path(f"/proc/{c}/environ").read_text().split("\0"))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Gradients across and down with noise, three to one."""
    random, labels = np.random.default_rng(0), np.arange(160) % 4 // 3
    ramps = np.stack(np.broadcast_arrays(*np.ogrid[:12, :12]))[labels] * 16
    images = np.clip(ramps + random.normal(0, 25, ramps.shape), 0, 255).astype(np.uint8)
    path = tmp_path_factory.mktemp("data") / "ramps.npz"
    np.savez(path, images=images[..., None], labels=labels)
    return path


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds the process of a rank in /proc")
def test_a_killed_process_ends_all_and_the_run_continues_on_another_number(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = ["train", str(data), "-o", str(folder), *SETTINGS, "--steps", "200", "--set", "train.checkpoint_every=0.2s"]
    process = torchrun(2, *words)
    log = folder / "train" / "log.jsonl"
    wait_until(lambda: log.exists() and len(log.read_text()) > 0, process)
    os.kill(process_of_rank(process, 1), signal.SIGKILL)
    began = time.monotonic()
    status, _, err = ended(process, 60)
    assert status != 0 and time.monotonic() - began < 60
    assert "augury: rank 1 of 2 has ended without a message" in err and "continues from the last checkpoint" in err
    before = read_lines(log)
    assert 0 < before[-1]["step"] < 200

    status, out, err = ended(torchrun(3, *words, "--quiet"))
    assert status == 0, err
    assert out.split() == [str(folder / "synthesizer")]  # the first process alone prints
    rows = read_lines(log)
    assert rows[: len(before)] == before and rows[-1]["step"] == 200


def test_the_trial_is_shared_and_the_verdict_is_that_of_one_process(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    settings = [*SETTINGS, "--set", "prove.steps=20", "--set", "prove.ratios=[0.5]", "--set", "score.limit=50"]
    arms = ["--set", "prove.arms=randaugment,gan", "--set", "prove.seeds=3", "--steps", "20", "--json"]
    status, out, err = ended(torchrun(2, "run", str(data), "-o", str(folder), *settings, *arms))
    assert status == 0, err
    verdict = json.loads(out)["verdict"]
    assert (folder / "report.html").exists() and (folder / "classifier" / "README.md").exists()
    results = read_json(folder / "trial.json")["results"]
    (folder / "trial.json").unlink()
    (folder / "verdict.json").unlink()
    again = subprocess.run(
        [sys.executable, "-m", "augury", "run", "-o", str(folder), "--json", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    assert read_json(folder / "trial.json")["results"] == results
    assert json.loads(again.stdout)["verdict"] == verdict


SCRIPT = """
import sys
from pathlib import Path

import augury

data, folder, remove = sys.argv[1:]


def begin(stage: str, cached: bool) -> None:
    if stage == "train" and remove == "remove":
        Path(data).unlink()  # the first process has read it, and the second one reads it for the training


if __name__ == "__main__":
    settings = {"train": {"batch": 12, "overrides": {"width": 4}}}
    run = augury.run(
        data, folder, settings=settings, recipe="rpgan", steps=6, until="train", callbacks=augury.Callbacks(begin=begin)
    )
    print(run.synthesizer.card.steps, flush=True)
"""


def test_the_message_of_another_process_than_the_first_arrives_and_a_script_continues(
    data: Path, tmp_path: Path
) -> None:
    script, copy, folder = tmp_path / "script.py", tmp_path / "copy.npz", tmp_path / "run"
    script.write_text(SCRIPT, encoding="utf-8")
    shutil.copy(data, copy)
    process = started(2, str(script), str(copy), str(folder), "remove")
    began = time.monotonic()
    status, _, err = ended(process, 60)
    assert status != 0 and time.monotonic() - began < 60
    message = f"rank 1 of 2 ({socket.gethostname()}): {copy}: there is no such file or folder"
    before = [line.partition(message)[0].rstrip(": ") for line in err.splitlines() if message in line]
    assert any(text.endswith("TrainingError") for text in before), err  # of the second process
    assert any(text.endswith(("PeerError", "augury")) for text in before), err  # of the first
    assert (folder / "classifier.safetensors").exists() and not (folder / "synthesizer").exists()

    shutil.copy(data, copy)
    status, out, err = ended(started(2, str(script), str(copy), str(folder), "keep"))
    assert status == 0, err
    assert out.split() == ["6", "6"]  # each process gets the run


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["generate", "runs/none", "-o", "x"], "augury generate works in one process, and torchrun has started 2"),
        (
            ["train", "-o", "{folder}", "--set", "train.batch=3", "--steps", "2"],
            "2 processes that share a batch need at least 4",
        ),
    ],
)
def test_a_mistake_is_reported_once(words: list[str], message: str, data: Path, tmp_path: Path) -> None:
    words = [word.format(folder=tmp_path / "run") for word in words]
    status, _, err = ended(torchrun(2, *words), 120)
    assert status != 0
    assert err.count(message) == 1, err
