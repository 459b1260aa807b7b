"""What a training step and a generated image cost: counted, measured at three sizes, and each predicted from the other two.

Operations (convolutions and matrix products) and bytes are counted in the networks themselves, for every recipe at every size.
The time of a step is modelled as

    seconds = fixed + bytes of optimiser and average / bandwidth + operations / rate.

The bandwidth is measured once, with the optimiser alone. The other two constants are those of a recipe, fitted at two sizes; then
the model predicts the third. Drawing has the same model without an optimiser. Other constants for the plans of docs/cost.md are
measured here as well: start of a process, checkpoint, loader, encoding, search for near-duplicates, memory of a manifest.

Times are processor time of one thread, so that other programs on the machine matter little. About eight minutes of one core. What
is measured is kept at once, so that a killed run goes on; --tables makes the tables again from the last result.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from at_scale import generation_table, limits_table, storage_table, training_table
from augury.pipeline.cost import drawing_share
from augury.settings import TrainSettings
from augury.training import Card, Plan, Synthesizer, choose_device, keep_memory, make_plan, translates
from augury.training.fixed_batches import LANES
from augury.training.plan import Trainer, set_up
from augury.training.recipes import RECIPES
from common import (
    RESULTS,
    Remembered,
    ceiling,
    operations_a_step,
    over_period,
    parameters,
    period,
    random_images,
    row,
    seconds_a_step,
    stored,
    write,
)
from cost_constants import measured_constants

SIZES = (32, 64, 128)
FITTED = SIZES[:2]
"""The constants of the page are fitted here; the ratios also come from the other pairs."""
BATCH, CHANNELS = 8, 3
CLOCK = time.process_time
FLOAT = 4
MOVED = {"adam": 7, "rmsprop": 5}
"""Numbers that an optimiser reads and writes for each weight: weight, gradient and moments read, weight and moments written."""
PARTIAL = RESULTS.parents[1] / "runs" / "cost.json"
"""What a run that is not finished has measured."""
AVERAGED = 3
"""The same of the moving average: average and weight read, average written."""


@dataclass(frozen=True)
class Count:
    """What is counted of a recipe at a size: operations of a mean step of BATCH images and of LANES drawn ones, and bytes."""

    recipe: str
    size: int
    shown: int  # real images in a step
    step: float  # operations
    draw: float  # operations
    calls: float  # operators that PyTorch calls in a mean step
    draw_calls: float  # the same for LANES drawn images
    trained: int  # weights with gradients
    averaged: int  # weights of the generator's average
    traffic: int  # bytes that optimiser and average move in a step
    gradients: int  # bytes that an all-reduce of a step has to sum
    checkpoint: int  # bytes of the training state
    image: int  # bytes of a decoded image


class Calls(TorchDispatchMode):
    """Counts the operators that are called inside."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def calls_a_step(train_step: Callable[[int], object], every: int) -> float:
    """Operators called in a mean step, forward, backward and in the optimiser."""

    def number(step: int) -> float:
        with Calls() as counter:
            train_step(step)
        return float(counter.count)

    return over_period(number, every)


class Side:
    """A recipe at a size, ready to train and to draw."""

    def __init__(self, name: str, size: int, batch: int) -> None:
        keep_memory()
        self.images = random_images(CHANNELS, size, count=256)
        settings = TrainSettings(recipe=name, steps=1000, batch=batch)
        self.plan: Plan = make_plan(self.images, settings, seed=0, device=choose_device("cpu"), flips=True)
        self.trainer: Trainer
        self.trainer, self.batches = set_up(self.plan, self.images)
        self.every = period(self.plan.rule)
        rule, classes = self.plan.rule, self.images.classes
        card = Card(rule.network, rule.settings, self.images.shape, classes, (), (), "", name, 0, 1, 1, "fp32")
        self.synthesizer = Synthesizer(card, self.trainer.state.average.module)

    def train_step(self, step: int) -> None:
        """One step of the training."""
        self.trainer.train_step(step, 0.0, lambda number: self.batches.draw(number, self.trainer.device))

    def draw(self, step: int) -> None:
        """One batch of LANES images."""
        if translates(self.plan.rule):
            self.synthesizer.translate(
                np.resize(self.images.images, (LANES, *self.images.shape)), np.full((LANES, 1), 1)
            )
        else:
            self.synthesizer.sample(np.arange(LANES) % len(self.images.classes), seed=step)


