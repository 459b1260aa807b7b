"""Transfer low-level statistics between images: translation between attribute values without a generator.

All functions take uint8 [C, H, W] `image` and `reference` of the same shape and return a uint8 image of that shape.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Matching = Callable[[Image, Image], Image]

BETA = 0.09
"""Half the side of the window of exchanged frequencies, as a share of the shorter image side. It is the largest of the three
values of Yang & Soatto 2020. At 32 px the window has 5 × 5 frequencies."""


def moments(image: Image, reference: Image) -> Image:
    """Give each channel the mean and standard deviation of the reference (Reinhard et al. 2001, in RGB)."""
    x, y = image.astype(np.float64), reference.astype(np.float64)
    mean_x, mean_y = (each.mean((1, 2), keepdims=True) for each in (x, y))
    std_x, std_y = (each.std((1, 2), keepdims=True) for each in (x, y))
    return _rounded((x - mean_x) * (std_y / np.maximum(std_x, 1e-6)) + mean_y)


def histograms(image: Image, reference: Image) -> Image:
    """Give each channel the histogram of the reference (Gonzalez & Woods, section 3.3).

    Each level maps to the level with the same cumulative share, interpolated between levels.
    """
    matched = []
    for x, y in zip(image, reference, strict=True):
        _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
        levels, reference_counts = np.unique(y, return_counts=True)
        mapped = np.interp(np.cumsum(counts) / x.size, np.cumsum(reference_counts) / y.size, levels)
        matched.append(mapped[inverse.reshape(x.shape)])
    return _rounded(np.stack(matched))


def spectra(image: Image, reference: Image) -> Image:
    """Exchange the amplitudes of the low frequencies and keep all phases: Fourier domain adaptation (Yang & Soatto 2020, eq. 3).

    The window reaches max(1, floor(BETA · shorter side)) frequencies to each side of zero.
    """
    height, width = image.shape[1:]
    reach = max(1, int(BETA * min(height, width)))
    low_rows, low_columns = (np.abs(np.fft.fftfreq(side) * side) <= reach for side in (height, width))
    low = np.outer(low_rows, low_columns)
    x, y = (np.fft.fft2(each.astype(np.float64)) for each in (image, reference))
    amplitude = np.where(low, np.abs(y), np.abs(x))
    return _rounded(np.fft.ifft2(amplitude * np.exp(1j * np.angle(x))).real)


MATCHINGS: dict[str, Matching] = {f.__name__: f for f in (moments, histograms, spectra)}


def _rounded(values: npt.NDArray[np.float64]) -> Image:
    return np.rint(values).clip(0, 255).astype(np.uint8)
