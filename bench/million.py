"""A million images of 64 × 64 × 3: read from WebDataset shards, divided, and handed out for training, in how much memory.

The images are made, JPEG of coloured blobs in ten classes of a long tail, in .bench/million/COUNT (3 GB; the decoded cache takes
12 GB beside them) and kept for the next time. Every stage is a fresh process, whose highest resident memory is read from the
system. `--count 20000` tries it out. Speeds: decoding on all cores beside one Pillow loop times the cores; the cached
reader beside reading the same file from the page cache with nothing done to it.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
SHARD, CLASSES, SIDE, BATCH = 10_000, 10, 64, 64
LIMIT = 1024.0
"""MiB of resident memory that each stage must do with."""


def make_images(folder: Path, count: int) -> Path:
    """The shards, made on all cores unless they are there."""
    target = folder / "shards"
    if (folder / "made").exists():
        return target
    need = count * (3 * SIDE * SIDE + 4000)
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(folder).free < 1.2 * need:
        raise SystemExit(
            f"{folder}: {count:,} images need {1.2 * need / 1e9:.1f} GB of disk; free some, or lower --count"
        )
    target.mkdir(exist_ok=True)
    starts = range(0, count, SHARD)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(shard, [target] * len(starts), starts, [min(SHARD, count - start) for start in starts]))
    (folder / "made").touch()
    return target


def shard(folder: Path, start: int, count: int) -> None:
    """One tar of `count` images and their classes."""
    random = np.random.default_rng([7, start])
    share = 50.0 ** (-np.arange(CLASSES) / (CLASSES - 1))
    labels = random.choice(CLASSES, count, p=share / share.sum())
    with tarfile.open(folder / f"shard-{start // SHARD:04d}.tar", "w") as archive:
        for i, label in enumerate(labels.tolist(), start):
            picture = Image.fromarray(random.integers(0, 256, (9, 9, 3), dtype=np.uint8))
            file = io.BytesIO()
            picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
            for name, raw in ((f"{i:07d}.jpg", file.getvalue()), (f"{i:07d}.cls", str(label).encode())):
                member = tarfile.TarInfo(name)
                member.size = len(raw)
                archive.addfile(member, io.BytesIO(raw))
            archive.members.clear()  # type: ignore[attr-defined]


def highest() -> float:
    """The most resident memory this process has had, MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise SystemExit("this system does not tell resident memory in /proc/self/status")


def loaded(folder: Path) -> Any:
    """The data set, from its shards or its cache."""
    from augury import data

    return data.load(folder / "shards", cache=folder / "cache")


def load(folder: Path) -> dict[str, Any]:
    """Read, decode and cache, or read the cache again."""
    return {"images": len(loaded(folder))}


def divide(folder: Path) -> dict[str, Any]:
    """The near-duplicates and the split, on data that are cached."""
    from augury import data

    images = loaded(folder)
    started = time.perf_counter()
    near = data.find_near_duplicates(images.images)
    middle = time.perf_counter()
    codes = data.split(images, together=near)
    return {
        "near_duplicates": len(near),
        "near_seconds": middle - started,
        "split_seconds": time.perf_counter() - middle,
        "parts": np.bincount(codes).tolist(),
    }


def iterate(folder: Path, batches: int) -> dict[str, Any]:
    """Batches of the train part as a training draws them."""
    import torch

    from augury import data
    from augury.training.batches import BatchLoader

    images = loaded(folder)
    train = images.take(data.split(images) == 0)
    drawn = BatchLoader(train, (), "sqrt", BATCH, 0)
    device = torch.device("cpu")
    started = time.perf_counter()
    for step in range(batches):
        drawn.draw(step, device)
    return {"images_a_second": batches * BATCH / (time.perf_counter() - started)}


