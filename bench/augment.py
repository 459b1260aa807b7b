"""How many images a second are augmented: Augury beside torchvision v2, kornia and albumentations, at 64 and 224 pixels.

Two jobs: "basic" mirrors half of the images and gives each an affine map, colours and a Gaussian blur of its own; "rand"
is RandAugment, two of fourteen operators (albumentations, which has none, takes two of a like list at random). Everyone
starts from uint8 in memory, [N, 3, H, W] or a list of [H, W, 3], and ends in what it works in: Augury and albumentations
in uint8 again, the others in floats or uint8. Each image has draws of its own; torchvision does that image by image, and
with one draw for a whole batch it stands in a row of its own. kornia's RandAugment, too, takes one pair of operators for a
whole batch, which is less work and less variety.

Everyone has all cores: what works on batches has torch's threads; what works image by image in Python (torchvision,
albumentations) has a process on each core, as the workers of a DataLoader: forked once before the clock runs, one thread
each, images and results in memory that they share, so that nothing is pickled but the numbers of the images.

Peers come from the package index into environments of their own under .venvs/, made on the first call; one that cannot be
made or run is skipped with a word. Every measurement is a fresh process, all take turns, medians are reported. The share
of memory bandwidth is what reading and writing the images once would need, of a large copy's.
"""

from __future__ import annotations

import argparse
import atexit
import importlib.util
import json
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

PEERS = {
    "kornia": ("kornia, batched", "kornia"),
    "torchvision": ("torchvision v2, image by image, a process a core", "torchvision"),
    "torchvision_shared": ("torchvision v2, one draw a batch", "torchvision"),
    "albumentations": ("albumentations, image by image, a process a core", "albumentations"),
}
BANDWIDTH = ("a large copy", "GB/s", True)
ALIKE = "kornia, one pair of operators a batch"
ROOT = Path(__file__).parents[1]
BATCH = {64: 128, 224: 32}
Work = Callable[[], object]


def ours(images: torch.Tensor, job: str) -> Work:
    """Augury: uint8 in, uint8 out, addressed draws."""
    from augury.augment import Vary, augmented

    basic = Vary(
        {
            "mirror": (1, 1),
            "rotate": (-15, 15),
            "scale": (0.9, 1.1),
            "translate_x": (-0.1, 0.1),
            "translate_y": (-0.1, 0.1),
            "brightness": (0.8, 1.2),
            "contrast": (0.8, 1.2),
            "saturation": (0.8, 1.2),
            "hue": (-18, 18),
            "blur": (0.1, 1.0),
        },
        {"mirror": 0.5},
    )
    policy, epoch = basic if job == "basic" else "randaugment", iter(range(10**9))
    return lambda: augmented(images, policy, seed=0, epoch=next(epoch))


def kornia(images: torch.Tensor, job: str) -> Work:
    """Floats in [0, 1], each image its own draws where kornia's operator has them."""
    from kornia import augmentation as K

    if job == "basic":
        transform = K.AugmentationSequential(
            K.RandomHorizontalFlip(p=0.5),
            K.RandomAffine(15, (0.1, 0.1), (0.9, 1.1), p=1.0, padding_mode="reflection"),
            K.ColorJiggle(0.2, 0.2, 0.2, 0.05, p=1.0),
            K.RandomGaussianBlur((5, 5), (0.1, 1.0), p=1.0),
            data_keys=["input"],
        )
    else:
        from kornia.augmentation.auto import RandAugment

        transform = K.AugmentationSequential(RandAugment(n=2, m=9), data_keys=["input"])
    return lambda: transform(images.float() / 255)


def torchvision(images: torch.Tensor, job: str, shared: bool = False) -> Work:
    """uint8 tensors."""
    declare_torchvision()
    from torchvision.transforms import v2

    basic = [
        v2.RandomHorizontalFlip(0.5),
        v2.RandomAffine(15, (0.1, 0.1), (0.9, 1.1), interpolation=v2.InterpolationMode.BILINEAR),
        v2.ColorJitter(0.2, 0.2, 0.2, 0.05),
        v2.GaussianBlur(5, (0.1, 1.0)),
    ]
    transform = v2.Compose(basic) if job == "basic" else v2.RandAugment(2, 9)
    if shared:
        return lambda: transform(images)
    return on_every_core(lambda i: transform(images[i]), torch.empty_like(images))


