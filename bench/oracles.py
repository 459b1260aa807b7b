"""Ours and theirs on the same features: each score of each library, the difference, and the seconds of both.

The libraries live in .venvs/oracles, made on the first call with Augury's own torch (about a gigabyte); they are installed
without their dependencies, as torchvision would replace torch. A library or score that fails is in the table with its
reason. Features are float64, so that a difference is one of method and not of rounding.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from augury import metrics
from augury.metrics.inception_score import split_scores
from augury.randomness import rng
from common import write

ROOT = Path(__file__).parents[1]
LIBRARIES = ("torch-fidelity", "torchmetrics", "prdc", "piq", "pytorch-fid", "clean-fid", "torchvision")
THEIR_NEEDS = (
    "torch",
    "numpy",
    "scipy",
    "scikit-learn",
    "pillow",
    "tqdm",
    "requests",
    "packaging",
    "lightning-utilities",
)
Arrays = dict[str, np.ndarray]


def environment() -> Path:
    """The Python that has the libraries; made on the first call, by the same constraints as Augury's own."""
    folder = ROOT / ".venvs" / "oracles"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        print("  making .venvs/oracles", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        for call in (["-c", str(ROOT / "constraints.txt"), *THEIR_NEEDS], ["--no-deps", *LIBRARIES]):
            done = subprocess.run([*pip, *call], check=False, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"pip cannot install {' '.join(call)}: {done.stderr.strip().splitlines()[-1]}")
        (folder / "ready").touch()
    return python


def theirs(python: Path, file: Path, *words: str) -> dict[str, dict[str, Any]]:
    """What bench/peers/scores.py says of a file of features."""
    paths = {"PYTHONPATH": str(Path(__file__).parent)}
    call = [str(python), "-m", "peers.scores", str(file), *words]
    done = subprocess.run(call, check=False, capture_output=True, text=True, env={**os.environ, **paths})
    if done.returncode:
        raise SystemExit(f"{' '.join(call)} failed:\n{done.stderr[-2000:]}")
    reference_scores: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return reference_scores


def versions(python: Path) -> dict[str, str]:
    """Package -> version, of the libraries."""
    done = subprocess.run(
        [str(python), "-m", "pip", "list", "--format", "json"], check=True, capture_output=True, text=True
    )
    named = {row["name"].lower().replace("_", "-"): row["version"] for row in json.loads(done.stdout)}
    return {name: named[name] for name in LIBRARIES if name in named}


def sides(arrays: Arrays) -> metrics.Sides:
    """The features as our scores want them."""
    fake, real = arrays["fake"], arrays["real"]
    zeros = [np.zeros(len(s), np.int64) for s in (fake, real)]
    return metrics.Sides(fake, real, "toy", "toy", "as they are", 0, *zeros)


def ours(arrays: Arrays) -> dict[str, Callable[[], float]]:
    """Score -> call, by the names that the peers have."""

    def inception(splits: int) -> float:
        return float(split_scores(softmax(arrays["logits"], axis=1), splits).mean())

    reference_scores: dict[str, Callable[[], float]] = {"is": lambda: inception(10), "is_1": lambda: inception(1)}
    for name in ("fd", "kid", "precision", "recall", "density", "coverage"):
        reference_scores[name] = lambda name=name: metrics.SCORES[name].value(sides(arrays))
    return reference_scores


def features(count: int, dimension: int, classes: int = 10) -> Arrays:
    """Two clouds that differ a little, and logits; float64."""
    random = rng(0, "oracles")
    mixing = random.normal(size=(dimension, dimension)) / dimension**0.5
    fake, real = (random.normal(size=(count, dimension)) @ mixing for _ in range(2))
    return {"fake": 1.1 * fake + 0.05, "real": real, "logits": 2 * random.normal(size=(count, classes))}


def main() -> None:
    """Score by everyone, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="images a side, a multiple of 10")
    parser.add_argument("--dimension", type=int, default=64)
    parser.add_argument("--dry", action="store_true", help="write no file")
    options = parser.parse_args()
    python, arrays = environment(), features(options.count, options.dimension)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "features.npz"
        np.savez(file, **arrays)
        reference_scores = theirs(python, file)
    mine: dict[str, tuple[float, float]] = {}
    for name, score in ours(arrays).items():
        score()  # warms up, as theirs are
        started = time.perf_counter()
        mine[name] = score(), time.perf_counter() - started
    known = versions(python)
    table, rows = [], []
    for peer, scores in reference_scores.items():
        for score, measured in scores.items():
            value, seconds = mine[score]
            line = {"score": score, "library": f"{peer} {known.get(peer, '')}", "Augury": f"{value:.12g}"}
            if isinstance(measured, str):
                table.append({**line, "theirs": measured, "difference": "", "our_ms": "", "their_ms": ""})
                continue
            other, spent = measured[:2]
            difference = abs(other - value) / max(abs(value), 1e-300)
            cells = {
                "difference": f"{difference:.0e}",
                "our_ms": f"{1e3 * seconds:.3g}",
                "their_ms": f"{1e3 * spent:.3g}",
            }
            table.append({**line, "theirs": f"{other:.12g}", **cells})
            rows.append(
                {
                    "case": score,
                    "ours": value,
                    "peer": other,
                    "peer_name": peer,
                    "ratio": value / other if other else None,
                    "unit": "",
                    "higher_is_better": False,
                }
            )
    for line in table:
        print(" | ".join(line.values()), flush=True)
    if not options.dry:
        write("oracles", rows, table=table, count=options.count, dimension=options.dimension, libraries=known)


if __name__ == "__main__":
    main()
