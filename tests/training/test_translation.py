"""The translator, its batches and its training step, against hand calculations."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from augury.augment import policy
from augury.data.cells import Cells, cells
from augury.errors import DataError, SettingsError
from augury.images import Attribute, LabelledImages
from augury.losses import patch_contrast
from augury.networks import KEEP, build
from augury.settings import TrainSettings
from augury.training import Card, Synthesizer, make_plan, resolve_recipe, sampler, train
from augury.training.pairs import PairSampler
from augury.training.recipes import recipe
from augury.training.translation import TranslationTrainer

CPU = torch.device("cpu")
SMALL = {"width": 8, "blocks": 1}


def faces(empty: bool = True, each: int = 24, shape: tuple[int, int, int] = (1, 12, 12)) -> LabelledImages:
    """Noise in four cells of label × age; unless told otherwise (woman, old) is empty."""
    labels, ages = np.repeat([0, 0, 1, 1], each), np.repeat([0, 1, 0, 1], each)
    present = ~((labels == 1) & (ages == 1)) if empty else np.ones(len(labels), bool)
    images = np.random.default_rng(0).integers(0, 256, (int(present.sum()), *shape), dtype=np.uint8)
    age = Attribute(ages[present].astype(np.int64), ("young", "old"))
    return LabelledImages(images, labels[present].astype(np.int64), ("man", "woman"), {"age": age}, fingerprint="faces")


def untrained(shape: tuple[int, int, int] = (1, 12, 12), **settings: object) -> Synthesizer:
    torch.manual_seed(0)
    generator, _ = build("translator", {**SMALL, **settings}, shape, (2, 2))
    card = Card(
        "translator", {**SMALL, **settings}, shape, ("man", "woman"), ("age",), (("young", "old"),), "x", "translator",
        0, 1, 1, "fp32",
    )  # fmt: skip
    return Synthesizer(card, generator)


@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 13, 18), (3, 60, 64)])
@pytest.mark.parametrize("extra", [{}, {"mask": True, "noise": 3}, {"scales": 2, "patch": True, "deeper": 1}])
def test_a_translator_gives_images_of_the_same_shape_and_begins_near_the_identity(shape, extra) -> None:
    generator, discriminator = build("translator", {**SMALL, **extra}, shape, (3, 2))
    images, changes = torch.rand(4, *shape) * 2 - 1, torch.tensor([[0, KEEP], [KEEP, 1], [KEEP, KEEP], [2, 1]])
    translated = generator(images, changes)
    assert translated.shape == images.shape
    assert (translated - images).abs().mean() < 0.2
    scores = discriminator(images, torch.tensor([[0, 0], [2, 1], [1, 0], [1, 1]]))
    assert scores.shape[0] == 4
    head = discriminator.heads[0]
    by_hand = discriminator.features(images)[0]
    cell = torch.tensor([0, 5, 2, 3])  # class · 2 + value
    expected = head.score(by_hand)[..., 0] + (by_hand * head.cells.weight[cell][:, None]).sum(2)
    torch.testing.assert_close(scores[:, : expected.shape[1]], expected)


def test_a_column_that_is_kept_says_nothing_to_the_translator() -> None:
    generator, _ = build("translator", SMALL, (1, 12, 12), (3, 2))
    tables = generator.embedding.tables
    changes = torch.tensor([[2, KEEP], [KEEP, 1], [KEEP, KEEP], [2, 1]])
    expected = [tables[0].weight[2], tables[1].weight[1], torch.zeros(32), tables[0].weight[2] + tables[1].weight[1]]
    torch.testing.assert_close(generator.embedding(changes), torch.stack(expected))


def test_the_discriminator_is_shown_equal_shares_of_moves_between_known_cells_only() -> None:
    data = faces()
    sampler_ = PairSampler(data, ("age",), batch=16, seed=0, hole_share=0.25)
    pairs = sampler_.draw(3, CPU)
    assert len(pairs.images) == 16 and len(pairs.real) == 12
    moves = [(tuple(s), tuple(t)) for s, t in zip(pairs.sources.tolist(), pairs.targets.tolist(), strict=True)]
    assert Counter(moves[:12]) == {
        ((0, 0), (0, 1)): 3, ((0, 1), (0, 0)): 3, ((0, 0), (1, 0)): 3, ((1, 0), (0, 0)): 3
    }  # fmt: skip
    assert set(moves[12:]) == {((0, 1), (1, 1)), ((1, 0), (1, 1))}  # no diagonal, and the empty cell never shown
    known = {image.tobytes(): tuple(cell) for image, cell in zip(data.images, data.conditions(("age",)), strict=True)}
    for image, cell in zip([*pairs.images, *pairs.real], [*pairs.sources, *pairs.targets[:12]], strict=True):
        pixels = ((image.numpy() + 1) * 127.5).round().astype(np.uint8)
        assert known[pixels.tobytes()] == tuple(cell.tolist())
    repeated = PairSampler(data, ("age",), batch=16, seed=0, hole_share=0.25).draw(3, CPU)
    torch.testing.assert_close(repeated.images, pairs.images, rtol=0, atol=0)
    assert pairs.changes[0].tolist().count(KEEP) == 1 and (pairs.changes != pairs.returns).any(1).all()


def test_without_moves_of_the_class_attributes_alone_are_drawn_and_shown() -> None:
    data = faces()
    table = cells(data, ("age",), class_moves=False)
    assert {(move.source, move.target, move.axis) for move in table.moves} == {
        ((0, 0), (0, 1), 1), ((0, 1), (0, 0), 1), ((1, 0), (1, 1), 1)
    }  # fmt: skip
    assert {move.axis for move in cells(data, ("age",)).moves} == {0, 1}
    batches = PairSampler(data, ("age",), batch=16, seed=0, hole_share=0.25, class_moves=False)
    for step in range(3):
        pairs = batches.draw(step, CPU)
        assert torch.equal(pairs.sources[:, 0], pairs.targets[:, 0])  # no image changes its class
        assert (pairs.sources[:, 1] != pairs.targets[:, 1]).all() and (pairs.changes[:, 0] == KEEP).all()
        moves = [(tuple(s), tuple(t)) for s, t in zip(pairs.sources.tolist(), pairs.targets.tolist(), strict=True)]
        assert Counter(moves[:12]) == {((0, 0), (0, 1)): 6, ((0, 1), (0, 0)): 6}
        assert set(moves[12:]) == {((1, 0), (1, 1))}


def test_what_needs_a_move_of_the_class_is_refused_without_it() -> None:
    data = faces(each=24)
    one = data.take(np.flatnonzero((data.labels == 0) | (data.attributes["age"].codes == 0)))
    cells(one, ("age",), class_moves=False).check()
    one_cell = data.take(np.flatnonzero(data.attributes["age"].codes == 0))
    cells(one_cell, ()).check()
    for condition in ((), ("age",)):
        with pytest.raises(DataError, match="no change to learn"):
            cells(one_cell, condition, class_moves=False).check()
    with pytest.raises(DataError, match="no change to learn"):
        PairSampler(one_cell, ("age",), batch=16, seed=0, hole_share=0.25, class_moves=False)


def test_parts_of_a_batch_share_out_both_kinds_of_sources() -> None:
    pairs = PairSampler(faces(), ("age",), batch=16, seed=0, hole_share=0.25).draw(0, CPU)
    parts = pairs.split(2)
    assert [(len(part.images), len(part.real)) for part in parts] == [(8, 6), (8, 6)]
    torch.testing.assert_close(torch.cat([part.real for part in parts]), pairs.real)
    torch.testing.assert_close(torch.cat([part.images[:6] for part in parts]), pairs.images[:12])
    torch.testing.assert_close(torch.cat([part.targets[6:] for part in parts]), pairs.targets[12:])


def set_up_trainer(data: LabelledImages, judges=(), **overrides: object) -> tuple[TranslationTrainer, PairSampler]:
    torch.manual_seed(0)
    rule = recipe("translator", {**SMALL, **overrides})
    networks = build("translator", rule.settings, data.shape, data.cardinalities(("age",)))
    trainer = TranslationTrainer(*networks, rule, policy("none"), seed=1, device=CPU, precision="fp32", judges=judges)
    return trainer, PairSampler(data, ("age",), 16, 1, rule.hole_share)


def test_sources_for_an_empty_cell_pass_no_discriminator() -> None:
    """The adversarial gradient of the translator's output is zero exactly where the target cell is empty."""
    trainer, batches = set_up_trainer(faces(), cycle=0.0, identity=0.0)
    micro = trainer._mirrored(batches.draw(0, CPU), 0, 0)
    translated = trainer._translate(micro).detach().requires_grad_()
    trainer._generator_losses(micro, translated)["total"].backward()
    gradients = translated.grad.abs().flatten(1).amax(1)
    assert (gradients[:12] > 0).all() and (gradients[12:] == 0).all()


