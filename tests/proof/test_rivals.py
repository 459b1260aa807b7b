"""Rivals of synthetic images: averaged weights, unlabelled images, an initialisation by rotations, and the same augmentation."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from augury.errors import SettingsError
from augury.images import LabelledImages, SyntheticImages
from augury.proof import fit, fit_many, probabilities, prove
from augury.proof.arms import ARMS, USUAL
from augury.proof.averaging import WeightAverage
from augury.proof.batch_sampler import BatchSampler
from augury.proof.judgement import eligible
from augury.proof.objectives import Rotation, objective
from augury.proof.train_config import TrainConfig
from augury.proof.trainings import Trainings
from augury.settings import ProveSettings
from augury.training import as_float
from augury.verdict import Verdict
from tests.helpers.tiny_data import random_layers, tiny
from tests.proof.test_arms_contract import PART, trainings

CPU = torch.device("cpu")


def test_the_average_is_the_mean_of_the_recorded_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[list[torch.Tensor]] = []
    add = WeightAverage.add

    def recording(self: WeightAverage, step: int) -> None:
        recorded.append([value.detach().double().clone() for value in self.model.parameters()])
        add(self, step)

    monkeypatch.setattr(WeightAverage, "add", recording)
    config = TrainConfig(steps=11, batch=12, averaging=True)
    averaged = fit(tiny(), config, seed=0, device=CPU)
    last = fit(tiny(), replace(config, averaging=False), seed=0, device=CPU)
    assert len(recorded) == 11
    for i, (mean, final) in enumerate(zip(averaged.parameters(), last.parameters(), strict=True)):
        expected = torch.stack([weights[i] for weights in recorded[-6:]]).mean(0)  # the last half, rounded up
        torch.testing.assert_close(mean.double(), expected, rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(final.double(), recorded[-1][i], rtol=1e-6, atol=0)


def test_averages_of_a_stack_are_those_of_its_networks() -> None:
    config = TrainConfig(steps=8, batch=12, averaging=True)
    one, stacked = (
        np.stack(list(fit_many(
            [tiny()] * 2, config, seeds=(0, 1), device=CPU, then=lambda model: probabilities(model, PART), way=mode
        ))) for mode in ("sequential", "vectorised")
    )  # fmt: skip
    np.testing.assert_allclose(one, stacked, atol=1e-4)


def corners(count: int, seed: int) -> LabelledImages:
    """A bright dot in one of the corners of noise: which way is up can be seen, and the class is the corner's side."""
    random = np.random.default_rng(seed)
    labels = np.repeat([0, 1], count)
    images = random.integers(0, 60, (2 * count, 1, 16, 16))
    for image, label in zip(images, labels, strict=True):
        image[0, 12:, :] += 90  # the ground
        column = 2 + 9 * label
        image[0, 2:5, column : column + 3] += 150
    return LabelledImages(images.clip(0, 255).astype(np.uint8), labels, ("left", "right"))


def test_rotations_are_learnt_below_the_same_last_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    losses: list[float] = []
    call = Rotation.__call__

    def recording(self: Rotation, *arguments: Any) -> torch.Tensor:
        total = call(self, *arguments)
        losses.append(float(total.detach()))
        return total

    monkeypatch.setattr(Rotation, "__call__", recording)
    train = corners(40, 0)
    config = TrainConfig(steps=60, batch=32, initialisation="rotation")
    first, second = (fit(train, config, seed=0, device=CPU) for _ in range(2))
    assert first.last.out_features == 2 and torch.equal(first.last.weight, second.last.weight)
    learnt = losses[:60]
    assert learnt[0] > 1.0 and np.mean(learnt[-5:]) < 0.2  # log 4 = 1.39 before anything is learnt
    without_rotations = fit(train, replace(config, initialisation=""), seed=0, device=CPU)
    assert not torch.equal(without_rotations.convolutions[0].weight, first.convolutions[0].weight)


def test_images_that_are_not_square_are_turned_over() -> None:
    wide = LabelledImages(tiny().images[:, :, :, :8], tiny().labels, tiny().classes)
    assert (
        fit(wide, TrainConfig(steps=2, batch=8, initialisation="rotation"), seed=0, device=CPU).last.out_features == 3
    )


def test_fixmatch_adds_the_loss_of_confident_unlabelled_images() -> None:
    unlabelled, batch = tiny((40, 40, 40), seed=3).images, 16
    config = TrainConfig(steps=1, batch=batch, objective="fixmatch", unlabelled=unlabelled)
    sampler = BatchSampler(tiny(), config, 0)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(100, 3))
    with torch.no_grad():
        model[1].weight.mul_(15)  # type: ignore[operator]
    batch_indices = sampler.draw(0)
    x, targets = as_float(batch_indices.images), torch.from_numpy(batch_indices.targets)[None]
    weights = torch.full((1, batch), 1 / batch)
    unlabelled_batches: list[np.ndarray] = []

    def prepare(images: np.ndarray, step: int) -> torch.Tensor:
        unlabelled_batches.append(images)
        return as_float(images).flip(3)

    objective_function = objective(model, [sampler], config, CPU, lambda network, inputs, shape: network(inputs))
    total = objective_function(x, targets, weights, batch_indices.rows[None], 0, nullcontext(), prepare)
    log_p = {name: torch.log_softmax(model(images), 1).detach().numpy() for name, images in (
        ("labelled", x), ("plain", as_float(unlabelled_batches[0])), ("flipped", as_float(unlabelled_batches[0]).flip(3)),
    )}  # fmt: skip
    labelled = -np.mean(log_p["labelled"][batch_indices.targets.astype(bool)])
    confident = np.exp(log_p["plain"].max(1)) >= 0.95
    assert 0 < confident.sum() < batch
    losses = -log_p["flipped"][np.arange(batch), log_p["plain"].argmax(1)]
    assert float(total.detach()) == pytest.approx(labelled + (losses * confident).sum() / batch, rel=1e-5)
    assert all((unlabelled == image).all((1, 2, 3)).any() for image in unlabelled_batches[0])
    with pytest.raises(SettingsError, match="needs images without labels"):
        fit(tiny(), TrainConfig(steps=1, batch=4, objective="fixmatch"), seed=0, device=CPU)


