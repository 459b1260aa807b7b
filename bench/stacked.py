"""The 1,000-mode test: three grey images of ten classes stacked as the channels of one, a mode for each triple of classes.

As "stacked MNIST" (Metz et al. 2017; Srivastava et al. 2017; Lin et al. 2018), with the embedded sample's clothes in place
of digits, classes drawn evenly. Generators know no classes here. A classifier taught on real images names each channel of
SAMPLES drawn images; a mode counts as found with at least one image, and the divergence is that of the modes' shares from
even ones. Clothes are harder to name than digits, and a wrong name can count for a mode that nobody drew: as many real
stacks, of images that neither generator nor classifier has seen, are measured alike and stand beside.

Each recipe trains once, for as many images, in a folder of its own, so that a killed benchmark goes on where it stopped.
About three minutes a recipe on two cores.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from augury import data, proof
from augury.augment import policy
from augury.images import Codes, Images, LabelledImages
from augury.randomness import rng
from augury.settings import TrainSettings
from augury.training import choose_device, make_plan, train_plan
from common import row, write

TRAINED, SAMPLES = 20_000, 26_000
RECIPES = ("rpgan", "dcgan", "wgan_gp", "r3gan")


def stacks(images: LabelledImages, count: int, seed: int) -> Images:
    """uint8 [count, 3, H, W]: each channel an image of a class drawn evenly."""
    random = rng(seed, "stacks")
    order, begin = np.argsort(images.labels, kind="stable"), np.concatenate([[0], np.cumsum(images.counts)])
    classes = random.integers(0, len(images.classes), (count, 3))
    rows = order[begin[classes] + (random.random((count, 3)) * images.counts[classes]).astype(np.int64)]
    return np.asarray(images.images[rows][:, :, 0])


def modes(images: Images, classifier: Any, classes: int) -> Codes:
    """The mode of each stack, int64 [N] below classes³."""
    named = [proof.probabilities(classifier, images[:, c : c + 1]).argmax(1) for c in range(3)]
    return np.asarray((named[0] * classes + named[1]) * classes + named[2], np.int64)


def measured(codes: Codes, total: int) -> tuple[int, float]:
    """(modes found, Kullback-Leibler divergence of their shares from even ones in nats)."""
    share = np.bincount(codes, minlength=total) / len(codes)
    there = share[share > 0]
    return len(there), float((there * np.log(there * total)).sum())


def drawn(recipe: str, train: LabelledImages, steps: int, folder: Path) -> tuple[Images, int]:
    """Images of a generator of this recipe, and the steps it had."""
    settings = TrainSettings(recipe=recipe, steps=steps, unconditional=True, precision="fp32")
    plan = make_plan(train, settings, seed=0, device=choose_device("cpu"), flips=False)
    synthesizer = train_plan(plan, train, folder / recipe, on_event=print)
    return synthesizer.sample(np.zeros(SAMPLES, np.int64), seed=0).images, plan.steps


def main() -> None:
    """Every recipe, and real stacks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--recipes", default=",".join(RECIPES))
    parser.add_argument("--folder", type=Path, default=Path("runs/stacked"))
    options = parser.parse_args()
    sample = data.sample()
    parts = data.split(sample)
    train, test = sample.take(parts != 2), sample.take(parts == 2)
    config = proof.TrainConfig(steps=1500, balanced=True, augment=policy("classical", flips=True))
    classifier = proof.fit(train, config, seed=0, device=torch.device("cpu"))
    total = len(sample.classes) ** 3
    mode_counts, divergence = measured(modes(stacks(test, SAMPLES, 1), classifier, len(sample.classes)), total)
    print(f"real: {mode_counts} of {total}, divergence {divergence:.3f}", flush=True)
    shown = LabelledImages(
        stacks(train, TRAINED, 0), np.zeros(TRAINED, np.int64), ("stack",), fingerprint=f"{sample.fingerprint}, stacked"
    )
    rows = []
    for recipe in options.recipes.split(","):
        images, steps = drawn(recipe, shown, options.steps, options.folder)
        count, apart = measured(modes(images, classifier, len(sample.classes)), total)
        print(f"{recipe}: {count} of {total}, divergence {apart:.3f}", flush=True)
        rows.append(
            row(f"{recipe}, {steps} steps: modes found", count, mode_counts, "real images", "modes", True, digits=0)
        )
        rows.append(row(f"{recipe}, {steps} steps: divergence", apart, divergence, "real images", "nats", False))
    write("stacked", rows, steps=options.steps, samples=SAMPLES)


if __name__ == "__main__":
    main()
