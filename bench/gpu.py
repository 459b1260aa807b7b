"""What a GPU makes of every recipe, in under eight minutes. Unverified: written where there was no GPU.

Every recipe at 32, 64, 128 and 256 px: images a second of training in bf16 against fp32 (with PyTorch's own choice of
TF32), peak memory, and the share of a large bf16 3×3 convolution forward and back, the ceiling. Then a short training of
rpgan and stylegan on the embedded sample, scored by the kernel distance over features of a classifier. At last, in
what time is left, some recipes with torch.compile: of both networks, but of the generator alone where a slope penalty
needs the discriminator's second derivatives, which compiled code does not give. What does not fit in the memory or the
time is left out and named.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import torch

from augury import data, metrics
from augury.images import LabelledImages
from augury.settings import TrainSettings
from augury.training import Plan, choose_device, make_plan, train_plan
from augury.training.plan import Trainer, set_up
from augury.training.reconstruction import ReconstructionTrainer
from common import (
    FROM_NOISE,
    ceiling,
    classifier_features,
    held_out,
    mixed,
    operations_a_step,
    period,
    random_images,
    row,
    seconds_a_step,
    write,
)

COMPILED = ("dcgan", "stylegan", "rpgan", "r3gan", "vae")


class Bench:
    """The device, the clock and what was found."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.dry = options, options.dry_run
        self.device = choose_device("cpu" if self.dry else "cuda")
        self.started = time.perf_counter()
        self.rows: list[dict[str, Any]] = []
        self.facts: list[dict[str, Any]] = []
        self.left_out: list[str] = []
        kinds = [(k, t) for k in ("convolution", "product") for t in (torch.float32, torch.bfloat16)]
        self.ceilings = {f"{k}, {t}": ceiling(k, t, self.device, patience=0.5, tiny=self.dry) for k, t in kinds}
        for name, device_facts in self.ceilings.items():
            print(f"ceiling of {name}: {device_facts / 1e12:.3g} TFLOP/s", flush=True)

    def left(self) -> float:
        """Seconds left."""
        return float(self.options.minutes * 60 - (time.perf_counter() - self.started))

    def plan(self, name: str, images: LabelledImages, precision: str, **settings: Any) -> Plan:
        """The recipe as `augury train` would train it."""
        chosen = TrainSettings(recipe=name, precision=precision, batch=self.options.batch, **settings)
        return make_plan(images, chosen, seed=0, device=self.device, flips=True)

    def measured(self, name: str, size: int, precision: str, operations: float, compiled: bool) -> dict[str, Any]:
        """Images a second, peak GiB, operations a step (counted unless given) and share of the ceiling; empty when it
        does not fit."""
        what = f"{name}, {size}×{size}×3, {precision}{', compiled' if compiled else ''}"
        if self.left() < 5:
            self.left_out.append(f"{what}: no time")
            return {}
        images = random_images(3, size, count=256)
        try:
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            plan = self.plan(name, images, precision, steps=1000)
            trainer, batches = set_up(plan, images)
            if compiled:
                compile_networks(trainer, "eager" if self.dry else "inductor")

            def train_step(step: int) -> None:
                trainer.train_step(step, 0.0, lambda number: batches.draw(number, self.device))

            every = period(plan.rule)
            operations = operations or operations_a_step(train_step, every)
            seconds = seconds_a_step(train_step, every, self.options.patience)
        except RuntimeError as error:  # out of memory, or a compiler that gives up
            self.left_out.append(f"{what}: {str(error).splitlines()[0][:200]}")
            print(self.left_out[-1], flush=True)
            return {}
        device_facts = {
            "recipe": name,
            "size": size,
            "precision": precision,
            "compiled": compiled,
            "trained": plan.batch * plan.rule.critic_steps / seconds,
            "gib": torch.cuda.max_memory_allocated() / 2**30 if self.device.type == "cuda" else 0.0,
            "operations": operations,
            "share": operations / seconds / self.ceilings["convolution, torch.bfloat16"],
        }
        self.facts.append(device_facts)
        print(
            f"{what}: {device_facts['trained']:.4g} img/s, {device_facts['share']:.1%}, {device_facts['gib']:.2f} GiB",
            flush=True,
        )
        return device_facts

    def compare(self, name: str, size: int) -> None:
        """bf16 against fp32."""
        plain = self.measured(name, size, "fp32", 0.0, compiled=False)
        half = self.measured(name, size, "bf16", plain.get("operations", 0.0), compiled=False)
        if plain and half:
            case = f"{name}, {size}×{size}×3, batch {self.options.batch}, bf16: {half['share']:.1%} of the ceiling, {half['gib']:.2f} GiB"
            self.rows.append(row(case, half["trained"], plain["trained"], "fp32", "img/s", True, digits=0))

    def compare_compiled(self, name: str, size: int) -> None:
        """torch.compile against none, both in bf16."""
        plain = [f for f in self.facts if (f["recipe"], f["size"], f["precision"]) == (name, size, "bf16")]
        if plain:
            device_facts = self.measured(name, size, "bf16", plain[0]["operations"], compiled=True)
            if device_facts:
                case = f"{name}, {size}×{size}×3, batch {self.options.batch}, torch.compile"
                rates = device_facts["trained"], plain[0]["trained"]
                self.rows.append(row(case, *rates, "not compiled", "img/s", True, digits=0))

    def quality(self, name: str, seconds: float, count: int) -> None:
        """The kernel distance after a short training, against that of real images."""
        images = data.sample()
        parts = data.split(images)
        train, test = (images.take(parts == part) for part in (0, 2))
        extractor = classifier_features(train, self.device, steps=5 if self.dry else 300)
        started = time.perf_counter()
        plan = self.plan(name, train, "auto", budget=seconds)
        synthesizer = train_plan(plan, train)
        spent = time.perf_counter() - started
        real = held_out(train, test, count, seed=0)
        drawn = synthesizer.sample(mixed(train.labels, count), seed=0).images
        known = {"features": extractor.identity, "preprocessing": extractor.preprocessing, "seed": 0}
        scores = [
            metrics.kid(extractor.extract(those), extractor.extract(real), **known).value
            for those in (drawn, mixed(train.images, count))
        ]
        case = f"{name}, sample, {spent:.0f} s ({plan.steps} steps, {plan.precision}), KID of classifier features, N {len(real)}"
        self.rows.append(row(case, *scores, "real images", "", False, digits=5))
        print(f"{case}: {scores[0]:.4g}, real images {scores[1]:.4g}", flush=True)


