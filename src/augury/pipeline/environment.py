"""Versions and machine that a run is computed with, for run.json and `augury doctor`."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

EXTRAS = {
    "features": "efficientnet_lite_pytorch",
    "timm": "timm",
    "onnx": "onnxscript",
    "sklearn": "imblearn",
    "hf": "pyarrow",
    "medical": "pydicom",
    "astro": "astropy",
    "explore": "starlette",
    "tune": "optuna",
    "track": "mlflow",
    "scale": "ray",
    "index": "faiss",
}
"""Extra of the package -> a module that comes with it."""
PACKAGES = ("augury", "torch", "numpy", "scipy", "pillow", "safetensors")


def versions() -> dict[str, str]:
    """Package -> version, Python first; "not installed" where one is missing."""
    installed = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            installed[name] = "not installed"
    return installed


def extras() -> dict[str, bool]:
    """Extra -> whether it is installed."""
    return {name: find_spec(module) is not None for name, module in EXTRAS.items()}


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
