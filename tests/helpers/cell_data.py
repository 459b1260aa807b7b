"""Bars that lie or stand, on dark or bright ground, with an empty cell: no bar of training stands on bright ground.

Brightness alone tells the classes of most train images, so that a plain training learns it as a shortcut.
"""

from __future__ import annotations

import numpy as np

from augury.images import Attribute, LabelledImages, SyntheticImages

CLASSES, GROUNDS = ("lying", "standing"), ("dark", "bright")
LEVELS = (70, 150, 110)


def bar_images(labels: np.ndarray, grounds: np.ndarray, seed: int, noise: float = 22.0, size: int = 8) -> np.ndarray:
    """uint8 [N, 1, size, size]: a bar in the direction of its class on the ground of its attribute."""
    random = np.random.default_rng(seed)
    images = random.normal(np.array(LEVELS)[grounds][:, None, None], noise, (len(labels), size, size))
    for image, label, offset in zip(images, labels, random.integers(0, size, len(labels)), strict=True):
        image[(slice(None), offset) if label else (offset,)] += 50
    return np.clip(images, 0, 255).astype(np.uint8)[:, None]


def images(counts: dict[tuple[int, int], int], seed: int, groups: bool = False) -> LabelledImages:
    """`counts` of each (class, ground)."""
    labels = np.repeat([c for c, _ in counts], list(counts.values()))
    grounds = np.repeat([g for _, g in counts], list(counts.values()))
    return LabelledImages(
        bar_images(labels, grounds, seed),
        labels,
        CLASSES,
        attributes={"ground": Attribute(grounds, GROUNDS)},
        groups=np.arange(len(labels)) // 2 if groups else None,
        fingerprint=str(seed),
    )


def train(each: int = 60, seed: int = 0, bright: int | None = None) -> LabelledImages:
    """`each` images in three cells, and none that stands on bright ground."""
    return images({(0, 0): each, (0, 1): bright or each, (1, 0): each}, seed)


def held_out_cells(each: int, seed: int, groups: bool = False) -> LabelledImages:
    """`each` images in all four cells."""
    return images({(c, g): each for c in (0, 1) for g in (0, 1)}, seed, groups)


def translated(
    real: LabelledImages, kind: str = "right", seed: int = 5, *, all_classes: bool = True
) -> SyntheticImages:
    """Every image on dark ground brought to bright ground, lying bars on bright ground made to stand, and all passed through.

    "right" images are as real ones of their target; "wrong" ones show the other class; "noise" shows nothing.
    """
    grounds, labels = real.attributes["ground"].codes, real.labels
    rows = np.arange(len(real))
    dark, bright = rows[grounds == 0], rows[(grounds == 1) & (labels == 0)]
    dark = dark if all_classes else dark[labels[dark] == 1]
    sources = np.concatenate([dark, bright, rows])
    target = np.stack([labels[sources], grounds[sources]], 1)
    target[: len(dark), 1] = 1
    target[len(dark) : len(dark) + len(bright), 0] = 1
    shape = 1 - target[:, 0] if kind == "wrong" else target[:, 0]
    translations = bar_images(shape, target[:, 1], seed)
    if kind == "noise":
        translations = np.random.default_rng(seed).integers(0, 256, translations.shape, dtype=np.uint8)
    translations[len(dark) + len(bright) :] = np.clip(
        real.images.astype(int) + 2, 0, 255
    )  # passed: a trace of the translator
    index = np.arange(len(sources))
    return SyntheticImages(
        translations,
        target,
        ("ground",),
        real.classes,
        0,
        index,
        "translator",
        reasons=("",) * len(sources),
        sources=sources,
    )
