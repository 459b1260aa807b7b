"""A translator that is also compared with real images of the same person in the target cell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from augury.augment import policy
from augury.errors import DataError
from augury.images import Attribute, LabelledImages
from augury.networks import build
from augury.settings import TrainSettings
from augury.training import train
from augury.training.pairs import PairSampler
from augury.training.recipes import recipe
from augury.training.translation import TranslationTrainer

CPU = torch.device("cpu")
SMALL = {"width": 8, "blocks": 1}
PEOPLE = 24


def people(hole: bool = True) -> LabelledImages:
    """Each of 24 people is a square of one grey level in every cell of label × side, in two moods; "right" is its negative.

    The levels of both sides are alike, so that only pairs tell that the level of a person changes. A bright left column marks
    the side, a first row the label, and a last row the mood. With `hole` no image of label b looks right.
    """
    random = np.random.default_rng(0)
    rows = []
    for person in range(PEOPLE):
        face = 20 + 9 * person + random.integers(0, 9, (10, 6))
        for label in range(2):
            for side in range(2):
                for mood in range(2):
                    image = np.zeros((1, 12, 12), np.uint8)
                    image[0, 1:11, 3:9] = 255 - face if side else face
                    image[0, :, 0] = 255 * side
                    image[0, 0], image[0, 11] = 255 * label, 255 * mood
                    rows.append((image, label, side, mood, person))
    images, labels, sides, moods, groups = (np.array(column) for column in zip(*rows, strict=True))
    attributes = {"side": Attribute(sides, ("left", "right")), "mood": Attribute(moods, ("calm", "glad"))}
    data = LabelledImages(images, labels, ("a", "b"), attributes, groups=groups, fingerprint="people")
    return data.take(~((labels == 1) & (sides == 1))) if hole else data


def paired_sampler(data: LabelledImages) -> PairSampler:
    return PairSampler(data, ("side",), batch=16, seed=0, hole_share=0.25, paired=True)


def row_of(data: LabelledImages, image: torch.Tensor) -> int:
    """The row of a sampled image in the data."""
    pixels = ((image + 1) * 127.5).round().numpy().astype(np.uint8)
    return int(np.flatnonzero((data.images == pixels).all((1, 2, 3)))[0])


def test_the_real_image_is_that_of_the_same_person_with_the_same_other_attributes() -> None:
    data = people()
    pairs = paired_sampler(data).draw(2, CPU)
    assert pairs.matched.all() and len(pairs.real) == 12
    for image, real, target in zip(pairs.images, pairs.real, pairs.targets, strict=False):
        source, chosen = row_of(data, image), row_of(data, real)
        assert data.groups[source] == data.groups[chosen]
        assert data.attributes["mood"].codes[source] == data.attributes["mood"].codes[chosen]
        assert data.conditions(("side",))[chosen].tolist() == target.tolist()


def test_a_person_without_such_an_image_gets_that_of_another_one() -> None:
    data = people()
    lonely = (data.groups < 12) & (data.labels == 0)
    data = data.take(~lonely | (data.attributes["side"].codes == data.groups % 2))
    pairs = paired_sampler(data).draw(0, CPU)
    seen = {True: 0, False: 0}
    for image, real, matched in zip(pairs.images, pairs.real, pairs.matched.tolist(), strict=False):
        source, chosen = row_of(data, image), row_of(data, real)
        assert matched == (data.groups[source] == data.groups[chosen])
        seen[matched] += 1
    assert min(seen.values()) > 0
    parts = pairs.split(2)
    assert torch.equal(torch.cat([part.matched for part in parts]), pairs.matched)
    assert torch.equal(torch.cat([part.real for part in parts]), pairs.real)


def trainer_of(data: LabelledImages, flips: bool, **overrides: object) -> TranslationTrainer:
    torch.manual_seed(0)
    rule = recipe("translator", {**SMALL, "cycle": 0.0, "identity": 0.0, **overrides})
    networks = build("translator", rule.settings, data.shape, data.cardinalities(("side",)))
    mirror = policy("none", flips=flips)
    return TranslationTrainer(*networks, rule, policy("none"), seed=1, device=CPU, precision="fp32", mirror=mirror)


def test_the_loss_is_the_distance_of_matched_images_alone() -> None:
    data = people()
    trainer = trainer_of(data, flips=False, paired=2.0)
    pairs = paired_sampler(data).draw(0, CPU)
    pairs = replace(pairs, matched=torch.arange(len(pairs.real)) < 5)
    micro = trainer._mirrored(pairs, 0, 0)
    translated = trainer._translate(micro).detach()
    losses = trainer._generator_losses(micro, translated)
    by_hand = np.mean([np.abs(translated[i].numpy() - pairs.real[i].numpy()).mean() for i in range(5)])
    assert losses["paired"].item() == pytest.approx(by_hand, rel=1e-5)
    assert losses["total"].item() == pytest.approx(losses["loss_g"].item() + 2 * by_hand, rel=1e-5)
    nobody = replace(micro, pairs=replace(pairs, matched=torch.zeros(len(pairs.real), dtype=torch.bool)))
    assert trainer._generator_losses(nobody, translated)["paired"].item() == 0


def test_an_image_and_its_counterpart_are_mirrored_alike() -> None:
    data = people(hole=False)
    trainer = trainer_of(data, flips=True, paired=1.0)
    pairs = PairSampler(data, ("side",), 16, 0, 0.0, paired=True).draw(0, CPU)
    seen = trainer._mirrored(pairs, 0, 0).pairs
    mirrored = [not torch.equal(a, b) for a, b in zip(seen.images, pairs.images, strict=True)]
    assert 0 < sum(mirrored) < len(mirrored)
    for flipped, image, real, before, real_before in zip(
        mirrored, seen.images, seen.real, pairs.images, pairs.real, strict=True
    ):
        assert torch.equal(image, before.flip(2) if flipped else before)
        assert torch.equal(real, real_before.flip(2) if flipped else real_before)


def test_data_without_groups_or_without_pairs_are_refused() -> None:
    data = people()
    with pytest.raises(DataError, match="these data have no groups; name their column with --group"):
        paired_sampler(replace(data, groups=None))
    with pytest.raises(DataError, match="no group has images on both sides of a change"):
        paired_sampler(replace(data, groups=np.arange(len(data))))


def test_what_only_pairs_tell_is_learnt_from_them_and_applied_to_new_people() -> None:
    """Distance of a turned face to the true one, of people that train nothing."""
    whole = people(hole=False)
    new, side = whole.groups % 6 == 3, whole.attributes["side"].codes
    train_images, source = whole.take(~new), new & (side == 0)
    truth = whole.images[new & (side == 1)].astype(float)
    distance = {}
    for weight in (0.0, 30.0):
        settings = TrainSettings(
            recipe="translator", condition=("side",), steps=200, precision="fp32", overrides={**SMALL, "paired": weight}
        )
        translator = train(train_images, settings=settings, device="cpu")
        changes = translator.changes_of({"side": "right"}, int(source.sum()))
        distance[weight] = float(np.abs(translator.translate(whole.images[source], changes) - truth).mean())
    untranslated = float(np.abs(whole.images[source] - truth).mean())
    assert distance[30.0] < 0.5 * distance[0.0] and distance[30.0] < 0.3 * untranslated, (distance, untranslated)
