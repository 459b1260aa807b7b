"""A generator whose images are linear in w, with axes that are known."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from augury.training import Card, Synthesizer

SHAPE = (1, 8, 8)
SIZE = 6
"""Numbers of w."""


class LinearGenerator(nn.Module):
    """w = spread · z + the effects of class and attribute; image = matrix · w. It has two layers, and no noise per pixel."""

    def __init__(self, effects: list[np.ndarray], spread: np.ndarray, matrix: np.ndarray) -> None:
        super().__init__()
        self.latent = self.mapped = SIZE
        self.sides = [4, 8]
        self.effects = nn.ParameterList(nn.Parameter(torch.from_numpy(e.astype(np.float32))) for e in effects)
        self.spread = nn.Parameter(torch.from_numpy(spread.astype(np.float32)))
        self.matrix = nn.Parameter(torch.from_numpy(matrix.astype(np.float32)))

    def styles(self, noise: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        w = noise[:, :SIZE] @ self.spread.t()
        w = w + sum(effect[conditions[:, k]] for k, effect in enumerate(self.effects))
        return w[:, None].expand(-1, 2, -1)

    def synthesise(self, w: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return (w.mean(1) @ self.matrix.t()).reshape(-1, *SHAPE)

    def forward(self, noise: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        return self.synthesise(self.styles(noise, conditions), noise)

    def truncated(self, noise: torch.Tensor, conditions: torch.Tensor, truncation: float) -> torch.Tensor:
        w = torch.lerp(self.centres(conditions)[:, None], self.styles(noise, conditions), truncation)
        return self.synthesise(w, noise)

    def centres(self, conditions: torch.Tensor) -> torch.Tensor:
        return sum(effect[conditions[:, k]] for k, effect in enumerate(self.effects))

    def style_weights(self, layers: object) -> torch.Tensor:
        return self.matrix


def axes() -> tuple[np.ndarray, np.ndarray]:
    """Two directions of w that are orthogonal, float64 [SIZE]: of the class, and of the pose from left to right."""
    basis = np.linalg.qr(np.random.default_rng(5).standard_normal((SIZE, SIZE)))[0]
    return basis[0], basis[1]


def linear_synthesizer(gain: float = 1.0, poses: tuple[str, ...] = ("left", "right"), seed: int = 0) -> Synthesizer:
    """Two classes and two or more poses; their effects lie on `axes`, and w has other variance too."""
    numbers = np.random.default_rng(seed)
    of_class, of_pose = axes()
    effects = [np.outer([-1, 1], of_class), np.outer(np.linspace(-1.5, 1.5, len(poses)), of_pose)]
    spread = numbers.standard_normal((SIZE, SIZE)) * 0.4
    matrix = gain * numbers.standard_normal((64, SIZE)) * 0.1
    card = Card("stylegan", {}, SHAPE, ("a", "b"), ("pose",), (poses,), "x", "stylegan", 0, 1, 1, "fp32")
    return Synthesizer(card, LinearGenerator(effects, spread, matrix))


class LinearFeatures(nn.Module):
    """Features that are linear in the image."""

    def __init__(self, weights: np.ndarray) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.from_numpy(weights.astype(np.float32)), requires_grad=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1) @ self.weights.t()
