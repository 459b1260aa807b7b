"""Kill a run at random moments, damage its newest checkpoint, and stop it by signals; every run must end in the same bytes.

A reference run on noise images takes about ten seconds. Then runs of the same settings are
- killed with SIGKILL after a random time, again and again until they finish,
- killed as soon as a stage begins, for each stage that no random kill has met,
- killed amid training and resumed from a checkpoint before the newest, one bit of which is changed,
- stopped with SIGINT or SIGTERM, which must end them within LATEST seconds.
Synthesizer, synthetic images, split, verdict, classifier and data set of each finished run are compared with those of the reference.
The kills are counted by stage, and a stage without one is a failure. `make soak` makes 50 random kills, in about twenty minutes on
two cores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from augury.files import read_json
from augury.pipeline.stages import STAGES
from augury.randomness import rng
from augury.training import checkpoints

ENDED = "end"
"""The process ends: all stages are done."""
LATEST = 15.0
"""Seconds within which a signal must end a run."""
AUGURY = [sys.executable, "-m", "augury"]
SETTINGS = [
    "--steps", "120", "--set", "train.checkpoint_every=0.3s", "--set", "train.batch=16", "--precision", "fp32",
    "--set", "score.limit=100", "--set", "prove.steps=30", "--set", "prove.seeds=4", "--classifier", "cnn",
    "--set", "prove.arms=randaugment,gan",
]  # fmt: skip
COMPARED = ("synthesizer/weights.safetensors", "synthetic/images.npy", "synthetic/manifest.jsonl", "split.npy",
            "classifier/weights.safetensors")  # fmt: skip


def photos(file: Path) -> None:
    """Two classes of noise with a bright or a dark square."""
    random = rng(0, "soak")
    labels = np.arange(240) % 4 // 3
    images = random.integers(0, 256, (240, 16, 16), dtype=np.uint8)
    images[:, 4:9, 4:9] = np.where(labels[:, None, None] == 1, 240, 30)
    np.savez(file, images=images, labels=labels)


def begin(data: Path, run: Path) -> subprocess.Popen[bytes]:
    """The command, which works on while the script waits."""
    words = [*AUGURY, "run", str(data), "-o", str(run), *SETTINGS]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def outcome(run: Path) -> dict[str, str]:
    """The hashes of what a run ends in."""
    verdict = json.loads((run / "verdict.json").read_text())
    hashes = {name: hashlib.sha256((run / name).read_bytes()).hexdigest()[:12] for name in COMPARED}
    files = sorted(path for path in (run / "dataset").rglob("*.png"))
    exported = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]
    return hashes | {"verdict": hashlib.sha256(json.dumps(verdict).encode()).hexdigest()[:12], "dataset": exported}


def stage_of(run: Path) -> str:
    """The stage that a run works on: the first one that is not done."""
    done = read_json(run / "state.json") if (run / "state.json").exists() else {}
    return next((name for name in STAGES if name not in done), ENDED)


def finished(process: subprocess.Popen[bytes], run: Path, reference: dict[str, str], what: str) -> bool:
    """Wait for the end of a run and compare it; report a difference."""
    _, errors = process.communicate(timeout=600)
    if process.returncode != 0:
        print(f"FAILED, {what}: status {process.returncode}\n{errors.decode()[-2000:]}", flush=True)
        return False
    differing = [name for name, value in outcome(run).items() if reference[name] != value]
    if differing:
        print(f"FAILED, {what}: {', '.join(differing)} differ", flush=True)
    return not differing


def kills(
    data: Path, folder: Path, reference: dict[str, str], seconds: float, count: int, seed: int
) -> tuple[Counter[str], int]:
    """(kills by stage, failed runs): SIGKILL at random moments until each run has finished."""
    random, killed, failed, number = rng(seed, "kills"), Counter[str](), 0, 0
    while killed.total() < count:
        run, number, here = folder / f"kill-{number}", number + 1, 0
        stages: list[str] = []
        while here < 8 and killed.total() < count:
            process = begin(data, run)
            try:
                process.communicate(timeout=float(random.uniform(0.5, seconds)))
                break
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                stages.append(stage_of(run))
                killed[stages[-1]] += 1
                here += 1
        ended = finished(begin(data, run), run, reference, f"run {number} killed {here} times")
        failed += not ended
        print(f"run {number}: killed {here} times in {', '.join(stages) or '-'}: {'same' if ended else 'NOT THE SAME'}; "
              f"{killed.total()} of {count} kills", flush=True)  # fmt: skip
    return killed, failed


def kills_in(data: Path, folder: Path, reference: dict[str, str], missed: list[str]) -> tuple[Counter[str], int]:
    """(kills by stage, failed runs): a SIGKILL as soon as a stage begins, for each of these stages."""
    killed, failed = Counter[str](), 0
    for name in missed:
        run = folder / f"kill-in-{name}"
        process = begin(data, run)
        while not (run.exists() and stage_of(run) == name) and process.poll() is None:
            time.sleep(0.001)
        process.kill()
        process.communicate()
        killed[stage_of(run)] += 1
        ended = finished(begin(data, run), run, reference, f"run killed in {name}")
        failed += not ended
        print(f"killed as {name} began: {'same' if ended else 'NOT THE SAME'}", flush=True)
    return killed, failed


def damages(data: Path, folder: Path, reference: dict[str, str], count: int, seed: int) -> int:
    """Failed runs among those whose newest checkpoint has a changed bit."""
    random, failed = rng(seed, "damages"), 0
    for number in range(count):
        run = folder / f"damage-{number}"
        process = begin(data, run)
        while len(checkpoints.files(run / "train")) < 2 and process.poll() is None:
            time.sleep(0.02)
        process.kill()
        process.communicate()
        file = checkpoints.files(run / "train")[-1]
        content = bytearray(file.read_bytes())
        content[int(random.integers(len(content)))] ^= 1 << int(random.integers(8))
        file.write_bytes(content)
        ended = finished(begin(data, run), run, reference, f"checkpoint {number} damaged")
        failed += not ended
        print(f"damaged checkpoint {number + 1} of {count}: {'same' if ended else 'NOT THE SAME'}", flush=True)
    return failed


def signals(data: Path, folder: Path, reference: dict[str, str], seconds: float, count: int, seed: int) -> int:
    """Failed runs among those that were stopped by SIGINT or SIGTERM."""
    random, failed = rng(seed, "signals"), 0
    for number in range(count):
        run, kind = folder / f"signal-{number}", (signal.SIGINT, signal.SIGTERM)[number % 2]
        process = begin(data, run)
        time.sleep(float(random.uniform(0.3 * seconds, 0.9 * seconds)))
        stopped = time.monotonic()
        process.send_signal(kind)
        process.communicate(timeout=600)
        late = time.monotonic() - stopped
        whole = (run / "state.json").exists() and "report" in json.loads((run / "state.json").read_text())
        expected = process.returncode in (0, 128 + kind) or (whole and process.returncode == -kind)  # while it ends
        ended = finished(begin(data, run), run, reference, f"run {number} stopped") and expected and late < LATEST
        failed += not ended
        print(f"{kind.name} {number + 1} of {count}: status {process.returncode} after {late:.1f} s, "
              f"{'same' if ended else 'FAILED'}", flush=True)  # fmt: skip
    return failed


def main() -> None:
    """What the docstring of this file says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--damages", type=int, default=5)
    parser.add_argument("--signals", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a job in the background ignores it, and so would its children
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["AUGURY_CACHE"] = str(folder / "cache")
        photos(folder / "photos.npz")
        started = time.monotonic()
        process = begin(folder / "photos.npz", folder / "reference")
        _, errors = process.communicate()
        if process.returncode:
            raise SystemExit(f"the reference run failed:\n{errors.decode()}")
        seconds, reference = time.monotonic() - started, outcome(folder / "reference")
        print(f"reference run: {seconds:.0f} s", flush=True)
        killed, failed = kills(folder / "photos.npz", folder, reference, seconds, options.kills, options.seed)
        further, failed_too = kills_in(folder / "photos.npz", folder, reference, [n for n in STAGES if not killed[n]])
        killed, failed = killed + further, failed + failed_too
        missed = [name for name in STAGES if not killed[name]]
        damaged = damages(folder / "photos.npz", folder, reference, options.damages, options.seed)
        stopped = signals(folder / "photos.npz", folder, reference, seconds, options.signals, options.seed)
    print(f"kills by stage: {', '.join(f'{name} {killed[name]}' for name in (*STAGES, ENDED))}")
    if missed:
        print(f"FAILED, no kill in: {', '.join(missed)}")
    print(
        f"{killed.total()} kills, {failed} runs not the same; {options.damages} damaged checkpoints, {damaged} not the same; "
        f"{options.signals} signals, {stopped} failed"
    )
    raise SystemExit(bool(failed or missed or damaged or stopped))


if __name__ == "__main__":
    main()
