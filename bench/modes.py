"""Mode coverage, the classic test: a 5 × 5 grid and a ring of 8 narrow Gaussians, per objective.

The planes are those of VEEGAN (Srivastava et al. 2017) and PacGAN (Lin et al. 2018): centres
{-4, -2, 0, 2, 4}² with deviation .05, and a ring of radius 2 with deviation .02. The networks, the number of generator
updates, the batch and the learning rates are the same for all; only the objective differs. The settings were chosen for
wgan_gp and r3gan; the others use them untuned. As in those papers a sample
is of high quality within three standard deviations of its centre (98.9 % of the Gaussians' own are). A centre counts as
found with at least a quarter of its fair share of the samples being such, which is stricter than the papers' one sample.

Each training uses one thread and gives the same points whenever it runs, so a killed benchmark goes on where it stopped.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from augury.files import digest, read_json, write_json
from augury.randomness import rng
from augury.training.adversarial import AdversarialTrainer
from augury.training.recipes import RECIPES, Recipe
from augury.validation import changed
from common import row, write

LATENT, BATCH, SAMPLES = 8, 128, 5000
GRID = np.array([(x, y) for x in range(-4, 5, 2) for y in range(-4, 5, 2)], np.float32)
RING = np.array([(np.cos(a), np.sin(a)) for a in np.arange(8) * np.pi / 4], np.float32) * 2
PLANES = {"grid of 25": (GRID, 0.05), "ring of 8": (RING, 0.02)}
COMMON = {
    "optimiser": "adam",
    "generator_lr": 3e-3,
    "discriminator_lr": 3e-3,
    "betas": (0.0, 0.99),
    "schedule": "linear",
    "final_rate": 0.0,  # the modes are only as narrow as the last steps are small
}
ONE = {"penalty_every": 2, **COMMON}
TWO = {"critic_steps": 2, "penalty_every": 2, **COMMON}  # a critic without a bounded loss must lead


def objective(name: str, **values: Any) -> Recipe:
    """A recipe with other values."""
    return changed(f"recipe '{name}'", RECIPES[name], values)


OBJECTIVES = {
    "minimax": objective("gan", loss="minimax", **ONE),
    "gan (non-saturating)": objective("gan", **ONE),
    "least squares": objective("gan", loss="least_squares", **ONE),
    # alternating: simultaneous updates have no gradient from fakes beyond the margin, where the discriminator's is zero
    "hinge + R1": objective("gan", loss="hinge", r1=0.3, **ONE),
    "wgan (clipping)": objective("wgan", clip=0.1, **{**TWO, "optimiser": "rmsprop"}),
    "wgan_gp": objective("wgan_gp", gradient_penalty=1.0, **TWO),
    # a strong penalty that falls, as the paper has it: with a weak one throughout some seeds lose modes
    "r3gan (relativistic + R1 + R2)": objective("r3gan", simultaneous=True, r1=2.0, r2=2.0, final_penalty=0.05, **ONE),
}


def layers(a: int, width: int, b: int) -> nn.Sequential:
    """Three hidden layers."""
    widths = [a, width, width, width]
    hidden = [m for i in range(3) for m in (nn.Linear(widths[i], widths[i + 1]), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(width, b))


class Points(nn.Module):
    """noise [N, Z] -> points as images [N, 2, 1, 1].

    It must tear a continuous cloud into islands, so that its slope between them has to be steep: fixed factors before
    and after the layers give it that slope within few updates.
    """

    latent = LATENT

    def __init__(self) -> None:
        super().__init__()
        self.layers = layers(LATENT, 128, 2)

    def forward(self, noise: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """[N, Z] -> [N, 2, 1, 1]."""
        return 10 * self.layers(3 * noise)[:, :, None, None]


class Judge(nn.Module):
    """points [N, 2, 1, 1] -> scores [N].

    A point is seen beside fixed random Fourier features of itself (Tancik et al. 2020, eq. 5), without which fully
    connected layers take many times as long to learn peaks a fortieth of their distance wide.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("waves", 2 * torch.randn(2, 64))
        self.layers = layers(2 + 2 * 64, 64, 1)

    def features(self, points: torch.Tensor, apart: int = 1) -> torch.Tensor:
        """[N, 2, 1, 1] -> [N, D]."""
        flat_points = points.flatten(1)
        phases = flat_points @ self.waves
        return self.layers[:-1](torch.cat([flat_points, phases.sin(), phases.cos()], 1))

    def head(self, features: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """[N, D] -> [N]."""
        return self.layers[-1](features)[:, 0]

    def forward(self, points: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """[N, 2, 1, 1] -> [N]."""
        return self.head(self.features(points), conditions)


def measured(objective: str, plane: str, steps: int, seed: int) -> tuple[int, float, float]:
    """(modes found, share of high-quality samples, seconds) of one training of `steps` updates of the generator."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(seed)
    rule: Recipe = OBJECTIVES[objective]
    centres, deviation = PLANES[plane]
    trainer = AdversarialTrainer(
        Points(), Judge(), rule, lambda images, draws: images, seed=seed, device=torch.device("cpu"), precision="fp32"
    )
    none = torch.zeros(BATCH, 1, dtype=torch.long)

    def draw(number: int) -> tuple[torch.Tensor, torch.Tensor]:
        random = rng(seed, "points", number)
        points = centres[random.integers(len(centres), size=BATCH)] + deviation * random.standard_normal((BATCH, 2))
        return torch.from_numpy(points.astype(np.float32))[:, :, None, None], none

    started = time.perf_counter()
    for step in range(steps):
        trainer.train_step(step, step / steps, draw)
    spent = time.perf_counter() - started
    with torch.inference_mode():
        points = trainer.state.average.module(torch.randn(SAMPLES, LATENT), none)[:, :, 0, 0].numpy()
    distance = np.linalg.norm(points[:, None] - centres[None], axis=2)
    good = distance.min(1) <= 3 * deviation
    counts = np.bincount(distance.argmin(1)[good], minlength=len(centres))
    return int((counts >= SAMPLES / len(centres) / 4).sum()), float(good.mean()), spent


def modes_kept(objective: str, plane: str, steps: int, seed: int) -> tuple[int, float, float]:
    """`measured`, once: the answer is stored under runs/modes as long as neither this file nor the objective changes."""
    key = digest([OBJECTIVES[objective].model_dump(), plane, steps, seed, Path(__file__).read_text(encoding="utf-8")])
    file = Path("runs/modes") / f"{key}.json"
    if not file.exists():
        write_json(file, measured(objective, plane, steps, seed))
    modes, good, spent = read_json(file)
    return modes, good, spent


def main() -> None:
    """Every objective on both planes, several seeds; medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="trainings at a time, a thread each")
    parser.add_argument("--only", default="", help="objectives whose name contains this; writes no result")
    parser.add_argument("--plane", default="", help="planes whose name contains this; writes no result")
    options = parser.parse_args()
    cases = [(p, o) for p in PLANES for o in OBJECTIVES if options.plane in p and options.only in o]
    rows = []
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        asked = {
            (plane, objective): [
                pool.submit(modes_kept, objective, plane, options.steps, seed) for seed in range(options.seeds)
            ]
            for plane, objective in cases
        }
        for (plane, objective), answers in asked.items():
            outcomes = [answer.result() for answer in answers]
            modes, good, spent = (statistics.median(values) for values in zip(*outcomes, strict=True))
            seeds = ", ".join(f"{m} at {g:.0%}" for m, g, _ in outcomes)
            pace = f"{spent:.0f} s, {options.steps / spent:.0f} steps/s"
            case = f"{plane}, {objective}"
            print(f"{case}: {modes:.0f} modes, {good:.0%} of high quality ({seeds}; {pace})", flush=True)
            total = len(PLANES[plane][0])
            rows.append(row(f"{case}: modes found", modes, total, "all", "modes", True, digits=0))
            rows.append(row(f"{case}: high-quality samples", good, 1.0, "all", "", True))
    if not options.only and not options.plane:
        write("modes", rows, steps=options.steps, seeds=options.seeds)


if __name__ == "__main__":
    main()
