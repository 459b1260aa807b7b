"""Uncertainty of a difference that was measured with a sample of seeds on a sample of test images.

Other seeds give other weights and batches, another test split other images. The design is crossed: every seed meets every
image. value = truth + seed + image + (seed with image).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from augury.randomness import rng

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

RESAMPLES = 9999


@dataclass(frozen=True)
class Effects:
    """A difference `value` with the influence of each seed [S] and each image on it, centred at zero.

    `images` has one array for each independent sample of images: one per class, or one of all groups. `interaction` is the
    part of the image variance that belongs to seeds and images together.
    """

    value: float
    seeds: Floats
    images: tuple[Floats, ...]
    interaction: float

    @property
    def seed_variance(self) -> float:
        """Variance of `value` over seeds, for the given number of seeds."""
        return _variance(self.seeds)

    @property
    def image_variance(self) -> float:
        """Variance of `value` over test images; more seeds do not reduce it."""
        return max(0.0, sum(_variance(sample) for sample in self.images) - self.interaction)

    @property
    def error(self) -> float:
        """Standard error over seeds and images."""
        return float(np.sqrt(self.seed_variance + self.image_variance))

    def freedom(self, seeds: int | None = None) -> float:
        """Degrees of freedom of `error` (Satterthwaite 1946), with another number of `seeds` if given."""
        n = seeds or len(self.seeds)
        of_seeds = self.seed_variance * len(self.seeds) / n
        images = sum(len(sample) - 1 for sample in self.images)
        parts = [(of_seeds, n - 1), (self.image_variance, images)]
        below = sum(v * v / df for v, df in parts if df > 0)
        return float(sum(v for v, _ in parts) ** 2 / below) if below > 0 else float(max(n - 1, 1))

    def interval(self, confidence: float = 0.95, seed: int = 0) -> tuple[float, float]:
        """Bias-corrected and accelerated bootstrap interval (Efron 1987) over seeds and images together.

        Each sample is drawn with replacement. Influence values are stretched by √(n / (n - 1)), and the tails are those of
        Student's t. This corrects the narrow bootstrap intervals of few values (Hesterberg 2015, section 5). Image values
        are shrunk to `image_variance`, so that the interaction of seeds and images counts once.
        """
        from scipy.special import ndtr, ndtri, stdtrit

        samples = [values for values in self._stretched() if values.any()]
        if not samples:
            return self.value, self.value
        random = rng(seed, "crossed")
        draws = np.sum([_means(values, random) for values in samples], axis=0)
        below = ((draws < 0).sum() + 0.5 * (draws == 0).sum()) / len(draws)
        bias = float(ndtri(np.clip(below, 1 / len(draws), 1 - 1 / len(draws))))
        cubes = sum((values**3).sum() / len(values) ** 3 for values in samples)
        squares = sum((values**2).sum() / len(values) ** 2 for values in samples)
        acceleration = float(cubes / squares**1.5 / 6)
        tail = max(float(ndtr(stdtrit(self.freedom(), (1 - confidence) / 2))), 1 / len(draws))
        ends = []
        for share in (tail, 1 - tail):
            z = bias + float(ndtri(share))
            ends.append(float(np.quantile(draws, ndtr(bias + z / (1 - acceleration * z)))))
        return self.value + ends[0], self.value + ends[1]

    def p_below(self, bound: float) -> float:
        """One-sided p of the null hypothesis that the difference is not below `bound`, by Student's t."""
        return self._p(self.value - bound)

    def p_above(self, bound: float) -> float:
        """One-sided p of the null hypothesis that the difference is not above `bound`.

        Together with `p_below` it forms two one-sided tests (Schuirmann 1987).
        """
        return self._p(bound - self.value)

    def _p(self, distance: float) -> float:
        from scipy.special import stdtr

        if self.error == 0:
            return 0.0 if distance < 0 else 1.0
        return float(stdtr(self.freedom(), distance / self.error))

    def _stretched(self) -> list[Floats]:
        raw = sum(_variance(sample) for sample in self.images)
        shrink = np.sqrt(self.image_variance / raw) if raw > 0 else 0.0
        wide = [(self.seeds, 1.0), *((sample, shrink) for sample in self.images)]
        return [values * scale * np.sqrt(len(values) / (len(values) - 1)) for values, scale in wide if len(values) > 1]


def effects(difference: Floats, labels: Codes, groups: Codes | None = None) -> Effects:
    """Compute the mean over classes of a difference, with the influence of seeds and images.

    Parameters
    ----------
    difference
        float64 [S, N], for S seeds and N images: such as hits of one arm minus hits of another.
    labels
        int64 [N], classes of the images.
    groups
        int64 [N]. Images of a group form one value of the sample.

    Returns
    -------
    Effects
        The difference of the class means, with its variance over seeds and images.
    """
    n = difference.shape[1]
    classes, code, counts = np.unique(labels, return_inverse=True, return_counts=True)
    means = np.stack([np.bincount(code, row, minlength=len(classes)) for row in difference]) / counts
    per_seed = means.mean(1)
    pull = (difference - means[:, code]) / (
        counts[code] * len(classes)
    )  # an image's share of the mean, around its class's
    if groups is None:
        parts: Sequence[Floats] = [pull[:, code == c] * counts[c] for c in range(len(classes))]
    else:
        home = np.unique(groups, return_inverse=True)[1].reshape(-1)
        many = int(home.max()) + 1 if n else 0
        parts = [np.stack([np.bincount(home, row, minlength=many) for row in pull]).astype(np.float64) * many]
    together = sum(_interaction(part) for part in parts)
    value = float(per_seed.mean())
    return Effects(value, per_seed - value, tuple(part.mean(0) for part in parts), together)


def _interaction(pull: Floats) -> float:
    """Variance of the mean of `pull` [S, n] due to the interaction of seeds and images."""
    seeds, n = pull.shape
    if seeds < 2 or n < 2:
        return 0.0
    rest = pull - pull.mean(0)
    return float(np.square(rest).sum() / ((seeds - 1) * seeds * (n - 1) * n))


def _variance(values: Floats) -> float:
    """Variance of the mean of a sample, 0 for a sample of one."""
    n = len(values)
    return float(np.square(values).sum() / (n * (n - 1))) if n > 1 else 0.0


def _means(values: Floats, random: np.random.Generator) -> Floats:
    """RESAMPLES bootstrap means. If few values are distinct, equal values are drawn together."""
    n = len(values)
    levels, counts = np.unique(values, return_counts=True)
    if 20 * len(levels) < n:
        return np.asarray(random.multinomial(n, counts / n, RESAMPLES) @ levels / n)
    size = max(1, 200_000 // n)
    parts = [min(size, RESAMPLES - at) for at in range(0, RESAMPLES, size)]
    return np.concatenate([values[random.integers(0, n, (part, n))].mean(1) for part in parts])
