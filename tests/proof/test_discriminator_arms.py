"""Classifiers that begin as a discriminator: what they begin with, that it counts, and where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from proof_data import both, part, synthetic
from tiny_data import random_layers
from torch.nn import functional as F

import augury
from augury.errors import RunFolderError, SettingsError
from augury.images import LabelledImages
from augury.networks import OnDiscriminator
from augury.proof import Lesson, prove, teach
from augury.report import badge, wording
from augury.settings import ProveSettings, RunSettings, TrainSettings, validated
from augury.training import Layers, as_float, choose_device, layers, make_plan, train_plan
from augury.training.plan import set_up
from augury.verdict import Verdict

CPU = torch.device("cpu")
TRAIN, VALIDATION, TEST = part((40, 40), 0, (8, 3)), part((20, 20), 1), part((150, 150), 2)
NONE = synthetic(*both((1, 1), (8, 8), 9)).take(np.empty(0, int))
AFRESH = Layers("dcgan", {"width": 8}, (1, 8, 8), {}, afresh=True)
OWN = ("discriminator", "discriminator_afresh", "classical")


def trained(recipe: str, folder: Path, overrides: dict[str, object] | None = None) -> tuple[object, str, object]:
    """The layers after two steps, why there are none, and the plan."""
    plan = make_plan(
        TRAIN,
        TrainSettings(recipe=recipe, steps=2, batch=8, precision="fp32", overrides=overrides or {}),
        seed=0,
        device=choose_device("cpu"),
        flips=False,
    )
    train_plan(plan, TRAIN, folder)
    return *layers(folder, plan, TRAIN.shape), plan


@pytest.mark.parametrize(
    ("recipe", "overrides"),
    [
        ("gan", {}),
        ("dcgan", {"scales": 2, "patch": True, "spectral": True, "conditioning": "auxiliary"}),
        ("r3gan", {}),
        ("stylegan", {"latent": 8}),
        ("rpgan", {}),
    ],
)
def test_it_begins_with_what_the_discriminator_has_learnt(recipe: str, overrides: dict, tmp_path: Path) -> None:
    found, why, plan = trained(recipe, tmp_path, overrides)
    assert isinstance(found, Layers) and why == ""
    network, other = found(1, 5).eval(), found(1, 5).eval()
    x = as_float(TEST.images[:7])
    with torch.no_grad():
        game = set_up(plan, TRAIN)[0]
        game.players.restore(augury.training.checkpoints.load(max(tmp_path.glob("checkpoint-*")))[0])
        alone = [game.discriminator.eval().features(image[None]) for image in x]
        features = torch.cat([torch.cat([f.mean(1) for f in each], 1) for each in alone])
        expected = F.linear(features / (1 + 1e-5) ** 0.5, network.last.weight, network.last.bias)  # untrained norm
        torch.testing.assert_close(network(x), expected, atol=2e-5, rtol=1e-4)
        assert network(x).shape == (7, 5) and not torch.equal(network.last.weight, other.last.weight)
    if not overrides.get("spectral"):  # its largest singular values are found step by step
        torch.manual_seed(0)
        fresh = Layers(**{**found.__dict__, "afresh": True})(1, 5)
        own = dict(fresh.body.named_parameters())
        assert [v.shape for v in own.values()] == [v.shape for v in network.body.parameters()]
        assert any(not torch.equal(v, own[k]) for k, v in network.body.named_parameters())


def test_each_part_of_it_learns() -> None:
    torch.manual_seed(0)
    network = AFRESH(1, 2)
    before = {k: v.clone() for k, v in network.named_parameters()}
    found = teach(TRAIN, Lesson(steps=3, batch=16), seed=0, device=CPU, build=AFRESH)
    assert isinstance(found, OnDiscriminator)
    assert all(not torch.equal(v, dict(found.named_parameters())[k]) for k, v in before.items())
    again = teach(TRAIN, Lesson(steps=3, batch=16), seed=0, device=CPU, build=AFRESH)
    assert all(torch.equal(a, b) for a, b in zip(found.parameters(), again.parameters(), strict=True))


def test_layers_that_know_more_than_the_train_images_help() -> None:
    """They come from images whose standing bars are everywhere; those of the trial stand on the left."""
    learnt = teach(part((400, 400), 5), Lesson(steps=400, batch=32), seed=0, device=CPU, build=AFRESH)
    known = Layers("dcgan", {"width": 8}, (1, 8, 8), learnt.body.state_dict())
    settings = ProveSettings(arms=OWN, steps=36, batch=16, seeds=8)
    verdict = prove(TRAIN, VALIDATION, TEST, NONE, settings, layers=known)
    assert (verdict.word, verdict.arm, verdict.adds) == ("helps", "discriminator", "discriminator's layers")
    assert verdict.sentence.startswith("The discriminator's layers help: +") and verdict.ratio == 0
    assert verdict.twin["against"] == "discriminator_afresh" and verdict.twin["difference"] > 0.05
    assert all(row["synthetic"] == 0 for row in verdict.per_class)
    assert Verdict.from_dict(verdict.as_dict()).adds == verdict.adds
    stored = verdict.as_dict()
    assert "augury.pretrained(RUN)" in " ".join(wording.meaning(stored))
    assert "discriminator&#x27;s layers: helps" in badge(stored)
    before = {k: v for k, v in stored.items() if k != "adds"}  # as it was kept before there were such arms
    assert Verdict.from_dict(before).adds == "synthetic images"


def test_an_arm_that_shows_images_is_judged_for_them() -> None:
    made = synthetic(*both((100, 100), (8, 8), 9))
    settings = ProveSettings(arms=(*OWN, "gan"), steps=40, batch=16, ratios=(1.0,), seeds=6)
    verdict = prove(TRAIN, VALIDATION, TEST, made, settings, layers=random_layers((1, 8, 8)))
    assert (verdict.arm, verdict.adds, verdict.twin["against"]) == ("gan", "synthetic images", "classical")
    assert {row["arm"] for row in verdict.comparisons} == {"gan", "discriminator"}
    assert any(row["synthetic"] for row in verdict.per_class)


def test_without_a_discriminator_words_say_why(tmp_path: Path) -> None:
    found, why, _ = trained("vae", tmp_path)
    assert found is None and why == "the recipe vae trains none"
    with pytest.raises(SettingsError, match=r"'discriminator' cannot be trained.*the recipe vae trains none"):
        prove(TRAIN, VALIDATION, TEST, NONE, ProveSettings(arms=OWN), layers=why)
    with pytest.raises(SettingsError, match="channels, not 3"):
        AFRESH(3, 2)
    with pytest.raises(RunFolderError, match="not a run folder"):
        augury.pretrained(tmp_path)


def test_a_run_proves_with_its_own_and_gives_it_away(tmp_path: Path) -> None:
    images, labels = both((60, 60), (8, 8), 3)
    data = LabelledImages(images, labels, ("lying", "standing"), fingerprint="x")
    rooms = {
        "train": {"steps": 2, "batch": 8, "recipe": "dcgan", "overrides": {"width": 8}},
        "prove": {"arms": ("classical", "discriminator"), "seeds": 2, "steps": 2, "batch": 8},
        "score": {"limit": 20},
        "data": {"near_duplicates": "allow"},
    }
    run = augury.run(data, tmp_path / "run", settings=validated(RunSettings, rooms))
    assert run.verdict.adds == "discriminator's layers" and len(run.verdict.arms) == 2
    page = (tmp_path / "run" / "report.html").read_text()
    assert "with discriminator&#39;s layers" in page and "synthetic : real" not in page
    network = augury.pretrained(tmp_path / "run")(1, 4)
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 4)
