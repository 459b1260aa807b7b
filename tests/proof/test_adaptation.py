"""Methods of domain adaptation: closed forms, determinism, and that each does what it is called."""

from __future__ import annotations

from dataclasses import replace
from math import exp

import numpy as np
import pytest
import torch
from torch import nn

from augury.errors import DataError, SettingsError
from augury.networks import Classifier, ResNet
from augury.proof import TrainConfig, probabilities
from augury.proof.adaptation import ADAPTATIONS, REFERENCES, STEPS, adapted, confident, steps_of
from augury.proof.batch_norm import adapt_batch_norm
from augury.proof.gradient_reversal import reversed_gradient
from augury.proof.target_training import (
    DomainAdversarial,
    Inputs,
    MeanTeacher,
    Step,
    average,
    class_balance,
    head,
)
from tests.helpers.two_domains import source, target

CPU = torch.device("cpu")
SOURCE, TARGET, FEW = source(), target(), target((3, 3), seed=9)
SHORT = TrainConfig(steps=6, batch=8, balanced=True)


def network(build=Classifier, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build(1, 2)


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([value.double().flatten() for value in model.state_dict().values()])


def accuracy(model: nn.Module, data=TARGET) -> float:
    return float((probabilities(model, data.images).argmax(1) == data.labels).mean())


def as_input(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).float() / 127.5 - 1


@pytest.mark.parametrize("build", [Classifier, ResNet])
def test_adabn_statistics_are_the_mean_and_variance_of_the_activations(build) -> None:
    """Every batch norm of the adapted network is given activations whose moments are its running statistics."""
    model = adapt_batch_norm(network(build), TARGET.images)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    layer_inputs: dict[nn.Module, np.ndarray] = {}
    for norm in norms:
        norm.register_forward_pre_hook(lambda layer, inputs: layer_inputs.update({layer: inputs[0].double().numpy()}))
    with torch.no_grad():
        model(as_input(TARGET.images))
    assert len(norms) >= 3
    for norm in norms:
        np.testing.assert_allclose(norm.running_mean.numpy(), layer_inputs[norm].mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            norm.running_var.numpy(), layer_inputs[norm].var((0, 2, 3), ddof=1), rtol=1e-3, atol=1e-6
        )


def test_adabn_takes_chunks_and_a_random_choice_of_many_images(monkeypatch) -> None:
    all_images = adapt_batch_norm(network(), TARGET.images)
    monkeypatch.setattr("augury.proof.batch_norm.CHUNK", 7)
    torch.testing.assert_close(
        weights(adapt_batch_norm(network(), TARGET.images)), weights(all_images), rtol=1e-5, atol=1e-6
    )
    adapted_weights = [weights(adapt_batch_norm(network(), TARGET.images, seed=seed, most=20)) for seed in (0, 0, 1)]
    assert torch.equal(adapted_weights[0], adapted_weights[1]) and not torch.equal(
        adapted_weights[0], adapted_weights[2]
    )


def test_a_network_without_batch_norm_is_refused_by_adabn_alone() -> None:
    def without_norm(channels: int, classes: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(channels * 144, classes))

    with pytest.raises(SettingsError, match="has no batch norm"):
        adapted(SOURCE, TARGET.images, SHORT, method="adabn", seed=0, device=CPU, build=without_norm)
    for method in ("pseudo_labels", "mean_teacher", "dann"):
        adapted(SOURCE, TARGET.images, SHORT, method=method, seed=0, device=CPU, build=without_norm)


def test_the_reversed_gradient_is_the_negative_of_a_finite_difference() -> None:
    x = torch.linspace(-1, 1, 6, dtype=torch.float64, requires_grad=True)
    (reversed_gradient(x, 0.3).sin() * torch.arange(6)).sum().backward()
    f = lambda v: (v.sin() * torch.arange(6)).sum()  # noqa: E731
    assert torch.equal(reversed_gradient(x, 0.3), x)
    for i in range(6):
        step = torch.zeros(6, dtype=torch.float64)
        step[i] = 1e-6
        gradient = (f(x.detach() + step) - f(x.detach() - step)) / 2e-6
        assert x.grad[i].item() == pytest.approx(-0.3 * gradient.item(), abs=1e-8)


def test_dann_teaches_the_domain_classifier_forward_and_the_network_backward() -> None:
    """A step of the network along its gradient makes the domain loss larger, one of the domain classifier smaller."""
    model = network().train()
    objective = DomainAdversarial(weight=1.0)(model, SHORT, 0)
    inputs = Inputs(head(model))

    def loss() -> torch.Tensor:
        model(as_input(SOURCE.images))
        return objective.loss(Step(0, 0.9, as_input(TARGET.images), inputs.taken()))

    before = loss()
    before.backward()
    for parameters, sign in ((list(objective.parameters()), -1), ([model.convolutions[2].weight], 1)):
        with torch.no_grad():
            for parameter in parameters:
                parameter -= 1e-3 * parameter.grad
            after = loss()
            for parameter in parameters:
                parameter += 1e-3 * parameter.grad
        assert sign * (after - before).item() > 0


def test_the_teacher_is_the_moving_average() -> None:
    teacher, model = network(seed=1), network(seed=2)
    first = [p.detach().clone() for p in teacher.parameters()]
    average(teacher.requires_grad_(False), model.requires_grad_(False), 0.99)
    for old, new, averaged in zip(first, teacher.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(new, 0.99 * old + 0.01 * averaged)


def test_consistency_is_zero_before_the_warm_start_and_counts_sure_images_alone() -> None:
    objective_factory = MeanTeacher(warm=0.4, ramp=0.2, weight=10.0, align=0.0, balance=0.0, threshold=0.6)
    assert objective_factory.weight_at(0.39) == 0
    assert objective_factory.weight_at(0.5) == pytest.approx(10 * exp(-5 * 0.25))
    assert objective_factory.weight_at(0.6) == objective_factory.weight_at(0.99) == 10
    model = network().train()
    objective = objective_factory(model, SHORT, 0)
    with torch.no_grad():
        objective.teacher.last.bias += 0.3
    x = as_input(TARGET.images)
    loss = objective.loss(Step(0, 0.7, x, x.flatten(1)))
    with torch.no_grad():
        p, q = model(x).softmax(1), objective.teacher(x).softmax(1)
    is_confident = q.max(1).values >= 0.6
    assert 0 < int(is_confident.sum()) < len(x)
    torch.testing.assert_close(loss, 10 * ((p - q).square().sum(1) * is_confident).mean())


def test_alignment_divides_by_the_mean_prediction() -> None:
    objective_factory = MeanTeacher(warm=0.0, ramp=0.0, weight=1.0, align=1.0, balance=0.0, threshold=0.0)
    model = network().train()
    objective = objective_factory(model, SHORT, 0)
    with torch.no_grad():
        objective.teacher.last.bias += torch.tensor([0.8, 0.0])
    x = as_input(TARGET.images)
    loss = objective.loss(Step(0, 0.5, x, x.flatten(1)))
    with torch.no_grad():
        p, q = model(x).softmax(1), objective.teacher(x).softmax(1)
    aligned = q / q.mean(0)
    aligned /= aligned.sum(1, keepdim=True)
    assert (aligned - q).abs().mean() > 0.05
    torch.testing.assert_close(loss, (p - aligned).square().sum(1).mean())


def test_class_balance_is_least_for_a_uniform_mean() -> None:
    balanced = torch.tensor([[0.9, 0.1], [0.1, 0.9]])
    assert class_balance(balanced).item() == pytest.approx(np.log(2))
    assert class_balance(torch.tensor([[0.9, 0.1], [0.7, 0.3]])) > class_balance(balanced)


def test_confident_rows_are_those_of_the_aligned_probabilities() -> None:
    p = np.array([[0.05, 0.95], [0.5, 0.5], [0.9, 0.1]])
    rows, labels = confident(p, align=0.0)
    assert rows.tolist() == [0, 2] and labels.tolist() == [1, 0]
    p = np.array([[0.8, 0.2], [0.8, 0.2], [0.8, 0.2], [0.3, 0.7]])  # mean .675, .325
    odds_ratio = 0.7 / 0.3 * 0.675 / 0.325
    rows, labels = confident(p, threshold=odds_ratio / (1 + odds_ratio) - 1e-9, align=1.0)
    assert rows.tolist() == [3] and labels.tolist() == [1]


@pytest.mark.parametrize("method", [*ADAPTATIONS, *REFERENCES, "histogram_matching"])
def test_the_same_seed_gives_the_same_weights(method: str) -> None:
    def trained_network(seed: int) -> nn.Module:
        return adapted(SOURCE, TARGET.images, SHORT, method=method, seed=seed, device=CPU, few=FEW)

    first, repeated, other = trained_network(0), trained_network(0), trained_network(1)
    assert torch.equal(weights(first), weights(repeated)) and not torch.equal(weights(first), weights(other))
    assert not first.training and not any(p.requires_grad for p in first.parameters())
    assert probabilities(first, TARGET.images).shape == (80, 2)


def test_each_step_is_used_by_a_method() -> None:
    assert {step for method in (*ADAPTATIONS, *REFERENCES, "histogram_matching") for step in steps_of(method)} == set(
        STEPS
    )


@pytest.mark.parametrize("method", [m for m in ADAPTATIONS if m not in ("source_only", "dann")])
def test_methods_find_the_target_where_the_source_alone_does_not(method: str) -> None:
    """Brightness and contrast differ: without adaptation the classifier is at chance on the target."""
    config = TrainConfig(steps=40, batch=32, balanced=True)
    train, target_images = source((60, 60)), target((60, 60))
    source_only = adapted(train, target_images.images, config, method="source_only", seed=0, device=CPU)
    assert accuracy(source_only, train) > 0.9
    predictions = adapted(train, target_images.images, config, method=method, seed=0, device=CPU)
    if method == "pseudo_labels":  # without adabn the first classifier is sure of wrong classes
        assert accuracy(predictions, target_images) >= accuracy(source_only, target_images) - 0.1
    else:
        assert accuracy(predictions, target_images) > 0.9 > accuracy(source_only, target_images)


def test_pseudo_labels_train_a_second_network_on_both_domains(monkeypatch) -> None:
    calls = []
    from augury.proof import adaptation

    def recorded_fit(labelled, config, **options):
        calls.append((config, options["seed"]))
        return fit(labelled, config, **options)

    fit = adaptation.fit
    monkeypatch.setattr(adaptation, "fit", recorded_fit)
    monkeypatch.setattr(adaptation, "confident", lambda p: (np.array([1, 2]), np.array([0, 1])))
    adapted(SOURCE, TARGET.images, SHORT, method="few_labels+pseudo_labels", seed=5, device=CPU, few=FEW)
    (first, a), (second, b) = calls
    assert a == 5 and b != 5 and first.ratio == second.ratio == 1
    np.testing.assert_array_equal(first.synthetic[0], FEW.images)
    np.testing.assert_array_equal(second.synthetic[0], np.concatenate([FEW.images, TARGET.images[[1, 2]]]))
    np.testing.assert_array_equal(second.synthetic[1], [*FEW.labels, 0, 1])


def test_what_cannot_be_adapted_is_refused() -> None:
    def adapt(images=TARGET.images, config=SHORT, method="adabn", **options):
        return adapted(SOURCE, images, config, method=method, seed=0, device=CPU, **options)

    with pytest.raises(SettingsError, match="there is no step 'coral'"):
        adapt(method="adabn+coral")
    with pytest.raises(SettingsError, match="must come before every training"):
        adapt(method="adabn+colour_matching")
    with pytest.raises(SettingsError, match="needs labelled target images"):
        adapt(method="few_labels")
    with pytest.raises(DataError, match="19 images of the target domain"):
        adapt(TARGET.images[:19])
    with pytest.raises(DataError, match="have shape"):
        adapt(target(channels=3).images)
    with pytest.raises(SettingsError, match="add them to the labelled images"):
        adapt(config=replace(SHORT, synthetic=(SOURCE.images, SOURCE.labels), ratio=0.5))
    with pytest.raises(SettingsError, match="SMOTE cannot be combined"):
        adapt(config=replace(SHORT, smote="inputs"))
    with pytest.raises(SettingsError, match="no linear layer"):
        head(nn.Sequential(nn.Conv2d(1, 2, 3)))
