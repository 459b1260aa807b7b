"""A stand-in for the file of the CMU faces."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np

POSES, EXPRESSIONS = ("left", "right", "straight", "up"), ("angry", "happy", "neutral", "sad")


def stand_in(path: Path, people: int = 10) -> None:
    """Noise in the shape of the file: every person in every pose, with every expression, with sunglasses and without."""
    rows = np.array(list(product([f"p{i}" for i in range(people)], POSES, EXPRESSIONS, ("open", "sunglasses"))))
    images = np.random.default_rng(0).integers(0, 256, (len(rows), 60, 64), dtype=np.uint8)
    np.savez(path, image=images, person=rows[:, 0], label=rows[:, 1], expression=rows[:, 2], eyes=rows[:, 3])
