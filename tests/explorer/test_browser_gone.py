"""A browser that goes away in the middle of a request disturbs neither the explorer nor other browsers."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytest.importorskip("starlette", reason="the extra [explore] is not installed")

from tests.helpers.explorer_process import serving

pytestmark = pytest.mark.slow


@pytest.fixture
def served(whole: Path, tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of an explorer in a process of its own, and the process."""
    shutil.copytree(whole, tmp_path / "run")
    with serving(tmp_path / "run", stderr=subprocess.PIPE) as started:
        yield started


def leave(site: str, request: str) -> None:
    """Send a part of a request, or a whole one without reading the answer, and close the connection."""
    parts = urlsplit(site)
    with socket.create_connection((parts.hostname, parts.port), 60) as connection:
        connection.sendall(request.replace("\n", "\r\n").encode())


def test_a_browser_that_is_gone_disturbs_nobody(served: tuple[str, subprocess.Popen[str]]) -> None:
    site, process = served
    host = f"Host: {urlsplit(site).netloc}"
    leave(site, f"POST /api/photograph?name=a HTTP/1.1\n{host}\nContent-Length: 9000000\n\nthe first bytes")
    leave(site, f"POST /api/review HTTP/1.1\n{host}\nContent-Length: 900\n\n{{")
    leave(site, f"GET /api/draw?cell=0,0 HTTP/1.1\n{host}\n\n")
    leave(site, f"GET /review HTTP/1.1\n{host}\n")
    with urllib.request.urlopen(f"{site}/api/draw?cell=1,0", timeout=120) as answer:
        assert answer.status == 200 and b"data:image/png" in answer.read()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0 and errors == ""
