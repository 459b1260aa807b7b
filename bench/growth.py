"""Cost per image of reading, training, generating, filtering, scoring and searching, from a thousand images to a million.

The images are those of bench/million.py: JPEG of 64 × 64 × 3, made in .bench/million/COUNT and kept. Each measurement is a
fresh process; imports do not count. The cost is processor time, of child processes too. All sizes take about an hour on two cores, and
16 GB of disk; `--sizes 1000 10000 100000` takes ten minutes. A killed benchmark goes on where it stopped.
Wanted: the cost per image at the largest size is at most 1.2 times that of any smaller one. At a thousand images, constant costs such
as starting processes still show.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from million import BATCH, ROOT, SIDE, highest, loaded, make_images

WANTED = 1.2
STEPS, CANDIDATES, BLOCK = 100, 256, 4096
"""Training steps, images to compare with all others, images in memory at once."""


def spent() -> float:
    """Seconds of processor time of this process and of its children that have ended."""
    return sum(os.times()[:4])


def read(folder: Path, count: int) -> float:
    """Decode all images into the cache."""
    from augury import data

    shutil.rmtree(folder / "cache", ignore_errors=True)
    started = spent()
    assert len(data.load(folder / "shards", cache=folder / "cache")) == count
    for child in multiprocessing.active_children():
        child.join()
    return (spent() - started) / count


def train(folder: Path, count: int) -> float:
    """Steps of the recipe `gan` on batches of the cached images; per image of a batch."""
    import torch

    from augury.training.plan import set_up
    from sides import planned

    images = loaded(folder)
    trainer, batches = set_up(planned("gan", images, BATCH), images)
    draw = lambda number: batches.draw(number, torch.device("cpu"))  # noqa: E731
    trainer.train_step(0, 0.0, draw)
    started = spent()
    for step in range(1, STEPS + 1):
        trainer.train_step(step, 0.0, draw)
    return (spent() - started) / (STEPS * BATCH)


def generate(folder: Path, count: int) -> float:
    """Shards of `count` images from a small generator, by one worker."""
    import torch

    from augury.networks import build_generator
    from augury.shards import ShardOptions, generate_shards
    from augury.training import Card, Synthesizer

    torch.manual_seed(0)
    settings, shape = {"latent": 16, "hidden": 64, "layers": 1}, (3, SIDE, SIDE)
    card = Card("mlp", settings, shape, ("a", "b"), (), (), "x", "gan", 0, 1, 1, "fp32")
    with tempfile.TemporaryDirectory(dir=folder) as name:
        Synthesizer(card, build_generator("mlp", settings, shape, (2,))).save(Path(name) / "generator")
        started = spent()
        generate_shards(Path(name) / "generator", Path(name) / "out", count, ShardOptions(workers=1))
        return (spent() - started) / count


def context(train_images: Any) -> Any:
    """What filters know of real images, with a classifier of random weights."""
    from augury import metrics
    from augury.generation import FilterContext

    probabilities = lambda images: np.full((len(images), 10), 0.1)  # noqa: E731
    return FilterContext(train_images, probabilities, metrics.nearest)


def filter_images(folder: Path, count: int) -> float:
    """All images through `agreement` and `near_copy`, in blocks, with a thousand training images."""
    from augury.generation import Candidates
    from augury.generation.filters import apply

    images = loaded(folder)
    known = context(images.take(np.arange(1000)))
    _ = known.copy_limit
    started = spent()
    for start in range(0, count, BLOCK):
        some = images.images[start : start + BLOCK]
        n = len(some)
        conditions = images.labels[start : start + n, None]
        apply(
            ("agreement", "near_copy"),
            Candidates(some, conditions, np.arange(n), np.ones(n, np.int64), np.ones(n, bool)),
            known,
        )
    return (spent() - started) / count


def near_copy(folder: Path, count: int) -> float:
    """Some images against all as training images, with all that `near_copy` prepares; per training image and candidate."""
    from augury.generation import Candidates
    from augury.generation.filters import apply

    images = loaded(folder)
    started = spent()
    known = context(images)
    some = images.images[:CANDIDATES] // 2 + 50
    n = len(some)
    apply(
        ("near_copy",),
        Candidates(some, images.labels[:n, None], np.arange(n), np.ones(n, np.int64), np.ones(n, bool)),
        known,
    )
    return (spent() - started) / count


def mean_colours(images: Any) -> Any:
    """Features of images: mean colours of 8 × 8 areas, block by block."""
    from augury.generation.pixel_neighbours import areas

    return np.concatenate([areas(images[at : at + BLOCK]) for at in range(0, len(images), BLOCK)])


def near_duplicate(folder: Path, count: int) -> float:
    """All images, as synthetic ones, through `near_duplicate`, with mean colours of 8 × 8 areas as features."""
    from augury.generation import FILTERS, Candidates

    images = loaded(folder)
    known = replace(context(images.take(np.arange(1000))), features=mean_colours)
    started = spent()
    numbers = np.arange(count)
    candidates = Candidates(
        images.images, images.labels[:, None], numbers, np.ones(count, np.int64), np.ones(count, bool)
    )
    FILTERS["near_duplicate"].score(candidates, known)
    return (spent() - started) / count


def score(folder: Path, count: int) -> float:
    """The Fréchet distance of all images to the first thousand, from moments of features of a small network."""
    import torch

    from augury import metrics
    from augury.networks import Classifier

    torch.manual_seed(0)
    extractor, images = metrics.of_classifier(Classifier(3, 10)), loaded(folder).images
    reference = metrics.moments(extractor.extract(images[:1000]))
    started = spent()
    parts = [metrics.moments(extractor.extract(images[at : at + BLOCK])) for at in range(0, count, BLOCK)]
    assert metrics.frechet_of_moments(metrics.merged(parts), reference) >= 0
    return (spent() - started) / count


def near_duplicates(folder: Path, count: int) -> float:
    """The search for near-duplicates among all images."""
    from augury import data

    images = loaded(folder).images
    started = spent()
    data.find_near_duplicates(images)
    return (spent() - started) / count


OPERATIONS: dict[str, tuple[str, Callable[[Path, int], float]]] = {
    "read": ("read and decode", read),
    "train": ("train step (recipe gan)", train),
    "generate": ("generate into shards", generate),
    "filter": ("filter by agreement and near_copy, 1,000 training images", filter_images),
    "near_copy": (f"near_copy of {CANDIDATES} candidates, per training image", near_copy),
    "near_duplicate": ("near_duplicate among all images", near_duplicate),
    "score": ("features and moments for the Fréchet distance", score),
    "near_duplicates": ("near-duplicate search", near_duplicates),
}
"""Name -> (its row in the table, seconds per image of (folder, number of images)). `read` fills the cache for the others."""


def one(name: str, folder: Path, count: int) -> dict[str, float]:
    """One measurement in this process."""
    import torch

    import augury.training  # what every operation holds before it begins

    assert torch and augury.training
    return {"seconds": OPERATIONS[name][1](folder, count), "memory": highest()}


def main() -> None:
    """All operations at all sizes, the smallest first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000, 1_000_000])
    parser.add_argument(
        "--only", nargs="+", default=list(OPERATIONS), choices=OPERATIONS, help="prints, and writes no file"
    )
    parser.add_argument("--folder", type=Path, default=ROOT / ".bench" / "million")
    parser.add_argument(
        "--one", nargs=2, metavar=("OPERATION", "SIZE"), help="do one here and print it; for the fresh processes"
    )
    options = parser.parse_args()
    if options.one:
        name, count = options.one[0], int(options.one[1])
        print(json.dumps(one(name, options.folder / str(count), count)))
        return
    from common import Remembered, apart, write

    measurements: dict[str, dict[int, dict[str, float]]] = {name: {} for name in OPERATIONS}
    remembered = Remembered(options.folder / "growth.json")
    for count in sorted(options.sizes):
        folder = options.folder / str(count)
        make_images(folder, count)
        os.sync()  # reading them shall not wait for their writing
        for name in (name for name in OPERATIONS if name in {"read", *options.only}):
            key = f"{name} {count}"
            if key not in remembered.values:
                remembered.values[key] = apart(__file__, "--one", name, count, "--folder", options.folder)
                remembered.keep(0, 0, key)
            facts = measurements[name][count] = remembered.values[key]
            print(f"  {name}, {count:,}: {1e6 * facts['seconds']:.1f} µs, {facts['memory']:.0f} MiB", flush=True)
        shutil.rmtree(folder / "cache", ignore_errors=True)
    if set(options.only) == set(OPERATIONS):
        write("growth", [], table=[line(name, of) for name, of in measurements.items()], measurements=measurements)
        remembered.file.unlink()


def line(name: str, of: dict[int, dict[str, float]]) -> dict[str, Any]:
    """The row of an operation: µs per image at each size, and the growth to the largest from the one before."""
    sizes = sorted(of)
    values = [1e6 * of[count]["seconds"] for count in sizes]
    cells: dict[str, Any] = {"µs per image": OPERATIONS[name][0]}
    cells |= {f"{count:,} images": round(value) for count, value in zip(sizes, values, strict=True)}
    growth = values[-1] / values[-2] if len(values) > 1 else 1.0
    return {**cells, "last / before": f"{growth:.2f}", "MiB at the last": round(of[sizes[-1]]["memory"])}


if __name__ == "__main__":
    main()
