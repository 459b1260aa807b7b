"""Arms for holes: each trains with paired seeds, and the objectives of three of them against calculations by hand."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from augury.augment import policy
from augury.errors import SettingsError
from augury.images import LabelledImages, SyntheticImages
from augury.networks import Classifier
from augury.proof import checks, prove
from augury.proof.arms import ARMS, OWN, USUAL_CELLS
from augury.proof.batch_sampler import BatchSampler
from augury.proof.cells import Holes
from augury.proof.classifiers import fit, fit_many, probabilities
from augury.proof.composition import compose
from augury.proof.gradient_reversal import reversal_strength, reversed_gradient
from augury.proof.objectives import (
    Adversarial,
    Consistency,
    GroupDRO,
    jensen_shannon,
)
from augury.proof.statistics import least_seeds
from augury.proof.train_config import TrainConfig
from augury.proof.trainings import Trainings
from augury.settings import ProveSettings
from tests.helpers.cell_data import held_out_cells, images, train, translated

CPU = torch.device("cpu")
TRAIN, TEST = train(12), held_out_cells(6, 2)
SYNTHETIC = translated(TRAIN)
HOLES = Holes.of(TRAIN, ("ground",))
OF_CELLS = tuple(name for name, arm in ARMS.items() if arm.cells)


def trainings(results: dict[str, Any] | None = None, **changes: Any) -> Trainings:
    synthetic: dict[str, SyntheticImages] = changes.pop(
        "synthetic", {OWN: SYNTHETIC, "shuffled": translated(TRAIN, "noise")}
    )
    holes = changes.pop("holes", HOLES)
    return Trainings(
        TRAIN,
        (SYNTHETIC.images, SYNTHETIC.labels),
        ProveSettings(**{"steps": 4, "batch": 12, **changes}),
        False,
        CPU,
        {} if results is None else results,
        lambda count, name: None,
        validation=held_out_cells(4, 1),
        extra={name: (each.images, each.labels) for name, each in synthetic.items() if name != OWN},
        holes=holes,
        images_by_source=synthetic,
    )


@pytest.mark.parametrize("arm", OF_CELLS)
def test_an_arm_trains_alike_each_time_and_goes_on_where_it_stopped(arm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    step = torch.optim.AdamW.step
    monkeypatch.setattr(
        torch.optim.AdamW, "step", lambda self, *arguments: (steps.append(1), step(self, *arguments))[1]
    )
    all_trainings = trainings()
    assert all_trainings.select([arm]) == (arm,)
    rows = all_trainings.measured(f"test/{arm}", arm, 0.0, (0, 1), TEST)
    assert len(steps) == 8 and list(all_trainings.results) == [f"test/{arm}/0", f"test/{arm}/1"]
    assert all(0 <= each["balanced_accuracy"] <= 1 and len(each["recall"]) == 2 for each in rows)
    gone_on: dict[str, Any] = {f"test/{arm}/0": all_trainings.results[f"test/{arm}/0"]}
    assert trainings(gone_on).measured(f"test/{arm}", arm, 0.0, (0, 1), TEST) == rows


def test_the_usual_arms_of_a_trial_with_holes() -> None:
    usual_arms = trainings().select(["usual"])
    assert usual_arms == USUAL_CELLS
    assert set(USUAL_CELLS) - set(trainings(synthetic={OWN: SYNTHETIC}).select(["usual"])) == {"shuffled"}
    generative_arms = [name for name in usual_arms if ARMS[name].generative]
    assert least_seeds(0.05 / len(generative_arms)) <= ProveSettings().seeds, "the default trial could give no word"
    assert not ARMS["shuffled"].generative and not ARMS["untranslated"].generative
    assert set(OF_CELLS) & set(trainings(holes="there is none").select(["all"])) == set()
    assert set(OF_CELLS) <= set(trainings().select(["all"])) and "gan" not in trainings().select(["all"])


def test_arms_that_cannot_be_trained_say_why() -> None:
    with pytest.raises(SettingsError, match=r"empty cells of class × attribute, but the trial names no attribute"):
        trainings(holes="the trial names no attribute with empty cells").select(["filled"])
    with pytest.raises(SettingsError, match="chosen on validation, which has no image of an empty cell; use filled"):
        trainings().select(["gan"])
    with pytest.raises(SettingsError, match="extra="):
        trainings(synthetic={OWN: SYNTHETIC}).select(["shuffled"])
    with pytest.raises(SettingsError, match="trains what makes them"):
        trainings(classifier="linear_probe:pixels").select(["dann"])
    with pytest.raises(SettingsError, match="a loss of its own"):
        trainings(classifier="forest:pixels").select(["group_dro"])
    requested = ProveSettings(arms=("none", "filled"))
    checks.check_trial(requested, (1, 8, 8), CPU)
    with pytest.raises(SettingsError, match="but the data have no attributes"):
        checks.check_trial(requested, (1, 8, 8), CPU, without_holes="the data have no attributes")
    with pytest.raises(SettingsError, match=r"use prove\.resample=none"):
        prove(TRAIN, held_out_cells(4, 1), TEST, SYNTHETIC, ProveSettings(resample="bootstrap"))
    with pytest.raises(SettingsError, match="no objective 'hope'"):
        TrainConfig(objective="hope")


@pytest.mark.parametrize("classifier", ["linear_probe:pixels", "forest:pixels", "resnet"])
def test_other_classifiers_are_drawn_by_cell_too(classifier: str) -> None:
    subject = trainings(classifier=classifier)
    arms = {"linear_probe:pixels": "group_dro", "forest:pixels": "cell_balanced", "resnet": "dann"}
    assert subject.measured("x", arms[classifier], 0.0, (0,), TEST)


def test_cells_are_drawn_equally_often() -> None:
    data = images({(0, 0): 40, (0, 1): 3, (1, 0): 9}, 0)
    cells = data.labels * 2 + data.attributes["ground"].codes
    rows = BatchSampler(data, TrainConfig(batch=6000, cells=cells), 0).draw(0).rows
    np.testing.assert_allclose(np.bincount(cells[rows], minlength=4) / 6000, [1 / 3, 1 / 3, 1 / 3, 0], atol=0.02)


def config_of(name: str, **changes: Any) -> TrainConfig:
    config = trainings(**changes).config(name, 0.0, 3e-3, 1e-2)
    return replace(config, augment=None)


def test_weights_of_cells_grow_with_their_loss_as_by_hand() -> None:
    data = images({(0, 0): 4, (0, 1): 4, (1, 0): 4}, 0)
    cells = data.labels * 2 + data.attributes["ground"].codes
    config = TrainConfig(cells=cells, objective="group_dro", batch=5)
    objective = GroupDRO(nn.Linear(1, 2), [BatchSampler(data, config, 0)], config, CPU, None)
    rows = np.array([[0, 1, 4, 5, 2]])  # cells 0, 0, 1, 1, 0; none of cell 2
    q = np.full(3, 1 / 3)
    for losses in ([0.2, 0.6, 3.0, 1.0, 0.1], [0.5, 0.5, 2.0, 4.0, 0.5]):
        tensor = torch.tensor([losses], requires_grad=True)
        total = objective.batch_loss(tensor, torch.full((1, 5), 0.2), rows)
        means = np.array([np.mean([losses[0], losses[1], losses[4]]), np.mean(losses[2:4]), 0.0])
        q = q * np.exp(0.01 * means)
        q /= q.sum()
        np.testing.assert_allclose(objective.q[0], q, rtol=1e-6)
        assert total.item() == pytest.approx(float((q * means).sum()), rel=1e-6)
        total.backward()
        np.testing.assert_allclose(tensor.grad[0], [q[0] / 3, q[0] / 3, q[1] / 2, q[1] / 2, q[0] / 3], rtol=1e-6)
    with pytest.raises(SettingsError, match="needs the cell of each train image"):
        GroupDRO(nn.Linear(1, 2), [BatchSampler(data, TrainConfig(), 0)], TrainConfig(), CPU, None)


def test_a_stack_of_group_dro_is_as_one_after_another() -> None:
    config = replace(config_of("group_dro"), steps=6)

    def each(mode: str) -> np.ndarray:
        losses = fit_many(
            [TRAIN] * 2, config, seeds=(0, 1), device=CPU, then=lambda m: probabilities(m, TEST.images), way=mode
        )
        return np.stack(list(losses))

    np.testing.assert_allclose(each("vectorised"), each("sequential"), atol=1e-4)
    with pytest.raises(SettingsError, match="'adversarial' cannot be trained 'vectorised'"):
        list(fit_many([TRAIN], config_of("dann"), seeds=(0,), device=CPU, then=lambda m: m, way="vectorised"))


def test_the_reversed_gradient_against_finite_differences() -> None:
    """Weights before the reversal go up the adversary's loss λ times as fast, those behind it down."""
    torch.manual_seed(0)
    x, labels = torch.randn(6, 4, dtype=torch.float64), torch.tensor([0, 1, 1, 0, 1, 0])
    before = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    behind = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    strength = reversal_strength(0.13)
    F.cross_entropy(reversed_gradient(x @ before.T, strength) @ behind.T, labels).backward()

    def loss(a: torch.Tensor, b: torch.Tensor) -> float:
        return F.cross_entropy((x @ a.T) @ b.T, labels).item()

    for weights, gradient, sign in ((before, before.grad, -strength), (behind, behind.grad, 1.0)):
        for index in np.ndindex(*weights.shape):
            step = torch.zeros_like(weights)
            step[index] = 1e-6
            pair = [
                (before + s * step, behind) if weights is before else (before, behind + s * step) for s in (1.0, -1.0)
            ]
            numeric = (loss(*pair[0]) - loss(*pair[1])) / 2e-6
            assert float(gradient[index]) == pytest.approx(sign * numeric, abs=1e-8)
    assert reversal_strength(0) == 0 and reversal_strength(1) == pytest.approx(0.99990920)


