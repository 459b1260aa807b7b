"""The command line as it is typed, in a process of its own."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from typing import Any

from typer.testing import CliRunner

from augury.cli.commands import app
from augury.errors import AuguryError

AUGURY = [sys.executable, "-c", "from augury.cli.commands import main; main()"]


def command(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """`augury` with these words."""
    return subprocess.run([*AUGURY, *words], capture_output=True, text=True, timeout=300, check=False, **options)


def call(*words: object) -> tuple[int, str]:
    """(exit status, output or error) of `augury` with these words, without progress, in this process."""
    try:
        result = CliRunner().invoke(app, [*map(str, words), "--quiet"], catch_exceptions=False)
    except AuguryError as error:
        return 1, str(error)
    return result.exit_code, result.output


def started(*words: str) -> subprocess.Popen[str]:
    """`augury` with these words, which goes on while the test does; stderr can be read.

    Tests in the background of a shell ignore SIGINT, and so would their children.
    """
    return subprocess.Popen(
        [*AUGURY, *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def in_terminal(*words: str, columns: int = 80) -> tuple[int, str]:
    """(exit status, all that is written) of `augury` with these words in a terminal of this width."""
    parent_end, child_end = pty.openpty()
    fcntl.ioctl(child_end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    sized = {name: text for name, text in os.environ.items() if name not in ("COLUMNS", "LINES")}
    environment = sized | {"TERM": "xterm"}
    process = subprocess.Popen([*AUGURY, *words], stdin=child_end, stdout=child_end, stderr=child_end, env=environment)
    os.close(child_end)
    written = b""
    while True:
        try:
            part = os.read(parent_end, 65536)
        except OSError:  # Linux reports the closed terminal as an error
            break
        if not part:
            break
        written += part
    os.close(parent_end)
    return process.wait(60), written.decode()


def wait_until(
    condition: Callable[[], bool], process: subprocess.Popen[str] | None = None, seconds: float = 120
) -> None:
    """Wait until `condition` is true; fail after so many seconds, or when `process` ends before it."""
    last = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, f"the process ended early:\n{process.communicate()[1]}"
        assert time.monotonic() < last, f"still false after {seconds:g} s"
        time.sleep(0.01)
