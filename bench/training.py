"""Images a second of generator training, against a straightforward fp32 loop of the same two networks.

The plain loop is what a PyTorch tutorial would write: networks as built, contiguous tensors, Adam as it comes, one
backward for real and one for fake images, a new scoring of the fakes for the generator. Both sides train the same
networks with the same loss, penalty, augmentation, batch and moving average.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable

import torch

from augury import data
from augury.augment import policy
from augury.images import LabelledImages
from augury.losses import ADVERSARIAL_LOSSES, squared_slope
from augury.networks import build
from augury.settings import TrainSettings
from augury.training import as_float, choose_device, keep_memory, make_plan
from augury.training.plan import Plan, set_up
from common import interleaved, row, write


def ours(plan: Plan, images: LabelledImages, steps: int) -> Callable[[], float]:
    """Images a second of Augury's own game."""
    game, batches = set_up(plan, images)
    device, step = torch.device(plan.device), 0

    def run() -> float:
        nonlocal step
        begun = time.perf_counter()
        for _ in range(steps):
            game.play(step, 0.0, lambda number: batches.draw(number, device))
            step += 1
        if device.type == "cuda":
            torch.cuda.synchronize()
        return steps * plan.batch / (time.perf_counter() - begun)

    return run


def plain(plan: Plan, images: LabelledImages, steps: int) -> Callable[[], float]:
    """Images a second of the plain loop."""
    rule, device = plan.rule, torch.device(plan.device)
    networks = build(rule.network, rule.settings, images.shape, images.cardinalities(()))
    generator, discriminator = (network.to(device) for network in networks)
    average = copy.deepcopy(generator).requires_grad_(False)
    adam_g = torch.optim.Adam(generator.parameters(), lr=rule.generator_rate, betas=rule.betas)
    adam_d = torch.optim.Adam(discriminator.parameters(), lr=rule.discriminator_rate, betas=rule.betas)
    loss, augment = ADVERSARIAL_LOSSES[rule.loss], policy(plan.augment, flips=plan.flips)
    pixels = as_float(images.images).contiguous()
    labels = torch.from_numpy(images.labels)
    random = torch.Generator().manual_seed(0)
    step = 0

    def run() -> float:
        nonlocal step
        begun = time.perf_counter()
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
                    slope = squared_slope(lambda x: discriminator(augment(x, random), condition), at.detach())  # noqa: B023
                    total = total + weight * rule.penalty_every * slope
            total.backward()
            adam_d.step()
            adam_g.zero_grad()
            fake_scores = discriminator(augment(fake, random), condition)
            real_scores = discriminator(augment(real, random), condition) if loss.paired else real_scores
            loss.generator(real_scores.detach(), fake_scores).backward()
            adam_g.step()
            with torch.no_grad():
                for kept, new in zip(average.parameters(), generator.parameters(), strict=True):
                    kept.lerp_(new, 0.001)
            float(total)
            step += 1
        return steps * plan.batch / (time.perf_counter() - begun)

    return run


def main() -> None:
    """Measure the recipes of the two networks on the embedded sample."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=25, help="training steps a round")
    options = parser.parse_args()
    device = choose_device("auto")
    rows = []
    for size in (28, 64):
        images = data.sample(size=size)
        for name in ("dcgan", "gan"):
            plan = make_plan(images, TrainSettings(recipe=name, steps=1), seed=0, device=device, flips=True)
            print(f"{name}, {size} x {size}", flush=True)
            peer = plain(plan, images, options.steps)
            peer()  # before our side changes how freed memory is kept
            keep_memory()
            found = interleaved({"augury": ours(plan, images, options.steps), "plain loop": peer}, options.rounds)
            case = f"{name}, {size}×{size} grey, batch {plan.batch}, {plan.precision}, {device.type}"
            rows.append(
                row(case, found["augury"], found["plain loop"], "plain fp32 PyTorch loop", "img/s", True, digits=0)
            )
    write("training", rows, rounds=options.rounds, threads=torch.get_num_threads())


if __name__ == "__main__":
    main()