def reader(folder: Path) -> dict[str, Any]:
    """GB/s of the cached images handed out in order, and of their file read with nothing done."""
    images = loaded(folder).images
    (file,) = (folder / "cache" / "images").rglob("images.npy")
    buffer = np.empty(4096 * 3 * SIDE * SIDE, np.uint8)
    space = buffer.reshape(4096, 3, SIDE, SIDE)
    rates = {}

    def handed_out() -> None:
        for start in range(0, len(images), 4096):
            np.copyto(space[: len(images) - start], images[start : start + 4096])

    def plain() -> None:
        with file.open("rb", buffering=0) as stream:
            while stream.readinto(buffer.data):
                pass

    works: dict[str, Callable[[], None]] = {"reader": handed_out, "page_cache": plain}
    for _ in range(3):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            rates.setdefault(name, []).append(images.nbytes / 1e9 / (time.perf_counter() - started))
    return {name: float(np.median(measurements)) for name, measurements in rates.items()}


def pillow(folder: Path) -> dict[str, Any]:
    """Images a second of one loop over Pillow, from memory."""
    with tarfile.open(folder / "shards" / "shard-0000.tar") as archive:
        files = [
            archive.extractfile(m).read() for m, _ in zip(archive, range(8000), strict=False) if m.name.endswith("jpg")
        ]  # type: ignore[union-attr]
    started = time.perf_counter()
    for raw in files:
        np.asarray(Image.open(io.BytesIO(raw)).convert("RGB"))
    return {"images_a_second": len(files) / (time.perf_counter() - started)}


STAGES: dict[str, Callable[..., dict[str, Any]]] = {
    "load": load,
    "again": load,
    "divide": divide,
    "iterate": iterate,
    "reader": reader,
    "pillow": pillow,
}


def stage(name: str, folder: Path, batches: int) -> dict[str, Any]:
    """One stage in this process: what it returns, its seconds, and the memory at its highest and before it began."""
    import torch

    import augury.training  # what every stage holds before it begins

    assert torch and augury.training
    before, started = highest(), time.perf_counter()
    stage_facts = STAGES[name](folder, *([batches] if name == "iterate" else []))
    return {**stage_facts, "seconds": time.perf_counter() - started, "memory": highest(), "before": before}


def main() -> None:
    """All stages in order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--batches", type=int, default=5000)
    parser.add_argument("--folder", type=Path, default=ROOT / ".bench" / "million")
    parser.add_argument("--keep", action="store_true", help="the decoded cache, too")
    parser.add_argument("--stage", help="do one stage here and print it; for the fresh processes")
    options = parser.parse_args()
    folder = options.folder / str(options.count)
    if options.stage:
        print(json.dumps(stage(options.stage, folder, options.batches)))
        return
    from common import apart, row, write

    make_images(folder, options.count)
    shutil.rmtree(folder / "cache", ignore_errors=True)
    measurements = {}
    for name in STAGES:
        words = ("--stage", name, "--count", options.count, "--batches", options.batches, "--folder", options.folder)
        measurements[name] = apart(__file__, *words)
        print(f"  {name}: {measurements[name]}", flush=True)
    if not options.keep:
        shutil.rmtree(folder / "cache")
    what = {
        "load": "read, decode and cache",
        "again": "read the cache",
        "divide": "near-duplicates and split",
        "iterate": "training's batches",
    }
    n = f"{options.count:,} images"
    rows = [
        row(f"{n}: {what[s]}", measurements[s]["memory"], LIMIT, "wanted", "MiB resident", False, digits=0)
        for s in what
    ]
    cores, rate = os.cpu_count() or 1, options.count / measurements["load"]["seconds"]
    rows += [
        row(f"{n}: decoded and cached", rate, cores * measurements["pillow"]["images_a_second"], f"a Pillow loop × {cores} cores", "images/s", True, 0),
        row(f"{n}: cached reader", measurements["reader"]["reader"], measurements["reader"]["page_cache"], "the page cache", "GB/s", True),
    ]  # fmt: skip
    if options.count == 1_000_000:
        write("million", rows, stages=measurements)
    else:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
