"""Flows against closed forms: normal data and two images have a known velocity; images are redrawn and inverted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from augury import generation
from augury.errors import SettingsError
from augury.generation.sampling import between
from augury.images import LabelledImages
from augury.losses import flow_matching
from augury.networks import build, passes
from augury.networks.flow import DEVIATION, Generator
from augury.randomness import image_noise
from augury.settings import TrainSettings
from augury.training import Synthesizer, resolve_recipe, train_plan
from augury.training.plan import set_up
from augury.training.recipes import recipe
from tests.helpers.training_data import CPU, planned, small

TINY = {"width": 8, "widest": 16, "embedding": 16}


def untrained(**settings: Any) -> Generator:
    torch.manual_seed(0)
    generator = build("flow", {**TINY, **settings}, (3, 12, 17), (3, 2))[0]
    assert isinstance(generator, Generator)
    return generator.eval()


def zero_network(**settings: Any) -> Generator:
    """A flow whose network gives 0."""
    generator = untrained(**settings)
    with torch.no_grad():
        generator.network.leave.weight.zero_()
        generator.network.leave.bias.zero_()
    return generator


def two_points(x: torch.Tensor, times: torch.Tensor, size: float) -> torch.Tensor:
    """E[x1 - x0 | x_t = x] for images that are `size` everywhere or -`size` everywhere, with equal chances.

    The log odds of the bright image are 2 size t Σx / (1 - t)² by Bayes' rule, and x0 = (x - t x1) / (1 - t).
    """
    t = times[:, None, None, None]
    bright = size * torch.tanh(size * t * x.sum((1, 2, 3), keepdim=True) / (1 - t) ** 2)
    return (bright - x) / (1 - t)


def test_the_linear_part_is_the_velocity_of_normal_data() -> None:
    """The regression of x1 - x0 on x_t by moments, from a million pairs."""
    generator, random = zero_network(), torch.Generator().manual_seed(0)
    for time in (0.0, 0.3, 0.8, 1.0):
        x0, x1 = torch.randn(2, 1_000_000, generator=random, dtype=torch.float64)
        x1 = DEVIATION * x1
        state = (1 - time) * x0 + time * x1
        coefficient = float((state * (x1 - x0)).mean() / state.square().mean())
        x = torch.randn(2, 3, 12, 17, generator=random)
        velocity = generator.velocity(x, torch.full((2,), time), torch.zeros(2, 2, dtype=torch.long))
        torch.testing.assert_close(velocity, coefficient * x, rtol=0, atol=0.02)


@pytest.mark.parametrize("solver", ["euler", "midpoint", "heun", "adams"])
def test_a_silent_network_carries_noise_to_normal_data(solver: str) -> None:
    """The solution of the linear equation is x(t) = x0 √((1 - t)² + t² DEVIATION²)."""
    generator, noise = zero_network(solver=solver, sampling_steps=100), torch.randn(2, 3 * 12 * 17)
    with torch.no_grad():
        images = generator(noise, torch.zeros(2, 2, dtype=torch.long))
    atol = 0.03 if solver == "euler" else 1e-3
    torch.testing.assert_close(images.flatten(1), DEVIATION * noise, rtol=0, atol=atol)


def test_the_remaining_deviation_scales_the_network() -> None:
    """For normal data the target of the network has unit variance at every time: its deviation is that of the residual."""
    random = torch.Generator().manual_seed(0)
    x0, x1 = torch.randn(2, 1_000_000, generator=random, dtype=torch.float64)
    x1 = DEVIATION * x1
    generator = zero_network()
    with torch.no_grad():
        generator.network.leave.bias.fill_(1.0)
    for time in (0.0, 0.4, 1.0):
        state = (1 - time) * x0 + time * x1
        coefficient = (state * (x1 - x0)).mean() / state.square().mean()
        deviation = float((x1 - x0 - coefficient * state).std())
        times = torch.full((1,), time)
        velocity = generator.velocity(torch.zeros(1, 3, 12, 17), times, torch.zeros(1, 2, dtype=torch.long))
        torch.testing.assert_close(velocity, torch.full_like(velocity, deviation), rtol=0, atol=0.01)


def test_the_loss_is_least_at_the_mean_velocity() -> None:
    """Away from the closed form by δ the loss grows by E δ²: the mean is the least-squares prediction."""
    random = torch.Generator().manual_seed(0)
    n, size = 400_000, 0.8
    bright = size * (2.0 * torch.randint(2, (n, 1, 1, 1), generator=random) - 1)
    noise, times = torch.randn(n, 1, 1, 1, generator=random), 0.9 * torch.rand(n, generator=random)
    x = torch.lerp(noise, bright, times[:, None, None, None])
    best = two_points(x, times, size)
    least = float(flow_matching(best, noise, bright))
    for off in (0.3 * torch.ones_like(x), 0.3 * x, 0.5 * torch.sin(3 * x)):
        grown = float(flow_matching(best + off, noise, bright)) - least
        assert grown == pytest.approx(float(off.square().mean()), rel=0.1)


def test_training_finds_the_velocity_of_two_images() -> None:
    images = np.repeat(np.array([26, 229], np.uint8), 16).reshape(32, 1, 1, 1) * np.ones((1, 1, 8, 8), np.uint8)
    data = LabelledImages(images, np.zeros(32, np.int64), ("both",), fingerprint="two")
    plan = planned(data, recipe="flow", steps=250, batch=32, overrides={**TINY, "width": 16, "generator_lr": 1e-2})
    trainer, batches = set_up(plan, data)
    for step in range(plan.steps):
        trainer.train_step(step, step / plan.steps, lambda number: batches.draw(number, CPU))
    random = torch.Generator().manual_seed(0)
    times, size = torch.rand(500, generator=random) * 0.8 + 0.05, 229 / 127.5 - 1
    bright = size * (2.0 * torch.randint(2, (500, 1, 1, 1), generator=random) - 1).expand(-1, 1, 8, 8)
    x = torch.lerp(torch.randn(bright.shape, generator=random), bright, times[:, None, None, None])
    expected = two_points(x, times, size)
    flow = trainer.state.average.module
    codes = torch.zeros(500, 1, dtype=torch.long)
    with torch.no_grad():
        error = (flow.velocity(x, times, codes) - expected).square().mean()  # type: ignore[operator]
        flow.network.leave.weight.zero_()  # type: ignore[union-attr, operator]
        flow.network.leave.bias.zero_()  # type: ignore[union-attr, operator]
        linear = (flow.velocity(x, times, codes) - expected).square().mean()  # type: ignore[operator]
    assert error < 0.1 * linear


@pytest.mark.parametrize(("mean", "spread"), [(0.0, 1.0), (-0.5, 0.6)])
def test_training_times_are_logit_normal_and_a_share_of_conditions_is_dropped(mean: float, spread: float) -> None:
    data = small(400)
    settings = {**TINY, "time_mean": mean, "time_spread": spread, "label_dropout": 0.25}
    trainer, batches = set_up(planned(data, recipe="flow", batch=400, overrides=settings), data)
    recorded: list[tuple[torch.Tensor, torch.Tensor]] = []
    original_velocity = trainer.generator.velocity  # type: ignore[union-attr]

    def spied(x, times, conditions, known):
        recorded.append((times, known))
        return original_velocity(x, times, conditions, known)

    trainer.generator.velocity = spied  # type: ignore[union-attr]
    for step in range(5):
        trainer.train_step(step, 0.0, lambda number: batches.draw(number, CPU))
    times, known = (torch.cat(part) for part in zip(*recorded, strict=True))
    logits = times.double().logit()
    assert float(logits.mean()) == pytest.approx(mean, abs=0.08)
    assert float(logits.std()) == pytest.approx(spread, rel=0.06)
    assert set(known.tolist()) == {0.0, 1.0} and float(known.mean()) == pytest.approx(0.75, abs=0.03)


def test_guidance_of_1_is_none_of_0_ignores_the_class_and_between_is_linear() -> None:
    noise, a, b = torch.randn(2, 3 * 12 * 17), torch.tensor([[0, 1]] * 2), torch.tensor([[2, 0]] * 2)
    with torch.no_grad():
        velocities = {
            w: untrained(guidance=w, solver="euler", sampling_steps=1)(noise, a) for w in (0.0, 0.5, 1.0, 3.0)
        }
        plain_output, other = (untrained(solver="euler", sampling_steps=1)(noise, codes) for codes in (a, b))
        unguided = untrained(guidance=0.0, solver="euler", sampling_steps=1)(noise, b)
    assert torch.equal(velocities[1.0], plain_output) and not torch.allclose(plain_output, other, atol=1e-3)
    torch.testing.assert_close(velocities[0.0], unguided)
    torch.testing.assert_close(velocities[0.5], (velocities[0.0] + plain_output) / 2, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        velocities[3.0], velocities[0.0] + 3 * (plain_output - velocities[0.0]), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_an_image_is_redrawn_alone_to_the_same_bytes(guidance: float, tmp_path) -> None:
    data = small()
    settings = {**TINY, "sampling_steps": 3, "guidance": guidance, "label_dropout": 0.2}
    synthesizer = train_plan(planned(data, recipe="flow", overrides=settings), data)
    labels = np.arange(40) % 2
    among = synthesizer.sample(labels, seed=5)
    for index in (0, 31, 32, 39):
        single = synthesizer.sample(labels[[index]], seed=5, start=index)
        np.testing.assert_array_equal(single.images[0], among.images[index])
    synthesizer.save(tmp_path)
    np.testing.assert_array_equal(Synthesizer.load(tmp_path).sample(labels, seed=5).images, among.images)


def test_a_flow_is_inverted_by_running_backward() -> None:
    data = small(shape=(3, 12, 17))
    synthesizer = train_plan(
        planned(data, recipe="flow", overrides={**TINY, "sampling_steps": 32, "solver": "heun"}), data
    )
    sampled = synthesizer.sample([0, 1, 1], seed=3)
    noise, errors = generation.invert(synthesizer, sampled.images, sampled.conditions)
    assert noise.shape == (3, 3 * 12 * 17) and errors.max() < 1.0  # of 255
    decoded = synthesizer.decode(noise, sampled.conditions)
    assert np.abs(decoded.astype(int) - sampled.images).max() <= 3
    other = np.random.default_rng(0).integers(0, 256, sampled.images.shape, dtype=np.uint8)
    assert (
        generation.invert(synthesizer, other, sampled.conditions)[1].max() < 3.0
    )  # an image that it did not draw, too


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 16, 9), (3, 128, 100)])
def test_every_size_is_drawn(shape: tuple[int, int, int]) -> None:
    generator = build("flow", {**TINY, "sampling_steps": 1, "width": 20}, shape, (2,))[0]
    with torch.no_grad():
        images = generator(torch.randn(2, generator.latent), torch.tensor([[0], [1]]))  # type: ignore[arg-type]
    assert images.shape == (2, *shape) and images.isfinite().all()


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"augment": "diffaugment"}, "a flow generate the augmented images"),
        ({"overrides": {"guidance": 2.0}}, "set label_dropout=0.1"),
        ({"overrides": {"guidance": 2.0, "label_dropout": 0.1}, "unconditional": True}, "has no classes"),
        ({"overrides": {"label_dropout": 0.1}, "unconditional": True}, "has no classes"),
        ({"overrides": {"solver": "magic"}}, "solver"),
        ({"overrides": {"sampling_steps": 0}}, "at least 1"),
        ({"overrides": {"loss": "hinge"}}, "for a flow"),
        ({"overrides": {"r1": 1.0}}, "a flow has one network"),
        ({"overrides": {"discriminator_lr": 1e-3}}, "a flow has one network"),
        ({"overrides": {"time_spread": 0.0}}, "above 0"),
        ({"recipe": "dcgan", "overrides": {"time_mean": 0.5}}, "use recipe flow"),
    ],
)
def test_settings_that_a_flow_cannot_use_are_refused(settings: dict, rule: str) -> None:
    with pytest.raises(SettingsError, match=rule):
        resolve_recipe(small(), TrainSettings(**{"recipe": "flow", **settings}), CPU)


def test_guidance_with_dropped_labels_is_accepted() -> None:
    assert recipe("flow", {"guidance": 2.0, "label_dropout": 0.1}).settings["guidance"] == 2.0


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"solver": "euler", "sampling_steps": 7}, 7),
        ({"solver": "heun", "sampling_steps": 8}, 16),
        ({"solver": "adams", "sampling_steps": 8}, 9),
        ({"solver": "midpoint", "sampling_steps": 3, "guidance": 2.0}, 12),
    ],
)
def test_the_passes_of_an_image_are_counted(settings: dict, expected: int) -> None:
    generator, rows = untrained(**settings), []
    generator.network.register_forward_pre_hook(lambda module, inputs: rows.append(len(inputs[0])))
    with torch.no_grad():
        generator(torch.randn(4, generator.latent), torch.zeros(4, 2, dtype=torch.long))
    assert sum(rows) == 4 * expected == 4 * passes("flow", {**TINY, **settings})
    assert passes("dcgan", {"width": 8, "spectral": True}) == 1


def test_noise_that_is_searched_for_has_the_shape_of_the_image_and_its_own_bytes() -> None:
    data, synthesizer = small(), train_plan(planned(small(), recipe="flow", overrides=TINY), small())
    labels, indices = np.arange(36) % 2, np.arange(36) + 5
    noise = image_noise(3, indices, synthesizer.latent)

    def logits(images: torch.Tensor) -> torch.Tensor:
        return images.mean((1, 2, 3))[:, None] * torch.tensor([10.0, -10.0])

    batch_result = generation.boundary(synthesizer, noise, labels[:, None], indices, logits, steps=4)
    for row in (0, 33):
        single = generation.boundary(synthesizer, noise[[row]], labels[[row], None], indices[[row]], logits, steps=4)
        np.testing.assert_array_equal(single[0], batch_result[row])
    assert (batch_result != noise).any(1).mean() > 0.2
    anchors = generation.invert(synthesizer, data.images[:2], data.conditions(())[:2])[0]
    halfway = between(anchors, noise[:4], 0, indices[:4])
    assert halfway.shape == (4, 144) and synthesizer.decode(halfway, labels[:4]).shape == (4, 1, 12, 12)


def test_a_monitor_looks_less_often_at_images_that_cost_more() -> None:
    """Two steps of Heun are 4 passes: 16 images apart become 64, which are 8 steps of 8."""
    calls: list[int] = []

    def assess(drawing: Synthesizer) -> dict[str, float]:
        calls.append(drawing.card.steps)
        return {"kid": 1.0, "kid_error": 1.0}

    plan = planned(small(), recipe="flow", steps=40, overrides={**TINY, "sampling_steps": 2, "solver": "heun"})
    train_plan(plan, small(), assess=assess, apart=16)
    assert calls == [8, 16, 24, 32, 40]
