"""What this run is computed with: versions and machine, for run.json and `augury doctor`."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("augury", "torch", "numpy", "scipy", "pillow", "safetensors")


def versions() -> dict[str, str]:
    """Package -> version, Python first; "not installed" where one is missing."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def machine() -> dict[str, str | int]:
    """System, processor and cores."""
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if sys.platform == "linux" and info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        processor = names[0] if names else processor
    return {"system": platform.platform(), "processor": processor, "cores": os.cpu_count() or 1}
