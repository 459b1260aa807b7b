"""Plans for 100 million images on 64 GPUs and for a billion generated images: arithmetic on counted and measured constants.

The constants of GPUs and links are published ones and were not verified on such machines; SHARE is an assumption. They are
named here once, so that a measurement replaces them in one line.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

GPUS, BATCH = 64, 64
"""GPUs, and images of a step on each of them."""
DATA, NEW = 100_000_000, 1_000_000_000
"""Images to train on, and images to generate."""
PEAK = 989e12
"""Operations a second of an H100 SXM in bf16, dense: NVIDIA H100 data sheet."""
SHARE = 0.1
"""Share of PEAK that these networks reach. Assumed: they have few channels."""
LINK = 50e9
"""Bytes a second and direction of a GPU's link between machines: 400 Gb/s, NVIDIA DGX H100 data sheet."""
LAUNCH = 1e-5
"""Seconds from one operator call of PyTorch to the next. Assumed: small networks are bound by it."""
LATENCY = 5e-6
"""Seconds of one message between neighbours of a ring. Assumed."""
NODE_GPUS, NODE_CORES, NODE_MEMORY = 8, 112, 2e12
"""A DGX H100: GPUs, cores and bytes of memory, from its data sheet."""
DAY = 86_400.0
PIXELS = 3 * 64**2
"""Bytes of a decoded image in the limits."""
IMAGES_A_SHARD = {64: 8192, 128: 4096}
"""What `augury generate --count` chooses at these sizes (docs/sharding.md)."""
RECIPES = ("rpgan", "stylegan", "r3gan", "projected", "flow")
NETWORKS = {"flow": 1}
"""Networks whose gradients are summed in a step, each by itself; 2 of a GAN."""
SIZES = (64, 128)


def all_reduce_seconds(
    size: float, workers: int, times: int = 1, link: float = LINK, latency: float = LATENCY
) -> float:
    """Time to sum `size` bytes over a ring, in `times` parts one after the other: each worker sends 2 (W - 1) / W times the bytes,
    in 2 (W - 1) messages for each part. Patarasuk & Yuan (2009), section 4.
    """
    return 2 * (workers - 1) * (size / workers / link + times * latency)


def chosen(counts: Sequence[dict[str, Any]], sizes: Sequence[int] = SIZES) -> list[dict[str, Any]]:
    """The counts of the recipes and sizes of the plan, by size."""
    return [c for size in sizes for name in RECIPES for c in counts if (c["recipe"], c["size"]) == (name, size)]


def training_table(
    counts: Sequence[dict[str, Any]], constants: dict[str, float], million: dict[str, Any], batch: int
) -> list[dict[str, Any]]:
    """One pass over DATA on GPUS. The GPU computes while the processor calls operators, and the loader reads in the same thread
    as the calls; then gradients are summed. `counts` are of steps of `batch` images.
    """
    rate = million["iterate"]["images_a_second"]
    rows = []
    for c in chosen(counts):
        shown = c["shown"] * BATCH / batch
        compute = c["step"] * BATCH / batch / (SHARE * PEAK)
        called = c["calls"] * LAUNCH
        summed = all_reduce_seconds(c["gradients"], GPUS, NETWORKS.get(c["recipe"], 2))
        load = shown / rate * (c["size"] / 64) ** 2
        step = max(compute, called + load) + summed
        steps = math.ceil(DATA / (shown * GPUS))
        parts = {"operations": compute, "calls": called, "loader": load, "all-reduce": summed}
        rows.append(
            {
                "recipe": f"`{c['recipe']}`",
                "px": c["size"],
                **{f"{name}, ms": 1e3 * spent for name, spent in parts.items()},
                "a step, ms": 1e3 * step,
                "steps": steps,
                "hours": steps * step / 3600,
                "checkpoints on disk, MB": 3 * c["checkpoint"] / 1e6,
                "most of it": max(parts, key=lambda name: parts[name]),
            }
        )
    return rows


def storage_table(counts: Sequence[dict[str, Any]], million: dict[str, Any]) -> list[dict[str, Any]]:
    """Disk, memory and network of DATA images, with the memory and times that bench-million measured at 64 px."""
    memory = (million["load"]["memory"] - million["load"]["before"]) * 2**20 / million["load"]["images"]
    opened = million["again"]["seconds"] / million["again"]["images"]
    first = million["load"]["seconds"] / million["load"]["images"]
    rows = []
    for size in SIZES:
        decoded = next(c["image"] for c in counts if c["size"] == size) * DATA
        scale = size**2 / 64**2
        rows.append(
            {
                "px": size,
                "decoded cache, TB": decoded / 1e12,
                "read for one pass, GB a GPU": decoded / GPUS / 1e9,
                "memory of the index, GB a process": memory * DATA / 1e9,
                f"{NODE_GPUS} processes, share of 2 TB": f"{NODE_GPUS * memory * DATA / NODE_MEMORY:.0%}",
                "first reading, hours": first * DATA * scale / 3600,
                "each later start, hours": opened * DATA * scale / 3600,
            }
        )
    return rows


