"""The score card of a run: everything that the train and validation splits say about its generator. The test split
is not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from augury import metrics, proof
from augury.images import Codes, Images, LabelledImages, SyntheticImages
from augury.metrics import SCORES, Extractor, Score, ScoreCard
from augury.networks import Classifier, lite0_installed
from augury.randomness import rng
from augury.settings import RunSettings
from augury.training import SourceSampler, Synthesizer

BESIDE = {"pixels": tuple(name for name, row in SCORES.items() if "train" in row.needs), "phash": ("duplicates",)}
"""Scores of memorisation that are also computed with these features."""
FEW = 4
"""With fewer held-out images than this, the scores that need them are left out."""
NUMBERS = 50_000_000
"""Most pixel values of training images that fakes are compared with: 400 MB as float64."""
FAKES_PER_LIMIT = 5
"""A classifier is trained on as many fakes as there are training images, but at most this many times `score.limit`."""
ABOUT_TRANSLATIONS = (
    "C_T, authenticity, duplicates and membership are left out: they measure whether an image resembles a train image, and a translation "
    "resembles its source by design. Near-duplicates of any other train image are listed. A translation reveals much of its source, "
    "so share translations only where you may share the train images."
)
"""Why a translator has no scores of memorisation."""
FLATTERED = (
    "The discriminator saw images through the pretrained network lite0, so scores with lite0 flatter this generator: it was trained to "
    "match these features. Read those with the run's own classifier, which also selected the generator."
)
"""Printed with scores of a generator whose discriminator was trained on lite0."""
SHOWN = 12
"""Most pairs that are listed for each kind of features."""


@dataclass(frozen=True)
class Copies:
    """Fakes that are near-duplicates of a training image.

    `looked` has a row for each kind of features: {features, fakes, train, copies}, numbers of images. `rows` are the nearest
    pairs of each kind: {features, class, seed, index, train, distance, limit}; (class, seed, index) draw the fake again.
    `pictures` uint8 [P, 2, C, H, W] are the fake and the training image of each row.
    """

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
    among: Codes | None = None,
    trained_on: str = "",
) -> tuple[ScoreCard, Copies]:
    """The scores of a generator, and the training images that it copied.

    One half of `train`, at most `score.limit` images, is the reference. The other half gives the baseline and the conditions of
    the fakes. Memorisation is measured among both halves with the card's features. In pixels it is measured among as much of
    `train` as fits in memory, and with perceptual hashes among all of it. Translations get no scores of memorisation
    (ABOUT_TRANSLATIONS), and their own source does not count as a copy.

    Parameters
    ----------
    synthesizer
        The trained generator.
    train
        Training images of the generator.
    held
        Images that the generator was not trained on.
    classifier
        The run's classifier.
    settings
        Settings of the run.
    device
        Device that extracts the features.
    folder
        Cache of the features.
    among
        Rows int64 of `train` that the halves are taken from; None: all.
    trained_on
        Features that the discriminator was trained on. The card then has those of the classifier too.

    Returns
    -------
    The score card and the copies.
    """
    limit, seed, blind = settings.score.limit, settings.seed, settings.train.unconditional
    order = rng(seed, "score").permutation(len(train) if among is None else among)
    half = min(len(order) // 2, limit)
    first, second, both = (train.take(order[at]) for at in (slice(half), slice(half, 2 * half), slice(2 * half)))
    most = max(half, NUMBERS // int(np.prod(train.shape)))
    unseen = held.take(rng(seed, "score", "held out").permutation(len(held))[:limit])
    conditions = second.conditions(settings.train.condition)
    if isinstance(synthesizer, SourceSampler):  # the reference must not contain the sources of translations
        synthesizer = synthesizer.without(order[:half])
    fake = synthesizer.sample(np.zeros_like(conditions[:, :1]) if blind else conditions, seed=seed + 1)

    judges = [
        metrics.remembered(judge, folder)
        for judge in extractors(settings.score.features, train, device, classifier, trained_on)
    ]
    judged = partial(metrics.evaluate, first.images, fake.images, seed=seed)
    drawn = fake.sources is None
    held_out = unseen.images if len(unseen) >= FEW and drawn else None
    scores = judged(
        judges,
        baseline=second.images,
        real_labels=None if blind else first.labels,
        fake_labels=None if blind else fake.labels,
        baseline_labels=None if blind else second.labels,
        classes=train.classes,
        train=both.images if drawn else None,
        held_out=held_out,
    ).scores
    looked = [(judge, order[: 2 * half]) for judge in judges]
    for judge, rows in ((metrics.pixels(train.shape), order[:most]), (metrics.phash(), np.arange(len(train)))):
        if judge.name not in {each.name for each in judges}:
            looked.append((judge, rows))
            if not drawn:
                continue
            names = [
                name for name in BESIDE[judge.name] if held_out is not None or "held_out" not in SCORES[name].needs
            ]
            scores += judged([judge], baseline=None, train=train.images[rows], held_out=held_out, scores=names).scores
    own = metrics.opinions(classifier, device)
    scores += judged([own], baseline=second.images, scores=["is"]).scores
    if not blind and len(held):
        scores += useful(synthesizer, train, held, settings, device)
    return ScoreCard(scores), copies(fake, train, looked)


def extractors(
    names: str, train: LabelledImages, device: torch.device, classifier: Classifier, trained_on: str = ""
) -> list[Extractor]:
    """The extractors of comma-separated `names`; "auto" is lite0 where it is installed, else the run's classifier.

    For a discriminator `trained_on` features, the classifier's come first and these features are always among the others.
    """
    own = metrics.of_classifier(classifier, device)
    auto = "lite0" if lite0_installed() else "classifier"
    chosen = [auto if name == "auto" else name for name in names.split(",") if name]
    if trained_on:
        chosen = ["classifier", *chosen, trained_on]
    return [metrics.extractor(name, train.shape, device, own) for name in dict.fromkeys(chosen)]


def useful(
    synthesizer: Synthesizer | SourceSampler,
    train: LabelledImages,
    held: LabelledImages,
    settings: RunSettings,
    device: torch.device,
) -> tuple[Score, Score]:
    """GAN-train and GAN-test of fakes with equally many per class, under conditions that occur among the training images."""
    present = np.flatnonzero(train.counts)
    each = -(-min(len(train), FAKES_PER_LIMIT * settings.score.limit) // len(present))
    picks = np.concatenate([np.resize(np.flatnonzero(train.labels == c), each) for c in present])
    drawn = synthesizer.sample(train.take(picks).conditions(settings.train.condition), seed=settings.seed + 2)
    fakes = LabelledImages(drawn.images, drawn.labels, train.classes, fingerprint=drawn.synthesizer)
    prove, seed = settings.prove, settings.seed
    return proof.usefulness(fakes, train, held, steps=prove.steps, batch=prove.batch, seed=seed, device=device)


def copies(fake: SyntheticImages, train: LabelledImages, looked: Sequence[tuple[Extractor, Codes]]) -> Copies:
    """The near-duplicates among the fakes, for each extractor and its training images (rows int64 [T])."""
    counts, rows, pictures = [], [], []
    for judge, among in looked:
        own = None
        if fake.sources is not None:
            position = np.full(len(train), -1, np.int64)
            position[among] = np.arange(len(among))
            own = position[fake.sources]
        near = metrics.near_duplicates(judge.extract(fake.images), judge.extract(train.images[among]), own=own)
        counts.append(
            {"features": judge.identity, "fakes": len(fake), "train": len(among), "copies": len(near.distances)}
        )
        others = among[near.train[:SHOWN]]
        for i, j, distance in zip(near.fakes[:SHOWN], others, near.distances[:SHOWN], strict=True):
            rows.append(
                {
                    "features": judge.identity,
                    "class": fake.classes[int(fake.labels[i])],
                    "seed": fake.seed,
                    "index": int(fake.indices[i]),
                    "train": train.names[j] if train.names else f"index {j}",
                    "distance": float(distance),
                    "limit": near.limit,
                }
            )
            pictures.append(np.stack([fake.images[i], train.images[j]]))
    empty = np.empty((0, 2, *fake.images.shape[1:]), np.uint8)
    return Copies(tuple(counts), tuple(rows), np.stack(pictures) if pictures else empty)


def closest(synthetic: SyntheticImages, train: LabelledImages, pairs: int = 12, k: int = 3) -> tuple[Codes, Any]:
    """The synthetic images, kept or rejected, that are closest to a training image.

    Returns (rows int64 [M, 1 + k], RMS distances [M, k]). A translation's own source does not count.
    """
    own = synthetic.sources
    k = min(k, len(train) - (own is not None))
    if not len(synthetic):
        return np.empty((0, 1 + k), np.int64), np.empty((0, k))
    fake, real = (np.asarray(x, np.float32).reshape(len(x), -1) for x in (synthetic.images, train.images))
    neighbours, distances = metrics.nearest(fake, real, k + (own is not None))
    if own is not None:  # leave out the source; if it is not among the neighbours, the farthest
        last = np.where((neighbours == own[:, None]).any(1), (neighbours == own[:, None]).argmax(1), k)
        others = np.arange(k + 1) != last[:, None]
        neighbours, distances = neighbours[others].reshape(-1, k), distances[others].reshape(-1, k)
    order = np.argsort(distances[:, 0], kind="stable")[:pairs]
    rows = np.concatenate([order[:, None], neighbours[order]], axis=1).astype(np.int64)
    return rows, distances[order] * real.shape[1] ** -0.5