def compile_networks(trainer: Trainer, backend: str) -> None:
    """Compile in place what training calls: never what a slope penalty differentiates twice."""
    if isinstance(trainer, ReconstructionTrainer):
        trainer.generator.decode.compile(backend=backend)  # type: ignore[operator,union-attr]
        trainer.encoder.compile(backend=backend)
        return
    trainer.generator.compile(backend=backend)
    if not (trainer.recipe.r1 or trainer.recipe.r2 or trainer.recipe.gradient_penalty):
        trainer.discriminator.features = torch.compile(trainer.discriminator.features, backend=backend)  # type: ignore[assignment]


def main() -> None:
    """What the docstring of this file says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=7.5, help="for everything")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--patience", type=float, default=0.5, help="seconds for each kind of step")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each training that is scored")
    parser.add_argument("--dry-run", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not (torch.cuda.is_available() or options.dry_run):
        raise SystemExit(
            f"bench/gpu.py needs a CUDA GPU, but PyTorch {torch.__version__} finds none; on a CPU: make bench-speed"
        )
    sizes, count, compiled_at = (32, 64, 128, 256), 1000, 64
    if options.dry_run:
        sizes, count, compiled_at = (16,), 64, 16
        options.batch, options.patience, options.seconds = 4, 0.01, 1.0
    bench = Bench(options)
    for size in sizes:
        for name in FROM_NOISE:
            bench.compare(name, size)
    for name in ("rpgan", "stylegan"):
        try:
            bench.quality(name, options.seconds, count)
        except RuntimeError as error:
            bench.left_out.append(f"quality of {name}: {str(error).splitlines()[0][:200]}")
    for name in COMPILED:
        bench.compare_compiled(name, compiled_at)
    facts = {"ceilings": bench.ceilings, "left_out": bench.left_out, "recipes": bench.facts}
    if options.dry_run:
        print(json.dumps({"rows": bench.rows, **facts}))
        return
    write("gpu", bench.rows, gpu=torch.cuda.get_device_name(), cuda=torch.version.cuda, **facts)


if __name__ == "__main__":
    main()
