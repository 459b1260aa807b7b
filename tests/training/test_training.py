"""Training: resume to the same bytes, images redrawable alone, averages and schedules by closed form."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
import torch

from augury.augment import policy
from augury.errors import DataError, RunFolderError, SettingsError, TrainingError
from augury.networks import NETWORKS, build
from augury.networks.canvas import Canvas
from augury.settings import TrainSettings
from augury.training import Plan, Synthesizer, checkpoints, choose_device, make_plan, resolve_recipe, train_plan
from augury.training.adversarial import AdversarialTrainer
from augury.training.averaging import MovingAverage
from augury.training.batches import BatchLoader
from augury.training.micro_batches import MicroBatch
from augury.training.recipes import RECIPES, recipe
from augury.training.schedules import cosine
from tests.helpers.training_data import CPU, interrupted, planned, small, trainable


@pytest.mark.parametrize("name", trainable(n for n, parts in NETWORKS.items() if parts.method != "translation"))
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 12, 17), (3, 64, 60)])
def test_every_network_gives_images_and_scores_of_the_right_shape(name: str, shape: tuple[int, int, int]) -> None:
    generator, *partners = build(name, {}, shape, (3, 2))
    conditions = torch.tensor([[0, 1], [2, 0], [1, 1]])
    images = generator(torch.randn(3, generator.latent), conditions)
    assert images.shape == (3, *shape)
    assert images.abs().max() < 100
    for partner in partners if NETWORKS[name].method == "adversarial" else ():
        assert partner(images, conditions).shape == (3, 1) or name == "projected"
        np.testing.assert_allclose(
            partner.head(partner.features(images), conditions).detach(),
            partner(images, conditions).detach(),
            rtol=1e-4,
            atol=1e-5,
        )
    for partner in partners if NETWORKS[name].method == "reconstruction" else ():
        assert [part.shape for part in partner(images, conditions)] == [(3, generator.latent)] * 2
    size = "embedding" if name == "flow" else "latent"
    for invalid, rule in (({"no_such": 1}, "its settings are"), ({size: "many"}, "of the kind of its default")):
        with pytest.raises(SettingsError, match=rule):
            build(name, invalid, shape, (3,))


@pytest.mark.parametrize(
    ("name", "overrides", "rule"),
    [
        ("wgan", {"spectral": True}, "clip=0 or spectral=false"),
        ("dcgan", {"loss": "wasserstein"}, "bounded gradients"),
        ("rpgan", {"label_smoothing": 0.1}, "hinge or least_squares"),
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


def test_the_averages_half_life_grows_with_the_images_seen_until_it_is_whole() -> None:
    """Step t sees 32·t images before it, so that the old average keeps 0.5^(32 / min(1000, 0.5·32·t))."""
    module, by_hand = torch.nn.Linear(1, 1), 0.0
    average = MovingAverage(module, half_life=1000, ramp=0.5)
    for step in range(200):
        with torch.no_grad():
            module.weight.fill_(float(step))
        average.update(module, batch=32, images_seen=32 * step)
        decay = 0.5 ** (32 / min(1000, 0.5 * 32 * step)) if step else 0.0
        by_hand = decay * by_hand + (1 - decay) * step
        assert float(average.module.weight) == pytest.approx(by_hand, rel=1e-4, abs=1e-6)


def test_cosine_by_hand() -> None:
    assert cosine(0, 0.1) == pytest.approx(1)
    assert cosine(0.5, 0.1) == pytest.approx(0.55)
    assert cosine(1, 0.1) == pytest.approx(0.1)


@pytest.mark.parametrize(("rule", "share"), [
    ("frequency", 0.25), ("sqrt", 1 / (1 + 3**0.5)), ("uniform", 0.5),
    (1.0, 0.25), (0.5, 1 / (1 + 3**0.5)), (0.0, 0.5), (0.25, 1 / (1 + 3**0.25)),
])  # fmt: skip
def test_label_sampling_follows_its_rule(rule: str | float, share: float) -> None:
    batches = BatchLoader(small(), (), rule, 2000, seed=0)
    _, conditions = batches.draw(0, CPU)
    assert float((conditions[:, 0] == 1).float().mean()) == pytest.approx(share, abs=0.04)


SMALL = {
    "dcgan": {"r1": 0.1, "penalty_every": 2, "lecam": 0.1, "label_noise": 0.1, "late_conditioning": 0.5},
    "gan": {"feature_matching": 1.0, "mode_seeking": 0.1, "instance_noise": 0.1, "label_smoothing": 0.1, "hidden": 32},
    "wgan": {"critic_steps": 2},
    "wgan_gp": {"critic_steps": 2},
    "r3gan": {"width": 8, "widest": 16},
    "flow": {"width": 8, "widest": 16, "sampling_steps": 2, "label_dropout": 0.2, "guidance": 2.0},
    "translator": {
        "width": 8,
        "blocks": 1,
        "noise": 3,
        "mask": True,
        "contrast": 0.1,
        "replay": 2,
        "mode_seeking": 0.1,
    },
    "projected": {"width": 4, "widest": 16, "judge_width": 16},
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


@pytest.mark.parametrize("name", trainable(RECIPES))
def test_a_training_cut_off_goes_on_to_the_same_bytes(name: str, tmp_path) -> None:
    data = small(80)  # a translator wants twenty images of a class
    plan = planned(data, recipe=name, steps=6, overrides=SMALL.get(name, {}))
    uninterrupted = train_plan(plan, data, tmp_path / "whole", checkpoint_every=1e-9)

    interrupted(plan, data, tmp_path / "cut", 3)
    assert train_plan(plan, data, tmp_path / "cut", checkpoint_every=1e-9).weights == uninterrupted.weights
    assert (tmp_path / "cut" / "log.jsonl").read_text().count("\n") == 6


@pytest.mark.parametrize("loss", ["non_saturating", "minimax", "least_squares", "relativistic"])
def test_simultaneous_updates_get_the_generators_gradient_from_one_pass(loss: str, monkeypatch) -> None:
    torch.manual_seed(0)
    networks = build("dcgan", {}, (1, 12, 12), (2,))
    rule = recipe("dcgan", {"loss": loss, "simultaneous": True, "r1": 0.1})
    trainer = AdversarialTrainer(*networks, rule, policy("diffaugment_light"), seed=1, device=CPU, precision="fp32")
    micro = MicroBatch(torch.rand(8, 1, 12, 12), torch.arange(8)[:, None] % 2, progress=0.0, seed=1, number=0)
    fake = trainer._fakes(micro)
    augmented = trainer.view(torch.cat([micro.real, fake]), "augment", micro)
    on_real, on_fake = torch.split(trainer.discriminator(augmented, micro.conditions.repeat(2, 1)), 8)
    generator_loss = trainer.loss.generator(on_real.detach(), on_fake)
    expected = torch.autograd.grad(generator_loss, list(trainer.generator.parameters()))
    monkeypatch.setattr(trainer.state, "step", lambda *names: None)
    losses = trainer.train_step(0, 0.0, lambda number: (micro.real, micro.conditions))
    for parameter, gradient in zip(trainer.generator.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-7)
    assert losses["loss_g"].item() == pytest.approx(generator_loss.item(), rel=1e-5)


def test_losses_that_are_no_numbers_send_it_back_to_the_last_good_state_at_half_the_rates(monkeypatch) -> None:
    from augury.training import adversarial

    data, events, broken = small(), [], [5]
    plan = planned(data, recipe="dcgan", steps=8)
    original_fakes = adversarial.AdversarialTrainer._fakes

    def breaks(self, micro):
        if broken and micro.number == broken[0]:
            broken.pop()
            with torch.no_grad():
                next(self.discriminator.parameters()).fill_(float("nan"))
        return original_fakes(self, micro)

    monkeypatch.setattr(adversarial.AdversarialTrainer, "_fakes", breaks)
    synthesizer = train_plan(plan, data, on_event=events.append)
    assert events == ["losses were no longer finite: rollback to step 5, learning rates halved (rollback 1 of 3)"]
    assert np.isfinite(np.frombuffer(synthesizer.weights[-400:], np.float32)).all()


def test_non_finite_weights_of_the_last_update_are_never_returned(monkeypatch, tmp_path) -> None:
    """The losses of the step that spoils them are finite: they were computed before it."""
    from augury.training.train_state import TrainState

    data, events, broken = small(), [], [2]
    plan = planned(data, recipe="dcgan", steps=6)
    original_step, steps = TrainState.step, []

    def spoils(self, *names):
        original_step(self, *names)
        steps.append(names)
        if broken and len(steps) == 2 * broken[0] + 2:  # the generator's third
            broken.pop()
            with torch.no_grad():
                next(self.networks["generator"].parameters())[0].fill_(float("nan"))

    monkeypatch.setattr(TrainState, "step", spoils)
    synthesizer = train_plan(plan, data, tmp_path, checkpoint_every=1e-9, on_event=events.append)
    assert events == ["weights were no longer finite: rollback to step 2, learning rates halved (rollback 1 of 3)"]
    assert all(tensor.isfinite().all() for tensor in synthesizer.generator.state_dict().values())
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(row["step"], list(row["warnings"].values())) for row in log if "warnings" in row] == [(3, events)]


def test_a_checkpoint_whose_weights_are_no_numbers_is_passed_over(tmp_path) -> None:
    data = small()
    plan = planned(data, recipe="dcgan", steps=4)
    uninterrupted = train_plan(plan, data, tmp_path, checkpoint_every=1e-9)
    newest = max(tmp_path.glob("checkpoint-*"))
    tensors, facts = checkpoints.load(newest)
    tensors["generator.first.weight"].fill_(float("inf"))
    checkpoints.save(newest, tensors, facts)
    assert train_plan(plan, data, tmp_path, checkpoint_every=1e-9).weights == uninterrupted.weights


@pytest.mark.parametrize(
    ("name", "overrides", "rule"),
    [
        ("wgan", {"critic_steps": 1.5}, "critic_steps=1.5, but it must be a whole number"),
        ("dcgan", {"width": 16.5}, "width=16.5, but it must be a whole number"),
        ("dcgan", {"width": 0}, "at least 1"),
        ("dcgan", {"betas": [2, 3]}, "at least 0 and below 1"),
        ("dcgan", {"betas": [0.5, "much"]}, "of the kind of its default"),
        ("dcgan", {"betas": [0.5]}, "of the kind of its default"),
        ("dcgan", {"generator_lr": -1e-3}, "above 0"),
        ("dcgan", {"discriminator_lr": 0}, "above 0"),
        ("dcgan", {"r1": float("nan")}, "at least 0"),
        ("dcgan", {"r1": float("inf")}, "at least 0"),
        ("wgan", {"clip": -0.01}, "at least 0"),
        ("dcgan", {"late_conditioning": 1.5}, "at most 1"),
        ("dcgan", {"label_smoothing": 0.9}, "at most 0.5"),
        ("stylegan", {"mapping_rate": 0.0}, "above 0"),
        ("dcgan", {"scales": 1.5}, "a whole number"),
        ("dcgan", {"scales": 0}, "at least 1"),
        ("dcgan", {"deeper": -1}, "at least 0"),
        ("gan", {"layers": 0}, "at least 1"),
        ("vae", {"kl": -1.0}, "at least 0"),
        ("wgan", {"gradient_penalty": 10}, "set clip=0, or use recipe wgan_gp"),
    ],
)
def test_numbers_out_of_their_range_are_refused(name: str, overrides: dict, rule: str) -> None:
    with pytest.raises(SettingsError, match=rule):
        planned(small(), recipe=name, overrides=overrides)


@pytest.mark.parametrize(
    "setting", ["r1", "r2", "gradient_penalty", "clip", "lecam", "instance_noise", "late_conditioning"]
)
def test_adversarial_settings_are_refused_for_an_autoencoder(setting: str) -> None:
    for name in ("vae", "ae"):
        with pytest.raises(SettingsError, match=f"{setting}=0.1 has no effect: an autoencoder"):
            recipe(name, {setting: 0.1})
        recipe(name, {setting: 0.0})  # what it is anyway


@pytest.mark.parametrize(
    ("name", "overrides", "rule"),
    [
        ("vae", {"critic_steps": 2}, "an autoencoder"),
        ("vae", {"ada_target": 0.6}, "an autoencoder"),
        ("vae", {"spectral_control": 0.1}, "an autoencoder"),
        ("vae", {"label_smoothing": 0.1}, "an autoencoder"),
        ("ae", {"kl": 2.0}, "use recipe vae"),
        ("dcgan", {"kl": 2.0}, "use recipe vae"),
        ("wgan", {"betas": [0.0, 0.9]}, "set optimiser=adam"),
        ("wgan", {"final_rate": 0.5}, "schedule=linear or cosine"),
        ("stylegan", {"final_penalty": 0.5}, "schedule=linear or cosine"),
        ("dcgan", {"auxiliary": 2.0}, "set conditioning=auxiliary"),
        ("dcgan", {"centre": 0.0}, "set gradient_penalty=10"),
        ("dcgan", {"penalty_every": 4}, "set r1, r2 or gradient_penalty"),
        ("stylegan", {"path_every": 8}, "set path_length=2"),
        ("dcgan", {"ada_images": 5000}, "set ada_target=0.6"),
    ],
)
def test_settings_that_would_do_nothing_are_refused(name: str, overrides: dict, rule: str) -> None:
    with pytest.raises(SettingsError, match=f"has no effect: .*{rule}"):
        recipe(name, overrides)


def test_settings_that_do_something_once_others_are_given_are_taken() -> None:
    assert recipe("wgan", {"optimiser": "adam", "betas": [0.0, 0.9]}).betas == (0.0, 0.9)
    assert recipe("wgan", {"schedule": "linear", "final_rate": 0.5}).final_rate == 0.5
    assert recipe("dcgan", {"conditioning": "auxiliary", "auxiliary": 2}).auxiliary == 2
    assert recipe("dcgan", {"r1": 1, "penalty_every": 4}).penalty_every == 4
    assert recipe("wgan", {"clip": 0, "gradient_penalty": 10}).clip == 0
    for name in RECIPES:  # a recipe's own settings are all its own
        assert recipe(name, {}) == RECIPES[name]


@pytest.mark.parametrize("setting", [{"late_conditioning": 0.5}, {"auxiliary": 2.0}, {"conditioning": "auxiliary"}])
def test_what_concerns_classes_is_refused_where_there_are_none(setting: dict) -> None:
    with pytest.raises(SettingsError, match="an unconditional training has no classes"):
        planned(small(), recipe="dcgan", unconditional=True, overrides=setting)


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"recipe": "dcgan", "overrides": {"scales": 3}}, "lower scales"),
        ({"recipe": "dcgan", "overrides": {"colour": 1}}, "no setting 'colour'"),
        ({"recipe": "dcgan", "overrides": {"loss": "magic"}}, "no loss"),
        ({"recipe": "dcgan", "overrides": {"optimiser": "sgd"}}, "no optimiser"),
        ({"recipe": "dcgan", "overrides": {"schedule": "stairs"}}, "no schedule"),
        ({"recipe": "gan", "overrides": {"patch": True}}, "convolutional recipe"),
        ({"recipe": "r3gan", "overrides": {"width": 28}}, "multiples of 16"),
        ({"recipe": "dcgan", "augment": "magic"}, "no augmentation policy"),
        ({"recipe": "vae", "overrides": {"loss": "hinge"}}, "for an autoencoder"),
        ({"recipe": "gan", "overrides": {"spectral_control": 0.1}}, "conditional norms"),
        ({"recipe": "dcgan", "start_from": "nowhere"}, "no synthesizer to start from"),
        ({"recipe": "dcgan", "augment": "none", "overrides": {"augment_p": 0.5}}, "has no effect with augment=none"),
        ({"recipe": "dcgan", "augment": "none", "overrides": {"ada_target": 0.6}}, "ada_target=0 in train.overrides"),
        ({"recipe": "dcgan", "overrides": {"ramp": 0}}, "above 0"),
    ],
)
def test_what_cannot_be_trained_is_refused_when_it_is_settled(settings: dict, rule: str) -> None:
    with pytest.raises((SettingsError, RunFolderError), match=rule):
        resolve_recipe(small(), TrainSettings(**settings), CPU)


def test_an_image_is_the_same_alone_and_among_256(tmp_path) -> None:
    synthesizer = train_plan(planned(small()), small())
    labels = np.arange(256) % 2
    among = synthesizer.sample(labels, seed=5)
    for index in (0, 31, 32, 255):
        single = synthesizer.sample(labels[[index]], seed=5, start=index)
        np.testing.assert_array_equal(single.images[0], among.images[index])
    backwards = synthesizer.sample(labels[::-1], seed=5, indices=np.arange(255, -1, -1))
    np.testing.assert_array_equal(backwards.images[::-1], among.images)
    assert not np.array_equal(synthesizer.sample(labels, seed=6).images, among.images)
    synthesizer.save(tmp_path / "s")
    reloaded = Synthesizer.load(tmp_path / "s")
    assert reloaded.fingerprint == synthesizer.fingerprint
    np.testing.assert_array_equal(reloaded.sample(labels, seed=5).images, among.images)
    assert synthesizer.sample(["b"], seed=1).labels.tolist() == [1]


def test_the_speed_of_the_clock_changes_no_byte(monkeypatch) -> None:
    data, settings = small(), TrainSettings(recipe="dcgan", steps=3, batch=8, overrides=SMALL.get("dcgan", {}))
    trained = []
    for speed in (1.0, 1e6):
        jumps = iter(range(1, 1_000_000))
        for name in ("monotonic", "perf_counter", "time"):
            monkeypatch.setattr(time, name, lambda rush=speed, jumps=jumps: rush * next(jumps) ** 2)
        plan = make_plan(data, settings, seed=3, device=CPU, flips=False)
        trained.append((plan, train_plan(plan, data)))
    assert trained[0][0] == trained[1][0]
    assert trained[0][1].fingerprint == trained[1][1].fingerprint


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
    with pytest.raises(RunFolderError, match="not a synthesizer"):
        Synthesizer.load(tmp_path)
    with pytest.raises(SettingsError, match="no recipe 'x'"):
        planned(data, recipe="x")
    with pytest.raises(DataError, match="no attribute 'stain'"):
        train_plan(planned(data, condition=("stain",)), data)
    with pytest.raises(SettingsError, match="no device"):
        choose_device("tpu")
    with pytest.raises(TrainingError, match="no longer finite"):
        train_plan(planned(data, overrides={"discriminator_lr": 1e30}), data)


def test_a_budget_is_planned_into_steps() -> None:
    plan = planned(small(), steps=None, budget="2s")
    assert (plan.images_per_second and plan.steps == int(2 * plan.images_per_second / 8)) or plan.steps > 0
    assert Plan.from_dict(plan.as_dict()) == plan
