"""Seconds and memory of scores, ours beside torch-fidelity, torchmetrics, pytorch-fid, clean-fid and prdc.

Everyone scores the same float32 features, as extractors give them, each call in a fresh process so that its peak memory
is its own; the seconds are of the score alone, after one small call that warms up; of calls under a second, as only ours
are, the median of up to nine. Contestants take turns. "prdc" is
precision, recall, density and coverage together, as that library has them; libraries that draw subsets for KID are asked
for one of all images. Wanted: the Fréchet distance at least 2 times as fast as the fastest at large N, and 50 times at
small; features at least 1.5 times torch-fidelity's images a second. Libraries live in .venvs/oracles.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import oracles
from augury import metrics
from augury.metrics.inception import Inception
from augury.metrics.moments import merged, moments
from augury.randomness import rng
from common import RESULTS, apart, interleaved, row, write

PEERS = {
    "fd": ("torch-fidelity", "torchmetrics", "pytorch-fid", "clean-fid"),
    "kid": ("torch-fidelity", "torchmetrics", "clean-fid"),
    "prdc": ("prdc",),
}
"""Score -> who else computes it."""
CASES = (("fd", 300, 2048), ("fd", 10_000, 2048), ("fd", 50_000, 2048), ("kid", 10_000, 2048), ("prdc", 10_000, 2048))
SMALL = (("fd", 60, 256), ("fd", 1500, 256), ("kid", 800, 256), ("prdc", 800, 256))


def score(name: str, fake: np.ndarray, real: np.ndarray) -> float:
    """Our value; for "prdc" the precision, after all four."""
    if name != "prdc":
        return metrics.SCORES[name].value(oracles.sides({"fake": fake, "real": real}))
    sides = oracles.sides({"fake": fake, "real": real})
    values = [metrics.SCORES[part].value(sides) for part in ("precision", "recall", "density", "coverage")]
    return values[0]


def measured(name: str, file: str) -> dict[str, float]:
    """One of ours, in this process: {value, seconds, megabytes}."""
    arrays = np.load(file, allow_pickle=False)
    fake, real = arrays["fake"], arrays["real"]
    score(name, fake[:50], real[:50])
    spent: list[float] = []
    while not spent or (sum(spent) < 1 and len(spent) < 9):
        started = time.perf_counter()
        value = score(name, fake, real)
        spent.append(time.perf_counter() - started)
    return {"value": value, "seconds": statistics.median(spent), "megabytes": peak()}


def peak() -> float:
    """Largest memory of this process so far, in MB, libraries and features with it."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def compared(name: str, count: int, dimension: int, rounds: int, folder: Path) -> list[dict[str, Any]]:
    """Rows for one case: seconds and peak megabytes."""
    file, python = folder / f"{name}-{count}.npz", oracles.environment()
    random = rng(0, "metrics", name, count)
    clouds = {
        what: random.standard_normal((count, dimension), np.float32) + shift
        for what, shift in (("fake", 0.1), ("real", 0))
    }
    np.savez(file, **clouds, logits=np.zeros((1, 2)))
    score_values: dict[str, dict[str, float]] = {}

    def us() -> float:
        score_values["augury"] = apart(__file__, "--measure", name, str(file))
        return score_values["augury"]["seconds"]

    def them(library: str) -> Callable[[], float]:
        def run() -> float:
            part = "precision" if name == "prdc" else name
            answer = oracles.theirs(python, file, "--only", f"{library}/{part}")[library][part]
            if isinstance(answer, str):
                print(f"  {library}: {answer}", flush=True)
                return float("nan")
            score_values[library] = dict(zip(("value", "seconds", "megabytes"), answer, strict=True))
            return score_values[library]["seconds"]

        return run

    seconds = interleaved({"augury": us} | {library: them(library) for library in PEERS[name]}, rounds)
    file.unlink()
    rows = []
    for library in (library for library in PEERS[name] if library in score_values):
        case = f"{name}, N {count:,}, D {dimension}"
        rows.append(row(f"{case}, time", seconds["augury"], seconds[library], library, "s", False, digits=4))
        memory = [round(score_values[who]["megabytes"]) for who in ("augury", library)]
        rows.append(row(f"{case}, memory", *memory, library, "MB", False))
        off = (
            abs(score_values[library]["value"] / score_values["augury"]["value"] - 1)
            if score_values["augury"]["value"]
            else 0.0
        )
        print(f"  {case}: differs from {library} by {off:.0e} of the value", flush=True)
    return rows


def extraction(count: int, rounds: int, folder: Path) -> list[dict[str, Any]]:
    """Images a second through the Inception network with the same random weights."""
    torch.manual_seed(0)
    weights, file = folder / "weights.pth", folder / "images.npz"
    torch.save(Inception().state_dict(), weights)
    images = rng(0, "images").integers(0, 256, (count, 3, 64, 64), dtype=np.uint8)
    np.savez(file, images=images)
    python, ours = oracles.environment(), metrics.inception(weights)
    ours.extract(images[:16])

    def us() -> float:
        started = time.perf_counter()
        ours.extract(images)
        return count / (time.perf_counter() - started)

    def them() -> float:
        answer = oracles.theirs(python, file, "--weights", str(weights))
        return count / float(answer["torch-fidelity"]["extract"][1])

    speed = interleaved({"augury": us, "torch-fidelity": them}, rounds)
    case = "Inception features, float32, 64 px images"
    return [row(case, speed["augury"], speed["torch-fidelity"], "torch-fidelity", "images/s", True)]


def merging(count: int, dimension: int, parts: int = 8) -> list[dict[str, Any]]:
    """How far moments taken in parts and merged are from those of the whole, and from NumPy's."""
    x = rng(0, "merging").standard_normal((count, dimension), np.float32) + 3
    together, whole = merged(moments(part) for part in np.array_split(x, parts)), moments(x)
    off = float(np.abs(together.covariance - whole.covariance).max() / np.abs(whole.covariance).max())
    plain = np.cov(x.astype(np.float64), rowvar=False)
    theirs = float(np.abs(whole.covariance - plain).max() / np.abs(plain).max())
    return [
        row(
            f"covariance in {parts} parts against whole, largest difference",
            off,
            theirs,
            "whole against NumPy",
            "",
            False,
            18,
        )
    ]


def main() -> None:
    """What the docstring of this file says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="small cases, to see that all works; writes no file")
    parser.add_argument("--only", default="", help='one case, as "fd 300": measure it again and leave the other rows')
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", nargs=2, metavar=("SCORE", "FILE"), help="one of ours alone")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measured(*options.measure)))
        return
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for score_name, count, dimension in SMALL if options.small else CASES:
            if options.only not in ("", f"{score_name} {count}"):
                continue
            print(f"{score_name}, N {count}, D {dimension}", flush=True)
            rows += compared(score_name, count, dimension, 1 if count > 20_000 else options.rounds, folder)
        if options.only in ("", "extraction"):
            rows += extraction(16 if options.small else 128, options.rounds, folder)
        if options.only in ("", "merging"):
            rows += merging(*((2000, 64) if options.small else (20_000, 1024)))
    if options.small:
        print(json.dumps(rows, indent=1))
        return
    if options.only:
        fresh = {(line["case"], line["peer_name"]): line for line in rows}
        before = json.loads((RESULTS / "metrics.json").read_text(encoding="utf-8"))["rows"]
        rows = [fresh.get((line["case"], line["peer_name"]), line) for line in before]
    write("metrics", rows, threads=torch.get_num_threads(), libraries=oracles.versions(oracles.environment()))


if __name__ == "__main__":
    sys.exit(main())
