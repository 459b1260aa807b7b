"""Cells of the class × attribute table without real images: found by hand, asked of fakes, changing nothing elsewhere."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from augury.images import Attribute, LabelledImages
from augury.networks import ConditionEmbedding
from augury.randomness import stream
from augury.settings import TrainSettings
from augury.training import choose_device, empty_cells, make_plan, train
from augury.training.cells import EmptyCells, played
from augury.training.plan import set_up
from augury.training.rounds import rounds


def holed(missing: tuple[tuple[int, int], ...] = ((1, 2),)) -> LabelledImages:
    """Two classes, three poses, four images a cell but for those missing."""
    cells = [cell for cell in product(range(2), range(3)) if cell not in missing for _ in range(4)]
    labels, pose = (np.array(column, np.int64) for column in zip(*cells, strict=True))
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 1, 8, 8), dtype=np.uint8)
    return LabelledImages(images, labels, ("a", "b"), {"pose": Attribute(pose, ("l", "m", "r"))}, fingerprint="h")


def planned(data: LabelledImages, **changed: object):
    settings = TrainSettings(recipe="rpgan", steps=3, batch=8, precision="fp32", overrides={"width": 8}, **changed)
    return make_plan(data, settings, seed=0, device=choose_device("cpu"), flips=False)


def test_empty_cells_are_those_whose_values_are_known_elsewhere() -> None:
    assert empty_cells(holed(), ("pose",)).tolist() == [[1, 2]]
    assert empty_cells(holed(()), ("pose",)).tolist() == []
    assert empty_cells(holed(), ()).tolist() == []
    nowhere = holed(((0, 1), (1, 1), (1, 2)))  # nobody was ever seen in the middle
    assert empty_cells(nowhere, ("pose",)).tolist() == [[1, 2]]


def test_the_share_of_fakes_is_that_of_cells_up_to_the_most() -> None:
    data = holed()
    assert played(((1, 2),), data, ("pose",), 0.25).share == pytest.approx(1 / 6)
    assert played(((1, 2),), data, ("pose",), 0.1).share == 0.1
    assert played((), data, ("pose",), 0.25) is None and played(((1, 2),), data, ("pose",), 0) is None


def test_fakes_are_asked_for_in_empty_cells_and_real_images_keep_their_conditions() -> None:
    cells = EmptyCells(torch.tensor([[1, 2], [0, 2]]), 0.25)
    conditions = torch.stack([torch.arange(4000) % 2, torch.zeros(4000, dtype=torch.long)], dim=1)
    (now,) = rounds(lambda number: (torch.zeros(4000, 1, 1, 1), conditions), 0.0, 3, 7, 1, cells)
    changed = (now.asked != conditions).any(1)
    assert changed.float().mean() == pytest.approx(0.25, abs=0.03)
    assert (now.asked[changed][:, 1] == 2).all()
    assert now.asked[changed][:, 0].float().mean() == pytest.approx(0.5, abs=0.06)
    torch.testing.assert_close(now.conditions, conditions)
    torch.testing.assert_close(cells.among(conditions, stream(3, "cells", 7, 0)), now.asked)
    (plain,) = rounds(lambda number: (torch.zeros(8, 1, 1, 1), conditions[:8]), 0.0, 3, 7, 1)
    assert plain.asked is plain.conditions


@pytest.mark.parametrize("recipe", ["rpgan", "dcgan", "wgan_gp", "r3gan"])
def test_an_empty_cell_is_played_and_full_tables_train_as_before(recipe: str) -> None:
    small = {"overrides": {"width": 8} if recipe != "wgan_gp" else {}, "recipe": recipe}

    def trained(data: LabelledImages, share: float) -> str:
        settings = TrainSettings(steps=2, batch=8, precision="fp32", condition=("pose",), empty_cells=share, **small)
        return train(data, settings=settings, device="cpu").fingerprint

    assert trained(holed(()), 0.25) == trained(holed(()), 0.0)
    assert trained(holed(), 0.25) != trained(holed(), 0.0)


def test_the_plan_keeps_its_cells_and_plays_no_others() -> None:
    plan = planned(holed(), condition=("pose",))
    assert plan.cells == ((1, 2),) and plan.empty_cells == 0.25
    assert type(plan).from_dict(plan.as_dict()) == plan
    game, _ = set_up(plan, holed())
    assert game.cells.conditions.tolist() == [[1, 2]]
    assert set_up(replace(plan, cells=()), holed())[0].cells is None
    without = planned(holed())
    assert without.cells == () and without.empty_cells == 0.0


def test_an_unseen_combination_is_the_sum_of_what_was_seen() -> None:
    """What lets a cell without images mean something: one table a factor, rows added."""
    embedding = ConditionEmbedding((2, 3), 5)
    cell = [embedding(torch.tensor([[a, b]]))[0] for a, b in ((1, 2), (0, 2), (1, 0), (0, 0))]
    torch.testing.assert_close(cell[0], cell[1] + cell[2] - cell[3])
