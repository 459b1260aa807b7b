"""Does the generator keep the shapes? Ellipticity and size of real and generated images of a run, by class.

    python examples/galaxy_shapes.py runs/galaxies

For each class it prints the 10, 50 and 90 % quantiles of both, and two Kolmogorov-Smirnov distances: D of the generated images
against the train images, and the value that 95 of 100 random divisions of *real* images (train and test) of the same numbers stay
below. "kept" means that D is not above it. Test images take part in this description only; nothing is chosen by it.

Shapes are adaptive moments (Bernstein & Jarvis 2002, section 3.1), measured in the pixels that the generator sees, so after the
stretch. The background is the median of the frame (2 px wide). Moments M of the light under a Gaussian weight are matched to the
weight itself, by iteration. Ellipticity is (a^2 - b^2) / (a^2 + b^2) of the axes of M, from 0 (round) to 1; size is det(M)^(1/4) in px.
An image whose iteration leaves the picture has no shape; such images are counted.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import ks_2samp

import augury
from augury.pipeline.run_folder import Run
from augury.settings import RunSettings

Floats = npt.NDArray[np.float64]

MEASURES = ("ellipticity", "size")
FEWEST = 8
"""Least images of a class that are compared."""
ROUNDS = 40
DIVISIONS = 400
QUANTILES = (0.1, 0.5, 0.9)


def shapes(images: npt.NDArray[np.uint8]) -> Floats:
    """Images uint8 [N, C, H, W] -> float64 [N, 2]: ellipticity and size; NaN for images without a shape."""
    values = images.astype(float).mean(1)
    n, height, width = values.shape
    frame = np.ones((height, width), bool)
    frame[2:-2, 2:-2] = False
    values = values - np.median(values[:, frame], axis=1)[:, None, None]
    y, x = np.mgrid[:height, :width].astype(float)[:, None]
    cx, cy = np.full(n, (width - 1) / 2), np.full(n, (height - 1) / 2)
    xx, yy, xy = np.full(n, 6.0), np.full(n, 6.0), np.zeros(n)
    with np.errstate(all="ignore"):
        for _ in range(ROUNDS):
            dx, dy, det = x - cx[:, None, None], y - cy[:, None, None], (xx * yy - xy**2)[:, None, None]
            a, b, c = (each[:, None, None] for each in (yy, xx, xy))
            weighted = values * np.exp(-0.5 * (a * dx**2 + b * dy**2 - 2 * c * dx * dy) / det)
            total = weighted.sum((1, 2))
            mx, my, mxx, myy, mxy = ((weighted * of).sum((1, 2)) / total for of in (dx, dy, dx**2, dy**2, dx * dy))
            cx, cy = cx + mx, cy + my  # a Gaussian times its own weight has half of its moments
            xx, yy, xy = 2 * (mxx - mx**2), 2 * (myy - my**2), 2 * (mxy - mx * my)
        spread = np.hypot(xx - yy, 2 * xy)
        small, large = (xx + yy - spread) / 2, (xx + yy + spread) / 2
        off = np.hypot(cx - (width - 1) / 2, cy - (height - 1) / 2)
        lost = ~((total > 0) & (small > 0.3) & (large < min(height, width) ** 2 / 9) & (off < min(height, width) / 4))
        result = np.stack([spread / (xx + yy), (small * large) ** 0.25], axis=1)
    result[lost] = np.nan
    return result


def compared(train: Floats, others: Floats, generated: Floats, seed: int = 0) -> dict[str, Any]:
    """Compare values of generated images with those of train images, and real images with each other.

    `others` are values of further real images. All are float64 [N] without NaN.
    """
    random, pool = np.random.default_rng(seed), np.concatenate([train, others])
    n = min(len(generated), len(pool) // 2)
    distance = float(ks_2samp(generated, train).statistic)
    of_real = []
    for _ in range(DIVISIONS):
        mixed = random.permutation(pool)
        of_real.append(float(ks_2samp(mixed[:n], mixed[n : n + len(train)]).statistic))
    limit = float(np.quantile(of_real, 0.95))
    return {
        "real": _quantiles(train),
        "generated": _quantiles(generated),
        "KS_generated": distance,
        "KS_limit": limit,
        "kept": "yes" if distance <= limit else "no",
    }


def _quantiles(values: Floats) -> str:
    return " / ".join(f"{value:.2f}" for value in np.quantile(values, QUANTILES))


def table(run: Run) -> list[dict[str, Any]]:
    """The rows of all classes and both measures, for the accepted images of a run."""
    settings = RunSettings(**run.settings)
    data = augury.load(run.metadata["source"], **settings.data.reading())
    synthetic = run.synthetic.take(np.flatnonzero(run.synthetic.accepted))
    parts = {name: data.take(np.flatnonzero(run.split == code)) for code, name in ((0, "train"), (2, "test"))}
    measured = {name: shapes(np.asarray(part.images[:])) for name, part in parts.items()}
    of_generated, rows = shapes(np.asarray(synthetic.images[:])), []
    for label, name in enumerate(data.classes):
        train, test = (measured[part][parts[part].labels == label] for part in ("train", "test"))
        generated = of_generated[synthetic.labels == label]
        if not len(generated):
            continue
        for column, measure in enumerate(MEASURES):
            values = [each[:, column][np.isfinite(each[:, column])] for each in (train, test, generated)]
            if min(map(len, values)) < FEWEST:
                continue
            rows.append({"class": name, "measure": measure, "images": len(values[2])} | compared(*values))
            rows[-1]["without_shape"] = len(generated) - len(values[2])
    return rows


def main() -> None:
    """Print the table of a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    rows = table(Run(parser.parse_args().run))
    if not rows:
        raise SystemExit("no class has generated images with a shape; generate some with --sampling-strategy")
    print("  ".join(rows[0]))
    for row in rows:
        print("  ".join(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()))


if __name__ == "__main__":
    main()
