"""The score card of one set of synthetic images."""

from __future__ import annotations

from dataclasses import replace

from augury.errors import ScoreError
from augury.images import Images
from augury.metrics.check import ENOUGH
from augury.metrics.coverage import K, precision, precision_value, recall, recall_value
from augury.metrics.features import Extractor
from augury.metrics.frechet import frechet, frechet_distance
from augury.metrics.kernel import kernel_distance, kid
from augury.metrics.score import ScoreCard
from augury.randomness import rng


def evaluate(real_a: Images, real_b: Images, fake: Images, extractor: Extractor, seed: int) -> ScoreCard:
    """Fréchet and kernel distance, precision and recall of `fake` to the reference `real_a`, beside those of other real
    images `real_b`; the latter two where a set has more than 5 images.

    All uint8 [N, C, H, W] of one C, H, W; `real_a` and `real_b` without an image in common. The same number of `fake`
    and `real_b` is compared, the larger set cut down by chance (from `seed`), so that the baseline has the bias of the
    score. Raises ScoreError when a set has fewer than 4 images.
    """
    for what, images in {"reference": real_a, "baseline": real_b, "synthetic": fake}.items():
        if len(images) < ENOUGH:
            raise ScoreError(
                f"scoring needs at least {ENOUGH} images a set, but the {what} set has {len(images)}; "
                "add images, or leave scoring out"
            )
    n = min(len(real_b), len(fake))
    reference = extractor.extract(real_a)
    measured, baseline = (
        extractor.extract(images[rng(seed, "evaluate", part).permutation(len(images))[:n]])
        for part, images in (("fake", fake), ("real", real_b))
    )
    identity, preprocessing = extractor.identity, extractor.preprocessing
    scores = (
        replace(
            score(measured, reference, features=identity, preprocessing=preprocessing, seed=seed, name=name),
            baseline=distance(baseline, reference),
        )
        for score, distance, name in (
            (frechet, frechet_distance, f"FD-{extractor.name}"),
            (kid, kernel_distance, f"KID-{extractor.name}"),
            (precision, precision_value, f"precision-{extractor.name}"),
            (recall, recall_value, f"recall-{extractor.name}"),
        )
        if n > K or score not in (precision, recall)
    )
    return ScoreCard(tuple(scores))
