"""Measures during training: cheap features and a few hundred images; the features of the references are kept."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from augury.images import Codes, LabelledImages, SyntheticImages
from augury.metrics.check import ENOUGH, Features
from augury.metrics.features import Extractor
from augury.metrics.kernel import kid
from augury.metrics.nearest import nearest
from augury.metrics.spread import class_spreads, relative_spread
from augury.randomness import rng

FEW = 8
"""Fewest images of a class, real and fake each, that allow an estimate of its variety."""


class Draws(Protocol):
    """Draws images for conditions, as a Synthesizer does."""

    def sample(self, labels: Codes, *, seed: int = 0) -> SyntheticImages:
        """Conditions int64 [N, K] -> images."""
        ...


class Monitor:
    """Measures a generator during training. Call it with the generator; it draws `number` fakes for the conditions of
    held-out images.

    A call returns:

    - "kid": the kernel distance to the held-out images; "kid_error": its standard error.
    - "kid_NAME": the same with the features of `beside`, if any. It selects no generator.
    - "spread": variety within classes relative to that of the training images (`relative_spread`).
    - "worst_spread", "worst_class": the spread and the name of the least varied class with at least FEW training
    images. For such a class FEW fakes are drawn where `number` has fewer.
    - "duplicates": the share of fakes nearer to another fake than a fifth of the usual distance between neighbours in
    the training images.
    - "closeness": the median distance to the nearest training image relative to that of held-out images.

    "duplicates" and "closeness" are left out for translations, which resemble their sources and each other. So is the
    kernel distance: over all cells it is lowest for a translator that changes nothing, since its sources are real
    images.

    Every call uses the same noise, so that all changes come from the generator. `apart` is the number of images to
    train on between two calls. A call processes a tenth as many, forward only, and takes a few hundredths of the time.
    The interval counts images and not seconds, so that a run can be repeated.

    Parameters
    ----------
    extractor : Extractor
        Computes the features.
    train, held_out : LabelledImages
        Training images, and real images that the generator does not see.
    conditions : array of int64 [M, K]
        Conditions of the held-out images.
    number : int
        Fakes per call.
    seed : int
        Seed of the noise and of the selected references.
    beside : Extractor, optional
        Further features for the kernel distance, such as those that the discriminator was trained on.
    """

    def __init__(
        self,
        extractor: Extractor,
        train: LabelledImages,
        held_out: LabelledImages,
        conditions: Codes,
        *,
        number: int = 256,
        seed: int = 0,
        beside: Extractor | None = None,
    ) -> None:
        random = rng(seed, "monitor")
        train = train.take(random.permutation(len(train))[: 8 * number])
        held = random.permutation(len(held_out))[: 4 * number]
        self.extractor, self.seed, self.apart = extractor, seed, 10 * number
        self.conditions = conditions[np.resize(held, number)]
        self.train, self.held_out = extractor.extract(train.images), extractor.extract(held_out.take(held).images)
        self.beside = beside
        self.held_out_beside = None if beside is None else beside.extract(held_out.take(held).images)
        self.labels = train.labels
        self.classes = held_out.classes
        self.more = _lacking(self.conditions, conditions, np.bincount(self.labels))
        usual = nearest(self.train, self.train, 2)[1][:, 1] if len(train) > 1 else np.zeros(1)
        self.near = 0.2 * float(np.median(usual))
        self.usual = float(np.median(nearest(self.held_out, self.train)[1]))

    def __call__(self, generator: Draws) -> dict[str, float | str]:
        """Compute the measures of a generator."""
        drawn = generator.sample(self.conditions, seed=self.seed)
        fake = self.extractor.extract(drawn.images)
        measures: dict[str, float] = {}
        if len(self.held_out) >= ENOUGH and drawn.sources is None:
            score = kid(fake, self.held_out, features="", preprocessing="", seed=self.seed)
            measures = {"kid": score.value, "kid_error": (score.high - score.low) / 2 / 1.96}
            if self.beside is not None and self.held_out_beside is not None:
                other = self.beside.extract(drawn.images)
                distance = kid(other, self.held_out_beside, features="", preprocessing="", seed=self.seed)
                measures[f"kid_{self.beside.name}"] = distance.value
        measures["spread"] = relative_spread(fake, self.conditions[:, 0], self.train, self.labels)
        if drawn.sources is None:
            measures["duplicates"] = float((nearest(fake, fake, 2)[1][:, 1] <= self.near).mean())
            measures["closeness"] = float(np.median(nearest(fake, self.train)[1])) / max(self.usual, 1e-12)
        summary: dict[str, float | str] = {
            name: round(value, 6) for name, value in measures.items() if np.isfinite(value)
        }
        return summary | self._worst(generator, fake)

    def _worst(self, generator: Draws, fake: Features) -> dict[str, float | str]:
        """The least varied class, among those with enough images."""
        labels = self.conditions[:, 0]
        if len(self.more):
            rest = self.extractor.extract(generator.sample(self.more, seed=self.seed + 1).images)
            fake, labels = np.concatenate([fake, rest]), np.concatenate([labels, self.more[:, 0]])
        each = class_spreads(fake, labels, self.train, self.labels, least=FEW)
        if not each:
            return {}
        worst = min(each, key=lambda label: each[label])
        return {"worst_spread": round(each[worst], 6), "worst_class": self.classes[worst]}


def _lacking(drawn: Codes, available: Codes, trained: Codes) -> Codes:
    """Conditions [N, K] from `available` that complete every class with FEW training images to FEW fakes.

    The conditions `drawn` already count; at most as many are added.
    """
    rows = [drawn[:0]]
    for label in np.unique(available[:, 0]):
        missing = FEW - int((drawn[:, 0] == label).sum())
        if missing > 0 and label < len(trained) and trained[label] >= FEW:
            rows.append(np.resize(available[available[:, 0] == label], (missing, available.shape[1])))
    return np.concatenate(rows)[: len(drawn)]
