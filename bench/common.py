"""What every benchmark shares: timing, fresh processes, counted operations, the machine's ceiling, the result file."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from augury import metrics, proof
from augury.augment import policy
from augury.cli.console import callbacks
from augury.files import write_json
from augury.images import Images, LabelledImages
from augury.pipeline import stages
from augury.pipeline.environment import machine, versions
from augury.pipeline.session import Session
from augury.proof.measures import measures, unpacked
from augury.randomness import rng
from augury.settings import RunSettings
from augury.training import placed, trains_nothing, translates
from augury.training.recipes import RECIPES, Recipe
from augury.verdict import Verdict

RESULTS = Path(__file__).parent / "results"
FROM_NOISE = [name for name, rule in RECIPES.items() if not translates(rule) and not trains_nothing(rule)]
"""The recipes that train a generator of images from noise."""


def row(
    case: str, ours: float, peer: float, peer_name: str, unit: str, higher_is_better: bool, digits: int = 3
) -> dict[str, Any]:
    """One line of a result file; `ratio` is ours / peer, None where the peer's is 0."""
    return {
        "case": case,
        "ours": round(ours, digits),
        "peer": round(peer, digits),
        "peer_name": peer_name,
        "ratio": round(ours / peer, 3) if peer else None,
        "unit": unit,
        "higher_is_better": higher_is_better,
    }


def points(value: float, low: float, high: float) -> str:
    """A difference and its interval in points of a hundred, as tables show it."""
    shown, least, most = (f"{round(100 * each, 1) + 0.0:+.1f}" for each in (value, low, high))  # + 0.0: no "-0.0"
    return f"{shown} ({least} to {most})"


BLOCKS = ((0, 3), (3, 3), (6, 2))
"""(offset, number of seeds) of a trial for each of three translators."""


@dataclass(frozen=True)
class Remembered:
    """Results of finished trainings by name, in a file that a killed benchmark goes on from."""

    file: Path

    @cached_property
    def values(self) -> dict[str, Any]:
        """What the file holds."""
        measurements: dict[str, Any] = json.loads(self.file.read_text(encoding="utf-8")) if self.file.exists() else {}
        return measurements

    def keep(self, done: int, total: int, what: str) -> None:
        """Write the file; takes what a trial tells of its progress."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.file, self.values)


def over_translators(
    data: LabelledImages,
    folder: Path,
    settings: Callable[[int], RunSettings],
    trial: Callable[[Session, int, int], Verdict],
) -> Verdict:
    """The verdict of a trial whose seeds use the images of three translators, in runs under `folder`: `trial` (session, offset,
    number of seeds) is called for each of BLOCKS, then for all seeds, whose results are there by then. `settings` gives
    those of a run of this seed."""
    verdict: Verdict | None = None
    for number, (first, seeds) in enumerate((*BLOCKS, (0, sum(n for _, n in BLOCKS)))):
        chosen = settings(number % len(BLOCKS))
        run_path = folder / f"translator-{number % len(BLOCKS)}"
        stages.run(data, run_path, settings=chosen, until="generate", callbacks=callbacks(False))
        with stages.opened(data, run_path, settings=chosen) as session:
            verdict = trial(session, first, seeds)
    assert verdict is not None
    return verdict


def with_real_images(
    train: LabelledImages,
    lacking: LabelledImages,
    test: LabelledImages,
    attribute: str,
    values: tuple[str, ...],
    results: Remembered,
    *,
    flips: bool,
    seeds: int,
    steps: int = 300,
) -> dict[str, list[float]]:
    """Balanced accuracy, a value a seed, with the real images of empty cells in the place of generated ones: the arm "filled" with
    them. `within` is over the cells of the `values` of the attribute that have an empty cell, `overall` over all cells."""
    images = np.concatenate([train.images, lacking.images])
    whole = LabelledImages(images, np.concatenate([train.labels, lacking.labels]), train.classes, fingerprint="oracle")
    codes, names = test.attributes[attribute].codes, test.attributes[attribute].values
    inside = np.isin(codes, [names.index(value) for value in values])
    config = proof.TrainConfig(steps=steps, balanced=True, augment=policy("randaugment", flips=flips))
    accuracies: dict[str, list[float]] = {"within": [], "overall": []}
    for seed in range(seeds):
        key = f"oracle/{seed}"
        if key not in results.values:
            model = proof.fit(whole, config, seed=seed, device=torch.device("cpu"))
            results.values[key] = measures(test.labels, proof.probabilities(model, test.images))
            results.keep(0, 0, key)
        hits = unpacked(results.values[key]["hits"], len(test))
        for part, rows in (("within", inside), ("overall", np.ones(len(test), bool))):
            cells = [
                hits[rows & (test.labels == c) & (codes == v)].mean()
                for c in range(len(test.classes))
                for v in np.unique(codes[rows])
            ]
            accuracies[part].append(float(np.mean(cells)))
    return accuracies


def interleaved(contestants: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Run every contestant once a round, in turn; name -> median of what it returned."""
    measurements: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name, run in contestants.items():
            measurements[name].append(run())
            print(f"  round {number + 1}/{rounds}  {name}: {measurements[name][-1]:.4g}", flush=True)
    return {name: statistics.median(values) for name, values in measurements.items()}


