"""Ctrl-C and SIGTERM end a command within seconds; a training leaves a checkpoint and continues to the same bytes."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from augury.interruption import held_back
from augury.proof import TrainConfig, fit_many
from augury.training import train_plan
from tests.helpers.command_line import started, wait_until
from tests.helpers.training_data import CPU, planned, small


@pytest.fixture(autouse=True)
def usual_handlers() -> Iterator[None]:
    """Tests that a shell started in the background ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def kick(number: int) -> None:
    os.kill(os.getpid(), number)


def test_a_signal_waits_for_the_end_of_the_block_and_is_delivered_there() -> None:
    reached = []
    with pytest.raises(KeyboardInterrupt), held_back() as interrupted:
        assert not interrupted()
        kick(signal.SIGINT)
        reached.append(interrupted())
    assert reached == [True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_signal_ends_the_block_at_once() -> None:
    reached = []
    with pytest.raises(KeyboardInterrupt), held_back():
        kick(signal.SIGINT)
        reached.append("after the first")
        kick(signal.SIGINT)
        reached.append("after the second")
    assert reached == ["after the first"]


def test_a_handler_of_the_caller_gets_the_signal_and_the_block_ends_nevertheless() -> None:
    received = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:
        with pytest.raises(KeyboardInterrupt), held_back():
            kick(signal.SIGTERM)
            assert not received
        assert received == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with held_back() as interrupted:
            kick(signal.SIGINT)
            assert not interrupted()
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_change_no_handlers() -> None:
    handler, states = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with held_back() as interrupted:
            states.append((interrupted(), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert states == [(False, handler)]


def test_an_interrupted_training_has_a_checkpoint_of_its_last_step_and_ends_in_the_same_weights(tmp_path: Path) -> None:
    data = small()
    plan = planned(data, recipe="dcgan", steps=7)
    whole = train_plan(plan, data, tmp_path / "whole").weights
    steps = []

    def interrupt(progress) -> None:
        steps.append(progress.step)
        if progress.step == 3:
            kick(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train_plan(plan, data, tmp_path / "parts", on_progress=interrupt)
    assert steps[-1] <= 4
    assert (tmp_path / "parts" / f"checkpoint-{steps[-1]:07d}.safetensors").exists()
    assert train_plan(plan, data, tmp_path / "parts").weights == whole


@pytest.mark.slow
def test_sigterm_ends_a_training_within_seconds_with_a_checkpoint(tmp_path: Path) -> None:
    run = tmp_path / "r"
    process = started("train", "-o", str(run), "--steps", "100000", "--precision", "fp32")
    try:
        wait_until(lambda: any((run / "train").glob("checkpoint-*.safetensors")), process)
        before = {file.name for file in (run / "train").glob("checkpoint-*")}
        process.send_signal(signal.SIGTERM)
        _, output = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 143
    assert "interrupted; finished work is kept" in output and "Traceback" not in output
    assert {file.name for file in (run / "train").glob("checkpoint-*")} != before
    assert not (run / ".holder").exists()


class Blocked(torch.nn.Module):
    """A classifier whose training goes on until `released`."""

    released = threading.Event()
    draws = False

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.last = torch.nn.Linear(channels, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.released.wait(60)
        return self.last(images.mean((2, 3)))


def test_an_interrupted_trial_does_not_wait_for_classifiers_in_training() -> None:
    data = small()
    config = TrainConfig(steps=3, batch=8)
    timer = threading.Timer(0.5, kick, [signal.SIGINT])
    start = time.monotonic()
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            list(
                fit_many(
                    [data, data],
                    config,
                    seeds=[0, 1],
                    device=CPU,
                    then=lambda model: model,
                    build=Blocked,
                    way="threaded",
                )
            )
        assert time.monotonic() - start < 30
    finally:
        Blocked.released.set()
        timer.cancel()
