"""What a classifier is shown and by which loss, and that all ways to train many give the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from augury.augment import policy
from augury.augment.draws import Joined
from augury.errors import SettingsError
from augury.networks import Classifier, ResNet
from augury.proof import TrainConfig, fit, fit_many, probabilities
from augury.proof.batch_sampler import BatchSampler
from augury.proof.classifiers import STACK, fastest
from augury.proof.losses import LOSSES, cross_entropy, focal, logit_adjusted
from augury.proof.smote import smoted
from augury.proof.stacked import stacked, unstacked
from augury.randomness import stream
from tests.helpers.tiny_data import tiny

CPU = torch.device("cpu")
DATA = tiny()
QUERIES = tiny((20, 20, 20), 3)
FAKE = (tiny(seed=5).images, tiny(seed=5).labels)


def logits(loss: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    values = torch.randn(6, 4, generator=random, dtype=torch.float64, requires_grad=True)
    soft = torch.rand(6, 4, generator=random, dtype=torch.float64).softmax(1)
    return values, soft, torch.tensor([0.6, 0.25, 0.1, 0.05], dtype=torch.float64)


def test_losses_are_their_closed_forms() -> None:
    x, soft_targets, shares = logits(None)
    classes = torch.tensor([0, 1, 2, 3, 0, 1])
    one_hot = F.one_hot(classes, 4).double()
    torch.testing.assert_close(
        cross_entropy(x, soft_targets, shares), F.cross_entropy(x, soft_targets, reduction="none")
    )
    p = x.softmax(1).gather(1, classes[:, None])[:, 0]
    torch.testing.assert_close(focal(x, one_hot, shares), -((1 - p) ** 2) * p.log())
    odds = shares[None] / shares[classes, None] * (x - x.gather(1, classes[:, None])).exp()  # Menon et al. 2021, eq. 10
    torch.testing.assert_close(logit_adjusted(x, one_hot, shares), torch.log(odds.sum(1)))


@pytest.mark.parametrize("name", LOSSES)
def test_losses_have_the_right_gradient_and_do_not_mind_certainty(name: str) -> None:
    x, soft_targets, shares = logits(None)
    assert torch.autograd.gradcheck(lambda x: LOSSES[name](x, soft_targets, shares), (x,))
    certain = torch.tensor([[100.0, -100.0]], requires_grad=True)
    LOSSES[name](certain, torch.tensor([[1.0, 0.0]]), torch.tensor([0.5, 0.5])).sum().backward()
    assert certain.grad is not None and torch.isfinite(certain.grad).all()


def test_logit_adjustment_finds_the_balanced_classifier_of_two_normals() -> None:
    """Two unit normals at ±1, 9 : 1. Balanced, the boundary is at 0; of cross-entropy at -log(9) / 2 from the rare class."""
    random = np.random.default_rng(0)
    x = torch.tensor(np.concatenate([random.normal(-1, 1, 9000), random.normal(1, 1, 1000)]))
    targets = F.one_hot(torch.tensor([0] * 9000 + [1] * 1000), 2).double()
    shares = torch.tensor([0.9, 0.1], dtype=torch.float64)
    for loss, boundary in ((logit_adjusted, 0.0), (cross_entropy, np.log(9) / 2)):
        w = torch.zeros(2, 2, dtype=torch.float64, requires_grad=True)
        optimiser = torch.optim.LBFGS([w], max_iter=50)

        def closure(loss: Any = loss, w: Any = w, optimiser: Any = optimiser) -> torch.Tensor:
            optimiser.zero_grad()
            value = loss(x[:, None] * w[0] + w[1], targets, shares).mean()
            value.backward()
            return value

        optimiser.step(closure)
        gradient, offset = (w[0, 1] - w[0, 0]).item(), (w[1, 1] - w[1, 0]).item()
        assert -offset / gradient == pytest.approx(boundary, abs=0.1)


CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "classical": {"balanced": True, "augment": policy("classical", flips=True)},
    "randaugment": {"augment": policy("randaugment", flips=True)},
    "cutmix": {"mix": "cutmix", "class_weights": True},
    "synthetic": {"synthetic": FAKE, "ratio": 1.0, "synthetic_weight": 0.3, "synthetic_smoothing": 0.2},
    "smote": {"smote": "features", "balanced": True},
}


@pytest.mark.parametrize("config", CONFIGS)
def test_all_ways_give_the_same(config: str) -> None:
    """Four steps, a train part of its own for each seed."""
    fitted = TrainConfig(steps=4, batch=12, **CONFIGS[config])
    trains = [DATA, DATA.take(np.arange(3, len(DATA))), DATA]
    by_mode = {
        mode: np.stack(
            list(
                fit_many(
                    trains,
                    fitted,
                    seeds=[1, 2, 3],
                    device=CPU,
                    then=lambda m: probabilities(m, QUERIES.images),
                    way=mode,
                )
            )
        )
        for mode in ("sequential", "threaded", "vectorised")
    }
    np.testing.assert_array_equal(by_mode["threaded"], by_mode["sequential"])
    np.testing.assert_allclose(by_mode["vectorised"], by_mode["sequential"], atol=1e-4)
    assert np.ptp(by_mode["vectorised"], axis=0).max() > 1e-3  # each seed is itself
    one = fit(trains[1], fitted, seed=2, device=CPU)
    np.testing.assert_array_equal(probabilities(one, QUERIES.images), by_mode["sequential"][1])


@pytest.mark.parametrize("build", [Classifier, ResNet])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_stack_is_its_networks_side_by_side(build: Any, channels: int) -> None:
    """Logits in training, gradients of all weights and the running means of batch norm; then each gets its own back."""
    torch.manual_seed(0)
    models = [build(channels, 4).double().train() for _ in range(3)]
    x = torch.rand(3, 5, channels, 12, 12, dtype=torch.float64) * 2 - 1
    stack = stacked(models, lambda copies: build(channels, 4, copies=copies), CPU).train()
    stack_output = stack(x.transpose(0, 1).flatten(1, 2))
    separate = [model(member_input) for model, member_input in zip(models, x, strict=True)]
    torch.testing.assert_close(stack_output.transpose(0, 1), torch.stack(separate))
    stack_output.square().sum().backward()
    sum(each.square().sum() for each in separate).backward()
    for name, value in stack.named_parameters():
        gradients = torch.cat([dict(m.named_parameters())[name].grad for m in models])
        torch.testing.assert_close(value.grad, gradients)
    before = [model.state_dict() for model in models]
    copies = [build(channels, 4).double() for _ in models]
    unstacked(stack, copies)
    for copy, initial in zip(copies, before, strict=True):
        for name, value in copy.state_dict().items():
            torch.testing.assert_close(value, initial[name])


def test_more_seeds_than_a_stack_holds_are_trained_too() -> None:
    seeds = list(range(STACK + 1))
    config = TrainConfig(steps=1, batch=4)
    biases = list(
        fit_many([DATA] * len(seeds), config, seeds=seeds, device=CPU, then=lambda m: m.last.bias[0], way="vectorised")
    )
    assert len({float(value) for value in biases}) == len(seeds)


def test_the_fastest_way_is_known_for_each_device() -> None:
    config, cuda = TrainConfig(), torch.device("cuda")
    assert [fastest(config, d, Classifier) for d in (CPU, cuda)] == ["threaded", "vectorised"]
    augmented = TrainConfig(augment=lambda images, generator: images)
    assert fastest(augmented, cuda, Classifier) == "sequential"
    assert fastest(config, cuda, lambda channels, classes: Classifier(channels, classes)) == "sequential"
    with pytest.raises(SettingsError, match="sequential"):
        next(fit_many([DATA], augmented, seeds=[0], device=CPU, then=lambda m: m, way="vectorised"))
    with pytest.raises(SettingsError, match="choose among"):
        next(fit_many([DATA], config, seeds=[0], device=CPU, then=lambda m: m, way="sideways"))


@pytest.mark.parametrize("name", ["classical", "randaugment", "trivialaugment", "diffaugment", "augmix", "natural"])
def test_joined_batches_draw_what_they_would_draw_alone(name: str) -> None:
    x = torch.rand(8, 3, 12, 12) * 2 - 1
    pipeline = policy(name, flips=True)
    separate = [pipeline(x[4 * i : 4 * i + 4], stream(i, "x")) for i in (0, 1)]
    joint_output = pipeline(x, Joined([stream(i, "x") for i in (0, 1)]))
    torch.testing.assert_close(joint_output, torch.cat(separate), atol=1e-5, rtol=1e-5)


def test_a_batch_sampler_follows_its_train_config() -> None:
    real = len(DATA)
    mixed = BatchSampler(DATA, TrainConfig(steps=100, batch=50, synthetic=FAKE, ratio=1.0, synthetic_weight=0.3), 0)
    rows = np.concatenate([mixed.draw(s).rows for s in range(100)])
    assert (rows >= real).mean() == pytest.approx(0.5, abs=0.03)
    one = mixed.draw(0)
    np.testing.assert_array_equal(one.weights, np.where(one.rows >= real, np.float32(0.3), 1))
    np.testing.assert_array_equal(one.images[one.rows >= real], FAKE[0][one.rows[one.rows >= real] - real])
    np.testing.assert_array_equal(one.images[one.rows < real], DATA.images[one.rows[one.rows < real]])
    first = BatchSampler(DATA, TrainConfig(steps=100, batch=50, synthetic=FAKE, ratio=1.0, schedule="first"), 0)
    assert [float((first.draw(s).rows >= real).mean()) for s in (0, 49, 50, 99)] == [1, 1, 0, 0]
    balanced = BatchSampler(DATA, TrainConfig(batch=3000, balanced=True), 0).draw(0)
    np.testing.assert_allclose(balanced.targets.mean(0), 1 / 3, atol=0.03)
    weighed = BatchSampler(DATA, TrainConfig(batch=20, class_weights=True), 0).draw(0)
    np.testing.assert_allclose(weighed.weights, 25 / (3 * DATA.counts[weighed.targets.argmax(1)]), rtol=1e-6)


def test_synthetic_images_may_carry_probabilities_and_smoothing() -> None:
    soft_labels = np.random.default_rng(0).dirichlet(np.ones(3), len(FAKE[1]))
    config = TrainConfig(
        batch=60, synthetic=FAKE, ratio=1.0, synthetic_targets=soft_labels, smoothing=0.1, synthetic_smoothing=0.3
    )
    batch = BatchSampler(DATA, config, 0).draw(0)
    fake = batch.rows >= len(DATA)
    np.testing.assert_allclose(batch.targets[fake], 0.7 * soft_labels[batch.rows[fake] - len(DATA)] + 0.1, atol=1e-6)
    labels = DATA.labels[batch.rows[~fake]]
    np.testing.assert_allclose(batch.targets[~fake], 0.9 * np.eye(3)[labels] + 0.1 / 3, atol=1e-6)


def test_smote_lies_between_images_of_its_class() -> None:
    filled = smoted(DATA, 3)
    assert np.bincount(filled.labels).tolist() == [14, 14, 14]
    np.testing.assert_array_equal(filled.images[: len(DATA)], DATA.images)
    new = filled.images[len(DATA) :].astype(float).reshape(-1, 100)
    for image, label in zip(new, filled.labels[len(DATA) :], strict=True):
        same_class = DATA.images[DATA.labels == label].astype(float).reshape(-1, 100)
        least = min(  # the rest of the image off the segment between two of its class: rounding of each pixel alone
            np.abs(image - (a + np.clip((image - a) @ (b - a) / max((b - a) @ (b - a), 1), 0, 1) * (b - a))).max()
            for a in same_class
            for b in same_class
        )
        assert least < 1.5
    np.testing.assert_array_equal(smoted(DATA, 3).images, filled.images)
    assert (smoted(DATA, 4).images != filled.images).any()