def test_the_semantic_loss_asks_for_the_columns_that_are_kept_alone() -> None:
    class Judge(torch.nn.Module):
        def __init__(self, sign: float) -> None:
            super().__init__()
            self.sign = sign

        def forward(self, x):
            grey = self.sign * x.mean((1, 2, 3))
            return torch.stack([grey, -grey], 1)

    judges = ([Judge(3.0)], [Judge(-5.0), Judge(1.0)])
    trainer, batches = set_up_trainer(faces(), judges=judges, semantic=1.0)
    pairs = trainer._mirrored(batches.draw(0, CPU), 0, 0).pairs
    loss = trainer._semantic(pairs, pairs.images)
    total = 0.0
    for image, source, target in zip(pairs.images, pairs.sources, pairs.targets, strict=True):
        for column, members in enumerate(judges):
            if source[column] == target[column]:
                each = [F.cross_entropy(judge(image[None]), target[column][None]) for judge in members]
                total += float(sum(each)) / len(members)
    assert loss.item() == pytest.approx(total / len(pairs.images), rel=1e-5)


def test_replay_exchanges_translations_of_the_same_cell() -> None:
    trainer, batches = set_up_trainer(faces(), replay=1)
    cells_of = torch.tensor([[0, 0]] * 6)
    micro = trainer._mirrored(batches.draw(0, CPU), 0, 0)
    first = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 1, 12, 12)
    trainer._replayed(micro, first[:1], cells_of[:1])
    replayed = trainer._replayed(replace(micro, step=1), 10 + first, cells_of)
    old = {float(image.mean()) for image in replayed} - {10.0, 11.0, 12.0, 13.0, 14.0, 15.0}
    assert old == {0.0}  # the earlier one comes back once, a newer one takes its place
    assert float(trainer.state.extra["replay_filled"].sum()) == 1  # of one cell alone


