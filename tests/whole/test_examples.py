"""The examples in examples/: simulated galaxies have the truth of their catalogue, and the measured shapes follow it."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

import augury

pytest.importorskip("astropy", reason="astropy is not installed: FITS is an extra")
sys.path.append(str(Path(__file__).parents[2] / "examples"))

import galaxy_shapes as shapes
import simulate_galaxies as galaxies

PIXELS = np.mgrid[:33, :33].astype(float) - 16


def ellipses(axes: list[tuple[float, float]], angle: float) -> np.ndarray:
    """Gaussian ellipses uint8 [N, 1, 33, 33] with these standard deviations along and across `angle`."""
    y, x = PIXELS
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    images = [20 + 200 * np.exp(-0.5 * ((along / a) ** 2 + (across / b) ** 2)) for a, b in axes]
    return np.stack(images).round().astype(np.uint8)[:, None]


@pytest.mark.parametrize("angle", [0.0, 0.7, 2.5])
def test_shapes_of_gaussians_are_those_of_the_formula(angle: float) -> None:
    axes = [(2.0, 2.0), (4.0, 2.0), (3.0, 2.5), (5.0, 1.5)]
    measured = shapes.shapes(ellipses(axes, angle))
    for (a, b), (ellipticity, size) in zip(axes, measured, strict=True):
        assert ellipticity == pytest.approx((a**2 - b**2) / (a**2 + b**2), abs=0.02)
        assert size == pytest.approx(np.sqrt(a * b), rel=0.03)
    blank = np.full((1, 1, 33, 33), 20, np.uint8)
    assert np.isnan(shapes.shapes(blank)).all()


def test_equal_distributions_are_kept_and_others_are_not() -> None:
    random = np.random.default_rng(0)
    real, other, same = (random.normal(0, 1, n) for n in (300, 200, 150))
    assert shapes.compared(real, other, same)["kept"] == "yes"
    moved = shapes.compared(real, other, same + 0.5)
    assert moved["kept"] == "no" and moved["KS_generated"] > 0.15 > moved["KS_limit"]
    narrow = shapes.compared(real, other, 0.5 * same)  # the same median
    assert narrow["kept"] == "no"
    assert real.size == 300 and moved["real"] == " / ".join(f"{v:.2f}" for v in np.quantile(real, (0.1, 0.5, 0.9)))


def test_simulated_galaxies_are_read_with_classes_and_splits_and_have_the_shapes_of_the_truth(tmp_path: Path) -> None:
    galaxies.simulate(tmp_path / "sky", train=100, held_out=60, seed=3)
    with pytest.raises(SystemExit, match="not empty"):
        galaxies.simulate(tmp_path / "sky")
    data = augury.load(tmp_path / "sky", cache=tmp_path / "cache")
    assert data.shape == (1, 32, 32) and set(data.classes) == set(galaxies.SHARES)
    train = data.take(np.flatnonzero(data.split == 0))
    assert dict(zip(train.classes, train.counts.tolist(), strict=True)) == {"elliptical": 55, "disc": 40, "ring": 5}
    assert (data.take(np.flatnonzero(data.split == 2)).counts == 40).all()
    with (tmp_path / "sky" / "metadata.csv").open(encoding="utf-8") as file:
        rows = {row["file_name"]: row for row in csv.DictReader(file)}
    truth = [next(row for name, row in rows.items() if str(file).endswith(name)) for file in data.names]
    measured = shapes.shapes(np.asarray(data.images[:]))
    ratio, radius = (np.array([float(row[name]) for row in truth]) for name in ("axis_ratio", "radius"))
    flat = data.labels != data.classes.index(
        "elliptical"
    )  # the Sérsic index changes the size of the others at one radius
    assert spearmanr((1 - ratio**2) / (1 + ratio**2), measured[:, 0])[0] > 0.85
    assert spearmanr((radius * np.sqrt(ratio))[flat], measured[flat, 1])[0] > 0.7
    light = galaxies.light(galaxies.Galaxy("disc", 3.0, 0.5, 0.0, 1.0, 50.0), np.random.default_rng(0))
    assert light.sum() == pytest.approx(1) and light.min() >= 0
