"""Two made domains at 12 x 12 pixels: a bar lies or stands; in the second the images are inverted, of less contrast."""

from __future__ import annotations

import numpy as np

from augury.images import LabelledImages

CLASSES = ("lying", "standing")


def source(counts: tuple[int, int] = (30, 30), seed: int = 0, channels: int = 1) -> LabelledImages:
    """Bright bars on a dark ground."""
    random = np.random.default_rng(seed)
    labels = np.repeat([0, 1], counts)
    images = random.normal(70, 20, (len(labels), channels, 12, 12))
    for image, label, position in zip(images, labels, random.integers(1, 10, len(labels)), strict=True):
        image[
            (slice(None), slice(None), slice(position, position + 2))
            if label
            else (slice(None), slice(position, position + 2))
        ] += 90
    return LabelledImages(np.clip(images, 0, 255).astype(np.uint8), labels, CLASSES, fingerprint=f"bars {seed}")


def target(counts: tuple[int, int] = (40, 40), seed: int = 1, channels: int = 1) -> LabelledImages:
    """The same bars, brighter and of a third of the contrast, in mixed order."""
    target_images = source(counts, seed, channels)
    images = (150 + target_images.images / 3).astype(np.uint8)
    order = np.random.default_rng(seed).permutation(len(target_images))
    return LabelledImages(images[order], target_images.labels[order], CLASSES, fingerprint=f"pale bars {seed}")
