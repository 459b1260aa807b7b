"""Two domains, the second without labels: every method of adaptation, on labelled images and on translated ones.

    python bench/domains.py --data /path/to/data --seeds 4

A row is the balanced accuracy on labelled test images of the target; each is stored as it comes, so that a stopped run goes
on. `run(translate=...)`, or `--translate module:function`, repeats each method on translated images. The settings of the
methods were chosen on test images, in favour of the rivals: those of pseudo-labels on USPS -> MNIST, even and long-tailed, those
of the mean teacher there and on fonts -> photographs. The other cases confirm them.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from augury.augment import policy
from augury.files import write_json
from augury.images import Codes, LabelledImages
from augury.proof import Lesson, measures, probabilities
from augury.proof.adaptation import ADAPTATIONS, adapted
from augury.proof.class_mix import class_mix
from augury.proof.colour_matching import joined
from augury.randomness import rng

DATA = Path(os.environ.get("BENCH_DATA", "data"))
RESULTS = Path(__file__).parent / "results" / "domains.json"
DRAW = 0
"""The images of a case are the same for every seed; the seed varies the trainings."""
FEW = (5, 20)
"""Labelled target images a class, in the rows that show what labels are worth."""
REFERENCES = tuple(f"few_labels@{n}+adabn" for n in FEW)
ORACLE = "target labels"


@dataclass(frozen=True)
class Case:
    """`labels` source images, as many of each class; `unlabelled` target images as they come, or with a long tail whose
    largest class is `tail` times its smallest; `test` images of the target's test part, all when None."""

    name: str
    source: str
    target: str
    file: str = "mnist_usps32.npz"
    labels: int = 500
    unlabelled: int = 3000
    test: int | None = 2000
    tail: float = 1.0


CASES = {
    case.name: case
    for case in (
        Case("USPS -> MNIST", "usps", "mnist"),
        Case("MNIST -> USPS", "mnist", "usps", test=None),
        Case("USPS -> MNIST, long tail 20:1", "usps", "mnist", tail=20.0),
        Case("USPS -> MNIST, 100 labels", "usps", "mnist", labels=100),
        Case("USPS -> MNIST, 300 unlabelled", "usps", "mnist", unlabelled=300),
        Case("fonts -> photographs", "font", "photo", "chars74k32.npz", labels=2040),
    )
}


@dataclass(frozen=True)
class DomainImages:
    """The images of a case: `labelled` of the source; `target` and `test` of the target, whose labels only the test and the
    oracle see; `pool`, further labelled target images from which few_labels draws."""

    labelled: LabelledImages
    target: LabelledImages
    test: LabelledImages
    pool: LabelledImages

    def few(self, number: int) -> LabelledImages:
        """`number` labelled target images of each class."""
        rows = [np.flatnonzero(self.pool.labels == c)[:number] for c in range(len(self.pool.classes))]
        return self.pool.take(np.concatenate(rows))


Translate = Callable[[Case, int], LabelledImages]
"""(case, seed) -> the source's labelled images in the style of the target, under the labels of their sources."""


def images_of(case: Case, data: Path) -> DomainImages:
    """Read and divide the images; a function of the case alone."""
    with np.load(data / case.file) as file:
        images, labels, domain, group = (file[name] for name in ("image", "label", "domain", "group"))
        part = file["part"] if "part" in file else _parts(group, domain == case.target)
    classes = tuple(sorted(set(labels.tolist())))
    codes = np.array([classes.index(label) for label in labels], np.int64)

    def chosen(rows: Codes) -> LabelledImages:
        return LabelledImages(
            images[rows][:, None], codes[rows], classes, fingerprint=f"{case.name}/{rows[:8].tolist()}"
        )

    def shuffled(name: str, which: str) -> Codes:
        return rng(DRAW, "domains", name, which).permutation(np.flatnonzero((domain == name) & (part == which)))

    source, target = shuffled(case.source, "train"), shuffled(case.target, "train")
    each = case.labels // len(classes)
    labelled = np.concatenate([source[codes[source] == c][:each] for c in range(len(classes))])
    used = long_tailed(codes[target], case.unlabelled, case.tail)
    rest = np.setdiff1d(np.arange(len(target)), used, assume_unique=True)
    test = shuffled(case.target, "test")[: case.test]
    return DomainImages(chosen(labelled), chosen(target[used]), chosen(test), chosen(target[rest]))


def _parts(group: npt.NDArray[Any], of_target: npt.NDArray[np.bool_]) -> npt.NDArray[np.str_]:
    """ "train" or "test" for each image: every third group of the target is for the test, the source is all for training."""
    tested = rng(DRAW, "domains", "parts").permutation(np.unique(group[of_target]))[::3]
    return np.where(of_target & np.isin(group, tested), "test", "train")


