"""Speed of the translator: images a second of training against a plain fp32 loop, and seconds for 1,000 translations.

The plain loop trains the same networks with the same losses as often, as a PyTorch tutorial would write it: tensors as they come,
fp32, Adam unfused, every forward pass written out. Both draw the same kind of pairs. Sides are interleaved; medians of the rounds.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from augury.images import Attribute, LabelledImages
from augury.losses import squared_gradient_norm
from augury.networks import KEEP, build
from augury.settings import TrainSettings
from augury.training import Card, Synthesizer, choose_precision, make_plan
from augury.training.pairs import PairSampler
from augury.training.plan import Plan, set_up
from augury.training.translation import IDENTITY_EVERY
from common import interleaved, row, write


def noise(size: int, channels: int = 1, each: int = 100) -> LabelledImages:
    """Three full cells and an empty one; how fast a network trains does not depend on what it is shown."""
    cells = np.repeat([[0, 0], [0, 1], [1, 0]], each, axis=0)
    images = np.random.default_rng(0).integers(0, 256, (len(cells), channels, size, size), dtype=np.uint8)
    attribute = Attribute(cells[:, 1].astype(np.int64), ("no", "yes"))
    return LabelledImages(images, cells[:, 0].astype(np.int64), ("a", "b"), {"x": attribute}, fingerprint="noise")


def ours(plan: Plan, data: LabelledImages, steps: int) -> Callable[[], float]:
    """Images a second of Augury's trainer."""
    trainer, batches = set_up(plan, data)
    device, step = torch.device(plan.device), 0

    def run() -> float:
        nonlocal step
        begin = time.perf_counter()
        for _ in range(steps):
            trainer.train_step(step, 0.0, lambda number: batches.draw(number, device))
            step += 1
        return steps * plan.batch / (time.perf_counter() - begin)

    return run


def plain(plan: Plan, data: LabelledImages, steps: int) -> Callable[[], float]:
    """Images a second of the plain loop."""
    rule = plan.rule
    generator, discriminator = build(rule.network, rule.settings, data.shape, data.cardinalities(plan.condition))
    average = copy.deepcopy(generator).requires_grad_(False)
    adam_g = torch.optim.Adam(generator.parameters(), lr=rule.generator_lr, betas=rule.betas)
    adam_d = torch.optim.Adam(discriminator.parameters(), lr=rule.discriminator_lr, betas=rule.betas)
    batches = PairSampler(data, plan.condition, plan.batch, 0, rule.hole_share)
    step = 0

    def run() -> float:
        nonlocal step
        begin = time.perf_counter()
        for _ in range(steps):
            pairs = batches.draw(step, torch.device("cpu"))
            images, real = pairs.images.contiguous(), pairs.real.contiguous()
            cells = pairs.targets[: len(real)]
            fake = generator(images, pairs.changes)
            adam_d.zero_grad()
            loss = F.softplus(discriminator(fake[: len(real)].detach(), cells) - discriminator(real, cells)).mean()
            if step % rule.penalty_every == 0:
                penalty = squared_gradient_norm(lambda x: discriminator(x, cells).flatten(1).mean(1), real)  # noqa: B023
                loss = loss + rule.r1 * rule.penalty_every * penalty
            loss.backward()
            adam_d.step()
            adam_g.zero_grad()
            with torch.no_grad():
                on_real = discriminator(real, cells)
            loss = F.softplus(on_real - discriminator(fake[: len(real)], cells)).mean()
            loss = loss + rule.cycle * (generator(fake, pairs.returns) - images).abs().mean()
            if step % IDENTITY_EVERY == 0:
                loss = loss + IDENTITY_EVERY * rule.identity * (generator(images, pairs.returns) - images).abs().mean()
            loss.backward()
            adam_g.step()
            with torch.no_grad():
                for mean, value in zip(average.parameters(), generator.parameters(), strict=True):
                    mean.lerp_(value, 0.01)
            step += 1
        return steps * plan.batch / (time.perf_counter() - begin)

    return run


def translating(size: int) -> Callable[[], float]:
    """Seconds for 1,000 translations."""
    data = noise(size)
    generator, _ = build("translator", {}, data.shape, (2, 2))
    card = Card("translator", {}, data.shape, data.classes, ("x",), (("no", "yes"),), "", "translator", 0, 1, 1, "fp32")
    translator, changes = Synthesizer(card, generator), np.tile([KEEP, 1], (1000, 1))
    images = np.resize(data.images, (1000, *data.shape))

    def run() -> float:
        begin = time.perf_counter()
        translator.translate(images, changes)
        return time.perf_counter() - begin

    return run


def main() -> None:
    """Training at 32 px in this machine's best precision and in fp32, and drawing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=24)
    options = parser.parse_args()
    device, data, rows = torch.device("cpu"), noise(32), []
    for precision in dict.fromkeys((choose_precision(device), "fp32")):
        settings = TrainSettings(recipe="translator", condition=("x",), steps=100, precision=precision)
        plan = make_plan(data, settings, seed=0, device=device, flips=False)
        sides = {"ours": ours(plan, data, options.steps), "plain": plain(plan, data, options.steps)}
        for side in sides.values():
            side()
        timings = interleaved(sides, options.rounds)
        case = f"translator, 32×32 grey, batch {plan.batch}, {precision}"
        rows.append(row(case, timings["ours"], timings["plain"], "plain fp32 PyTorch loop", "img/s", True, digits=0))
    drawn = interleaved({"seconds": translating(32)}, options.rounds)["seconds"]
    rows.append(row("1,000 translations, 32×32", drawn, 2.0, "limit", "s", False))
    write("translator", rows, rounds=options.rounds, threads=torch.get_num_threads())


if __name__ == "__main__":
    main()
