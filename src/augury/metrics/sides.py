"""The input of a score: the features of every side, with their description."""

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
"""Neighbours that define the manifolds of precision, recall, density and coverage."""
GROUPS = 10
MANY_PAIRS = 25_000_000
"""Above this the intervals of neighbourhood scores omit the jackknife and say so."""


@dataclass(frozen=True)
class Sides:
    """Features of one extractor: `fake` [N, D] against `real` [M, D].

    For memorisation, `train` [T, D] are the images that the generator was trained on and `held_out` [H, D] real images
    that it never saw. Labels are int64 [N] and [M], arrays of zeros without classes. `head` computes class
    probabilities from features, for the Inception Score. `name` is that of the extractor, `features` its identity.
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
        """`train`; raises ScoreError where it is None."""
        return _required(self.train, "the training images", "train")

    @property
    def unseen(self) -> Features:
        """`held_out`; raises ScoreError where it is None."""
        return _required(self.held_out, "real images that the generator never saw", "held_out")

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
        """A Score of these features; `n` defaults to that of the smaller of fake and real."""
        count = self.n if n is None else n
        extractor_info = (self.features, self.preprocessing)
        return Score(
            name, value, low, high, count, better, *extractor_info, note=note, settings=settings, same_n=same_n
        )

    @cached_property
    def real_radii(self) -> Floats:
        """float64 [M]: the distance from each real image to its `K`-th nearest neighbour."""
        return radii(self.real, K)

    @cached_property
    def _around(self) -> tuple[Counts, Counts]:
        return mutual_counts(self.fake, self.real, radii(self.fake, K), self.real_radii)

    @property
    def around_fake(self) -> Counts:
        """The counts of real images in the balls of `K` neighbours around the fakes."""
        return self._around[0]

    @property
    def around_real(self) -> Counts:
        """The counts of fakes in the balls of `K` neighbours around the real images."""
        return self._around[1]

    @cached_property
    def left_out(self) -> tuple[Sides, ...]:
        """Ten copies of these sides, each without a tenth of every side; each image is left out once.

        () where too few images remain for `K` neighbours, or where ten more passes over all pairs would take long.
        """
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
        """These sides with other real images [N, D] in the place of the fakes, for the score of a perfect generator."""
        return replace(self, fake=real, fake_labels=labels)

    def unseen_instead(self) -> Sides:
        """Half of the held-out images in the place of the fakes; the other half remains held out."""
        order = rng(self.seed, "unseen").permutation(len(self.unseen))
        half = len(order) // 2
        zeros = np.zeros(half, np.int64)
        return replace(self, fake=self.unseen[order[:half]], fake_labels=zeros, held_out=self.unseen[order[half:]])


def _required(features: Features | None, description: str, argument: str) -> Features:
    if features is None:
        raise ScoreError(f"this score needs {description}, but there are none; give them as {argument}=")
    return features
