"""Training: resume to the same bytes, images redrawable alone, averages and schedules by closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from training_data import CPU, interrupted, planned, small

from augury.augment import policy
from augury.errors import DataError, RunFolderError, SettingsError, TrainingError
from augury.networks import NETWORKS, build
from augury.networks.canvas import Canvas
from augury.recipes import RECIPES, recipe
from augury.training import Plan, Synthesizer, choose_device, train_plan
from augury.training.adversarial import AdversarialGame
from augury.training.averaging import MovingAverage
from augury.training.batches import Batches
from augury.training.rounds import Round
from augury.training.schedules import cosine


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 12, 17), (3, 64, 60)])
def test_every_network_gives_images_and_scores_of_the_right_shape(name: str, shape: tuple[int, int, int]) -> None:
    generator, partner = build(name, {}, shape, (3, 2))
    conditions = torch.tensor([[0, 1], [2, 0], [1, 1]])
    images = generator(torch.randn(3, generator.latent), conditions)
    assert images.shape == (3, *shape)
    assert images.abs().max() < 100
    if NETWORKS[name].method == "adversarial":
        assert partner(images, conditions).shape == (3, 1)
        np.testing.assert_allclose(
            partner.head(partner.features(images), conditions).detach(), partner(images, conditions).detach(), rtol=1e-4
        )
    else:
        assert [part.shape for part in partner(images, conditions)] == [(3, generator.latent)] * 2
    for wrong, rule in (({"no_such": 1}, "its settings are"), ({"latent": "many"}, "of the kind of its default")):
        with pytest.raises(SettingsError, match=rule):
            build(name, wrong, shape, (3,))


@pytest.mark.parametrize(
    ("name", "overrides", "rule"),
    [
        ("wgan", {"spectral": True}, "clip=0 or spectral=false"),
        ("dcgan", {"loss": "wasserstein"}, "bounded slope"),
        ("rpgan", {"label_smoothing": 0.1}, "move targets"),
        ("rpgan", {"loss": "hinge"}, "beyond its margin"),
        ("dcgan", {"path_length": 1.0}, "mapping network"),
        ("wgan", {"critic_steps": 0}, "at least 1"),
        ("dcgan", {"r1": "much"}, "of the kind of its default"),
        ("dcgan", {"loss": "magic"}, "no loss 'magic'"),
        ("vae", {"loss": "hinge"}, "for an autoencoder"),
        ("dcgan", {"optimiser": "sgd"}, "no optimiser 'sgd'"),
        ("dcgan", {"schedule": "stairs"}, "no schedule 'stairs'"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused_before_training(name: str, overrides: dict, rule: str) -> None:
    with pytest.raises(SettingsError, match=rule):
        train_plan(planned(small(), recipe=name, overrides=overrides), small())


@pytest.mark.parametrize(("side", "coarsest", "stages"), [(28, 7, 2), (32, 4, 3), (48, 6, 3), (60, 8, 3), (128, 4, 5)])
def test_the_canvas_covers_the_image(side: int, coarsest: int, stages: int) -> None:
    canvas = Canvas(side, side)
    assert (canvas.rows, canvas.columns, canvas.stages) == (coarsest, coarsest, stages)
    assert coarsest * 2**stages >= side
    image = torch.rand(2, 3, side, side)
    assert torch.equal(canvas.cut(canvas.pad(image)), image)


def test_the_average_halves_the_old_after_its_half_life() -> None:
    module = torch.nn.Linear(1, 1)
    with torch.no_grad():
        module.weight.fill_(0)
        average = MovingAverage(module, half_life=64, ramp=1.0)
        average.module.weight.fill_(1)
        module.weight.fill_(3)
    average.update(module, batch=64, images_seen=10**6)
    assert float(average.module.weight) == pytest.approx(2.0)
    average.update(module, batch=64, images_seen=0)  # nothing seen before: the average is the weights
    assert float(average.module.weight) == pytest.approx(3.0)


def test_cosine_by_hand() -> None:
    assert cosine(0, 0.1) == pytest.approx(1)
    assert cosine(0.5, 0.1) == pytest.approx(0.55)
    assert cosine(1, 0.1) == pytest.approx(0.1)


@pytest.mark.parametrize(("rule", "share"), [("frequency", 0.25), ("sqrt", 1 / (1 + 3**0.5)), ("uniform", 0.5)])
def test_label_sampling_follows_its_rule(rule: str, share: float) -> None:
    batches = Batches(small(), (), rule, 2000, seed=0)
    _, conditions = batches.draw(0, CPU)
    assert float((conditions[:, 0] == 1).float().mean()) == pytest.approx(share, abs=0.04)


SMALL = {
    "dcgan": {"r1": 0.1, "penalty_every": 2, "lecam": 0.1, "label_noise": 0.1, "late_conditioning": 0.5},
    "gan": {"feature_matching": 1.0, "mode_seeking": 0.1, "instance_noise": 0.1, "label_smoothing": 0.1, "hidden": 32},
    "wgan": {"critic_steps": 2},
    "wgan_gp": {"critic_steps": 2},
    "r3gan": {"width": 8, "widest": 16},
    "stylegan": {
        "width": 8,
        "widest": 16,
        "path_length": 1.0,
        "path_every": 2,
        "style_mixing": 0.5,
        "penalty_every": 2,
    },
}
"""Settings that make each recipe small and its less usual parts work too."""


@pytest.mark.parametrize("name", RECIPES)
def test_a_training_cut_off_goes_on_to_the_same_bytes(name: str, tmp_path) -> None:
    data = small()
    plan = planned(data, recipe=name, steps=6, overrides=SMALL.get(name, {}))
    whole = train_plan(plan, data, tmp_path / "whole", checkpoint_every=1e-9)

    interrupted(plan, data, tmp_path / "cut", 3)
    assert train_plan(plan, data, tmp_path / "cut", checkpoint_every=1e-9).weights == whole.weights
    assert (tmp_path / "cut" / "log.jsonl").read_text().count("\n") == 6


@pytest.mark.parametrize("loss", ["non_saturating", "minimax", "least_squares", "relativistic"])
def test_in_simultaneous_play_one_pass_gives_the_generators_slope_too(loss: str) -> None:
    torch.manual_seed(0)
    networks = build("dcgan", {}, (1, 12, 12), (2,))
    rule = recipe("dcgan", {"loss": loss, "simultaneous": True, "r1": 0.1})
    game = AdversarialGame(*networks, rule, policy("diffaugment_light"), seed=1, device=CPU, precision="fp32")
    now = Round(torch.rand(8, 1, 12, 12), torch.arange(8)[:, None] % 2, progress=0.0, seed=1, number=0)
    fake = game._fakes(now)
    seen = game.view(torch.cat([now.real, fake]), "augment", now)
    on_real, on_fake = torch.split(game.discriminator(seen, now.conditions.repeat(2, 1)), 8)
    honest = game.loss.generator(on_real.detach(), on_fake)
    wanted = torch.autograd.grad(honest, list(game.generator.parameters()))
    told, _ = game._criticise(now, True)
    for parameter, slope in zip(game.generator.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, slope, rtol=1e-3, atol=1e-7)
    assert told["loss_g"].item() == pytest.approx(honest.item(), rel=1e-5)


def test_losses_that_are_no_numbers_send_it_back_to_the_last_good_state_at_half_the_rates(monkeypatch) -> None:
    from augury.training import adversarial

    data, told, broken = small(), [], [5]
    plan = planned(data, recipe="dcgan", steps=8)
    honest = adversarial.AdversarialGame._criticise

    def breaks(self, now, final):
        numbers, fake = honest(self, now, final)
        if broken and now.number == broken[0]:
            broken.pop()
            with torch.no_grad():
                next(self.discriminator.parameters()).fill_(float("nan"))
            numbers["loss_d"] = torch.tensor(float("nan"))
        return numbers, fake

    monkeypatch.setattr(adversarial.AdversarialGame, "_criticise", breaks)
    synthesizer = train_plan(plan, data, on_event=told.append)
    assert told == ["losses were no longer numbers: back to step 5, learning rates halved (rescue 1 of 3)"]
    assert np.isfinite(np.frombuffer(synthesizer.weights[-400:], np.float32)).all()


def test_an_image_is_the_same_alone_and_among_256(tmp_path) -> None:
    synthesizer = train_plan(planned(small()), small())
    labels = np.arange(256) % 2
    among = synthesizer.sample(labels, seed=5)
    for index in (0, 31, 32, 255):
        alone = synthesizer.sample(labels[[index]], seed=5, start=index)
        np.testing.assert_array_equal(alone.images[0], among.images[index])
    backwards = synthesizer.sample(labels[::-1], seed=5, indices=np.arange(255, -1, -1))
    np.testing.assert_array_equal(backwards.images[::-1], among.images)
    assert not np.array_equal(synthesizer.sample(labels, seed=6).images, among.images)
    synthesizer.save(tmp_path / "s")
    again = Synthesizer.load(tmp_path / "s")
    assert again.fingerprint == synthesizer.fingerprint
    np.testing.assert_array_equal(again.sample(labels, seed=5).images, among.images)
    assert synthesizer.sample(["b"], seed=1).labels.tolist() == [1]


def test_attributes_condition_the_generator() -> None:
    data = small()
    synthesizer = train_plan(planned(data, condition=("pose",)), data)
    left, right = (synthesizer.sample(np.array([[0, pose]]), seed=1).images for pose in (0, 1))
    assert not np.array_equal(left, right)
    with pytest.raises(DataError, match="label, pose"):
        synthesizer.sample([0])


def test_wrong_requests_are_refused_in_words(tmp_path) -> None:
    data = small()
    synthesizer = train_plan(planned(data), data)
    with pytest.raises(DataError, match="has no class 'z'"):
        synthesizer.sample(["z"])
    with pytest.raises(DataError, match="knows only"):
        synthesizer.sample([7])
    with pytest.raises(SettingsError, match="truncation"):
        synthesizer.sample([0], truncation=0)
    with pytest.raises(RunFolderError, match="no synthesizer"):
        Synthesizer.load(tmp_path)
    with pytest.raises(SettingsError, match="no recipe 'x'"):
        planned(data, recipe="x")
    with pytest.raises(DataError, match="no attribute 'stain'"):
        train_plan(planned(data, condition=("stain",)), data)
    with pytest.raises(SettingsError, match="no device"):
        choose_device("tpu")
    with pytest.raises(TrainingError, match="no longer numbers"):
        train_plan(planned(data, overrides={"discriminator_rate": float("inf")}), data)


def test_a_budget_is_planned_into_steps() -> None:
    plan = planned(small(), steps=None, budget="2s")
    assert (plan.images_per_second and plan.steps == int(2 * plan.images_per_second / 8)) or plan.steps > 0
    assert Plan.from_dict(plan.as_dict()) == plan
