"""`augury explore` in a process of its own."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.helpers.command_line import AUGURY


@contextmanager
def serving(run: Path, program: Sequence[str] = AUGURY, **options: Any) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address where `augury explore` serves a run, and its process, which is stopped at the end unless it has ended.

    Tests in the background of a shell ignore SIGINT, and so would their children.
    """
    process = subprocess.Popen(
        [*program, "explore", str(run), "--port", "0"], stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **options,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        address = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert address is not None
        yield address[0], process
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            assert process.wait(120) == 0
    finally:
        process.kill()
        process.wait(60)