def counted(name: str, size: int) -> Count:
    """Count on a batch of 4: operations go with the number of images."""
    side, few = Side(name, size, 4), 4
    rule, state = side.plan.rule, side.trainer.state
    step = operations_a_step(side.train_step, side.every) * BATCH / few
    often = {n: 1 if n == "generator" else rule.critic_steps for n in state.networks}
    # an optimiser has a state for the weights that got gradients, so not for those of a pretrained network
    weights = {n: sum(p.numel() for p in chosen.state) for n, chosen in state.optimisers.items()}
    average = parameters(state.average.module)
    moved = FLOAT * MOVED[rule.optimiser]
    return Count(
        name,
        size,
        BATCH * rule.critic_steps,
        step,
        operations_a_step(side.draw, 1),
        calls_a_step(side.train_step, side.every),
        calls_a_step(side.draw, 1),
        sum(weights.values()),
        average,
        sum(moved * often[n] * count for n, count in weights.items()) + FLOAT * AVERAGED * average,
        sum(FLOAT * often[n] * count for n, count in weights.items()),
        sum(tensor.nbytes for tensor in state.tensors().values()),
        int(np.prod(side.images.shape)),
    )


def bandwidth(patience: float) -> float:
    """Bytes a second that Adam moves over many weights."""
    weights = torch.nn.Parameter(torch.zeros(2**23))
    weights.grad = torch.ones_like(weights)
    adam = torch.optim.Adam([weights], fused=True)
    return FLOAT * MOVED["adam"] * weights.numel() / seconds_a_step(lambda step: adam.step(), 1, patience, CLOCK)


@dataclass(frozen=True)
class Constants:
    """Fixed seconds of a step, and operations a second."""

    fixed: float
    rate: float

    def seconds(self, operations: float, moved: float = 0.0) -> float:
        """The model; `moved` is the time of optimiser and average."""
        return self.fixed + moved + operations / self.rate


def fitted(operations: tuple[float, float], seconds: tuple[float, float]) -> Constants:
    """The line through two points, without the time of optimiser and average. A line that is below zero at no operations is
    replaced by the one from zero to the larger point.
    """
    rate = (operations[1] - operations[0]) / max(seconds[1] - seconds[0], 1e-12)
    fixed = seconds[0] - operations[0] / rate
    return Constants(fixed, rate) if fixed >= 0 else Constants(0.0, operations[1] / seconds[1])


def predicted(name: str, counts: dict[int, Count], times: dict[str, Any], speed: float) -> list[dict[str, Any]]:
    """Two rows of a recipe, for the training step and the drawing: each size as the other two sizes predict it."""
    rows = []
    for what, images in (("step", "shown"), ("draw", None)):
        moved = {size: c.traffic / speed if what == "step" else 0.0 for size, c in counts.items()}
        measured = {size: times[f"{name} {size}"][what] for size in counts}
        operations = {size: getattr(c, what) for size, c in counts.items()}

        def model(
            small: int, large: int, operations: Any = operations, measured: Any = measured, moved: Any = moved
        ) -> Constants:
            left = [max(measured[size] - moved[size], 1e-9) for size in (small, large)]
            return fitted((operations[small], operations[large]), (left[0], left[1]))

        others = {size: tuple(other for other in SIZES if other != size) for size in SIZES}
        constants = model(*FITTED)
        rows.append(
            {
                "recipe": name,
                "what": what,
                "fixed": constants.fixed,
                "rate": constants.rate,
                "images": {size: getattr(c, images) if images else LANES for size, c in counts.items()},
                "predicted": {
                    size: model(small, large).seconds(operations[size], moved[size])
                    for size, (small, large) in others.items()
                },
                "measured": measured,
            }
        )
    return rows


