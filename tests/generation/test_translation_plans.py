"""Plans of translations, and what is kept of them."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from augury.errors import SettingsError
from augury.generation import (
    Candidates,
    FilterContext,
    examples,
    load,
    plan_into,
    plan_translations,
    save,
    tallied,
    translate,
)
from augury.generation.filters import apply
from augury.images import Attribute, LabelledImages
from augury.metrics import nearest
from augury.networks import KEEP, build
from augury.training import Card, Synthesizer
from tests.helpers.generation_data import class_probabilities


def faces(counts: dict[tuple[int, int], int], size: int = 8) -> LabelledImages:
    """Noise; counts of (class, age)."""
    cells = np.concatenate([np.tile(cell, (n, 1)) for cell, n in counts.items()])
    images = np.random.default_rng(0).integers(0, 256, (len(cells), 1, size, size), dtype=np.uint8)
    ages = Attribute(cells[:, 1].astype(np.int64), ("young", "old"))
    return LabelledImages(images, cells[:, 0].astype(np.int64), ("man", "woman"), {"age": ages}, fingerprint="f")


HOLE = {(0, 0): 40, (0, 1): 30, (1, 0): 50}


def translator(scale: float = 1.0) -> Synthesizer:
    torch.manual_seed(0)
    settings = {"width": 8, "blocks": 1}
    network, _ = build("translator", settings, (1, 8, 8), (2, 2))
    with torch.no_grad():
        network.change.weight.mul_(scale)
        network.change.bias.mul_(scale)
    ages = (("young", "old"),)
    card = Card("translator", settings, (1, 8, 8), ("man", "woman"), ("age",), ages, "f", "translator", 0, 1, 1, "fp32")
    return Synthesizer(card, network)


def test_a_hole_is_filled_in_equal_shares_along_both_axes_and_the_other_class_alike() -> None:
    plan = plan_translations(faces(HOLE), ("age",))
    assert plan.level == 40  # the median of the other cells
    rows = {(row.source, row.target): (row.number, row.available, row.fills) for row in plan.rows}
    assert rows == {
        ((0, 1), (1, 1)): (20, 30, True),
        ((1, 0), (1, 1)): (20, 50, True),
        ((0, 0), (0, 1)): (20, 40, False),
    }
    assert "woman, age=young → woman, age=old: 20 of 50 images" in plan.lines()


def test_a_number_sets_the_level_and_real_images_of_a_rare_cell_count() -> None:
    plan = plan_translations(faces({**HOLE, (1, 1): 6}), ("age",), 36)
    assert {row.number for row in plan.rows if row.fills} == {15}
    rare_plan = plan_translations(faces(HOLE), ("age",), {"woman/old": 10})
    assert sum(row.number for row in rare_plan.rows if row.fills) == 10
    with pytest.raises(SettingsError, match="names 'man/old', but the empty or rare cells are: woman/old"):
        plan_translations(faces(HOLE), ("age",), {"man/old": 10})
    assert {row.number for row in plan_translations(faces(HOLE), ("age",), 1.0).rows} == {20}  # a ratio, not one image
    for invalid, rule in (
        (0, "larger number"),
        (-5, "larger number"),
        ({"woman/old": -3}, "larger number"),
        (2.5, "ratio"),
    ):
        with pytest.raises(SettingsError, match=rule):
            plan_translations(faces(HOLE), ("age",), invalid)
    with pytest.raises(SettingsError, match="nothing to fill"):
        plan_translations(faces({**HOLE, (1, 1): 25}), ("age",))


def test_the_class_alone_can_be_the_axis() -> None:
    """Rare classes from common ones: the smaller class is filled up from the larger."""
    plan = plan_translations(faces({(0, 0): 60, (1, 0): 25}))
    assert [(row.source, row.target, row.number) for row in plan.rows] == [((0,), (1,), 35)]
    data = faces({(0, 0): 60, (1, 0): 19})
    with pytest.raises(Exception, match="no change to learn"):
        plan_translations(data)


def test_translations_know_their_source_and_are_redrawn_from_it(tmp_path) -> None:
    data, made_by = faces(HOLE), translator()
    plan = plan_translations(data, ("age",))
    translated = translate(made_by, data, plan, seed=5, surplus=2.0)
    assert len(translated) == 30 + 40 + 40 and translated.accepted.sum() == 60
    assert set(translated.reasons) == {"", "not needed"}
    origins = data.conditions(("age",))[translated.sources]
    assert ((origins != translated.conditions).sum(1) == 1).all()
    assert len(
        {(s, *c) for s, c in zip(translated.sources.tolist(), translated.conditions.tolist(), strict=True)}
    ) == len(translated)
    i = 77
    changes = np.where(origins[[i]] == translated.conditions[[i]], KEEP, translated.conditions[[i]])
    single = made_by.translate(
        data.images[translated.sources[[i]]], changes, seed=translated.seed, indices=translated.indices[[i]]
    )
    np.testing.assert_array_equal(single[0], translated.images[i])
    save(translated, tmp_path, data)
    reloaded = load(tmp_path, data.classes, ("age",))
    np.testing.assert_array_equal(reloaded.sources, translated.sources)
    row = (tmp_path / "manifest.jsonl").read_text().splitlines()[i]
    assert hashlib.sha256(data.images[translated.sources[i]].tobytes()).hexdigest() in row


def test_a_translation_that_changed_nothing_is_refused_and_one_that_resembles_its_source_is_not() -> None:
    data = faces(HOLE)
    plan = plan_translations(data, ("age",))
    context = FilterContext(
        data, class_probabilities, nearest, condition=("age",), attribute_probabilities=(class_probabilities,)
    )
    unchanged = translate(translator(0.0), data, plan, filters=("changed",), context=context)
    assert set(unchanged.reasons) == {"changed"} and not unchanged.scores["changed"].any()
    sources = np.arange(10)
    images = np.clip(data.images[sources].astype(int) + 2, 0, 255).astype(np.uint8)
    images[3] = data.images[50]  # a copy of another train image
    proposed = Candidates(
        images, np.zeros((10, 2), np.int64), sources, np.ones(10, np.int64), np.ones(10, bool), sources
    )
    _, reasons = apply(("changed", "near_copy"), proposed, context)
    assert [i for i, reason in enumerate(reasons) if reason] == [3] and reasons[3] == "near_copy"


def test_agreement_on_the_attribute_is_asked_of_its_own_classifier() -> None:
    data = faces(HOLE)
    p = np.array([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5]])
    context = FilterContext(
        data, class_probabilities, nearest, condition=("age",), attribute_probabilities=(lambda images: p,)
    )
    conditions = np.array([[0, 1], [0, 0], [1, 1]])
    proposed = Candidates(
        data.images[:3], conditions, np.arange(3), np.ones(3, np.int64), np.ones(3, bool), np.arange(3)
    )
    scores, reasons = apply(("attribute_agreement>0.5",), proposed, context)
    np.testing.assert_allclose(scores["attribute_agreement"], [0.1 / 0.9, 0.4 / 0.6, 1])
    assert reasons == ["attribute_agreement", "", ""]


def test_each_row_of_the_plan_is_tallied_and_shown_beside_the_nearest_real_image() -> None:
    data = faces(HOLE)
    plan = plan_translations(data, ("age",))
    translated = translate(translator(), data, plan, surplus=2.0)
    rows = tallied(plan.as_rows(), translated, data)
    assert [(row["translated"], row["accepted"], row["rejected"]) for row in rows] == [
        (30, 20, {"not needed": 10}), (40, 20, {"not needed": 20}), (40, 20, {"not needed": 20})
    ]  # fmt: skip
    sheets = examples(rows, translated, data, nearest, each=5)
    assert {each.value for each in sheets} == {"woman", "age=old"} and len(sheets) == 2
    ages = data.attributes["age"].codes
    for each in sheets:
        assert (
            translated.accepted[each.rows].all()
            and (translated.sources[each.rows] == each.sources).all()
            and each.accepted
        )
        real = np.flatnonzero(data.labels == 1 if each.value == "woman" else ages == 1)
        squared_distances = [
            ((data.images[real].astype(int) - translated.images[row].astype(int)) ** 2).sum((1, 2, 3))
            for row in each.rows
        ]
        assert each.neighbours.tolist() == [int(real[np.argmin(distances)]) for distances in squared_distances]
    empty = examples(rows, replace(translated, reasons=("agreement",) * len(translated)), data, nearest)
    assert not any(each.accepted for each in empty) and all(len(each.rows) == 8 for each in empty)


def test_every_image_of_the_other_values_is_translated_once_into_the_value_and_keeps_its_class() -> None:
    data = faces({(0, 0): 40, (1, 0): 50})
    for strategy in ("balance", "level", "tail", "auto", 1.0, 50, 2000):
        plan = plan_into(data, "age", "old", strategy)
        assert {(row.source, row.target): (row.number, row.available) for row in plan.rows} == {
            ((0, 0), (0, 1)): (40, 40), ((1, 0), (1, 1)): (50, 50)
        }, strategy  # fmt: skip
        assert all(row.axis == 1 and row.fills for row in plan.rows) and plan.level == 50
    assert plan.lines() == [
        "man, age=young → man, age=old: 40 of 40 images", "woman, age=young → woman, age=old: 50 of 50 images"
    ]  # fmt: skip
    translated = translate(translator(), data, plan_into(data, "age", "old"), seed=5)
    assert sorted(translated.sources.tolist()) == list(range(90)) and translated.accepted.all()
    np.testing.assert_array_equal(
        translated.conditions, np.stack([data.labels[translated.sources], np.ones(90, int)], 1)
    )


@pytest.mark.parametrize(
    ("strategy", "numbers"),
    [
        (45, {0: 40, 1: 45}),
        (30, {0: 30, 1: 30}),
        (0.5, {0: 20, 1: 25}),
        ({"woman": 12}, {1: 12}),
        ({"woman": 12, "man": 900}, {0: 40, 1: 12}),
        ({"woman": 12, "man": 0}, {1: 12}),
    ],
)
def test_fewer_images_are_translated_into_the_value_where_that_is_asked_for(strategy, numbers) -> None:
    data = faces({(0, 0): 40, (1, 0): 50})
    plan = plan_into(data, "age", "old", strategy)
    assert {row.source[0]: row.number for row in plan.rows} == numbers and plan.level == max(numbers.values())
    translated = translate(translator(), data, plan)
    assert np.bincount(translated.labels, minlength=2).tolist() == [numbers.get(0, 0), numbers.get(1, 0)]


def test_images_that_have_the_value_already_are_not_translated_into_it() -> None:
    plan = plan_into(faces({(0, 0): 40, (0, 1): 30, (1, 0): 50}), "age", "old")
    assert [(row.source, row.number) for row in plan.rows] == [((0, 0), 40), ((1, 0), 50)]
    assert [row.target for row in plan_into(faces({(0, 0): 40, (0, 1): 30}), "age", "young").rows] == [(0, 0)]


@pytest.mark.parametrize(
    ("strategy", "rule"),
    [
        ({"child": 5}, "names 'child', but the classes are: man, woman"),
        ({"woman/old": 5}, "names 'woman/old', but the classes are: man, woman"),
        (0, "is 0, but must be above 0"),
        (-5, "is -5, but must be above 0"),
        (-0.5, "must be above 0"),
        ({"woman": -3}, "no number may be below 0"),
        ({"woman": 0}, "leaves nothing to translate"),
        ({}, "leaves nothing to translate"),
        (0.001, "leaves nothing to translate"),
        (2.5, r"ratio must lie in \(0, 1\], but is 2\.5"),
    ],
)
def test_a_strategy_that_translates_nothing_or_no_such_class_is_refused(strategy, rule: str) -> None:
    with pytest.raises(SettingsError, match=rule):
        plan_into(faces({(0, 0): 40, (1, 0): 50}), "age", "old", strategy)


def test_without_moves_of_the_class_a_hole_is_filled_from_its_own_class_alone() -> None:
    plan = plan_translations(faces(HOLE), ("age",), class_moves=False)
    rows = {(row.source, row.target): (row.number, row.fills) for row in plan.rows}
    assert rows == {((1, 0), (1, 1)): (40, True), ((0, 0), (0, 1)): (40, False)}
    assert any(row.axis == 0 for row in plan_translations(faces(HOLE), ("age",)).rows)
