"""What is measured while a generator trains: cheap features, a few hundred images, the references' features kept."""

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
"""Images of a class, real and fake, from which its variety is told."""


class Draws(Protocol):
    """Whatever draws images for conditions; a Synthesizer does."""

    def sample(self, labels: Codes, *, seed: int = 0) -> SyntheticImages:
        """Conditions int64 [N, K] -> images."""
        ...


class Monitor:
    """Call it with a generator for, over `number` fakes of the conditions that held-out images have:

    "kid", their kernel distance to the held-out images, and "kid_error", its standard error; "spread", their variety within classes against that of the training
    images (`relative_spread`); "worst_spread", that of "worst_class" (its name), the least varied of the classes with at least
    FEW training images, of which so many fakes are looked at as well where `number` has fewer; "duplicates", the share of fakes with another one nearer than a fifth of
    the usual distance between neighbours among training images; "closeness", their median distance to the nearest training image over that of held-out
    images. The last two are left out for translations: these resemble their sources, and two of one source each other. So is
    the kernel distance: over all cells it is lowest for a translator that changes nothing, since its sources are real images.

    `conditions` int64 are those of the held-out images: [M, K]. Every call uses the same noise, so that what changes is the
    generator. `apart` is how many images should be trained on between two calls, which look at a tenth as many, forward only,
    and so take a few hundredths of the time; it counts images and not seconds, so that a run can be repeated.
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
    ) -> None:
        random = rng(seed, "monitor")
        train = train.take(random.permutation(len(train))[: 8 * number])
        held = random.permutation(len(held_out))[: 4 * number]
        self.extractor, self.seed, self.apart = extractor, seed, 10 * number
        self.conditions = conditions[np.resize(held, number)]
        self.train, self.held_out = extractor.extract(train.images), extractor.extract(held_out.take(held).images)
        self.labels = train.labels
        self.classes = held_out.classes
        self.more = _lacking(self.conditions, conditions, np.bincount(self.labels))
        usual = nearest(self.train, self.train, 2)[1][:, 1] if len(train) > 1 else np.zeros(1)
        self.near = 0.2 * float(np.median(usual))
        self.usual = float(np.median(nearest(self.held_out, self.train)[1]))

    def __call__(self, generator: Draws) -> dict[str, float | str]:
        """The measures of a generator."""
        drawn = generator.sample(self.conditions, seed=self.seed)
        fake = self.extractor.extract(drawn.images)
        found: dict[str, float] = {}
        if len(self.held_out) >= ENOUGH and drawn.sources is None:
            score = kid(fake, self.held_out, features="", preprocessing="", seed=self.seed)
            found = {"kid": score.value, "kid_error": (score.high - score.low) / 2 / 1.96}
        found["spread"] = relative_spread(fake, self.conditions[:, 0], self.train, self.labels)
        if drawn.sources is None:
            found["duplicates"] = float((nearest(fake, fake, 2)[1][:, 1] <= self.near).mean())
            found["closeness"] = float(np.median(nearest(fake, self.train)[1])) / max(self.usual, 1e-12)
        told: dict[str, float | str] = {name: round(value, 6) for name, value in found.items() if np.isfinite(value)}
        return told | self._worst(generator, fake)

    def _worst(self, generator: Draws, fake: Features) -> dict[str, float | str]:
        """The class that varies least, where any has enough images to tell."""
        labels = self.conditions[:, 0]
        if len(self.more):
            rest = self.extractor.extract(generator.sample(self.more, seed=self.seed + 1).images)
            fake, labels = np.concatenate([fake, rest]), np.concatenate([labels, self.more[:, 0]])
        each = class_spreads(fake, labels, self.train, self.labels, least=FEW)
        if not each:
            return {}
        worst = min(each, key=lambda label: each[label])
        return {"worst_spread": round(each[worst], 6), "worst_class": self.classes[worst]}


def _lacking(asked: Codes, known: Codes, trained: Codes) -> Codes:
    """Conditions [N, K] among `known` that bring every class with FEW training images to FEW fakes, those `asked` for
    included; at most as many as are asked for."""
    rows = [asked[:0]]
    for label in np.unique(known[:, 0]):
        missing = FEW - int((asked[:, 0] == label).sum())
        if missing > 0 and label < len(trained) and trained[label] >= FEW:
            rows.append(np.resize(known[known[:, 0] == label], (missing, known.shape[1])))
    return np.concatenate(rows)[: len(asked)]