def generation_table(counts: Sequence[dict[str, Any]], constants: dict[str, float], lanes: int) -> list[dict[str, Any]]:
    """NEW images: hours of all GPUs for the networks, and of all cores of their nodes for the encoding."""
    cores = GPUS / NODE_GPUS * NODE_CORES
    rows = []
    for c in chosen(counts):
        scale = c["size"] ** 2 / 64**2
        stored = constants["png_bytes"] * scale
        rows.append(
            {
                "recipe": f"`{c['recipe']}`",
                "px": c["size"],
                "operations, hours": c["draw"] / lanes * NEW / (SHARE * PEAK) / GPUS / 3600,
                f"calls in batches of {lanes}, hours": c["draw_calls"] * LAUNCH / lanes * NEW / GPUS / 3600,
                "PNG, hours": constants["encode_seconds"] * scale * NEW / cores / 3600,
                "PNG, TB": stored * NEW / 1e12,
                "shards": math.ceil(NEW / IMAGES_A_SHARD[c["size"]]),
                "MB a shard": stored * IMAGES_A_SHARD[c["size"]] / 1e6,
            }
        )
    return rows


def limits_table(constants: dict[str, float], million: dict[str, Any]) -> list[dict[str, Any]]:
    """What the code as it is does not do at these numbers, by the number of images at which it passes its limit."""
    memory = (million["load"]["memory"] - million["load"]["before"]) * 2**20 / million["load"]["images"]
    opened = million["again"]["seconds"] / million["again"]["images"]
    a, b = constants["near_linear"], constants["near_square"]
    search = (million["divide"]["near_seconds"]) / million["load"]["images"]  # describing each image, mostly linear
    a = max(a, search - b * million["load"]["images"])
    near = (-a + math.sqrt(a * a + 4 * b * DAY)) / (2 * b)
    hashed = constants["png_bytes"] / constants["hash_rate"]
    found = PIXELS * constants["neighbour_bytes"]
    listed = [
        ("start: every process reads all images to check the cache", "images", opened, 600 / opened, DATA, "10 min", "s"),
        ("`augury generate --number`: rows in memory", "generated", constants["row_memory"], NODE_MEMORY / constants["row_memory"], NEW, "2 TB", "B"),
        ("`augury generate --number`: one file an image, in one process", "generated", constants["file_seconds"], DAY / constants["file_seconds"], NEW, "1 day", "s"),
        ("`augury merge`: SHA-256 of all shards, processor time", "generated", hashed, DAY / hashed, NEW, "1 day", "s"),
        ("stage generate of a run: images in memory, twice, 64 px", "generated", 2 * PIXELS, NODE_MEMORY / (2 * PIXELS), NEW, "2 TB", "B"),
        ("trial: training images of an arm in memory, 64 px", "images", PIXELS, NODE_MEMORY / PIXELS, DATA, "2 TB", "B"),
        ("report: nearest training image, in floating point, 64 px", "images", found, NODE_MEMORY / found, DATA, "2 TB", "B"),
        ("search for near-duplicates: pairs in 4 × 65,536 buckets", "images", None, near, DATA, "1 day", "s"),
        ("index of the images in each of 8 processes", "images", NODE_GPUS * memory, NODE_MEMORY / (NODE_GPUS * memory), DATA, "2 TB", "B"),
    ]  # fmt: skip
    rows = []
    for what, of, each, breaks, number, limit, unit in sorted(listed, key=lambda line: line[3] / line[4]):
        total = a * number + b * number**2 if each is None else each * number
        rows.append(
            {
                "what": what,
                "an image": f"{short(a, 's')} + {short(b, 's')} · N" if each is None else short(each, unit),
                "limit": limit,
                "reached at": f"{breaks / 1e6:,.0f} M {of}",
                "in this plan": size(total) if unit == "B" else spoken(total),
            }
        )
    return rows


def short(value: float, unit: str) -> str:
    """A small value with its unit and the prefix of a power of a thousand."""
    power = math.floor(math.log10(value) / 3)
    prefix = {-4: "p", -3: "n", -2: "µ", -1: "m", 0: "", 1: "k", 2: "M"}[power]
    return f"{value / 1000**power:.3g} {prefix}{unit}"


def size(count: float) -> str:
    """Bytes in a suitable unit."""
    return f"{count / 1e12:,.3g} TB" if count >= 1e12 else f"{count / 1e9:,.3g} GB"


def spoken(seconds: float) -> str:
    """Seconds in a suitable unit."""
    for unit, length in (("days", DAY), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.3g} {unit}"
    return f"{seconds:,.3g} s"
