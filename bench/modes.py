"""Mode coverage, the classic test: a 5 × 5 grid and a ring of 8 narrow Gaussians, per objective.

The same two small fully connected networks, the same number of generator updates; only the objective differs, as the
recipe of that name has it. A sample is of high quality within three standard deviations of its centre; a centre counts
as found with at least a quarter of its fair share of the samples being such.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from augury.recipes import RECIPES, Recipe
from augury.training.adversarial import AdversarialGame
from common import row, write

WIDTH, LATENT, BATCH, SAMPLES = 128, 8, 128, 5000
GRID = np.array([(x, y) for x in range(-4, 5, 2) for y in range(-4, 5, 2)], np.float32) / 5
RING = np.array([(np.cos(a), np.sin(a)) for a in np.arange(8) * np.pi / 4], np.float32) * 0.8
PLANES = {"grid of 25": (GRID, 0.01), "ring of 8": (RING, 0.01)}
EASY = {
    "optimiser": "adam",
    "generator_rate": 1e-3,
    "discriminator_rate": 1e-3,
    "betas": (0.0, 0.99),
    "schedule": "linear",
}
OBJECTIVES = {
    "minimax": replace(RECIPES["gan"], loss="minimax", **EASY),
    "gan (non-saturating)": replace(RECIPES["gan"], **EASY),
    "least squares": replace(RECIPES["gan"], loss="least_squares", **EASY),
    "hinge + R1": replace(RECIPES["gan"], loss="hinge", r1=0.1, **EASY),
    "wgan (clipping)": replace(RECIPES["wgan"], clip=0.05, generator_rate=5e-4, discriminator_rate=5e-4),
    "wgan_gp": replace(RECIPES["wgan_gp"], gradient_penalty=1.0, **EASY),
    "r3gan (relativistic + R1 + R2)": replace(RECIPES["r3gan"], r1=0.02, r2=0.02, **EASY),
}


def layers(a: int, b: int) -> nn.Sequential:
    """Three hidden layers."""
    widths = [a, WIDTH, WIDTH, WIDTH]
    hidden = [m for i in range(3) for m in (nn.Linear(widths[i], widths[i + 1]), nn.LeakyReLU(0.2))]
    return nn.Sequential(*hidden, nn.Linear(WIDTH, b))


class Points(nn.Module):
    """noise [N, Z] -> points as images [N, 2, 1, 1]."""

    latent = LATENT

    def __init__(self) -> None:
        super().__init__()
        self.layers = layers(LATENT, 2)

    def forward(self, noise: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """[N, Z] -> [N, 2, 1, 1]."""
        return self.layers(noise)[:, :, None, None]


class Judge(nn.Module):
    """points [N, 2, 1, 1] -> scores [N]."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = layers(2, 1)

    def features(self, points: torch.Tensor) -> torch.Tensor:
        """[N, 2, 1, 1] -> [N, D]."""
        return self.layers[:-1](points.flatten(1))

    def head(self, features: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """[N, D] -> [N]."""
        return self.layers[-1](features)[:, 0]

    def forward(self, points: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """[N, 2, 1, 1] -> [N]."""
        return self.head(self.features(points), conditions)


def played(rule: Recipe, centres: np.ndarray, deviation: float, steps: int, seed: int) -> tuple[int, float]:
    """(modes found, share of high-quality samples) after `steps` updates of the generator."""
    torch.manual_seed(seed)
    game = AdversarialGame(
        Points(), Judge(), rule, lambda images, draws: images, seed=seed, device=torch.device("cpu"), precision="fp32"
    )
    none = torch.zeros(BATCH, 1, dtype=torch.long)

    def draw(number: int) -> tuple[torch.Tensor, torch.Tensor]:
        random = np.random.default_rng((seed, number))
        points = centres[random.integers(len(centres), size=BATCH)] + deviation * random.standard_normal((BATCH, 2))
        return torch.from_numpy(points.astype(np.float32))[:, :, None, None], none

    for step in range(steps):
        game.play(step, step / steps, draw)
    with torch.inference_mode():
        points = game.players.average.module(torch.randn(SAMPLES, LATENT), none)[:, :, 0, 0].numpy()
    distance = np.linalg.norm(points[:, None] - centres[None], axis=2)
    good = distance.min(1) <= 3 * deviation
    counts = np.bincount(distance.argmin(1)[good], minlength=len(centres))
    return int((counts >= SAMPLES / len(centres) / 4).sum()), float(good.mean())


def main() -> None:
    """Every objective on both planes, several seeds; medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="objectives whose name contains this")
    options = parser.parse_args()
    rows, plain = [], {}
    for plane, (centres, deviation) in PLANES.items():
        for name, rule in OBJECTIVES.items():
            if options.only not in name:
                continue
            found = [played(rule, centres, deviation, options.steps, seed) for seed in range(options.seeds)]
            print(plane, name, found, flush=True)
            modes, good = (statistics.median(values) for values in zip(*found, strict=True))
            plain.setdefault(plane, (modes, good))
            case = f"{plane}, {name}"
            rows.append(row(f"{case}: modes found", modes, len(centres), "all", "modes", True, digits=0))
            rows.append(row(f"{case}: high-quality samples", good, 1.0, "all", "", True))
    if not options.only:
        write("modes", rows, steps=options.steps, seeds=options.seeds)


if __name__ == "__main__":
    main()
