"""The score card of one set of synthetic images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from augury.errors import ScoreError, SettingsError
from augury.images import AnyImages, Codes, Images, LabelledImages, SyntheticImages, as_images, as_labelled
from augury.metrics.check import ENOUGH, check_pair_rows
from augury.metrics.extractors import extractor
from augury.metrics.features import Extractor
from augury.metrics.score import Score, ScoreCard
from augury.metrics.scores import SCORES, Row
from augury.metrics.sides import Sides
from augury.metrics.walk import per_class, pooled
from augury.randomness import rng


@dataclass(frozen=True)
class Part:
    """One side: `images` uint8 [N, C, H, W] and their `labels` int64 [N]."""

    images: Images
    labels: Codes

    def take(self, chosen: Codes) -> Part:
        """The images at `chosen`."""
        return Part(self.images[chosen], self.labels[chosen])


def evaluate(
    real: AnyImages,
    fake: AnyImages,
    extractors: Sequence[str | Extractor] = ("pixels",),
    *,
    baseline: AnyImages | str | None = "half",
    real_labels: Codes | None = None,
    fake_labels: Codes | None = None,
    baseline_labels: Codes | None = None,
    classes: Sequence[str] = (),
    train: AnyImages | None = None,
    held_out: AnyImages | None = None,
    scores: Iterable[str] | None = None,
    seed: int = 0,
) -> ScoreCard:
    """Compute every score of `SCORES` that these images allow, of `fake` against `real`, over the features of each
    extractor.

    All images are uint8 [N, C, H, W] of one C, H, W. Fakes and baseline are cut down at random to the same number, so
    that the baseline has the bias of the score. A score is left out when there are too few images for it or it lacks an
    input, unless `scores` names it.

    Parameters
    ----------
    real, fake : LabelledImages, SyntheticImages or array
        Real and synthetic images. Of SyntheticImages, the accepted ones are scored. Where no set is an array, scores by
        class use the labels of the sets; classes are matched by name, and at least two must be shared.
    extractors : sequence of str or Extractor
        Names as for `extractor`, or extractors.
    baseline : LabelledImages, array, "half" or None
        Further real images, none of them in `real`, which take the place of the fakes: the score of a perfect generator.
        "half" takes a random half of `real` as baseline and the other half as reference. None takes all of
        `real` as reference, as other tools do, with no baseline.
    real_labels, fake_labels, baseline_labels : array of int64 [N], optional
        The labels of arrays, as indices into `classes`. With labels, the scores that suit few images are also computed class by
        class. `baseline_labels` are needed where `baseline` is an array.
    classes : sequence of str
        Class names of these labels.
    train : LabelledImages or array, optional
        The images that the generator was trained on. With them, scores of memorisation are added, which use all images.
    held_out : LabelledImages or array, optional
        Real images that the generator never saw, for the scores of memorisation.
    scores : iterable of str, optional
        Names from `SCORES`; all if None.
    seed : int
        Seed of all random choices.

    Returns
    -------
    ScoreCard
        The scores of all images, then those of each class.

    Raises
    ------
    ScoreError
        When a set has fewer than 4 images, or the sizes differ.
    SettingsError
        For an unknown name.

    Examples
    --------
    >>> card = evaluate(train, synthetic, ["pixels"], scores=["kid", "recall"])
    >>> card["KID-pixels"].value, card["KID-pixels"].baseline
    """
    rows = _rows(scores)
    real, fake = _accepted(real), _accepted(fake)
    baseline = baseline if baseline is None or isinstance(baseline, str) else _accepted(baseline)
    if real_labels is None and fake_labels is None:
        sets = [x for x in (real, fake, baseline) if x is not None and not isinstance(x, str)]
        classes, (real_labels, fake_labels, *further) = common_labels(sets)
        baseline_labels = further[0] if further else None
    elif real_labels is None or fake_labels is None:
        real_labels, fake_labels, baseline_labels = None, None, None
    real, fake = as_images(real), as_images(fake)
    train, held_out = (None if x is None else as_images(x) for x in (train, held_out))
    first = Part(real, _labels(real, real_labels, "real"))
    synthetic = Part(fake, _labels(fake, fake_labels, "synthetic"))
    reference, other = _split(first, baseline, baseline_labels, seed)
    _fit_together(
        {"reference": reference.images, "synthetic": fake}
        | ({"baseline": other.images} if other else {})
        | {name: part for name, part in (("training", train), ("held-out", held_out)) if part is not None}
    )
    n = len(fake) if other is None else min(len(fake), len(other.images))
    chosen = rng(seed, "evaluate", "fake").permutation(len(fake))[:n]
    perfect = None if other is None else other.take(rng(seed, "evaluate", "real").permutation(len(other.images))[:n])
    results: list[Score] = []
    for each in extractors:
        judge = extractor(each, (int(real.shape[1]), int(real.shape[2]), int(real.shape[3])))
        every = judge.extract(fake) if train is not None else judge.extract(fake[chosen])
        sides = Sides(
            every[chosen] if train is not None else every,
            judge.extract(reference.images),
            judge.name,
            judge.identity,
            judge.preprocessing,
            seed,
            synthetic.labels[chosen],
            reference.labels,
            None if train is None else judge.extract(train),
            None if held_out is None else judge.extract(held_out),
            judge.head,
        )
        check_pair_rows(sides.fake, sides.real, least=ENOUGH)
        others = None if perfect is None else sides.instead(judge.extract(perfect.images), perfect.labels)
        results += pooled(rows, sides, others, every, required=scores is not None)
        results += per_class(rows, sides, others, classes)
    return ScoreCard(tuple(results))


def _accepted(images: AnyImages) -> AnyImages:
    return as_labelled(images) if isinstance(images, SyntheticImages) else images


def common_labels(sets: Sequence[AnyImages]) -> tuple[tuple[str, ...], list[Codes | None]]:
    """(all class names, the labels of each set as indices into them).

    There are none (an empty tuple, and None for each set) where a set is an array or the sets share fewer than two class names.
    """
    labelled = [x for x in sets if isinstance(x, LabelledImages)]
    if len(labelled) < len(sets) or len(set.intersection(*(set(x.classes) for x in labelled))) < 2:
        return (), [None for _ in sets]
    classes = tuple(dict.fromkeys(name for x in labelled for name in x.classes))
    code_of = {name: code for code, name in enumerate(classes)}
    return classes, [np.array([code_of[name] for name in x.classes], np.int64)[x.labels] for x in labelled]


def _rows(names: Iterable[str] | None) -> dict[str, Row]:
    if names is None:
        return SCORES
    requested = list(names)
    unknown = [name for name in requested if name not in SCORES]
    if unknown:
        raise SettingsError(f"there is no score '{unknown[0]}'; choose from: {', '.join(SCORES)}")
    return {name: SCORES[name] for name in requested}


def _split(real: Part, baseline: AnyImages | str | None, labels: Codes | None, seed: int) -> tuple[Part, Part | None]:
    """(reference, baseline)."""
    if baseline is None:
        return real, None
    if not isinstance(baseline, str):
        images = as_images(baseline)
        return real, Part(images, _labels(images, labels, "baseline"))
    if baseline != "half":
        raise SettingsError(f"the baseline is images, 'half' or None, but is '{baseline}'; give one of these")
    order = rng(seed, "half").permutation(len(real.images))
    return real.take(order[len(order) // 2 :]), real.take(order[: len(order) // 2])


def _labels(images: Images, labels: Codes | None, side: str) -> Codes:
    if labels is None:
        return np.zeros(len(images), np.int64)
    if labels.shape != (len(images),):
        raise ScoreError(
            f"the {side} set has {len(images)} images but labels {list(labels.shape)}; give one label an image"
        )
    return labels


def _fit_together(sets: dict[str, Images]) -> None:
    for name, images in sets.items():
        if len(images) < ENOUGH:
            raise ScoreError(
                f"scoring needs at least {ENOUGH} images a set, but the {name} set has {len(images)}; "
                "add images, give a baseline of its own or none, or leave scoring out"
            )
        if images.shape[1:] != sets["reference"].shape[1:]:
            raise ScoreError(
                f"the {name} images are {list(images.shape[1:])} but the reference images {list(sets['reference'].shape[1:])} "
                "(channels, height, width); bring all to one size and mode"
            )
