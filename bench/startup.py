"""Seconds until the command line and the package answer, against the bare interpreter and against importing torch."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from common import interleaved, row, write

CALLS = {
    "augury --help": [str(Path(sys.executable).parent / "augury"), "--help"],
    "import augury": [sys.executable, "-c", "import augury"],
    "bare interpreter": [sys.executable, "-c", "pass"],
    "import torch": [sys.executable, "-c", "import torch"],
}


def seconds(call: list[str]) -> Callable[[], float]:
    """Seconds of one fresh process."""

    def run() -> float:
        started = time.perf_counter()
        subprocess.run(call, check=True, capture_output=True)
        return time.perf_counter() - started

    return run


def main() -> None:
    """Eleven interleaved rounds."""
    timings = interleaved({name: seconds(call) for name, call in CALLS.items()}, 11)
    write(
        "startup",
        [
            row(case, timings[case], timings[peer], peer, "s", False)
            for case in ("augury --help", "import augury")
            for peer in ("bare interpreter", "import torch")
        ],
    )


if __name__ == "__main__":
    main()