def test_the_contrastive_loss_by_hand() -> None:
    queries, keys = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    total = 0.0
    for q, k in zip(queries, keys, strict=True):
        for i in range(3):
            cosine = torch.stack([q[i] @ k[j] / q[i].norm() / k[j].norm() for j in range(3)]) / 0.07
            total -= float(torch.log_softmax(cosine, 0)[i])
    assert patch_contrast(queries, keys).item() == pytest.approx(total / 6, rel=1e-5)


def test_moves_are_learnt_between_known_cells_and_applied_to_holes() -> None:
    table = cells(faces(), ("age",))
    assert table.holes == [(1, 1)] and table.name((1, 1)) == "woman, age=old"
    into = {(move.source, move.axis) for move in table.moves if move.target == (1, 1)}
    assert into == {((0, 1), 0), ((1, 0), 1)}
    assert all(move.crosses == (move.target != (1, 1)) for move in table.moves)


@pytest.mark.parametrize(
    ("counts", "values", "message"),
    [
        ([[30], [30]], ("young",), "single value 'young'"),
        ([[30] + [1] * 13, [30] * 14], tuple(map(str, range(14))), "all of them numbers"),
        ([[30, 5], [5, 30]], ("young", "old"), "no change to learn"),
        ([[30, 30, 0], [30, 0, 0]], ("young", "old", "ancient"), "ancient has 0 images and cannot be reached"),
    ],
)
def test_a_table_that_a_translator_can_do_nothing_with_is_refused(counts, values, message) -> None:
    table = Cells(np.array(counts), (("label", ("man", "woman")), ("age", values)))
    with pytest.raises(DataError, match=message):
        table.check()