def timed(name: str, size: int, patience: float) -> dict[str, float]:
    """Seconds of a step and of a drawing."""
    side = Side(name, size, BATCH)
    return {
        "step": seconds_a_step(side.train_step, side.every, patience, CLOCK),
        "draw": seconds_a_step(side.draw, 1, patience / 2, CLOCK),
    }


def prediction_table(rows: list[dict[str, Any]], top: float) -> list[dict[str, Any]]:
    """The rows for the page."""
    return [
        {
            "recipe": f"`{r['recipe']}`",
            "what": {"step": "training", "draw": "drawing"}[r["what"]],
            "fixed, ms": 1e3 * r["fixed"],
            "GFLOP/s": r["rate"] / 1e9,
            "share of the ceiling": f"{r['rate'] / top:.0%}",
            **{f"images/s, {size} px": float(f"{r['images'][size] / r['measured'][size]:.3g}") for size in SIZES},
            **{
                f"predicted / measured, {size} px": f"{r['predicted'][size] / r['measured'][size]:.2f}"
                for size in SIZES
            },
        }
        for r in rows
    ]


def count_table(counts: list[Count]) -> list[dict[str, Any]]:
    """The counts for the page."""
    return [
        {
            "recipe": f"`{c.recipe}`",
            "px": c.size,
            "GFLOP, a training image": c.step / c.shown / 1e9,
            "GFLOP, a generated image": c.draw / LANES / 1e9,
            "trained weights, M": c.trained / 1e6,
            "operator calls, a step": round(c.calls),
            "all-reduce of a step, MB": c.gradients / 1e6,
            "checkpoint, MB": c.checkpoint / 1e6,
            "decoded image, kB": c.image / 1e3,
        }
        for c in counts
    ]


def drawing_table(counts: list[Count], times: dict[str, Any]) -> list[dict[str, Any]]:
    """The cost of drawing an image over that of training on one, and what the plan of `augury run` assumes, at most."""
    return [
        {
            "recipe": f"`{c.recipe}`",
            "operations": f"{c.draw / LANES / (c.step / BATCH):.2f}",
            "time": f"{times[f'{c.recipe} {c.size}']['draw'] / LANES / (times[f'{c.recipe} {c.size}']['step'] / BATCH):.2f}",
            "`augury run`": f"{drawing_share(RECIPES[c.recipe]):.2f}",
        }
        for c in counts
        if c.size == FITTED[1]
    ]


def constant_table(constants: dict[str, float]) -> list[dict[str, Any]]:
    """The measured constants for the page."""
    named: list[tuple[str, Callable[[dict[str, float]], str]]] = [
        ("start of a process until its first image", lambda c: f"{c['start_seconds']:.1f} s"),
        ("one image of `rpgan` at 64 px, drawn and encoded as PNG", lambda c: f"{1e3 * c['image_seconds']:.2f} ms"),
        ("of this, encoding", lambda c: f"{1e3 * c['encode_seconds']:.2f} ms"),
        ("one PNG file at 64 px", lambda c: f"{c['png_bytes']:,.0f} bytes"),
        ("what a shard costs besides its images: two files made durable", lambda c: f"{1e3 * c['shard_seconds']:.1f} ms"),
        ("SHA-256", lambda c: f"{c['hash_rate'] / 1e9:.2f} GB/s"),
        ("checkpoint of `rpgan` at 128 px, written and durable", lambda c: f"{1e3 * c['checkpoint_seconds']:.0f} ms"),
        ("images that the loader hands out, 64 px, from memory", lambda c: f"{c['loader_rate']:,.0f} a second"),
        ("search for near-duplicates, N images", lambda c: f"{1e6 * c['near_linear']:.2g} µs · N + {1e12 * c['near_square']:.2g} ps · N²"),
        ("nearest training image, memory a value", lambda c: f"{c['neighbour_bytes']:.0f} bytes"),
        ("an image file of `augury generate --number`", lambda c: f"{1e3 * c['file_seconds']:.1f} ms"),
        ("of this call, memory an image", lambda c: f"{c['row_memory']:,.0f} bytes"),
        ("of this call, manifest an image", lambda c: f"{c['row_bytes']:,.0f} bytes"),
    ]  # fmt: skip
    return [{"constant": name, "measured": text(constants)} for name, text in named]


