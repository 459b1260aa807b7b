"""Quality at equal wall-clock: Augury's default recipe beside PyTorch-GAN, torchgan and lightweight-gan.

Everyone gets the same train images, the same seconds on the same machine, and draws as many images. They are scored by
the kernel distance (less is better) to held-out images in the class mix of the train images: the peers know no classes,
so Augury is asked for that mix too. torchgan and lightweight-gan come from the package index into environments of their
own under .venvs/, made on the first call (about a gigabyte each); one that cannot be made or run is skipped with the
reason. PyTorch-GAN, which is no package, is its design written again (bench/peers/pytorch_gan.py).
Augury's seconds include measuring its throughput, from which it settles the number of steps. The real images' own
distance is in the result file: nothing is expected to go below it. The file keeps the other data sets that it had. Pixels as features see where things lie and not
what they are like: images full of grain can be as near by them as real ones, so read the other features first.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

import numpy as np
import torch

from augury import data, metrics
from augury.images import Images, LabelledImages
from augury.randomness import rng
from augury.settings import TrainSettings
from augury.training import choose_device, make_plan, train_plan
from common import classifier_features, held_out, mixed, row, stored, write

ROOT = Path(__file__).parents[1]
PEERS = {
    "dcgan": ("PyTorch-GAN dcgan (its design)", None),
    "wgan_gp": ("PyTorch-GAN wgan_gp (its design)", None),
    "torchgan": ("torchgan DCGAN", "torchgan"),
    "lightweight_gan": ("lightweight-gan", "lightweight-gan"),
}
"""Name -> (what it is called, the package it needs or None for this environment)."""


class Skipped(Exception):
    """A peer that cannot be measured here; the text says why."""


def environment(package: str | None) -> str:
    """The Python to run a peer with; made on the first call, by the same constraints as Augury's own."""
    if package is None:
        return sys.executable
    folder = ROOT / ".venvs" / package
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        print(f"  making .venvs/{package}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        call = [
            str(python),
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            "-c",
            str(ROOT / "constraints.txt"),
            "torch",
            package,
        ]
        done = subprocess.run(call, check=False, capture_output=True, text=True)
        if done.returncode:
            raise Skipped(f"pip cannot install {package}: {done.stderr.strip().splitlines()[-1]}")
        (folder / "ready").touch()
    return str(python)


def theirs(name: str, images: Images, options: argparse.Namespace) -> tuple[Images, dict[str, Any]]:
    """(images drawn, facts) of a peer. Raises Skipped with the reason it cannot."""
    python = environment(PEERS[name][1])
    with tempfile.TemporaryDirectory() as folder:
        images_file, out = Path(folder) / "images.npy", Path(folder) / "drawn.npy"
        np.save(images_file, images, allow_pickle=False)
        call = [python, "-m", "peers.run", name, str(images_file), str(out)]
        call += ["--seconds", str(options.seconds), "--count", str(options.count), "--seed", str(options.seed)]
        paths = {"PYTHONPATH": str(Path(__file__).parent)}
        done = subprocess.run(call, check=False, capture_output=True, text=True, env={**os.environ, **paths})
        if done.returncode:
            raise Skipped(f"it stopped with: {(done.stderr.strip().splitlines() or ['no outcome'])[-1]}")
        return np.load(out), json.loads(done.stdout.splitlines()[-1])


def ours(train: LabelledImages, options: argparse.Namespace) -> tuple[Images, dict[str, Any]]:
    """(images drawn in the class mix of the train images, facts) of Augury."""
    started = time.perf_counter()
    settings = TrainSettings(recipe=options.recipe, budget=options.seconds - min(6.0, options.seconds / 10))
    plan = make_plan(
        train, settings, seed=options.seed, device=choose_device("cpu"), flips=bool(train.notes.get("flips", False))
    )
    synthesizer = train_plan(plan, train)
    seconds = time.perf_counter() - started
    labels = np.resize(rng(options.seed, "mix").permutation(train.labels), options.count)
    facts = {"steps": plan.steps, "seconds": round(seconds, 1), "precision": plan.precision}
    return synthesizer.sample(labels, seed=options.seed).images, facts


def main() -> None:
    """Train everyone, then score everyone by each of the features."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", help="a folder or .npz; the embedded sample without it")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--count", type=int, default=1000, help="images drawn and scored")
    parser.add_argument("--lite0", type=int, default=300, help="of them scored by the lite0 features, 0 for none")
    parser.add_argument("--size", type=int, default=32, help="px, a power of two, as the peers ask")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--recipe", default="rpgan")
    parser.add_argument("--only", default="", help="peers whose name contains this")
    options = parser.parse_args()
    images = data.load(options.data, size=options.size)
    parts = data.split(images)
    train, test = (images.take(parts == part) for part in (0, 2))
    called = Path(options.data).stem if options.data else "sample"
    real = held_out(train, test, options.count, options.seed)

    drawn: dict[str, Images] = {"real": train.images}
    facts: dict[str, Any] = {}
    drawn["augury"], facts["augury"] = ours(train, options)
    print(f"augury: {facts['augury']}", flush=True)
    for name in (name for name in PEERS if options.only in name):
        try:
            drawn[name], facts[name] = theirs(name, train.images, options)
            print(f"{name}: {facts[name]}", flush=True)
        except Skipped as reason:
            facts[name] = {"skipped": str(reason)}
            print(f"{name}: skipped, {reason}", flush=True)

    rows, classifier = [], classifier_features(train, torch.device("cpu"))
    for features, count in (("lite0", options.lite0), ("classifier", options.count), ("pixels", options.count)):
        if count == 0:
            continue
        extractor = metrics.extractor(features, images.shape, classifier=classifier)
        reference = extractor.extract(mixed(real, count))
        scores = {}
        for name, those in drawn.items():
            score = metrics.kid(
                extractor.extract(mixed(those, count)),
                reference,
                features=extractor.identity,
                preprocessing=extractor.preprocessing,
                seed=0,
            )
            scores[name] = score.value
            facts.setdefault(name, {})[f"KID-{features}"] = [score.value, score.low, score.high, score.n]
        for name in (name for name in PEERS if name in scores):
            case = f"KID-{features}, {called}, {options.seconds:g} s, {options.recipe}"
            peer = f"{PEERS[name][0]}, {facts[name]['steps']} steps"
            rows.append(row(case, scores["augury"], scores[name], peer, "", False, digits=5))
    print(json.dumps(facts, indent=1))
    threads = torch.get_num_threads()
    setting = {
        "date": time.strftime("%Y-%m-%d"),
        "seconds": options.seconds,
        "seed": options.seed,
        "threads": threads,
        "size": options.size,
    }
    sets = stored("peers").get("sets", {}) | {called: {**setting, "rows": rows, "facts": facts}}
    write("peers", [line for each in sets.values() for line in each["rows"]], sets=sets)


if __name__ == "__main__":
    main()