def albumentations(images: torch.Tensor, job: str) -> Work:
    """uint8 [H, W, 3] arrays."""
    import albumentations as A

    arrays = images.permute(0, 2, 3, 1).contiguous()
    options = {"translate_percent": 0.0, "border_mode": 4, "p": 1.0}
    if job == "basic":
        transform = A.Compose(
            [
                A.HorizontalFlip(p=0.5),
                A.Affine(rotate=(-15, 15), scale=(0.9, 1.1), translate_percent=(-0.1, 0.1), border_mode=4, p=1.0),
                A.ColorJitter((0.8, 1.2), (0.8, 1.2), (0.8, 1.2), (-0.05, 0.05), p=1.0),
                A.GaussianBlur(blur_limit=(5, 5), sigma_limit=(0.1, 1.0), p=1.0),
            ]
        )
    else:
        transform = A.SomeOf(
            [
                A.NoOp(p=1.0),
                A.AutoContrast(p=1.0),
                A.Equalize(p=1.0),
                A.Affine(rotate=(-9, 9), **options),
                A.Solarize((0.7, 0.7), p=1.0),
                A.ColorJitter((1, 1), (1, 1), (0.73, 1.27), (0, 0), p=1.0),
                A.Posterize(7, p=1.0),
                A.RandomBrightnessContrast(0, (-0.27, 0.27), p=1.0),
                A.RandomBrightnessContrast((-0.27, 0.27), 0, p=1.0),
                A.Sharpen((0.27, 0.27), p=1.0),
                A.Affine(shear={"x": (-5, 5)}, **options),
                A.Affine(shear={"y": (-5, 5)}, **options),
                A.Affine(translate_percent={"x": (-0.13, 0.13)}, border_mode=4, p=1.0),
                A.Affine(translate_percent={"y": (-0.13, 0.13)}, border_mode=4, p=1.0),
            ],
            n=2,
            p=1.0,
        )
        transform = A.Compose([transform])
    return on_every_core(
        lambda i: torch.from_numpy(transform(image=arrays[i].numpy())["image"]), torch.empty_like(arrays)
    )


SIDES: dict[str, Callable[[torch.Tensor, str], Work]] = {
    "ours": ours,
    "kornia": kornia,
    "torchvision": torchvision,
    "torchvision_shared": lambda images, job: torchvision(images, job, shared=True),
    "albumentations": albumentations,
}


class Shared(NamedTuple):
    """What the forked processes find: how image i is changed, and where the results [N, ...] go."""

    change: Callable[[int], torch.Tensor]
    results: torch.Tensor


SHARED: list[Shared] = []
CHUNKS = 4
"""For each process, so that one that is done early takes more."""


def on_every_core(change: Callable[[int], torch.Tensor], results: torch.Tensor) -> Work:
    """`change` of every image, by a process on each core, which live until the end of this one."""
    cores = len(os.sched_getaffinity(0))
    SHARED[:] = [Shared(change, results.share_memory_())]
    pool = multiprocessing.get_context("fork").Pool(cores, initializer=alone)
    atexit.register(pool.terminate)
    chunks = np.array_split(np.arange(len(results)), CHUNKS * cores)
    return lambda: pool.map(chunk, [part.tolist() for part in chunks], chunksize=1)


def alone() -> None:
    """One thread in this process, of torch and of OpenCV where it is there, and draws of its own."""
    torch.set_num_threads(1)
    torch.manual_seed(os.getpid())
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(0)


def chunk(members: list[int]) -> None:
    """Some images, in a forked process."""
    change, results = SHARED[0]
    for i in members:
        results[i].copy_(change(i))


