"""Losses, penalties and regularisers against closed forms and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from augury.losses import (
    ADVERSARIAL_LOSSES,
    divergence,
    feature_matching,
    gradient_penalty,
    group_spectral,
    lecam,
    mode_seeking,
    negative_likelihood,
    path_length,
    squared_gradient_norm,
)

REAL = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
FAKE = torch.tensor([-0.3, 0.8, 0.1], dtype=torch.float64)


def log_sigmoid(x: np.ndarray) -> np.ndarray:
    return -np.log1p(np.exp(-x))


BY_HAND = {
    "minimax": lambda r, f: (-log_sigmoid(r).mean() - log_sigmoid(-f).mean(), log_sigmoid(-f).mean()),
    "non_saturating": lambda r, f: (-log_sigmoid(r).mean() - log_sigmoid(-f).mean(), -log_sigmoid(f).mean()),
    "wasserstein": lambda r, f: (f.mean() - r.mean(), -f.mean()),
    "hinge": lambda r, f: (np.maximum(0, 1 - r).mean() + np.maximum(0, 1 + f).mean(), -f.mean()),
    "least_squares": lambda r, f: ((((r - 1) ** 2).mean() + (f**2).mean()) / 2, ((f - 1) ** 2).mean() / 2),
    "relativistic": lambda r, f: (-log_sigmoid(r - f).mean(), -log_sigmoid(f - r).mean()),
}


@pytest.mark.parametrize("name", ADVERSARIAL_LOSSES)
def test_losses_are_what_the_papers_write(name: str) -> None:
    loss = ADVERSARIAL_LOSSES[name]
    actual = float(loss.discriminator(REAL, FAKE)), float(loss.generator(REAL, FAKE))
    assert actual == pytest.approx(BY_HAND[name](REAL.numpy(), FAKE.numpy()), rel=1e-12)


@pytest.mark.parametrize("name", ADVERSARIAL_LOSSES)
def test_losses_pull_the_scores_apart_and_the_fakes_up(name: str) -> None:
    loss = ADVERSARIAL_LOSSES[name]
    real, fake = torch.full((5,), 0.1, requires_grad=True), torch.full((5,), 0.2, requires_grad=True)
    loss.discriminator(real, fake).backward()
    assert (real.grad < 0).all() and (fake.grad > 0).all()
    fake.grad = None
    loss.generator(real.detach(), fake).backward()
    assert (fake.grad < 0).all()


@pytest.mark.parametrize("name", ADVERSARIAL_LOSSES)
def test_gradients_of_losses_agree_with_finite_differences(name: str) -> None:
    loss = ADVERSARIAL_LOSSES[name]
    for pair in (loss.discriminator, loss.generator):
        scores = [x.clone().requires_grad_() for x in (REAL, FAKE)]
        assert torch.autograd.gradcheck(pair, scores)


SMOOTHED = {
    "minimax": lambda r, f, t: -(t * log_sigmoid(r) + (1 - t) * log_sigmoid(-r)).mean() - log_sigmoid(-f).mean(),
    "non_saturating": lambda r, f, t: -(t * log_sigmoid(r) + (1 - t) * log_sigmoid(-r)).mean() - log_sigmoid(-f).mean(),
    "hinge": lambda r, f, t: (
        (t * np.maximum(0, 1 - r) + (1 - t) * np.maximum(0, 1 + r)).mean() + np.maximum(0, 1 + f).mean()
    ),
    "least_squares": lambda r, f, t: (((r - t) ** 2).mean() + (f**2).mean()) / 2,
}


def test_smoothed_targets_are_mixtures_of_both_labels() -> None:
    assert {name for name, loss in ADVERSARIAL_LOSSES.items() if loss.target is not None} == set(SMOOTHED)
    for name, by_hand in SMOOTHED.items():
        actual = float(ADVERSARIAL_LOSSES[name].target(REAL, FAKE, torch.tensor(0.9, dtype=torch.float64)))
        assert actual == pytest.approx(by_hand(REAL.numpy(), FAKE.numpy(), 0.9), rel=1e-12), name
    # 0.9 · (0.5, 2, 0) + 0.1 · (1.5, 0, 3) = (0.6, 1.8, 0.3), and (0.7, 1.8, 1.1) of the fakes
    hinge = float(ADVERSARIAL_LOSSES["hinge"].target(REAL, FAKE, torch.tensor(0.9, dtype=torch.float64)))
    assert hinge == pytest.approx((0.6 + 1.8 + 0.3) / 3 + (0.7 + 1.8 + 1.1) / 3)
    for loss in ADVERSARIAL_LOSSES.values():
        if loss.target is not None:
            assert float(loss.target(REAL, FAKE, torch.tensor(1.0))) == pytest.approx(
                float(loss.discriminator(REAL, FAKE))
            )


@pytest.mark.parametrize("name", SMOOTHED)
def test_gradients_of_smoothed_losses_agree_with_finite_differences(name: str) -> None:
    scores = [(x + 0.05).requires_grad_() for x in (REAL, FAKE)]  # away from the hinge's kinks at ±1
    target = torch.tensor([0.9, 0.7, 1.1], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda real, fake: ADVERSARIAL_LOSSES[name].target(real, fake, target), scores)


def test_a_smoothed_hinge_draws_sure_scores_back_to_the_margin() -> None:
    """Its gradient at a real score is −t up to −1, 1 − 2t within the margins and 1 − t beyond."""
    real = torch.tensor([-3.0, 0.0, 3.0], dtype=torch.float64, requires_grad=True)
    ADVERSARIAL_LOSSES["hinge"].target(real, FAKE, torch.tensor(0.9, dtype=torch.float64)).backward()
    assert (3 * real.grad).tolist() == pytest.approx([-0.9, -0.8, 0.1])


def quadratic(x: torch.Tensor) -> torch.Tensor:
    return x.square().sum((1, 2, 3))


def linear(x: torch.Tensor) -> torch.Tensor:
    return 3 * x[:, 0, 0, 0] + 4 * x[:, 0, 0, 1]


def test_gradient_penalties_of_known_functions() -> None:
    x, y = torch.randn(2, 6, 1, 3, 3, dtype=torch.float64)
    assert squared_gradient_norm(quadratic, x).item() == pytest.approx(2 * x.square().sum((1, 2, 3)).mean().item())
    mix = torch.rand(6, dtype=torch.float64)
    assert gradient_penalty(linear, x, y, mix).item() == pytest.approx(16.0)  # (5 - 1)²
    assert gradient_penalty(linear, x, y, mix, centre=0.0).item() == pytest.approx(25.0)
    between = mix.view(-1, 1, 1, 1) * x + (1 - mix.view(-1, 1, 1, 1)) * y
    by_hand = (2 * between.flatten(1).norm(dim=1) - 1).square().mean().item()
    assert gradient_penalty(quadratic, x, y, mix).item() == pytest.approx(by_hand)


def test_gradient_penalties_differentiate_in_the_weights() -> None:
    weight = torch.tensor([0.3, -0.2], dtype=torch.float64, requires_grad=True)
    x = torch.randn(4, 1, 1, 2, dtype=torch.float64)

    def penalty(w: torch.Tensor) -> torch.Tensor:
        return squared_gradient_norm(lambda images: torch.tanh((images.flatten(1) * w).sum(1)), x)

    assert torch.autograd.gradcheck(penalty, weight)


@pytest.mark.parametrize("centre", [0.0, 1.0])
def test_the_gradient_penalty_agrees_with_finite_differences_in_the_weights(centre: float) -> None:
    torch.manual_seed(0)
    weight = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    real, fake = torch.randn(2, 5, 1, 2, 2, dtype=torch.float64)
    mix = torch.rand(5, dtype=torch.float64)

    def penalty(w: torch.Tensor) -> torch.Tensor:
        return gradient_penalty(lambda x: torch.tanh(x.flatten(1) @ w.t()).sum(1), real, fake, mix, centre)

    assert torch.autograd.gradcheck(penalty, weight)


def test_regularisers_agree_with_finite_differences() -> None:
    torch.manual_seed(0)

    def numbers(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, requires_grad=True)

    averages = torch.tensor(0.4, dtype=torch.float64), torch.tensor(-0.1, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda real, fake: lecam(real, fake, *averages), (numbers(4), numbers(4)))
    assert torch.autograd.gradcheck(feature_matching, (numbers(4, 6), numbers(4, 6)))
    noise = numbers(3, 4).detach(), numbers(3, 4).detach()
    assert torch.autograd.gradcheck(lambda a, b: mode_seeking(a, b, *noise), (numbers(3, 1, 2, 2), numbers(3, 1, 2, 2)))
    assert torch.autograd.gradcheck(group_spectral, numbers(3, 12))


@pytest.mark.parametrize("layers", [None, 2])
def test_path_length_agrees_with_finite_differences_in_the_generators_weights(layers: int | None) -> None:
    torch.manual_seed(0)
    weight = torch.randn(8, 3, dtype=torch.float64, requires_grad=True)
    latents = torch.randn(*((5, 3) if layers is None else (5, layers, 3)), dtype=torch.float64, requires_grad=True)
    noise = torch.randn(5, 2, 2, 2, dtype=torch.float64)

    def penalty(w: torch.Tensor) -> torch.Tensor:
        mixed = latents if layers is None else latents.square().sum(1)
        images = torch.tanh(mixed @ w.t()).view(5, 2, 2, 2)
        return path_length(images, latents, noise, torch.tensor(0.7, dtype=torch.float64))[0]

    assert torch.autograd.gradcheck(penalty, weight)


def test_group_spectral_by_hand() -> None:
    """Twelve gains are folded into 3 × 4, the largest divisor up to √12: the square of its largest singular value."""
    gains = torch.arange(24, dtype=torch.float64).view(2, 12) / 10
    by_hand = [np.linalg.svd(row.reshape(3, 4), compute_uv=False)[0] ** 2 for row in gains.numpy()]
    assert group_spectral(gains).tolist() == pytest.approx(by_hand)
    assert group_spectral(torch.ones(1, 12)).item() == pytest.approx(12)  # of rank one
    assert group_spectral(torch.eye(3, 3).view(1, 9)).item() == pytest.approx(1)


def test_lecam_by_hand() -> None:
    actual = lecam(REAL, FAKE, torch.tensor(0.4), torch.tensor(-0.1))
    assert actual.item() == pytest.approx(((REAL.numpy() + 0.1) ** 2).mean() + ((FAKE.numpy() - 0.4) ** 2).mean())


def test_regularisers_by_hand() -> None:
    a = torch.randn(5, 7)
    assert feature_matching(a, a).item() == 0
    assert feature_matching(a, a + 2).item() == pytest.approx(4, rel=1e-5)
    images = torch.zeros(3, 1, 2, 2)
    noise = torch.zeros(3, 4)
    assert mode_seeking(images, images + 0.5, noise, noise + 1).item() == pytest.approx(2, rel=1e-3)
    assert mode_seeking(images, images, noise, noise + 1).item() > 1e4  # other noise, same image: collapse


def test_path_length_of_a_linear_map_is_its_jacobian() -> None:
    matrix = torch.randn(8, 3, dtype=torch.float64)
    latents = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    images = (latents @ matrix.t()).view(5, 2, 2, 2)
    noise = torch.randn(5, 2, 2, 2, dtype=torch.float64)
    lengths = (noise.view(5, 8) / 2 @ matrix).norm(dim=1)
    penalty, length = path_length(images, latents, noise, torch.tensor(0.7, dtype=torch.float64))
    assert length.item() == pytest.approx(lengths.mean().item())
    assert penalty.item() == pytest.approx((lengths - 0.7).square().mean().item())


def test_autoencoder_losses_by_hand() -> None:
    x = torch.zeros(4, 1, 2, 3)
    assert negative_likelihood(x, x + 0.1).item() == pytest.approx(3 * math.log(0.01), rel=1e-4)
    mean, log_variance = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, math.log(4.0)]])
    normal = torch.distributions.Normal
    oracle = torch.distributions.kl_divergence(normal(mean, (log_variance / 2).exp()), normal(0.0, 1.0)).sum()
    assert divergence(mean, log_variance).item() == pytest.approx(oracle.item())