def apart(file: str, *words: object) -> dict[str, Any]:
    """What `python FILE WORDS...` prints as JSON on its last line; a fresh process, so that memory is its own."""
    done = subprocess.run([sys.executable, file, *map(str, words)], check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{Path(file).name} {' '.join(map(str, words))} failed:\n{done.stderr[-2000:]}")
    measurements: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measurements


def random_images(channels: int, size: int, count: int = 512, classes: int = 10) -> LabelledImages:
    """Labelled noise: how fast a network trains does not depend on what it is shown."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, channels, size, size), dtype=np.uint8)
    return LabelledImages(images, np.arange(count) % classes, tuple(f"class {i}" for i in range(classes)))


def held_out(train: LabelledImages, test: LabelledImages, count: int, seed: int) -> Images:
    """At most `count` test images in the class mix of the train images."""
    share = train.counts / len(train)
    most = min(count, int(np.min(test.counts[share > 0] / share[share > 0])))
    members = [rng(seed, "held out", c).permutation(np.flatnonzero(test.labels == c)) for c in range(len(share))]
    return test.images[np.concatenate([m[: round(most * s)] for m, s in zip(members, share, strict=True)])]


def mixed(images: Images, count: int) -> Images:
    """The first `count` of the images in an order of their own."""
    return images[rng(0, "order").permutation(len(images))[:count]]


def classifier_features(train: LabelledImages, device: torch.device, steps: int = 300) -> metrics.Extractor:
    """Features of a small classifier taught on the train images, as a run scores by."""
    model = proof.fit(train, proof.TrainConfig(steps=steps), seed=0, device=device)
    how = "value / 127.5 - 1"
    return metrics.from_network("classifier", model, how, device, model.features, dimension=model.dimension)


def parameters(*networks: nn.Module) -> int:
    """How many numbers these networks learn."""
    return sum(p.numel() for network in networks for p in network.parameters())


def synchronise() -> None:
    """Wait for the GPU, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def period(rule: Recipe) -> int:
    """Every how many steps the recipe's penalties are taken; 1 where it has none."""
    return rule.penalty_every if rule.r1 or rule.r2 or rule.gradient_penalty else 1


def over_period(cost: Callable[[int], float], every: int) -> float:
    """The mean cost of a step when step 0 of each `every` costs another amount than the rest."""
    return (cost(0) + (every - 1) * cost(1)) / every if every > 1 else cost(0)


def seconds_a_step(
    train_step: Callable[[int], object], every: int, patience: float, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Mean seconds of a step: medians of steps with and without the lazy penalties, `patience` seconds for each kind."""

    def timed(step: int) -> float:
        started = clock()
        train_step(step)
        synchronise()
        return clock() - started

    def usual(offset: int) -> float:
        first = timed(offset)  # warms up
        spent = [timed(every + offset)]
        while len(spent) < 50 and first + sum(spent) < patience:
            spent.append(timed(every * (len(spent) + 1) + offset))
        return statistics.median(spent)

    return over_period(usual, every)


def operations_a_step(train_step: Callable[[int], object], every: int) -> float:
    """Floating-point operations of convolutions and matrix products in a mean step; the rest is not counted."""

    def counted(step: int) -> float:
        with FlopCounterMode(display=False) as counter:
            train_step(step)
        return float(counter.get_total_flops())

    return over_period(counted, every)


def ceiling(
    kind: str,
    dtype: torch.dtype,
    device: torch.device,
    *,
    patience: float = 1.0,
    tiny: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Operations a second of a large 3×3 convolution forward and back ("convolution") or matrix product ("product")."""
    count, width, side = (2, 16, 64) if tiny else (256, 256, 8192) if device.type == "cuda" else (64, 128, 2048)
    if kind == "convolution":
        layer = placed(nn.Conv2d(width, width, 3, padding=1, bias=False), device).to(dtype)
        x = torch.randn(count, width, 32, 32, device=device, dtype=dtype)
        x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
        work: Callable[[int], object] = lambda step: layer(x).sum().backward()  # noqa: E731
    else:
        a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
        work = lambda step: a @ b  # noqa: E731
    return operations_a_step(work, 1) / seconds_a_step(work, 1, patience, clock)


def stored(name: str) -> dict[str, Any]:
    """What bench/results/NAME.json holds; nothing where it was never written."""
    file = RESULTS / f"{name}.json"
    measurements: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return measurements


def write(name: str, rows: list[dict[str, Any]], **more: Any) -> None:
    """bench/results/NAME.json with command, machine and date."""
    RESULTS.mkdir(exist_ok=True)
    facts = {
        "command": f"make bench-{name}",
        "machine": machine(),
        "versions": versions(),
        "date": time.strftime("%Y-%m-%d"),
        **more,
        "rows": rows,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    for line in rows:
        print(f"{line['case']}: {line['ours']} against {line['peer']} {line['unit']} ({line['peer_name']})", flush=True)