def test_a_translation_has_the_same_bytes_alone_or_among_others() -> None:
    data, translator = faces(), untrained(noise=2)
    changes = np.tile([KEEP, 1], (len(data), 1))
    indices = np.arange(len(data)) + 5
    batch_result = translator.translate(data.images, changes, seed=3, indices=indices)
    for i in (0, 7, 40):
        single = translator.translate(data.images[[i]], changes[[i]], seed=3, indices=indices[[i]])
        np.testing.assert_array_equal(single[0], batch_result[i])
    assert (translator.translate(data.images, changes, seed=4, indices=indices) != batch_result).any()


def test_a_translator_refuses_what_it_cannot_do() -> None:
    data, translator = faces(), untrained()
    with pytest.raises(SettingsError, match="translator and draws nothing"):
        translator.sample([0, 1])
    with pytest.raises(DataError, match="each from -1"):
        translator.translate(data.images[:1], np.array([[0, 2]]))
    with pytest.raises(DataError, match="images have shape"):
        translator.translate(data.images[:1, :, :8], np.array([[0, 1]]))


def test_scores_see_translations_of_train_images_one_column_away() -> None:
    data = faces()
    sampled = sampler(untrained(), data).sample(np.array([[1, 1]] * 20 + [[0, 0]] * 20), seed=1)
    origins = data.conditions(("age",))[sampled.sources]
    assert ((origins != sampled.conditions).sum(1) == 1).all()
    assert {tuple(row) for row in origins[:20].tolist()} == {(0, 1), (1, 0)}  # both axes lead into the empty cell


def test_without_moves_of_the_class_scores_see_translations_of_its_own_images_alone() -> None:
    data, translator = faces(), untrained()
    conditions = np.array([[1, 1]] * 20 + [[0, 0]] * 20 + [[1, 0]] * 5)
    sampled = sampler(translator, data, class_moves=False).sample(conditions, seed=1)
    origins = data.conditions(("age",))[sampled.sources]
    np.testing.assert_array_equal(origins[:, 0], sampled.labels)
    assert {tuple(row) for row in origins[:20].tolist()} == {(1, 0)}
    assert {tuple(row) for row in origins[20:40].tolist()} == {(0, 1)}
    assert {tuple(row) for row in origins[40:].tolist()} == {(1, 0)}  # nothing leads there: its own images


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unconditional": True}, "from one cell into another"),
        ({"label_sampling": "uniform"}, "equal proportions"),
        ({"overrides": {"mode_seeking": 0.1}}, "set noise=8"),
        ({"overrides": {"lecam": 0.1}}, "does not use it"),
        ({"overrides": {"conditioning": "auxiliary"}}, "must know the cell"),
    ],
)
def test_settings_that_a_translator_cannot_follow_are_refused(settings, message) -> None:
    condition = () if settings.get("unconditional") else ("age",)
    with pytest.raises(SettingsError, match=message):
        resolve_recipe(faces(), TrainSettings(recipe="translator", condition=condition, **settings), CPU)
    with pytest.raises(SettingsError, match="use recipe translator"):
        resolve_recipe(faces(), TrainSettings(recipe="rpgan", overrides={"cycle": 1.0}), CPU)


def test_a_plan_of_a_translator_has_its_own_batch() -> None:
    plan = make_plan(
        faces(),
        TrainSettings(recipe="translator", condition=("age",), precision="fp32"),
        seed=0,
        device=CPU,
        flips=False,
    )
    assert plan.batch == 32 and plan.condition == ("age",)


def test_a_semantic_loss_without_classifiers_is_refused() -> None:
    settings = TrainSettings(
        recipe="translator", condition=("age",), steps=2, precision="fp32", overrides={"semantic": 1.0}
    )
    with pytest.raises(SettingsError, match="needs classifiers"):
        train(faces(), settings=settings)