def long_tailed(labels: Codes, number: int, tail: float) -> Codes:
    """The first `number` rows; or about as many, whose classes in a random order fall off from `tail` to 1."""
    if tail == 1:
        return np.arange(number)
    order = rng(DRAW, "domains", "tail").permutation(int(labels.max()) + 1)
    shares = tail ** (-np.arange(len(order)) / (len(order) - 1))
    counts = np.rint(number * shares / shares.sum()).astype(int)
    return np.sort(np.concatenate([np.flatnonzero(labels == c)[:n] for c, n in zip(order, counts, strict=True)]))


def fitted(method: str, on: LabelledImages, images: DomainImages, lesson: Lesson, seed: int) -> Any:
    """The classifier of a method, of few_labels with a number, or of the oracle."""
    few, device = None, torch.device("cpu")
    if method == ORACLE:
        on, method = images.target, "source_only"
    if "@" in method:
        name, rest = method.split("@")
        number, _, after = rest.partition("+")
        few, method = images.few(int(number)), "+".join(filter(None, (name, after)))
    return adapted(on, images.target.images, lesson, method=method, seed=seed, device=device, few=few)


def run(
    data: Path,
    cases: Sequence[str],
    methods: Sequence[str],
    seeds: Sequence[int],
    *,
    steps: int = 400,
    translate: Translate | None = None,
    results: Path = RESULTS,
    mirrored: bool = False,
) -> dict[str, Any]:
    """Train every method for every seed, on the labelled images, and on translated ones and both where `translate` gives them.

    Returns what `results` holds: "case / images / method / steps / seed" -> its measures. What is there already is not trained again.
    """
    stored: dict[str, Any] = json.loads(results.read_text(encoding="utf-8")) if results.exists() else {}
    lesson = Lesson(steps=steps, balanced=True, augment=policy("randaugment", flips=mirrored))
    for name in cases:
        images = images_of(CASES[name], data)
        for seed in seeds:
            sets = {"labelled": images.labelled}
            if translate is not None:
                moved = replace(translate(CASES[name], seed), groups=None, split=None, names=())
                sets |= {"translated": moved, "both": joined(images.labelled, moved)}
            for on, labelled in sets.items():
                for method in methods:
                    key = " / ".join((name, on, method, str(steps), str(seed)))
                    if key in stored or (method == ORACLE and on != "labelled"):
                        continue
                    begun = time.perf_counter()
                    model = fitted(method, labelled, images, lesson, seed)
                    stored[key] = measured(model, images) | {"seconds": round(time.perf_counter() - begun, 1)}
                    results.parent.mkdir(parents=True, exist_ok=True)
                    write_json(results, stored)
                    print(f"{key}: {100 * stored[key]['balanced_accuracy']:.1f}", flush=True)
    return stored


def measured(model: Any, images: DomainImages) -> dict[str, Any]:
    """Balanced accuracy and recall on the test images; how far estimates of the target's class mix are from the truth."""
    kept = measures(images.test.labels, probabilities(model, images.test.images))
    p = probabilities(model, images.target.images)
    truth = images.target.counts / len(images.target)
    away = {how: float(np.abs(class_mix(p, how) - truth).sum() / 2) for how in ("counted", "em")}
    return {"balanced_accuracy": kept["balanced_accuracy"], "recall": kept["recall"], "mix_error": away}


def table(stored: Mapping[str, Any], steps: int) -> str:
    """Case, images and method with mean, standard deviation over seeds and their number, as a Markdown table."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for key, value in stored.items():
        case, on, method, length, _ = key.split(" / ")
        if int(length) == steps:
            found.setdefault((case, on, method), []).append(100 * value["balanced_accuracy"])
    lines = ["| case | trained on | method | balanced accuracy | sd | seeds |", "|---|---|---|---:|---:|---:|"]
    for (case, on, method), values in found.items():
        spread = f"{np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
        lines.append(f"| {case} | {on} | {method} | {np.mean(values):.1f} | {spread} | {len(values)} |")
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--methods", nargs="*", default=[*ADAPTATIONS, *REFERENCES, ORACLE])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--translate", help="module:function, (case, seed) -> LabelledImages")
    asked = parser.parse_args()
    module, _, function = (asked.translate or "").partition(":")
    translate = getattr(importlib.import_module(module), function) if module else None
    seeds = range(asked.seeds)
    stored = run(
        asked.data, asked.cases, asked.methods, seeds, steps=asked.steps, translate=translate, results=asked.results
    )
    print(table(stored, asked.steps))


if __name__ == "__main__":
    main()
