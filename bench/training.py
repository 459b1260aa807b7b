"""Images a second of generator training, against a straightforward fp32 loop of the same two networks.

The plain loop is what a PyTorch tutorial would write: networks as built, contiguous tensors, Adam as it comes, one
backward for real and one for fake images, a new scoring of the fakes for the generator. Both sides train the same
networks with the same loss, penalty, augmentation, batch and moving average.
"""

from __future__ import annotations

import argparse
import copy
import subprocess
import sys
import time
from collections.abc import Callable

import torch

from augury import data
from augury.augment import policy
from augury.images import LabelledImages
from augury.losses import ADVERSARIAL_LOSSES, squared_gradient_norm
from augury.networks import build
from augury.settings import TrainSettings
from augury.training import as_float, choose_device, choose_precision, keep_memory, make_plan
from augury.training.plan import Plan, set_up
from common import interleaved, row, write


def ours(plan: Plan, images: LabelledImages, steps: int) -> Callable[[], float]:
    """Images a second of Augury's own training."""
    trainer, batches = set_up(plan, images)
    device, step = torch.device(plan.device), 0

    def run() -> float:
        nonlocal step
        started = time.perf_counter()
        for _ in range(steps):
            trainer.train_step(step, 0.0, lambda number: batches.draw(number, device))
            step += 1
        if device.type == "cuda":
            torch.cuda.synchronize()
        return steps * plan.batch / (time.perf_counter() - started)

    return run


def plain(plan: Plan, images: LabelledImages, steps: int) -> Callable[[], float]:
    """Images a second of the plain loop."""
    rule, device = plan.rule, torch.device(plan.device)
    networks = build(rule.network, rule.settings, images.shape, images.cardinalities(()))
    generator, discriminator = (network.to(device) for network in networks)
    average = copy.deepcopy(generator).requires_grad_(False)
    adam_g = torch.optim.Adam(generator.parameters(), lr=rule.generator_lr, betas=rule.betas)
    adam_d = torch.optim.Adam(discriminator.parameters(), lr=rule.discriminator_lr, betas=rule.betas)
    loss, augment = ADVERSARIAL_LOSSES[rule.loss], policy(plan.augment, flips=plan.flips)
    pixels = as_float(images.images).contiguous()
    labels = torch.from_numpy(images.labels)
    random = torch.Generator().manual_seed(0)
    step = 0

    def run() -> float:
        nonlocal step
        started = time.perf_counter()
        for _ in range(steps):
            picks = torch.randint(len(pixels), (plan.batch,), generator=random)
            real, condition = pixels[picks].to(device), labels[picks, None].to(device)
            fake = generator(torch.randn(plan.batch, rule.settings.get("latent", 64), device=device), condition)
            adam_d.zero_grad()
            real_scores = discriminator(augment(real, random), condition)
            fake_scores = discriminator(augment(fake.detach(), random), condition)
            total = loss.discriminator(real_scores, fake_scores)
            for at, weight in ((real, rule.r1), (fake, rule.r2)):
                if weight and step % rule.penalty_every == 0:
                    gradient = squared_gradient_norm(
                        lambda x: discriminator(augment(x, random), condition),  # noqa: B023
                        at.detach(),
                    )
                    total = total + weight * rule.penalty_every * gradient
            total.backward()
            adam_d.step()
            adam_g.zero_grad()
            fake_scores = discriminator(augment(fake, random), condition)
            real_scores = discriminator(augment(real, random), condition) if loss.paired else real_scores
            loss.generator(real_scores.detach(), fake_scores).backward()
            adam_g.step()
            with torch.no_grad():
                for averaged, new in zip(average.parameters(), generator.parameters(), strict=True):
                    averaged.lerp_(new, 0.001)
            total.item()
            step += 1
        return steps * plan.batch / (time.perf_counter() - started)

    return run


CASES = [("rpgan", 28), ("dcgan", 28), ("gan", 28)]
SIDES = {"augury": ours, "plain loop": plain}


def one(side: str, name: str, size: int, steps: int) -> float:
    """Images a second of one side, measured in this process after as many steps of warm-up."""
    images = data.sample(size=size)
    settings = TrainSettings(recipe=name, steps=1)
    plan = make_plan(images, settings, seed=0, device=choose_device("auto"), flips=True)
    if side == "augury":
        keep_memory()
    run = SIDES[side](plan, images, steps)
    run()
    return run()


def asked(side: str, name: str, size: int, steps: int) -> Callable[[], float]:
    """The same in a fresh process, since how freed memory is kept is a matter of the process."""

    def run() -> float:
        call = [sys.executable, __file__, "--one", side, name, str(size), "--steps", str(steps)]
        return float(subprocess.run(call, check=True, capture_output=True, text=True).stdout)

    return run


def main() -> None:
    """Measure the recipes of the two first networks on the embedded sample."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30, help="training steps a round, at 28 px")
    parser.add_argument("--one", nargs=3, metavar=("SIDE", "RECIPE", "SIZE"), help="print one measurement")
    options = parser.parse_args()
    if options.one:
        print(one(options.one[0], options.one[1], int(options.one[2]), options.steps))
        return
    rows = []
    device = choose_device("auto")
    for name, size in CASES:
        print(f"{name}, {size} x {size}", flush=True)
        steps = max(5, options.steps * 28**2 // size**2)
        timings = interleaved({side: asked(side, name, size, steps) for side in SIDES}, options.rounds)
        case = f"{name}, {size}×{size} grey, batch 64, {choose_precision(device)}, {device.type}"
        rows.append(
            row(case, timings["augury"], timings["plain loop"], "plain fp32 PyTorch loop", "img/s", True, digits=0)
        )
    write("training", rows, rounds=options.rounds, threads=torch.get_num_threads())


if __name__ == "__main__":
    main()