def batch_of(data: LabelledImages, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, np.ndarray]:
    """A batch as `_play` hands it to an objective: images, targets, weights and rows of one network."""
    x = torch.from_numpy(data.images[rows]).float() / 127.5 - 1
    targets = F.one_hot(torch.from_numpy(data.labels[rows]), len(data.classes)).float()[None]
    return x, targets, torch.full((1, len(rows)), 1 / len(rows)), rows[None]


def test_the_network_follows_the_classes_and_flees_the_adversary_and_the_adversary_follows_the_attribute() -> None:
    data = images({(c, g): 6 for c in (0, 1) for g in (0, 1)}, 0)
    ground = data.attributes["ground"].codes
    config = TrainConfig(steps=10, objective="adversarial", attributes=ground)
    model = Classifier(1, 2)
    objective = Adversarial(model, [BatchSampler(data, config, 0)], config, CPU, None)
    head = list(objective.parameters())
    assert [tuple(p.shape) for p in head] == [(100, 1024), (100,), (2, 100), (2,)]
    x, targets, weights, rows = batch_of(data, np.arange(24))
    objective(x, targets, weights, rows, 3, nullcontext(), None).backward()
    gradients = [p.grad.clone() for p in (*model.parameters(), *head)]
    features = model.last_inputs(x)
    of_class = F.cross_entropy(model.last(features), torch.from_numpy(data.labels))
    hidden = F.relu(features @ head[0].T + head[1])
    of_ground = F.cross_entropy(hidden @ head[2].T + head[3], torch.from_numpy(ground))
    parameters, strength = list(model.parameters()), reversal_strength(0.3)
    a = torch.autograd.grad(of_class, parameters, retain_graph=True)
    b = torch.autograd.grad(of_ground, [*parameters, *head], allow_unused=True)  # the last layer has no part in it
    expected_gradients = [u if v is None else u - strength * v for u, v in zip(a, b[: len(a)], strict=True)] + list(
        b[len(a) :]
    )
    for actual, expected in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(actual, expected, atol=1e-6, rtol=1e-4)


