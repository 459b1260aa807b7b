"""Images a second while the six classifiers of one arm are taught, at once and one after another.

"sequential" gives every classifier all threads in its turn; "threaded" a thread to each; "vectorised" makes all one network.
Images and weights lie channels last, in fp32 on a processor and in the faster of fp32 and bf16 on a GPU; the same sequential with channels
first, and in the other precision, shows what that is worth. Every side draws the same batches, with classical augmentation, in a
fresh process.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any
from unittest import mock

import torch

from augury.augment import policy
from augury.proof import TrainConfig, fit_many
from augury.proof.classifiers import fastest
from augury.proof.learners import NETWORKS
from augury.training import choose_device, choose_precision
from common import apart, interleaved, random_images, row, synchronise, write

SEEDS = 6
CASES = [("cnn", 1, 28), ("cnn", 3, 64), ("resnet", 1, 28)]
BASE, OTHERS = "sequential", ("threaded", "vectorised")
PLAIN, HALF = "channels first", "the other precision"
"""One by one, but for this."""


def one(way: str, network: str, channels: int, size: int, steps: int) -> float:
    """Images a second of one way, or of PLAIN or HALF, measured in this process after a warm-up."""
    data, device = random_images(channels, size), choose_device("auto")
    precision = choose_precision(device) if device.type == "cuda" else "fp32"
    if way == HALF:
        precision = "fp32" if precision == "bf16" else "bf16"

    def run(steps: int) -> float:
        config = TrainConfig(steps=steps, balanced=True, augment=policy("classical", flips=True))
        started = time.perf_counter()
        trained = fit_many(
            [data] * SEEDS,
            config,
            seeds=range(SEEDS),
            device=device,
            then=lambda model: None,
            build=NETWORKS[network],
            precision=precision,
            way=way if way in (BASE, *OTHERS) else BASE,
        )
        list(trained)
        synchronise()
        return steps * config.batch * SEEDS / (time.perf_counter() - started)

    with mock.patch.object(torch, "channels_last", torch.contiguous_format) if way == PLAIN else nullcontext():
        run(2)
        return run(steps)


def asked(*words: Any) -> Callable[[], float]:
    """The same in a fresh process."""
    return lambda: float(apart(__file__, "--one", *words)["rate"])


def main() -> None:
    """Measure every way on networks and sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30, help="training steps of a classifier, at 28 px")
    parser.add_argument("--one", nargs=5, metavar=("WAY", "NETWORK", "CHANNELS", "SIZE", "STEPS"))
    options = parser.parse_args()
    if options.one:
        way, network, *numbers = options.one
        print(f'{{"rate": {one(way, network, *map(int, numbers))}}}')
        return
    device, rows = choose_device("auto"), []
    others = [way for way in OTHERS if device.type == "cpu" or way == "vectorised"]
    for network, channels, size in CASES:
        print(f"{network}, {channels}x{size}x{size}", flush=True)
        steps = options.steps if device.type == "cuda" else max(4, options.steps * 28**2 // (size**2 * channels))
        timings = interleaved(
            {way: asked(way, network, channels, size, steps) for way in (BASE, *others, PLAIN, HALF)}, options.rounds
        )
        colour, chosen = "grey" if channels == 1 else "colour", fastest(TrainConfig(), device, NETWORKS[network])
        what = f"{network}, {size}×{size} {colour}, {SEEDS} seeds, {device.type}"
        for way in others:
            mark = ", the trial's choice" if way == chosen else ""
            rows.append(row(f"{what}: {way}{mark}", timings[way], timings[BASE], BASE, "img/s", True, digits=0))
        for way in (PLAIN, HALF):
            rows.append(
                row(f"{what}: {BASE}, as a trial does", timings[BASE], timings[way], way, "img/s", True, digits=0)
            )
    write("trial", rows, rounds=options.rounds, threads=torch.get_num_threads())


if __name__ == "__main__":
    main()
