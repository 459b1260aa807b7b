"""Known truths of translation, on drawn images: what must help, what must not, and what must be refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from augury import generation, proof, training
from augury.data.cells import cells
from augury.generation import FilterContext, TranslationPlan
from augury.images import Attribute, LabelledImages, SyntheticImages
from augury.metrics import nearest
from augury.networks import KEEP
from augury.settings import GenerateSettings, ProveSettings, TrainSettings
from augury.training import Card, Synthesizer

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
ALL = ((0, 0), (0, 1), (1, 0), (1, 1))
SIZE = 16


def faded(images: np.ndarray) -> np.ndarray:
    """What the second scanner makes of an image: bright, with little contrast."""
    return 185 + 0.2 * np.asarray(images, float)


def bars(each: int, seed: int, present: tuple[tuple[int, int], ...] = ALL) -> LabelledImages:
    """Bars that lie or stand, from two scanners."""
    random = np.random.default_rng(seed)
    images = []
    for label, scanner in present:
        for _ in range(each):
            position, end = random.integers(3, SIZE - 4), random.integers(2, 5)
            image = 40 + random.normal(0, 25, (SIZE, SIZE))
            bar = (slice(position - 1, position + 1), slice(end, -end))
            image[bar if label == 0 else bar[::-1]] += 150
            images.append(np.clip(faded(image) if scanner else image, 0, 255))
    table = np.repeat(np.array(present), each, axis=0)
    scanners = Attribute(table[:, 1].astype(np.int64), ("first", "second"))
    pixels = np.stack(images)[:, None].astype(np.uint8)
    return LabelledImages(
        pixels, table[:, 0].astype(np.int64), ("lies", "stands"), {"scanner": scanners}, fingerprint=str(seed)
    )


@pytest.fixture(scope="module")
def train() -> LabelledImages:
    """No standing bar from the second scanner."""
    return bars(60, 0, ((0, 0), (0, 1), (1, 0)))


def trained(train: LabelledImages) -> Synthesizer:
    settings = TrainSettings(
        recipe="translator", condition=("scanner",), steps=450, batch=16, precision="fp32",
        overrides={"width": 8, "blocks": 1},
    )  # fmt: skip
    return training.train(train, settings=settings)


@pytest.fixture(scope="module")
def translator(train: LabelledImages) -> Synthesizer:
    return trained(train)


@pytest.fixture(scope="module")
def context(train: LabelledImages) -> FilterContext:
    """The classifiers that judge translations."""
    classifiers = proof.column_classifiers(
        train, ("scanner",), cells(train, ("scanner",)), seed=0, device=CPU, flips=False, members=1
    )
    label, scanner = (lambda images, models=models: proof.probabilities(models[0], images) for models in classifiers)
    return FilterContext(train, label, nearest, condition=("scanner",), attribute_probabilities=(scanner,))


def planned(train: LabelledImages) -> TranslationPlan:
    return generation.plan_translations(train, ("scanner",))


def judged(train: LabelledImages, synthetic: SyntheticImages) -> proof.Verdict:
    """Eight seeds, the two arms without translations that matter, and one with."""
    settings = ProveSettings(arms=("randaugment", "drop_cells", "filled"), seeds=8, steps=80)
    return proof.prove(train, bars(20, 1), bars(40, 2), synthetic, settings, condition=("scanner",), rare=20)


def test_a_learnable_change_fills_the_hole_correctly_and_helps(train, translator) -> None:
    source = bars(30, 5, ((1, 0),))
    translated = translator.translate(source.images, np.tile([KEEP, 1], (30, 1)))
    true = faded(source.images)
    error, before = (np.sqrt(((images - true) ** 2).mean()) for images in (translated, source.images.astype(float)))
    assert error < 0.25 * before  # right by construction: the scanner's own image of the same bar
    verdict = judged(train, generation.translate(translator, train, planned(train)))
    assert verdict.outcome == "helps" and verdict.difference > 0.1
    assert verdict.metric == "balanced accuracy within scanner=second"


def test_shuffled_attributes_teach_no_change_and_do_not_help(train, translator, context) -> None:
    codes = train.attributes["scanner"].codes.copy()
    for scanner in (0, 1):  # an equal share of each scanner under both names, so that the names carry no hint
        codes[np.flatnonzero((train.labels == 0) & (train.attributes["scanner"].codes == scanner))] = np.arange(60) % 2
    shuffled = LabelledImages(
        train.images, train.labels, train.classes, {"scanner": Attribute(codes, ("first", "second"))}, fingerprint="s"
    )
    control = trained(shuffled)
    filters = generation.filters_for_translations(GenerateSettings().filters, groups=False)
    control_images, right = (
        generation.translate(each, train, planned(train), filters=filters, context=context)
        for each in (control, translator)
    )
    along = (control_images.conditions == (1, 1)).all(1) & (
        train.attributes["scanner"].codes[control_images.sources] == 0
    )
    # the attribute's classifier sees that little reached the second scanner
    assert control_images.accepted[along].mean() < right.accepted[along].mean() - 0.3
    unfiltered = generation.translate(control, train, planned(train))
    assert judged(train, unfiltered.take(along)).outcome != "helps"


class Turned(nn.Module):
    """A translator that turns every bar by a right angle: it flips the class."""

    latent, translates = 0, True

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, images, changes, noise=None):
        return images.transpose(2, 3)


def test_a_translator_that_flips_the_class_is_stopped_by_the_filter_and_advised_against(train, context) -> None:
    card = Card(
        "translator", {}, (1, SIZE, SIZE), train.classes, ("scanner",), (("first", "second"),), "0", "translator", 0, 1, 1,
        "fp32",
    )  # fmt: skip
    translated = generation.translate(
        Synthesizer(card, Turned()), train, planned(train), filters=("agreement>0.5",), context=context
    )
    along = translated.conditions[:, 0] == train.labels[translated.sources]  # the class was to be kept
    first = train.attributes["scanner"].codes[translated.sources] == 0
    assert (np.array(translated.reasons)[along & first] == "agreement").mean() > 0.9
    rows = along & first
    kept_classes = proof.kept_classes(
        translated.labels[rows], context.probabilities(translated.images[rows]), train.classes
    )
    assert not kept_classes.advised and kept_classes.overall.value < 0.2
