"""The score card of a run: all that its train and validation parts can tell of its generator; the test part is not asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from augury import metrics, proof
from augury.images import Images, LabelledImages, SyntheticImages
from augury.metrics import SCORES, Extractor, Score, ScoreCard
from augury.networks import Classifier
from augury.randomness import rng
from augury.settings import RunSettings
from augury.training import SourceSampler, Synthesizer

BESIDE = {"pixels": tuple(name for name, row in SCORES.items() if "train" in row.needs), "phash": ("duplicates",)}
"""The scores of memorisation that are also told by these features."""
FEW = 4
"""With fewer held-out images than this, scores that need them are left out."""
NUMBERS = 50_000_000
"""Most pixel values of training images that fakes are laid beside: 400 MB as float64."""
TAUGHT = 5
"""A classifier is taught by as many fakes as there are training images, but by this times the limit at most."""
SHOWN = 12
"""Most pairs that are listed for each kind of features."""


@dataclass(frozen=True)
class Copies:
    """Fakes that nearly are a training image, by each kind of features that was `looked` in: {features, fakes, train,
    copies}, numbers of images. Of each its nearest `rows`: {features, class, seed, index, train, distance, limit}, where
    (class, seed, index) draw the fake again; `pictures` uint8 [P, 2, C, H, W] are the fake and the training image."""

    looked: tuple[dict[str, Any], ...]
    rows: tuple[dict[str, Any], ...]
    pictures: Images


def score(
    synthesizer: Synthesizer | SourceSampler,
    train: LabelledImages,
    held: LabelledImages,
    classifier: Classifier,
    settings: RunSettings,
    *,
    device: torch.device,
    folder: Path,
) -> tuple[ScoreCard, Copies]:
    """The scores of a generator, and what it copied.

    A half of `train`, at most `score.limit` images, is the reference; another gives the baseline, and the conditions of the
    fakes. `held` are images that taught it nothing. Memorisation is looked for among both halves by the card's features,
    among all of `train` in pixels (as far as memory goes) and perceptual hashes. Features are kept in `folder`.
    """
    limit, seed, blind = settings.score.limit, settings.seed, settings.train.unconditional
    order = rng(seed, "score").permutation(len(train))
    half = min(len(train) // 2, limit)
    first, second, both = (train.take(order[at]) for at in (slice(half), slice(half, 2 * half), slice(2 * half)))
    most = max(half, NUMBERS // int(np.prod(train.shape)))
    unseen = held.take(rng(seed, "score", "held out").permutation(len(held))[:limit])
    conditions = second.conditions(settings.train.condition)
    fake = synthesizer.sample(np.zeros_like(conditions[:, :1]) if blind else conditions, seed=seed + 1)

    judges = [
        metrics.remembered(judge, folder) for judge in extractors(settings.score.features, train, device, classifier)
    ]
    judged = partial(metrics.evaluate, first.images, fake.images, seed=seed)
    held_out = unseen.images if len(unseen) >= FEW else None
    found = judged(
        judges,
        baseline=second.images,
        real_labels=None if blind else first.labels,
        fake_labels=None if blind else fake.labels,
        baseline_labels=None if blind else second.labels,
        classes=train.classes,
        train=both.images,
        held_out=held_out,
    ).scores
    looked = [(judge, both) for judge in judges]
    for judge, among in ((metrics.pixels(train.shape), train.take(order[:most])), (metrics.phash(), train)):
        if judge.name not in {each.name for each in judges}:
            looked.append((judge, among))
            asked = [
                name for name in BESIDE[judge.name] if held_out is not None or "held_out" not in SCORES[name].needs
            ]
            found += judged([judge], baseline=None, train=among.images, held_out=held_out, scores=asked).scores
    own = metrics.opinions(classifier, device)
    found += judged([own], baseline=second.images, scores=["is"]).scores
    if not blind and len(held):
        found += useful(synthesizer, train, held, settings, device)
    return ScoreCard(found), copies(fake, looked)


def extractors(names: str, train: LabelledImages, device: torch.device, classifier: Classifier) -> list[Extractor]:
    """Those of `names` with commas between; "auto" is lite0 where it is installed, else the run's classifier."""
    own = metrics.of_classifier(classifier, device)
    auto = "lite0" if metrics.lite0_installed() else "classifier"
    asked = [auto if name == "auto" else name for name in names.split(",") if name]
    return [metrics.extractor(name, train.shape, device, own) for name in dict.fromkeys(asked)]


def useful(
    synthesizer: Synthesizer | SourceSampler,
    train: LabelledImages,
    held: LabelledImages,
    settings: RunSettings,
    device: torch.device,
) -> tuple[Score, Score]:
    """GAN-train and GAN-test of fakes of all classes alike, under conditions that occur among the training images."""
    present = np.flatnonzero(train.counts)
    each = -(-min(len(train), TAUGHT * settings.score.limit) // len(present))
    picks = np.concatenate([np.resize(np.flatnonzero(train.labels == c), each) for c in present])
    drawn = synthesizer.sample(train.take(picks).conditions(settings.train.condition), seed=settings.seed + 2)
    made = LabelledImages(drawn.images, drawn.labels, train.classes, fingerprint=drawn.synthesizer)
    prove, seed = settings.prove, settings.seed
    return proof.usefulness(made, train, held, steps=prove.steps, batch=prove.batch, seed=seed, device=device)


def copies(fake: SyntheticImages, looked: Sequence[tuple[Extractor, LabelledImages]]) -> Copies:
    """The near-duplicates among the fakes by each extractor, of the training images beside it."""
    told, rows, pictures = [], [], []
    for judge, train in looked:
        found = metrics.near_duplicates(judge.extract(fake.images), judge.extract(train.images))
        told.append(
            {"features": judge.identity, "fakes": len(fake), "train": len(train), "copies": len(found.distances)}
        )
        for i, j, distance in zip(found.fakes[:SHOWN], found.train[:SHOWN], found.distances[:SHOWN], strict=True):
            rows.append(
                {
                    "features": judge.identity,
                    "class": fake.classes[int(fake.labels[i])],
                    "seed": fake.seed,
                    "index": int(fake.indices[i]),
                    "train": train.names[j] if train.names else f"index {j}",
                    "distance": float(distance),
                    "limit": found.limit,
                }
            )
            pictures.append(np.stack([fake.images[i], train.images[j]]))
    empty = np.empty((0, 2, *fake.images.shape[1:]), np.uint8)
    return Copies(tuple(told), tuple(rows), np.stack(pictures) if pictures else empty)