def declare_torchvision() -> None:
    """Name the operators that torchvision decorates on import: its build for CUDA lacks them beside a CPU torch."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return
    text = (Path(spec.submodule_search_locations[0]) / "_meta_registrations.py").read_text()
    library = torch.library.Library("torchvision", "DEF")
    for name in re.findall(r'register_fake\("torchvision::(\w+)"\)', text):
        try:
            library.define(f"{name}() -> ()")
        except RuntimeError:  # it is there
            continue
    globals()["_kept"] = library  # it ends with the object


def one(side: str, job: str, size: int, seconds: float) -> dict[str, float]:
    """Images a second of one side, in this process: the median over batches. "copy": bytes a second of a large copy."""
    if side == "copy":
        source = torch.zeros(2**28, dtype=torch.uint8)
        target = torch.empty_like(source)
        return {"rate": 2 * len(source) / median(lambda: target.copy_(source), seconds)}
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH[size], 3, size, size), dtype=np.uint8)
    images = torch.nn.functional.avg_pool2d(torch.from_numpy(pixels).float(), 3, 1, 1).to(torch.uint8)
    return {"rate": len(images) / median(SIDES[side](images, job), seconds)}


def median(work: Work, seconds: float) -> float:
    """Seconds that the work takes, after it was done twice to warm up."""
    work()
    work()
    spent: list[float] = []
    while len(spent) < 3 or sum(spent) < seconds:
        started = time.perf_counter()
        work()
        spent.append(time.perf_counter() - started)
    return statistics.median(spent)


def measured(python: str, side: str, job: str, size: int, seconds: float) -> float:
    """`one` in a fresh process of this Python."""
    call = [python, __file__, "--side", side, "--job", job, "--size", str(size), "--seconds", str(seconds)]
    environment = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"}
    done = subprocess.run(call, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no word"])[-1])
    return float(json.loads(done.stdout.splitlines()[-1])["rate"])


def environment(package: str) -> str:
    """The Python of .venvs/PACKAGE, made on the first call by the same constraints as Augury's own. RuntimeError if not."""
    folder = ROOT / ".venvs" / package
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        print(f"  making .venvs/{package}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        call = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        call += ["-c", str(ROOT / "constraints.txt"), "torch", package]
        done = subprocess.run(call, check=False, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(
                f"pip cannot install {package}: {(done.stderr.strip().splitlines() or ['no outcome'])[-1]}"
            )
        (folder / "ready").touch()
    return str(python)


def pythons(only: str) -> tuple[dict[str, str], dict[str, str]]:
    """(side -> the Python to run it with, side -> why it is skipped)."""
    interpreters, skipped = {"ours": sys.executable}, {}
    for side, (_, package) in PEERS.items():
        if only not in side:
            continue
        try:
            interpreters[side] = environment(package)
            measured(interpreters[side], side, "basic", 64, 0.1)
        except RuntimeError as reason:
            interpreters.pop(side, None)
            skipped[side] = str(reason)
            print(f"{side}: skipped, {reason}", flush=True)
    return interpreters, skipped


def main() -> None:
    """Everyone in turn, each job at each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--only", default="", help="peers whose name contains this; writes no file")
    parser.add_argument("--side", help="measure one side here and print it; for the fresh processes")
    parser.add_argument("--job", default="basic")
    parser.add_argument("--size", type=int, default=64)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(one(options.side, options.job, options.size, options.seconds)))
        return
    from common import interleaved, row, write

    interpreters, skipped = pythons(options.only)
    rows, facts = [], {}
    copy = statistics.median(measured(sys.executable, "copy", "", 64, 1.0) for _ in range(options.rounds))
    for size in BATCH:
        for job in ("basic", "rand"):
            sides = {
                name: partial(measured, python, name, job, size, options.seconds)
                for name, python in interpreters.items()
            }
            rates = interleaved(sides, options.rounds)
            share = rates["ours"] * 2 * 3 * size * size / copy
            facts[f"{job}, {size} px"] = {**rates, "share of memory bandwidth": round(share, 4)}
            what = {"basic": "flip, affine, colour, blur", "rand": "RandAugment"}[job]
            case = f"{what}, {size} × {size} × 3"
            rows += [
                row(
                    case,
                    rates["ours"],
                    rates[name],
                    ALIKE if (job, name) == ("rand", "kornia") else PEERS[name][0],
                    "images/s",
                    True,
                    digits=0,
                )
                for name in rates
                if name != "ours"
            ]
            rows.append(row(f"{case}: images read and written once", share * copy / 1e9, copy / 1e9, *BANDWIDTH))
    extra: dict[str, Any] = {"copy": copy, "images_a_second": facts, "skipped": skipped}
    print(json.dumps(extra, indent=1))
    if not options.only:
        write("augment", rows, threads=torch.get_num_threads(), **extra)


if __name__ == "__main__":
    main()