def test_the_unlabelled_images_are_all_of_them_but_copies_of_test_images() -> None:
    synthetic = tiny(seed=5)
    labelled = tiny((9, 9, 9), seed=6)
    unlabelled = SyntheticImages(
        labelled.images, labelled.labels[:, None], (), synthetic.classes, 0, np.arange(len(labelled)), "real, unlabelled",
        reasons=("not confident",) * 20 + ("",) * 7,
    )  # fmt: skip
    counts: list[int] = []
    original = Trainings.config

    def recording(self: Any, *arguments: Any) -> TrainConfig:
        config = original(self, *arguments)
        if config.unlabelled is not None:
            counts.append(len(config.unlabelled))
        return config

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainings, "config", recording)
        verdict = prove(
            tiny(), tiny((6, 6, 6), 1), PART, synthetic,
            ProveSettings(arms=("fixmatch", "gan"), seeds=2, steps=2, batch=8, ratios=(1.0,), classifier="cnn"), extra={"unlabelled": unlabelled},
        )  # fmt: skip
    assert set(counts) == {27} and set(verdict.arms) == {"fixmatch", "pseudo_labels", "gan"}


def test_images_are_held_against_the_augmentation_that_they_are_shown_with() -> None:
    results: dict[str, Any] = {}
    arms = ("classical", "randaugment", "gan", "discriminator_init", "discriminator_random", "rotation_init")
    settings = ProveSettings(arms=arms, seeds=2, steps=3, batch=8, ratios=(1.0,), classifier="cnn")

    def trial() -> Verdict:
        return prove(
            tiny(), tiny((6, 6, 6), 1), PART, tiny(seed=5), settings, results=results, layers=random_layers((1, 10, 10))
        )

    verdict = trial()
    assert verdict.augmentation is not None
    curve, chosen_arm = verdict.augmentation["values"], verdict.augmentation["chosen"]
    assert {name: len(values) for name, values in curve.items()} == {"classical": 3, "randaugment": 3}
    assert np.mean(curve[chosen_arm]) == max(np.mean(values) for values in curve.values())
    assert verdict.matched_control["against"] == chosen_arm
    assert Verdict.from_dict(verdict.as_dict()).augmentation == verdict.augmentation
    # the other choice, from the stored results
    best = (
        {"classical": 0.0, "randaugment": 1.0} if chosen_arm == "classical" else {"classical": 1.0, "randaugment": 0.0}
    )
    for name in [name for name in results if name.startswith("augmentation/")]:
        results[name] = results[name] | {"balanced_accuracy": best[name.split("/")[1]]}
    for name in [name for name in results if name.startswith("test/gan")]:
        del results[name]
    other = trial()
    assert other.augmentation is not None and other.augmentation["chosen"] != chosen_arm
    assert other.matched_control["against"] == other.augmentation["chosen"]
    assert other.arms["classical"] == verdict.arms["classical"] and other.arms["gan"] != verdict.arms["gan"]


def test_the_augmentation_is_that_of_an_arm_in_the_trial() -> None:
    for rival, expected in (("randaugment", "randaugment"), ("classical", "classical"), ("balanced", "classical")):
        settings = ProveSettings(arms=(rival, "gan"), seeds=2, steps=2, batch=8, ratios=(1.0,), classifier="cnn")
        results: dict[str, Any] = {}
        verdict = prove(tiny(), tiny((6, 6, 6), 1), PART, tiny(seed=5), settings, results=results)
        assert verdict.augmentation == {"chosen": expected, "values": {}} and len(results) == 4
        assert verdict.matched_control["against"] == rival


def test_a_trial_without_such_arms_chooses_no_augmentation() -> None:
    settings = ProveSettings(arms=("balanced", "gan_alone"), seeds=2, steps=2, batch=8, ratios=(1.0,), classifier="cnn")
    assert prove(tiny(), tiny((6, 6, 6), 1), PART, tiny(seed=5), settings).augmentation is None


def test_the_discriminator_is_held_against_another_initialisation_on_the_same_images() -> None:
    arms = dict.fromkeys(USUAL, np.zeros((2, 3), bool))
    assert "rotation_init" in eligible(arms, "discriminator_init")
    assert "rotation_init" not in eligible(arms, "gan")  # another architecture
    assert {"pretrained", "randaugment"} <= set(eligible(arms, "gan"))
    fields = {
        name: value for name, value in vars(ARMS["rotation_init"]).items() if name not in ("note", "initialisation")
    }
    control = vars(ARMS["discriminator_random"])
    assert fields == {name: control[name] for name in fields}


def test_an_arm_that_needs_the_last_layer_of_a_network_is_refused_without_one() -> None:
    class Headless(nn.Module):
        def __init__(self, channels: int, classes: int) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Flatten(), nn.Linear(100, classes))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layers(x)  # type: ignore[no-any-return]

    initialisation = {"rotation_usual": replace(ARMS["rotation_init"], network="")}
    subject = trainings(classifier_object=Headless)
    subject.arms = ARMS | initialisation
    with pytest.raises(SettingsError, match="no known last layer"):
        subject.select(["rotation_usual"])
