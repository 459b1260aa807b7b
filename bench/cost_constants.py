"""Constants of the plans in docs/cost.md besides those of the networks: measured on one core, each in a few seconds.

Computing is measured in processor time. What waits for the disk is the shortest of several times, since other programs delay it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from augury.data.near_duplicates import candidates
from augury.files import atomic_path
from augury.images import LabelledImages
from augury.metrics import nearest
from augury.pipeline.file_generation import MANIFEST, generate_files
from augury.provenance import tagged_png
from augury.randomness import rng
from augury.settings import TrainSettings
from augury.training import Synthesizer, checkpoints, choose_device, make_plan, train_plan
from augury.training.batches import BatchLoader
from augury.training.fixed_batches import LANES
from augury.training.plan import set_up
from common import random_images, seconds_a_step

FACTS = {
    "class": "class 1",
    "label": 1,
    "seed": 0,
    "index": 123456,
    "truncation": 1.0,
    "synthesizer": "0" * 16,
    "recipe": "rpgan",
}
START = """
import sys
from augury.training import Synthesizer
Synthesizer.load(sys.argv[1]).sample([0])
"""
CLOCK = time.process_time
FEW = 32
"""Images of a batch whose drawing and encoding are timed."""


def measured_constants(patience: float) -> dict[str, float]:
    """Name -> seconds, bytes or images a second."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generator = trained("rpgan", 64)
        generator.save(folder / "synthesizer")
        near_linear, near_square = search_for_near_duplicates()
        encode, size = encoding(generator, patience)
        draw = seconds_a_step(lambda step: generator.sample([0] * LANES, seed=step), 1, patience, CLOCK) / LANES
        small = trained("gan", 16)
        row_memory, row_bytes = manifest(small, folder)
        return {
            "start_seconds": start(folder / "synthesizer"),
            "image_seconds": draw + encode,
            "encode_seconds": encode,
            "png_bytes": size,
            "checkpoint_seconds": checkpoint(folder),
            "loader_rate": loader(patience),
            "near_linear": near_linear,
            "near_square": near_square,
            "row_memory": row_memory,
            "row_bytes": row_bytes,
            "file_seconds": files(small, folder),
            "shard_seconds": shard(folder),
            "hash_rate": hash_rate(patience),
            "neighbour_bytes": neighbours(),
        }


def trained(name: str, size: int) -> Synthesizer:
    """A generator after one step."""
    images = random_images(3, size, count=64)
    settings = TrainSettings(recipe=name, steps=1, batch=16)
    return train_plan(make_plan(images, settings, seed=0, device=choose_device("cpu"), flips=True), images)


def start(folder: Path) -> float:
    """Processor seconds of a fresh process that loads a generator and draws an image; the least of three."""

    def spent() -> float:
        before = os.times()
        subprocess.run([sys.executable, "-c", START, str(folder)], check=True)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    return min(spent() for _ in range(3))


def shortest(work: Callable[[], object], times: int = 5) -> float:
    """The shortest of several times of some work."""
    spent = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        spent.append(time.perf_counter() - started)
    return min(spent)


def shard(folder: Path) -> float:
    """Seconds to make the two files of a shard durable, without the bytes of its images."""

    def work() -> None:
        for name in ("shard-000000.tar", "shard-000000.json"):
            with atomic_path(folder / name) as temporary:
                temporary.write_bytes(bytes(1000))

    return shortest(work)


def hash_rate(patience: float) -> float:
    """Bytes a second of SHA-256."""
    block = bytes(2**22)
    return len(block) / seconds_a_step(lambda step: hashlib.sha256(block).digest(), 1, patience / 4, CLOCK)


def encoding(generator: Synthesizer, patience: float) -> tuple[float, float]:
    """(seconds, bytes) of an image as PNG with its facts. Smooth colours, since noise cannot be compressed."""
    small = rng(0, "colours").integers(0, 256, (FEW, 9, 9, 3), dtype=np.uint8)
    side = generator.card.shape[1]
    pictures = [Image.fromarray(each).resize((side, side), Image.Resampling.BICUBIC) for each in small]
    encode: Callable[[int], object] = lambda step: [tagged_png(picture, FACTS) for picture in pictures]  # noqa: E731
    length = float(np.mean([len(tagged_png(picture, FACTS)) for picture in pictures]))
    return seconds_a_step(encode, 1, patience, CLOCK) / FEW, length


def checkpoint(folder: Path) -> float:
    """Seconds to write the training state of rpgan at 128 px."""
    images = random_images(3, 128, count=32)
    settings = TrainSettings(recipe="rpgan", steps=10, batch=4)
    plan = make_plan(images, settings, seed=0, device=choose_device("cpu"), flips=True)
    trainer, batches = set_up(plan, images)
    trainer.train_step(0, 0.0, lambda number: batches.draw(number, trainer.device))
    file = folder / "checkpoint-0000001.safetensors"
    return shortest(lambda: checkpoints.save(file, trainer.state.tensors(), {"step": "1"}))


def loader(patience: float) -> float:
    """Images a second that the loader hands out from memory in batches of 64."""
    images: LabelledImages = random_images(3, 64, count=4096)
    batches, device = BatchLoader(images, (), "sqrt", 64, 0), torch.device("cpu")
    return 64 / seconds_a_step(lambda step: batches.draw(step, device), 1, patience, CLOCK)


def search_for_near_duplicates() -> tuple[float, float]:
    """(a, b): the search among N hashes takes a · N + b · N² seconds. Measured at 100,000, 200,000 and 400,000 random hashes; real
    ones are less even, so that their buckets are fuller and b is larger.
    """
    sizes = np.array([100_000, 200_000, 400_000], float)
    spent = []
    for size in sizes.astype(int).tolist():
        bits = rng(0, "hashes", size).random((size, 64)) < 0.5
        started = CLOCK()
        assert sum(len(first) for first, _ in candidates(bits)) < size
        spent.append(CLOCK() - started)
    terms = np.stack([sizes, sizes**2], axis=1) / np.array(spent)[:, None]  # relative errors
    linear, square = np.linalg.lstsq(terms, np.ones(len(sizes)), rcond=None)[0]
    return float(linear), float(square)


def manifest(generator: Synthesizer, folder: Path) -> tuple[float, float]:
    """Bytes of memory and of the manifest for each image more in a call that writes image files."""
    peaks, lengths, numbers = [], [], (2 * generator.chunk, 4 * generator.chunk)
    for number in numbers:
        output = folder / f"drawn-{number}"
        tracemalloc.start()
        generate_files(generator, output, labels=generator.card.classes[:1], number=number)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        lengths.append((output / MANIFEST).stat().st_size)
    more = numbers[1] - numbers[0]
    return (peaks[1] - peaks[0]) / more, (lengths[1] - lengths[0]) / more


def files(generator: Synthesizer, folder: Path) -> float:
    """Seconds of an image in a call that writes image files; the shortest of several calls."""
    number, calls = 64, iter(range(100))
    labels = generator.card.classes[:1]
    work = lambda: generate_files(generator, folder / f"few-{next(calls)}", labels=labels, number=number)  # noqa: E731
    return shortest(work) / number


def neighbours() -> float:
    """Bytes of memory for each value of a reference image in the search for the nearest one; what PyTorch takes is not traced."""
    peaks, numbers, values = [], (2000, 4000), 192
    for number in numbers:
        images = rng(0, "neighbours", number).integers(0, 256, (number, values), dtype=np.uint8)
        tracemalloc.start()
        nearest(images[:4].astype(np.float32), images.astype(np.float32))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    return (peaks[1] - peaks[0]) / (numbers[1] - numbers[0]) / values
