"""Simulated cut-outs of galaxies with a known truth: FITS files and a catalogue, as `augury run` reads them.

    python examples/simulate_galaxies.py galaxies            # 2,400 cut-outs of 32 px, about a minute
    python examples/simulate_galaxies.py galaxies --train 300 --held-out 60 --seed 1

Needs astropy (pip install 'augury[astro]'). FOLDER/metadata.csv has a row per cut-out: file_name, label and split, and the truth:
effective radius in px, axis ratio, position angle, Sérsic index and signal-to-noise ratio.

The model of a galaxy, on a grid four times finer than the pixels:

- elliptical: one Sérsic profile (Sersic 1963; astropy's Sersic2D), index 2.5 to 5, axis ratio .5 to 1
- disc: an exponential disc (index 1), axis ratio cos(inclination) but at least .2, with a round bulge of 5 to 25 % of the light
- ring: a faint bulge, and 70 to 90 % of the light in an elliptical ring of Gaussian profile

It is convolved with a Moffat point spread function (beta 3, full width at half maximum 2.5 px), summed over pixels, and gets
Poisson noise of sky and source. The flux follows from the signal-to-noise ratio within the effective radius, log-uniform in
[50, 250]. Galaxies lie up to half a pixel off the centre, at any position angle: the sky has no direction.

The train images have 5 % rings. The held-out splits have equally many of each class, so that the rare class is measured as well.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.modeling.models import Moffat2D, Sersic2D
from scipy.signal import fftconvolve

Floats = npt.NDArray[np.float64]

SIZE = 32
FINE = 4
"""Points of the grid per pixel and axis."""
SHARES = {"elliptical": 0.55, "disc": 0.40, "ring": 0.05}
"""Class -> share of the train images."""
SKY = 100.0
"""Sky background in electrons per pixel."""


@dataclass(frozen=True)
class Galaxy:
    """The truth of one cut-out; lengths in pixels, angle in radians."""

    label: str
    radius: float
    axis_ratio: float
    angle: float
    index: float
    signal_to_noise: float


def drawn(label: str, random: np.random.Generator) -> Galaxy:
    """Draw a galaxy of the class."""
    radius = float(np.clip(random.lognormal(np.log(3.5), 0.3), 1.5, 7.0))
    angle, noise = float(random.uniform(0, np.pi)), float(np.exp(random.uniform(np.log(50), np.log(250))))
    if label == "elliptical":
        return Galaxy(label, radius, float(random.uniform(0.5, 1)), angle, float(random.uniform(2.5, 5)), noise)
    ratio = max(0.2, float(random.uniform(0, 1)))  # cos(inclination) is uniform for random orientations
    return Galaxy(label, radius, ratio, angle, 1.0, noise)


def light(galaxy: Galaxy, random: np.random.Generator) -> Floats:
    """Its light [SIZE, SIZE], blurred by the point spread function, with a sum of 1."""
    fine = SIZE * FINE
    y, x = np.mgrid[:fine, :fine].astype(float)
    centre = (fine - 1) / 2 + random.uniform(-0.5, 0.5, 2) * FINE
    shape = {"x_0": centre[0], "y_0": centre[1], "theta": galaxy.angle}

    def profile(radius: float, index: float, ratio: float) -> Floats:
        values = Sersic2D(1.0, radius * FINE, index, ellip=1 - ratio, **shape)(x, y)
        return np.asarray(values / values.sum())

    if galaxy.label == "elliptical":
        image = profile(galaxy.radius, galaxy.index, galaxy.axis_ratio)
    elif galaxy.label == "disc":
        bulge = random.uniform(0.05, 0.25)
        disc = profile(galaxy.radius, galaxy.index, galaxy.axis_ratio)
        image = bulge * profile(0.3 * galaxy.radius, 2.0, max(0.7, galaxy.axis_ratio)) + (1 - bulge) * disc
    else:
        ring_light = random.uniform(0.7, 0.9)
        along = (x - centre[0]) * np.cos(galaxy.angle) + (y - centre[1]) * np.sin(galaxy.angle)
        across = (y - centre[1]) * np.cos(galaxy.angle) - (x - centre[0]) * np.sin(galaxy.angle)
        distance = np.hypot(along, across / galaxy.axis_ratio) / (galaxy.radius * FINE)
        ring = np.exp(-0.5 * ((distance - 1.3) / 0.25) ** 2)
        image = (1 - ring_light) * profile(0.4 * galaxy.radius, 2.0, 1.0) + ring_light * ring / ring.sum()
    blurred = fftconvolve(image, point_spread(), mode="same")
    pixels = blurred.reshape(SIZE, FINE, SIZE, FINE).sum((1, 3))
    return np.asarray(np.maximum(pixels, 0) / pixels.sum())


def point_spread(width: float = 2.5, beta: float = 3.0) -> Floats:
    """A Moffat profile with this full width at half maximum in pixels, on the fine grid, with a sum of 1."""
    half = int(4 * width * FINE)
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
    gamma = width * FINE / (2 * np.sqrt(2 ** (1 / beta) - 1))
    values = Moffat2D(1.0, 0, 0, gamma, beta)(x, y)
    return np.asarray(values / values.sum())


def cutout(galaxy: Galaxy, random: np.random.Generator) -> npt.NDArray[np.float32]:
    """Electrons float32 [SIZE, SIZE] above the sky, with noise.

    With half of the flux F within the effective radius, whose area holds n pixels, the ratio is S = (F/2) / sqrt(F/2 + n SKY).
    """
    area = np.pi * galaxy.radius**2 * galaxy.axis_ratio
    s = galaxy.signal_to_noise
    flux = s**2 + s * np.sqrt(s**2 + 4 * area * SKY)
    return (random.poisson(flux * light(galaxy, random) + SKY) - SKY).astype(np.float32)


def simulate(folder: Path, *, train: int = 1500, held_out: int = 300, seed: int = 0) -> None:
    """Write the cut-outs and the catalogue; held_out // 3 cut-outs of each class for validation, twice as many for test.

    Raises SystemExit when the folder holds anything.
    """
    if folder.exists() and any(folder.iterdir()):
        raise SystemExit(f"{folder} is not empty; name a new folder")
    counts = {"train": {label: round(share * train) for label, share in SHARES.items()}}
    counts |= {part: dict.fromkeys(SHARES, n * held_out // 3) for part, n in (("validation", 1), ("test", 2))}
    (folder / "fits").mkdir(parents=True)
    rows: list[dict[str, object]] = []
    for part, by_class in counts.items():
        for label, count in by_class.items():
            for _ in range(count):
                random = np.random.default_rng((seed, len(rows)))
                galaxy, name = drawn(label, random), f"fits/{len(rows):05d}.fits"
                unit = fits.PrimaryHDU(cutout(galaxy, random))
                unit.header["BUNIT"] = "electron"
                unit.writeto(folder / name)
                rows.append({"file_name": name, **asdict(galaxy), "split": part})
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def main() -> None:
    """Read the command line and simulate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=1500, help="train cut-outs, 5 %% of them rings")
    parser.add_argument(
        "--held-out", type=int, default=300, help="validation cut-outs; the test split has twice as many"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    simulate(options.folder, train=options.train, held_out=options.held_out, seed=options.seed)
    print(f"{options.folder / 'metadata.csv'}")


if __name__ == "__main__":
    main()
