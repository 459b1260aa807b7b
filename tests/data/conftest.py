"""Small folders of images made on the spot, and a cache that never leaves the test's own folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUGURY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def pets(tmp_path: Path) -> Callable[..., Path]:
    """Make <root>/cats and <root>/dogs with `count` different grey PNGs each."""

    def make(count: int = 4, size: tuple[int, int] = (12, 10), mode: str = "L") -> Path:
        root = tmp_path / "pets"
        for code, label in enumerate(("cats", "dogs")):
            (root / label).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                random = np.random.default_rng([code, i])
                shape = (*size, 3) if mode == "RGB" else size
                Image.fromarray(random.integers(0, 256, shape, np.uint8)).save(root / label / f"{i}.png")
        return root

    return make
