"""Processes that decode give what threads give, bytes and reasons; they die with their work, and one's death is reported."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from augury.data import load
from augury.data.decoding import codecs, reading, worker_pool
from augury.errors import DataError
from tests.helpers.command_line import wait_until

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or (os.cpu_count() or 1) < 2,
    reason="processes are forked on Linux alone, for two cores or more",
)


def jpeg(random: np.random.Generator, side: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(random.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(out, "JPEG")
    return out.getvalue()


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """300 pictures of two sizes, two of them damaged: one in its header, one after it."""
    random, path = np.random.default_rng(0), tmp_path / "set.tar"
    with tarfile.open(path, "w") as file:
        for i in range(300):
            raw = jpeg(random, 20 if i % 7 else 26)
            raw = b"\xff\xd8 no picture" if i == 50 else raw[: len(raw) // 3] if i == 99 else raw
            for name, content in ((f"{i:04d}.jpg", raw), (f"{i:04d}.cls", str(i % 3).encode())):
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                file.addfile(entry, io.BytesIO(content))
    return path


def _elsewhere(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which must not be called in this process."""
    pid = os.getpid()

    def call(*words: Any) -> Any:
        assert os.getpid() != pid
        return function(*words)

    return call


def test_processes_give_what_threads_give(shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_threads = load(shard, on_bad="skip", cache=tmp_path / "threads")
    monkeypatch.setattr(worker_pool, "PROCESSES_FROM", 1)
    monkeypatch.setattr(codecs, "header", _elsewhere(codecs.header))
    by_processes = load(shard, on_bad="skip", cache=tmp_path / "processes")
    assert len(by_processes) == 298 and by_processes.fingerprint == by_threads.fingerprint
    np.testing.assert_array_equal(by_processes.images, by_threads.images)
    assert by_processes.notes["skipped"] == by_threads.notes["skipped"]
    assert [each["file"] for each in by_processes.notes["skipped"]] == ["0050.jpg", "0099.jpg"]
    with pytest.raises(DataError, match=r"0050\.jpg.*1 other file is bad"):
        load(shard, cache=tmp_path / "again")


def test_the_death_of_a_process_is_reported(shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "PROCESSES_FROM", 1)
    monkeypatch.setattr(reading, "_picture", _dying)
    with pytest.raises(DataError, match=r"process that decodes images has died.*0000\.jpg to 0031\.jpg"):
        load(shard, on_bad="skip", cache=tmp_path)


def _dying(*words: object) -> None:
    os._exit(3)


SCRIPT = """
import multiprocessing, time
from augury.data.decoding import worker_pool
pool = worker_pool.DecoderPool(worker_pool.PROCESSES_FROM)
assert pool.processes is not None  # they start on first access
print(*(process.pid for process in multiprocessing.active_children()), flush=True)
time.sleep(60)
"""


def test_they_end_with_a_parent_that_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    children = [int(number) for number in parent.stdout.readline().split()]
    assert children and all(Path(f"/proc/{child}").exists() for child in children)
    parent.kill()
    parent.wait()
    wait_until(lambda: not any(_runs(child) for child in children), seconds=10)


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
