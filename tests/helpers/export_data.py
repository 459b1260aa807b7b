"""Small sets of real and synthetic images to export."""

from __future__ import annotations

import numpy as np

from augury.images import LabelledImages, SyntheticImages


def noise(number: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (number, 1, 7, 8), dtype=np.uint8)


def real_images(classes: tuple[str, ...] = ("cat", "dog"), number: int = 7) -> LabelledImages:
    """Images of noise, the classes in turn."""
    return LabelledImages(noise(number, 0), np.arange(number) % len(classes), classes)


def synthetic_images() -> SyntheticImages:
    """Five images of cats and dogs, of which the three cats are accepted."""
    reasons = ("", "agreement", "", "near_copy", "")
    conditions = (np.arange(5) % 2)[:, None]
    return SyntheticImages(
        noise(5, 1), conditions, ("class",), ("cat", "dog"), 3, np.arange(5) + 90, "f00d", {}, reasons
    )