def test_consistency_is_the_divergence_of_the_pairs_in_nats() -> None:
    a, b = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), torch.randn(5, 3)
    p, q = a.softmax(1).double().numpy(), b.softmax(1).double().numpy()
    m = (p + q) / 2
    expected = 0.5 * (p * np.log(p / m)).sum(1) + 0.5 * (q * np.log(q / m)).sum(1)
    np.testing.assert_allclose(jensen_shannon(a, b), expected, atol=1e-6)
    assert float(jensen_shannon(a, a).abs().max()) < 1e-6
    far = torch.tensor([[50.0, 0.0]])
    assert float(jensen_shannon(far, -far)) == pytest.approx(np.log(2), abs=1e-5)


def test_the_consistency_loss_of_a_batch_is_that_of_its_pairs() -> None:
    composed = compose(ARMS["consistency"], TRAIN, SYNTHETIC, HOLES)
    config = TrainConfig(objective="consistency", pairs=composed.pairs)
    model = Classifier(1, 2).eval()  # each image alone, so that the pairs can be asked by themselves
    objective = Consistency(model, [BatchSampler(composed.train, config, 0)], config, CPU, lambda net, x, shape: net(x))

    def as_input(images: np.ndarray, step: int) -> torch.Tensor:
        return torch.from_numpy(images).float() / 127.5 - 1

    rows = np.array([0, 20, 15, 40, 30])  # lying dark, lying bright twice, fills of standing sources
    pool, partner = composed.pairs
    x, targets, weights, _ = batch_of(composed.train, rows)
    paired = [i for i, row in enumerate(rows) if partner[row] >= 0]
    assert 0 < len(paired) < len(rows)
    with torch.no_grad():
        loss = objective(x, targets, weights, rows[None], 0, nullcontext(), as_input)
        logits = model(x)
        classification_loss = F.cross_entropy(logits, targets[0].argmax(1))
        other = model(as_input(pool[partner[rows[paired]]], 0))
        expected = classification_loss + 5 * jensen_shannon(logits[paired], other).mean()
        torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
        single = objective(*(x[[1]], targets[:, [1]], weights[:, [1]] * 5, rows[None, [1]]), 0, nullcontext(), as_input)
        torch.testing.assert_close(
            single, F.cross_entropy(logits[[1]], targets[0, [1]].argmax(1)), atol=1e-5, rtol=1e-5
        )


