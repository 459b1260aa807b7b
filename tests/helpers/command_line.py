"""The command line as it is typed, in a process of its own."""

from __future__ import annotations

import subprocess
import sys


def command(*words: str, **options) -> subprocess.CompletedProcess[str]:
    """`augury` with these words."""
    call = [sys.executable, "-c", "from augury.cli.commands import main; main()", *words]
    return subprocess.run(call, capture_output=True, text=True, timeout=300, check=False, **options)
