"""What a score is given: the features of every side, and what must be said of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from augury.errors import ScoreError
from augury.images import Codes
from augury.metrics.balls import Counts, mutual_counts, radii
from augury.metrics.check import Features, Floats
from augury.metrics.features import Head
from augury.metrics.score import Direction, Score
from augury.randomness import rng

K = 5
"""Neighbours that make the manifolds of precision, recall, density and coverage."""
GROUPS = 10
MANY_PAIRS = 25_000_000
"""Above this the intervals of neighbourhood scores leave the jackknife out, and say so."""


@dataclass(frozen=True)
class Sides:
    """Features of one extractor: `fake` [N, D] against `real` [M, D].

    `train` [T, D] are the images that the generator learnt from and `held_out` [H, D] real ones that it never saw, for
    memorisation; labels int64 [N] and [M], one array of zeros where there are no classes; `head` gives class
    probabilities from features, for the Inception Score. `name` is the extractor's, `features` its identity.
    """

    fake: Features
    real: Features
    name: str
    features: str
    preprocessing: str
    seed: int
    fake_labels: Codes
    real_labels: Codes
    train: Features | None = None
    held_out: Features | None = None
    head: Head | None = None

    @property
    def n(self) -> int:
        """Images on the smaller side."""
        return min(len(self.fake), len(self.real))

    @property
    def trained(self) -> Features:
        """`train`; raises ScoreError where it is not known."""
        return _given(self.train, "the training images", "train")

    @property
    def unseen(self) -> Features:
        """`held_out`; raises ScoreError where it is not known."""
        return _given(self.held_out, "real images that the generator never saw", "held_out")

    def score(
        self,
        name: str,
        value: float,
        low: float,
        high: float,
        better: Direction = "higher",
        *,
        n: int | None = None,
        note: str = "",
        settings: str = "",
        same_n: bool = False,
    ) -> Score:
        """A Score of these features; `n` is that of the smaller of fake and real where it is not given."""
        count = self.n if n is None else n
        told = (self.features, self.preprocessing)
        return Score(name, value, low, high, count, better, *told, note=note, settings=settings, same_n=same_n)

    @cached_property
    def real_radii(self) -> Floats:
        """float64 [M]: from each real image to its `K`-th nearest other one."""
        return radii(self.real, K)

    @cached_property
    def _around(self) -> tuple[Counts, Counts]:
        return mutual_counts(self.fake, self.real, radii(self.fake, K), self.real_radii)

    @property
    def around_fake(self) -> Counts:
        """Which real images lie in the balls of `K` neighbours about the fakes."""
        return self._around[0]

    @property
    def around_real(self) -> Counts:
        """Which fakes lie in the balls of `K` neighbours about the real images."""
        return self._around[1]

    @cached_property
    def left_out(self) -> tuple[Sides, ...]:
        """These sides less a tenth of each, ten times, and each image left out once; () where too few images are left for
        `K` neighbours, or so many are there that ten more passes over all pairs would take long."""
        groups = min(GROUPS, self.n)
        if self.n - -(-self.n // groups) <= K or len(self.fake) * len(self.real) > MANY_PAIRS:
            return ()
        parts = {"fake": self.fake, "real": self.real, "train": self.train, "held_out": self.held_out}
        of = {
            side: rng(self.seed, "left out", side).permutation(np.arange(len(part)) % groups)
            for side, part in parts.items()
            if part is not None
        }
        return tuple(
            replace(
                self,
                **{side: part[of[side] != g] for side, part in parts.items() if part is not None},
                fake_labels=self.fake_labels[of["fake"] != g],
                real_labels=self.real_labels[of["real"] != g],
            )
            for g in range(groups)
        )

    def instead(self, real: Features, labels: Codes) -> Sides:
        """These sides with other real images [N, D] in the place of the fakes: what a perfect generator would score."""
        return replace(self, fake=real, fake_labels=labels)

    def unseen_instead(self) -> Sides:
        """Half of the held-out images in the place of the fakes, the other half still held out."""
        order = rng(self.seed, "unseen").permutation(len(self.unseen))
        half = len(order) // 2
        zeros = np.zeros(half, np.int64)
        return replace(self, fake=self.unseen[order[:half]], fake_labels=zeros, held_out=self.unseen[order[half:]])


def _given(features: Features | None, what: str, argument: str) -> Features:
    if features is None:
        raise ScoreError(f"this score needs {what}, but there are none; give them as {argument}=")
    return features
