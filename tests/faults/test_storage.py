"""Faults of disks: bits that flip, disks that are full, file systems without locks."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import socket
from pathlib import Path

import pytest
import torch

import augury
from augury.errors import RunFolderError
from augury.pipeline.run_folder import Run
from augury.training import Synthesizer, checkpoints, train_plan
from tests.helpers.fuzzing import small_run
from tests.helpers.training_data import planned, small


def flip(path: Path, at: int) -> None:
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_one_changed_bit_of_the_newest_checkpoint_costs_one_interval_and_not_the_result(tmp_path: Path) -> None:
    data = small()
    plan = planned(data, recipe="dcgan", steps=6)
    whole = train_plan(plan, data, tmp_path / "whole").weights
    steps: list[int] = []

    def stop(progress) -> None:
        steps.append(progress.step)
        if progress.step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_plan(plan, data, tmp_path / "parts", checkpoint_every=0.0, on_progress=stop)
    older, newest = checkpoints.files(tmp_path / "parts")[-2:]
    flip(newest, newest.stat().st_size - 9)
    with pytest.raises(RunFolderError, match="checksum differs"):
        checkpoints.load(newest)
    resumed: list[int] = []
    weights = train_plan(
        plan, data, tmp_path / "parts", on_progress=lambda progress: resumed.append(progress.step)
    ).weights
    assert resumed[0] == int(older.stem[-7:]) + 1
    assert weights == whole


@pytest.mark.parametrize("part", ["tensor", "facts"])
def test_the_checksum_covers_tensors_and_facts(part: str, tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    tensors = {"a": torch.arange(6, dtype=torch.bfloat16), "b": torch.ones(()), "none": torch.empty(0, 3)}
    checkpoints.save(file, tensors, {"step": "12"})
    loaded, facts = checkpoints.load(file)
    assert facts == {"step": "12"} and all(torch.equal(loaded[name], tensors[name]) for name in tensors)
    content = file.read_bytes()
    at = content.index(b'"step":"12"') + 9 if part == "facts" else len(content) - 2
    flip(file, at)
    with pytest.raises(RunFolderError, match="checksum differs"):
        checkpoints.load(file)


def test_one_changed_bit_of_a_synthesizer_is_refused(tmp_path: Path) -> None:
    data = small()
    train_plan(planned(data, recipe="dcgan", steps=1), data).save(tmp_path / "s")
    Synthesizer.load(tmp_path / "s")
    flip(tmp_path / "s" / "weights.safetensors", -5)
    with pytest.raises(RunFolderError, match=r"weights\.safetensors: its SHA-256 is not that of the card"):
        Synthesizer.load(tmp_path / "s")


@pytest.mark.slow
def test_a_disk_that_is_full_at_any_write_is_reported_and_the_same_call_goes_on(tmp_path: Path, monkeypatch) -> None:
    """The first write of each file fails once. Every attempt gets further, and the last ends in the same bytes."""
    whole = small_run(tmp_path / "whole")
    failed: set[str] = set()
    real_fsync, real_replace = os.fsync, Path.replace

    def check(name: str) -> None:
        general = re.sub(r"\d+", "N", name)
        if general not in failed:
            failed.add(general)
            raise OSError(errno.ENOSPC, "No space left on device")

    def fsync(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        check(name.removeprefix(".").rsplit(".", 2)[0] if name.endswith(".part") else name)
        real_fsync(descriptor)

    def replace(self: Path, target: Path) -> Path:
        if self.is_dir() and self.suffix == ".part":
            check(target.name)
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    for _ in range(100):
        before = len(failed)
        try:
            parts = small_run(tmp_path / "parts")
        except RunFolderError as error:
            assert "the disk is full" in str(error) and "same command again" in str(error)
            assert len(failed) == before + 1
            assert not list((tmp_path / "parts").rglob("*.part"))
        else:
            break
    assert {"run.json", "split.npy", "weights.safetensors", "images.npy", "verdict.json", "report.html"} <= failed, (
        failed
    )
    for name in ("split.npy", "synthesizer/weights.safetensors", "synthetic/images.npy", "synthetic/manifest.jsonl"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes(), name
    assert whole.verdict == parts.verdict


def without_locks(descriptor: int, operation: int) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


def test_without_locks_one_process_works_and_a_second_is_refused(tmp_path: Path, monkeypatch, caplog) -> None:
    import filelock._unix

    monkeypatch.setattr(filelock._unix.fcntl, "flock", without_locks)
    run = Run(tmp_path / "r")
    with caplog.at_level(logging.WARNING, "augury"), run.held():
        assert (run / ".holder").read_text() == f"{os.getpid()} on {socket.gethostname()}"
        with pytest.raises(RunFolderError, match=rf"another augury \(process {os.getpid()} on"), run.held():
            pass
        assert run.working
    assert "this file system has no locks" in caplog.text
    assert not run.working
    (run / ".holder").write_text(f"4194304 on {socket.gethostname()}")  # above the largest number of a process
    with run.held():
        assert run.working


def test_a_damaged_line_amid_a_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_text(json.dumps({"a": 1}) + "\n\x00\x00\n" + json.dumps({"a": 2}) + "\n")
    with pytest.raises(RunFolderError, match="line 2 of 3"):
        augury.files.read_lines(tmp_path / "manifest.jsonl")