def measurements(options: argparse.Namespace) -> dict[str, Any]:
    """Everything that is counted or timed."""
    torch.set_num_threads(1)
    known = Remembered(PARTIAL)

    def once(name: str, measure: Callable[..., Any], *values: Any) -> Any:
        if name not in known.values:
            known.values[name] = measure(*values)
            known.keep(0, 0, name)
            print(f"  {name}: {known.values[name]}", flush=True)
        return known.values[name]

    precision = once("precision", lambda: Side("gan", FITTED[0], 4).plan.precision)
    dtype, cpu = torch.bfloat16 if precision == "bf16" else torch.float32, choose_device("cpu")
    top = once("ceiling", lambda: ceiling("convolution", dtype, cpu, patience=options.patience, clock=CLOCK))
    speed = once("bandwidth", lambda: bandwidth(options.patience))
    constants = once("constants", lambda: measured_constants(options.patience))
    pairs = [(name, size) for name in RECIPES if options.only in name for size in SIZES]
    return {
        "precision": precision,
        "ceiling": top,
        "bandwidth": speed,
        "constants": constants,
        "counts": [once(f"count {n} {s}", lambda *of: asdict(counted(*of)), n, s) for n, s in pairs],
        "times": {f"{n} {s}": once(f"time {n} {s}", timed, n, s, options.patience) for n, s in pairs},
    }


def tables(facts: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """(rows predicted against measured, tables of the page) from the stored measurements."""
    counts = [Count(**c) for c in facts["counts"]]
    names = list(dict.fromkeys(c.recipe for c in counts))
    by_size = {name: {c.size: c for c in counts if c.recipe == name} for name in names}
    rows = [r for name in names for r in predicted(name, by_size[name], facts["times"], facts["bandwidth"])]
    million, constants = stored("million")["stages"], facts["constants"]
    return rows, {
        "predicted": prediction_table(rows, facts["ceiling"]),
        "counted": count_table(counts),
        "constants": constant_table(constants),
        "drawing": drawing_table(counts, facts["times"]),
        "training": training_table(facts["counts"], constants, million, BATCH),
        "storage": storage_table(facts["counts"], million),
        "generation": generation_table(facts["counts"], constants, LANES),
        "limits": limits_table(constants, million),
    }


def main() -> None:
    """Count, measure, fit, predict, and write the plans."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patience", type=float, default=1.0, help="seconds for each kind of step")
    parser.add_argument("--only", default="", help="recipes whose name contains this; printed, not written")
    parser.add_argument("--tables", action="store_true", help="make the tables again from the stored measurements")
    options = parser.parse_args()
    facts = stored("cost") if options.tables else measurements(options)
    rows, page = tables(facts)
    if options.only:
        print(json.dumps(page, indent=1, ensure_ascii=False))
        return
    lines = [
        row(
            f"{r['recipe']}, {size} px, {r['what']}",
            r["measured"][size],
            r["predicted"][size],
            "predicted",
            "s",
            False,
            4,
        )
        for r in rows
        for size in SIZES
    ]
    fields = ("precision", "ceiling", "bandwidth", "counts", "times", "constants")
    measured = {name: facts[name] for name in fields}
    dated = {name: facts[name] for name in ("machine", "versions", "date") if name in facts}
    PARTIAL.unlink(missing_ok=True)
    write("cost", lines, **measured, **dated, table=page["predicted"], tables=page)


if __name__ == "__main__":
    main()
