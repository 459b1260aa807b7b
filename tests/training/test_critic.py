"""The discriminator of a checkpoint judges as it did when it was saved; where there is none, words say why."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from augury.images import Attribute, LabelledImages
from augury.settings import TrainSettings
from augury.training import as_float, choose_device, discriminator, make_plan, train_plan
from augury.training.checkpoints import load
from augury.training.plan import set_up


def holed() -> LabelledImages:
    """Two classes, three poses, four images a cell but for one that has none."""
    cells = [cell for cell in product(range(2), range(3)) if cell != (1, 2) for _ in range(4)]
    labels, pose = (np.array(column, np.int64) for column in zip(*cells, strict=True))
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 1, 8, 8), dtype=np.uint8)
    return LabelledImages(images, labels, ("a", "b"), {"pose": Attribute(pose, ("l", "m", "r"))}, fingerprint="h")


def plan_of(recipe: str):
    overrides = {"width": 8} | ({"latent": 8} if recipe == "stylegan" else {})
    settings = TrainSettings(
        recipe=recipe, steps=2, batch=8, precision="fp32", condition=("pose",), overrides=overrides
    )
    return make_plan(holed(), settings, seed=0, device=choose_device("cpu"), flips=False)


@pytest.mark.parametrize("recipe", ["rpgan", "stylegan"])
def test_scores_are_those_of_the_network_saved_and_alone_as_among_others(recipe: str, tmp_path) -> None:
    data, plan = holed(), plan_of(recipe)
    train_plan(plan, data, tmp_path)
    judge, reason = discriminator(tmp_path, plan, data)
    assert reason == ""
    conditions = data.conditions(("pose",))
    scores = judge(data.images, conditions)
    assert scores.shape == (len(data),) and np.isfinite(scores).all() and np.ptp(scores) > 0
    np.testing.assert_allclose(judge(data.images[5:6], conditions[5:6]), scores[5:6], atol=1e-5)
    trainer, _ = set_up(plan, data)
    trainer.state.restore(load(max(tmp_path.glob("checkpoint-*")))[0])
    with torch.no_grad():
        network = trainer.discriminator.eval()
        single_scores = [
            float(network(as_float(data.images[[i]]), torch.from_numpy(conditions[[i]]))[0].mean()) for i in range(3)
        ]
    np.testing.assert_allclose(scores[:3], single_scores, atol=1e-4)


def test_without_a_discriminator_words_say_why(tmp_path) -> None:
    judge, reason = discriminator(tmp_path, plan_of("rpgan"), holed())
    assert judge is None and "no checkpoint" in reason
    judge, reason = discriminator(tmp_path, plan_of("vae"), holed())
    assert judge is None and "vae trains none" in reason
