"""The engine ray without Ray: a module in its place that answers as Ray documents it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from augury.errors import AuguryError, RunFolderError, SettingsError
from augury.shards import ENGINES, Job, ShardPlan

JOB = Job(ShardPlan("generate", "any", "gan", 1, "", (1, 8, 8), ("a",), 640, 64, cells=((0,),)), "source", "output")


def unreachable(error: Exception) -> SimpleNamespace:
    def init(**options: object) -> None:
        raise error

    return SimpleNamespace(is_initialized=lambda: False, init=init)


@pytest.mark.parametrize(
    ("address", "error", "kind", "words"),
    [
        (
            "10.9.8.7:6379",
            ConnectionError(),
            SettingsError,
            r"RAY_ADDRESS=10\.9\.8\.7:6379: .*\(ConnectionError\).*unset",
        ),
        ("http://head:8265", AssertionError("Module: http"), SettingsError, r"\(Module: http\); correct the address"),
        ("", ConnectionError("stale\naddress"), RunFolderError, r"\(stale address\).*ray stop.*--engine local"),
    ],
)
def test_a_cluster_that_cannot_be_reached_is_explained(
    monkeypatch: pytest.MonkeyPatch, address: str, error: Exception, kind: type[AuguryError], words: str
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setitem(sys.modules, "ray", unreachable(error))
    with pytest.raises(kind, match=words):
        ENGINES["ray"](JOB, [0], None, lambda done, total: None)


def test_an_error_that_is_not_about_the_address_is_not_explained_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setitem(sys.modules, "ray", unreachable(ValueError("a wrong option")))
    with pytest.raises(ValueError, match="a wrong option"):
        ENGINES["ray"](JOB, [0], None, lambda done, total: None)


def test_a_growing_cluster_gets_more_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """One core at first, four after the first finished shard: two tasks at a time for each."""
    running: list[int] = []
    most: list[int] = []
    done: list[int] = []

    def remote(job: Job, shard: int) -> int:
        running.append(shard)
        return shard

    def wait(references: list[int], num_returns: int) -> tuple[list[int], list[int]]:
        assert references == running and num_returns == 1
        most.append(len(running))
        done.append(running.pop(0))
        return done[-1:], running

    def decorated(**options: Any) -> Callable[[Any], SimpleNamespace]:
        return lambda make: SimpleNamespace(remote=remote)

    ray = SimpleNamespace(
        is_initialized=lambda: True,
        remote=decorated,
        cluster_resources=lambda: {"CPU": 4.0 if done else 1.0},
        wait=wait,
        get=lambda shard: {"shard": shard},
        exceptions=SimpleNamespace(RayTaskError=KeyError, RayError=OSError),
    )
    monkeypatch.setitem(sys.modules, "ray", ray)
    manifests = ENGINES["ray"](JOB, range(10), None, lambda finished, total: None)
    assert [manifest["shard"] for manifest in manifests] == list(range(10))
    assert most == [2, 8, 8, 7, 6, 5, 4, 3, 2, 1]