def test_consistency_makes_predictions_of_pairs_alike() -> None:
    noise = translated(TRAIN, "noise")  # pairs that look nothing alike
    composed = compose(ARMS["consistency"], TRAIN, noise, HOLES)
    with_pairs = TrainConfig(steps=60, batch=24, balanced=True, objective="consistency", pairs=composed.pairs)
    without = replace(with_pairs, objective="", pairs=None)
    rows = np.flatnonzero(composed.pairs[1][: composed.real] >= 0)

    def divergence(config: TrainConfig) -> float:
        model = fit(composed.train, config, seed=0, device=CPU)
        probabilities_of_pairs = probabilities(model, composed.train.images[rows])
        other = probabilities(model, composed.pairs[0][composed.pairs[1][rows]])
        return float(np.abs(probabilities_of_pairs - other).mean())

    assert divergence(with_pairs) < divergence(without)


def test_extreme_gamma_reaches_its_limits_and_keeps_the_order_of_values() -> None:
    ramp = torch.linspace(-1, 1, 64).view(1, 1, 8, 8).expand(4000, 1, 8, 8)
    out = policy("extreme_gamma")(ramp, torch.Generator().manual_seed(0)).flatten(1)
    assert (out.diff(dim=1) >= 0).all() and (out[:, 0] == -1).all()
    middle = (out[:, 32] + 1) / 2
    value = float((ramp[0].flatten()[32] + 1) / 2)
    assert float(middle.min()) >= 0.5 * value**3 - 1e-6
    assert float(middle.max()) <= 1 and float((middle == 1).float().mean()) > 0.05
    gain = (out[:, -1] + 1) / 2  # white stays white under any gamma
    assert 0.5 <= float(gain.min()) < 0.52 and float((gain == 1).float().mean()) == pytest.approx(0.5, abs=0.03)


def test_symmetric_matching_gives_every_class_the_style_and_leaves_out_the_real_neighbours() -> None:
    real = train(each=30)
    holes = Holes.of(real, ("ground",))
    composed = compose(ARMS["moment_symmetric"], real, None, holes)
    cells = np.bincount(composed.cells, minlength=4)
    assert (
        cells[0] == cells[2] == 30 and cells[1] == cells[3] == 30
    )  # both classes on bright ground, all of them matched
    matched = composed.train.images[composed.real :]
    bright = real.images[real.attributes["ground"].codes == 1]
    levels = set(np.round(bright.mean((1, 2, 3)) / 2).tolist())
    assert all(any(abs(round(m / 2) - level) <= 1 for level in levels) for m in matched.mean((1, 2, 3)))
