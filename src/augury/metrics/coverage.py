"""Precision and recall: are fakes where real images are, and are they everywhere that real images are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from augury.errors import ScoreError
from augury.metrics.check import Features, checked_pair
from augury.metrics.nearest import nearest
from augury.metrics.score import Score

Mask = npt.NDArray[np.bool_]
K = 5
ROWS = 1024
"""Distances to all of the other side held at a time: memory is 8 · 1024 · N bytes a block."""


def covered(queries: Features, references: Features, k: int = K) -> Mask:
    """bool [N]: which of `queries` [N, D] lie within the k-th nearest neighbour distance of any of `references` [M, D]
    (Kynkäänniemi et al. 2019, eq. 1; a query on the edge counts). Raises ScoreError unless k < M."""
    a, b = checked_pair(queries, references, least=1)
    if k >= len(b):
        raise ScoreError(f"{k} neighbours need more than {k} images a side, but one side has {len(b)}; give it more")
    radii = torch.from_numpy(nearest(b, b, k + 1)[1][:, -1])
    centre = b.mean(0)
    first, second = torch.from_numpy(a - centre), torch.from_numpy(b - centre)
    slack = 1e-9 * float(second.square().sum(1).max() + 1)
    found = [
        (distances.square() <= radii.square() + slack).any(1)
        for rows in torch.split(first, ROWS)
        for distances in [torch.cdist(rows, second, compute_mode="donot_use_mm_for_euclid_dist")]
    ]
    return torch.cat(found).numpy()


def precision(fake: Features, real: Features, *, features: str, preprocessing: str, seed: int, name: str) -> Score:
    """The share of fakes [N, D] within the manifold of real images [M, D]: quality. `seed` is not used."""
    return _share(name, covered(fake, real), min(len(fake), len(real)), features, preprocessing)


def recall(fake: Features, real: Features, *, features: str, preprocessing: str, seed: int, name: str) -> Score:
    """The share of real images [M, D] within the manifold of fakes [N, D]: variety. `seed` is not used."""
    return _share(name, covered(real, fake), min(len(fake), len(real)), features, preprocessing)


def precision_value(fake: Features, real: Features) -> float:
    """`precision` as a number."""
    return float(covered(fake, real).mean())


def recall_value(fake: Features, real: Features) -> float:
    """`recall` as a number."""
    return float(covered(real, fake).mean())


def _share(name: str, inside: Mask, n: int, features: str, preprocessing: str) -> Score:
    low, high = wilson(int(inside.sum()), len(inside))
    note = f"manifolds of the {K} nearest neighbours, taken as they are: the interval is of the share alone"
    return Score(name, float(inside.mean()), low, high, n, "higher", features, preprocessing, note=note)


def wilson(successes: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    share, weight = successes / n, z * z / n
    middle = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * float(np.sqrt(share * (1 - share) / n + weight / n / 4))
    return max(0.0, middle - half), min(1.0, middle + half)
