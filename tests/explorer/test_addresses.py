"""Where the explorer listens, the address that it prints, and the hosts that it answers."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="the extra [explore] is not installed")

from starlette.testclient import TestClient

from augury.explorer import Address, application
from augury.explorer.view import RunView
from augury.pipeline.run_folder import Run

OWN = ["127.0.0.1", "localhost", "::1", "127.0.0.2", "127.255.255.254"]
OTHERS = [
    "0.0.0.0",
    "::",
    "192.168.1.5",
    "lab.example",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "128.0.0.1",
]


def status(folder: Path, host: str, token: str = "") -> int:
    """The status of an answer to a browser that asks for the address of this host."""
    pages = TestClient(application(RunView(Run(folder)), token), base_url="http://127.0.0.1")
    return pages.get("/static/common.js", headers={"host": host}).status_code


@pytest.mark.parametrize("host", OWN)
def test_a_host_that_needs_no_token_is_answered_without_one(tmp_path: Path, host: str) -> None:
    address = Address.of(host, 8765)
    assert address.token == "" and address.url.count(host) == 1
    shown = address.url.removeprefix("http://").removesuffix("/")
    assert status(tmp_path, shown) == 200


@pytest.mark.parametrize("host", OTHERS)
def test_every_other_host_needs_the_token(tmp_path: Path, host: str) -> None:
    assert Address.of(host, 8765).token
    shown = f"[{host}]" if ":" in host else host
    assert status(tmp_path, f"{shown}:8765") == 403  # as where the name of another site leads to this machine
    assert status(tmp_path, f"{shown}:8765", token="right") == 401


@pytest.mark.parametrize("host", ["", "[", "[::1", "127.0.0.1@evil.example"])
def test_a_damaged_host_is_refused(tmp_path: Path, host: str) -> None:
    assert status(tmp_path, host) == 403


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "::0", ""])
def test_the_printed_address_can_be_opened_from_another_machine(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "lab-7")
    assert Address(host, 80, "secret").url == "http://lab-7:80/?token=secret"
    assert Address("192.168.1.5", 80, "secret").url == "http://192.168.1.5:80/?token=secret"
    assert Address("fd00::5", 80, "secret").url == "http://[fd00::5]:80/?token=secret"
