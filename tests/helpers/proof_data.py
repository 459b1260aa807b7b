"""Constructed sets at 8 x 8 pixels whose truth is known: a bar lies (class "lying") or stands (class "standing")."""

from __future__ import annotations

import numpy as np

from augury.images import LabelledImages, SyntheticImages

CLASSES = ("lying", "standing")


def bars(label: int, positions: np.ndarray, random: np.random.Generator, noise: float = 30.0) -> np.ndarray:
    """uint8 [N, 1, 8, 8]: one bright bar each, in row or column `places`."""
    images = random.normal(90, noise, (len(positions), 8, 8))
    for image, position in zip(images, positions, strict=True):
        image[(slice(None), position) if label else (position,)] += 70
    return np.clip(images, 0, 255).astype(np.uint8)[:, None]


def both(
    counts: tuple[int, int], reach: tuple[int, int], seed: int, noise: float = 30.0
) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels: `counts` of each class, bars at places below `reach`."""
    random = np.random.default_rng(seed)
    images = [bars(c, random.integers(0, reach[c], n), random, noise) for c, n in enumerate(counts)]
    return np.concatenate(images), np.repeat([0, 1], counts)


def part(counts: tuple[int, int], seed: int, reach: tuple[int, int] = (8, 8), noise: float = 30.0) -> LabelledImages:
    """A part of the real images."""
    images, labels = both(counts, reach, seed, noise)
    return LabelledImages(images, labels, CLASSES, fingerprint=str(seed))


def synthetic(images: np.ndarray, labels: np.ndarray, classes: tuple[str, ...] = CLASSES) -> SyntheticImages:
    """Images of whatever making."""
    index = np.arange(len(images))
    return SyntheticImages(images, labels[:, None], (), classes, 0, index, "made", reasons=("",) * len(images))
