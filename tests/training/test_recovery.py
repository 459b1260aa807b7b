"""The parts of adversarial training: what discriminators are conditioned on, penalties at the right images, adaptation, divided batches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from augury.augment import policy
from augury.errors import SettingsError, TrainingError
from augury.networks import NETWORKS, Discriminator, build
from augury.training import checkpoint_manager, train_plan
from augury.training.adversarial import AdversarialTrainer
from augury.training.batches import BatchLoader
from augury.training.micro_batches import MicroBatch, draw_micro_batches
from augury.training.plan import rarity, set_up
from augury.training.recipes import RECIPES, recipe
from augury.training.schedules import between
from augury.training.train_state import TrainState
from tests.helpers.training_data import CPU, interrupted, planned, small, trainable

ADVERSARIAL = [name for name, parts in NETWORKS.items() if parts.method == "adversarial" and parts.trunk]
DISCRIMINATOR_OPTIONS = {
    "deeper": ({"deeper": 1}, 1),
    "scales": ({"scales": 2}, 2),
    "patch": ({"patch": True}, 4 * 4),
    "auxiliary": ({"conditioning": "auxiliary"}, 1),
    "spectral": ({"spectral": True}, 1),
    "all": ({"deeper": 1, "scales": 2, "patch": True, "conditioning": "auxiliary", "spectral": True}, 2 * 4 * 4),
}


@pytest.mark.parametrize("option", DISCRIMINATOR_OPTIONS)
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_every_discriminator_takes_the_options(name: str, option: str) -> None:
    settings, scores = DISCRIMINATOR_OPTIONS[option]
    if name == "mlp" and settings.get("patch"):
        with pytest.raises(SettingsError, match="convolutional recipe"):
            build(name, settings, (1, 16, 16), (3,))
        return
    _, judge = build(name, settings, (1, 16, 16), (3,))
    default_discriminator = build(name, {}, (1, 16, 16), (3,))[1]
    images, conditions = torch.rand(5, 1, 16, 16), torch.arange(5)[:, None] % 3
    assert judge(images, conditions).shape == (5, scores)
    count = [sum(p.numel() for p in network.parameters()) for network in (judge, default_discriminator)]
    assert count[0] > count[1] or option not in ("deeper", "scales")
    if option == "auxiliary":
        assert torch.equal(judge(images, conditions), judge(images, conditions * 0))
    rule = {"dcgan": "dcgan", "mlp": "gan"}.get(name, name)
    data = small(shape=(1, 16, 16))
    losses = []
    plan = planned(data, recipe=rule, steps=2, overrides={"simultaneous": False, **settings})
    train_plan(plan, data, on_progress=lambda p: losses.append(p.losses))
    assert all(np.isfinite(v) for v in losses[-1].values())


def test_spectral_norm_divides_by_the_largest_singular_value() -> None:
    _, judge = build("stylegan", {"spectral": True, "width": 8}, (1, 16, 16), (2,))
    for _ in range(30):
        judge(torch.rand(4, 1, 16, 16), torch.zeros(4, 1, dtype=torch.long))
    weights = [m.weight.flatten(1) for m in judge.modules() if isinstance(getattr(m, "weight", None), torch.Tensor)]
    largest = [float(torch.linalg.matrix_norm(w.detach(), 2)) for w in weights if w.shape[0] > 2]
    assert len(largest) > 5
    assert np.median(largest) == pytest.approx(1, abs=0.05)


def test_surprise_is_the_cross_entropy_of_each_column() -> None:
    _, judge = build("dcgan", {"conditioning": "auxiliary"}, (1, 16, 16), (3, 2))
    images, conditions = torch.rand(5, 1, 16, 16), torch.tensor([[0, 1], [1, 0], [2, 1], [0, 0], [1, 1]])
    features = judge.features(images)
    each = [
        F.cross_entropy(layer(features[0][:, 0]), conditions[:, i]) for i, layer in enumerate(judge.heads[0].classes)
    ]
    assert judge.auxiliary_loss(features, conditions).item() == pytest.approx(float(sum(each).detach()) / 2, rel=1e-5)


def test_impossible_discriminators_are_refused() -> None:
    for invalid, rule in (({"scales": 4}, "lower scales"), ({"conditioning": "magic"}, "projection, auxiliary")):
        with pytest.raises(SettingsError, match=rule):
            build("dcgan", invalid, (1, 16, 16), (2,))
    with pytest.raises(SettingsError, match="too small"):
        build("dcgan", {}, (1, 7, 16), (2,))
    with pytest.raises(SettingsError, match="simultaneous"):
        recipe("rpgan", {"scales": 2})


def test_clipped_weights_stay_within_their_bound_after_every_step() -> None:
    data = small()
    trainer, batches = set_up(planned(data, recipe="wgan", overrides={"discriminator_lr": 0.01}), data)
    before = max(float(p.detach().abs().max()) for p in trainer.discriminator.parameters())
    for step in range(3):
        trainer.train_step(step, 0.0, lambda number: batches.draw(number, CPU))
        assert max(float(p.detach().abs().max()) for p in trainer.discriminator.parameters()) <= trainer.recipe.clip
    assert before > trainer.recipe.clip


class Line(nn.Module):
    """A discriminator whose gradient is known: scores are a sum of pixels times a weight."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def features(self, images: torch.Tensor, offset: int = 1) -> list[torch.Tensor]:
        return [images.flatten(1).sum(1)[:, None, None]]

    def head(self, features: list[torch.Tensor], conditions: torch.Tensor) -> torch.Tensor:
        return self.weight * features[0][:, :, 0]

    def forward(self, images: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(images), conditions)


def trainer_of_line(
    augment=lambda images, draws: images / 4, name: str = "dcgan", **overrides: object
) -> AdversarialTrainer:
    """A trainer against a line of weight 2, through an augmentation that divides by 4."""
    generator, _ = build("dcgan", {}, (1, 16, 16), (2,))
    return AdversarialTrainer(
        generator, Line(2.0), recipe(name, overrides), augment, seed=0, device=CPU, precision="fp32"
    )


def round_of(number: int = 0, progress: float = 0.0, batch: int = 8, side: int = 16) -> MicroBatch:
    images = torch.rand(batch, 1, side, side, generator=torch.Generator().manual_seed(number))
    return MicroBatch(images, torch.arange(batch)[:, None] % 2, progress, seed=0, number=number)


def test_the_gradient_penalty_is_taken_at_the_images_before_they_are_augmented() -> None:
    """‖∇‖ = √256 · 2 / 4 = 8, wherever between real and fake."""
    micro, no_conditions = round_of(), torch.zeros(8, 1)
    for centre, expected in ((1.0, (8 - 1) ** 2), (0.0, 8**2)):
        penalty = trainer_of_line(gradient_penalty=3.0, centre=centre)._penalty(
            micro, micro.real / 2, no_conditions, no_conditions
        )
        assert penalty.item() == pytest.approx(3 * expected, rel=1e-4)


@pytest.mark.parametrize("name", ["r1", "r2", "gradient_penalty"])
def test_lazy_penalties_come_every_so_many_updates_at_as_many_times_their_weight(name: str) -> None:
    eager, lazy = trainer_of_line(**{name: 0.5}), trainer_of_line(**{name: 0.5, "penalty_every": 3})
    no_conditions = torch.zeros(8, 1)
    for number in range(7):
        micro = round_of(number)
        eager_penalty, lazy_penalty = (
            trainer._penalty(micro, micro.real / 2, no_conditions, no_conditions).item() for trainer in (eager, lazy)
        )
        assert lazy_penalty == pytest.approx(3 * eager_penalty if number % 3 == 0 else 0.0) and eager_penalty > 0


@pytest.mark.parametrize(("critics", "every"), [(1, 3), (2, 2), (2, 4), (5, 4)])
def test_path_length_comes_every_so_many_steps_of_the_generator(critics: int, every: int, monkeypatch) -> None:
    """Also where its steps have numbers of the critic's that are no multiple of the period."""
    data, weights = small(), []
    changes = {"path_length": 2.0, "path_every": every, "critic_steps": critics, "width": 8, "latent": 8}
    trainer, batches = set_up(planned(data, recipe="stylegan", overrides=changes), data)
    monkeypatch.setattr(
        AdversarialTrainer, "_path", lambda self, micro: weights.append(micro.number) or torch.tensor(1.0)
    )
    for step in range(2 * every):
        trainer.train_step(step, 0.0, lambda number: batches.draw(number, CPU))
    assert weights == [critics - 1, (every + 1) * critics - 1]


def test_a_share_of_the_images_has_two_styles_that_change_at_a_layer() -> None:
    changes = {"style_mixing": 0.7, "width": 8, "latent": 8}
    data = small(shape=(1, 16, 16))
    trainer, _ = set_up(planned(data, recipe="stylegan", overrides=changes), data)
    style_inputs = []
    trainer.generator.synthesise = lambda w, noise: style_inputs.append(w) or noise
    micro = round_of(batch=2000)
    trainer._fakes(micro)
    styles = trainer.generator.styles(micro.normal("noise", trainer.generator.latent), micro.conditions)
    other = trainer.generator.styles(micro.normal("second", trainer.generator.latent), micro.conditions)
    (w,) = style_inputs
    unchanged = (w == styles).all(2)
    assert torch.equal(w[~unchanged], other[~unchanged]) and unchanged[:, 0].all()
    assert (unchanged.long().diff(dim=1) <= 0).all()  # once it has changed it stays so
    mixed = ~unchanged[:, -1]
    assert mixed.float().mean().item() == pytest.approx(0.7, abs=0.04)
    changes_at = unchanged[mixed].sum(1)
    assert changes_at.unique().tolist() == list(range(1, w.shape[1]))
    assert changes_at.float().mean().item() == pytest.approx(w.shape[1] / 2, abs=0.1)


def test_real_and_fake_images_are_not_compared_with_each_other() -> None:
    """With a batch of 6 in groups of 4, the scores of real images are those they have without the fakes."""
    data = small(shape=(1, 16, 16))
    plan = planned(data, recipe="stylegan", batch=6, augment="none", overrides={"width": 8, "ada_target": 0.0})
    trainer, _ = set_up(plan, data)
    micro = replace(round_of(batch=6), seed=plan.seed)
    with torch.no_grad():
        separate = [
            float(trainer.discriminator(x, micro.conditions).mean()) for x in (micro.real, trainer._fakes(micro))
        ]
    losses = trainer.train_step(0, 0.0, lambda number: (micro.real, micro.conditions))
    assert [float(losses[name]) for name in ("score_real", "score_fake")] == pytest.approx(separate, rel=1e-4)


def test_the_auxiliary_classes_weigh_in_as_the_condition_does(monkeypatch) -> None:
    data = small(shape=(1, 16, 16))
    changes = {"conditioning": "auxiliary", "auxiliary": 1.5}
    gradients = {}
    for name, start_fraction, progress in (
        ("whole", 0.0, 0.1),
        ("none", 0.4, 0.0),
        ("quarter", 0.4, 0.1),
        ("late", 0.4, 0.5),
    ):
        trainer, _ = set_up(
            planned(data, recipe="dcgan", overrides={**changes, "late_conditioning": start_fraction}), data
        )
        monkeypatch.setattr(trainer, "_ramp_conditions", lambda strength: None)  # the same fakes for all
        weight = trainer.discriminator.heads[0].classes[0].weight
        updates = [lambda: gradients.update({name: weight.grad.clone()}), lambda: None]  # noqa: B023
        monkeypatch.setattr(trainer.state, "step", lambda *names: updates.pop(0)())  # noqa: B023
        micro = round_of()
        trainer.train_step(0, progress, lambda number: (micro.real, micro.conditions))  # noqa: B023
    assert not gradients["none"].any() and gradients["whole"].any()
    scale = gradients["whole"].abs().max()
    torch.testing.assert_close(gradients["late"], gradients["quarter"] * 4, atol=float(scale) * 1e-4, rtol=1e-4)


@pytest.mark.parametrize("recipe_name", ["dcgan", "rpgan", "stylegan"])
def test_an_auxiliary_classifier_is_trained_in_bf16_too(recipe_name: str) -> None:
    data = small(shape=(1, 16, 16))
    changes = {"conditioning": "auxiliary", "simultaneous": False, "width": 8}
    plan = planned(data, recipe=recipe_name, precision="bf16", overrides=changes)
    trainer, batches = set_up(plan, data)
    losses = trainer.train_step(0, 0.0, lambda number: batches.draw(number, CPU))
    assert all(np.isfinite(float(v)) for v in losses.values())


@pytest.mark.parametrize("name", ["r1", "r2"])
def test_gradient_penalties_are_taken_at_the_images_before_augmentation(name: str) -> None:
    """Through an augmentation that divides by 4, D(T(x)) has a quarter of D's gradient: ‖∇‖²/2 = 16² pixels · (w/4)² / 2."""
    generator, _ = build("dcgan", {}, (1, 16, 16), (2,))
    rule = recipe("dcgan", {name: 3.0, "final_penalty": 0.5, "schedule": "linear"})
    trainer = AdversarialTrainer(
        generator, Line(2.0), rule, lambda images, draws: images / 4, seed=0, device=CPU, precision="fp32"
    )
    images = torch.rand(8, 1, 16, 16)
    for progress, factor in ((0.0, 1.0), (0.5, 0.75), (1.0, 0.5)):
        micro = MicroBatch(images, torch.zeros(8, 1, dtype=torch.long), progress, seed=0, number=0)
        penalty = trainer._penalty(micro, images, torch.zeros(8, 1), torch.zeros(8, 1))
        assert penalty.item() == pytest.approx(factor * 3.0 * 256 * (2.0 / 4) ** 2 / 2, rel=1e-5)


def test_adaptive_probability_follows_the_share_of_recognised_real_images() -> None:
    data = small()
    plan = planned(data, recipe="stylegan", overrides={"width": 8, "ada_images": 320})
    trainer, _ = set_up(plan, data)
    confident, unconfident = torch.ones(8, 1), torch.tensor([[1.0], [-1.0]] * 4)
    for number in range(8):
        trainer.view.observe(confident, -confident)
        trainer.view.adapt(number, 8)
    assert float(trainer.view.extra["p"]) == pytest.approx(2 * 4 * 8 / 320)
    for number in range(8, 12):
        trainer.view.observe(unconfident, unconfident)
        trainer.view.adapt(number, 8)
    assert float(trainer.view.extra["p"]) == pytest.approx(4 * 8 / 320)
    paired = AdversarialTrainer(
        *build("dcgan", {}, (1, 12, 12), (2,)),
        recipe("dcgan", {"loss": "relativistic", "ada_target": 0.5}),
        policy("ada"),
        seed=0,
        device=CPU,
        precision="fp32",
    )
    paired.view.observe(torch.tensor([[3.0], [1.0]]), torch.tensor([[2.0], [2.0]]))
    assert paired.view.extra["signs"].tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("overrides", "augment", "rule"),
    [
        (
            {"loss": "wasserstein", "gradient_penalty": 1.0, "ada_target": 0.6},
            policy("ada"),
            "ada_target=0 and .*augment=diffaugment_light",
        ),
        ({"ada_target": 0.6}, lambda images, draws: images, "keyword p"),
        ({"spectral_control": 0.1, "conditional_norm": False}, policy("none"), ""),
    ],
)
def test_what_cannot_adapt_or_be_controlled_is_refused(overrides: dict, augment, rule: str) -> None:
    networks = build("mlp" if not rule else "dcgan", {}, (1, 12, 12), (2,))
    with pytest.raises(SettingsError, match=rule or "conditional norms"):
        AdversarialTrainer(*networks, recipe("dcgan", overrides), augment, seed=0, device=CPU, precision="fp32")


def test_a_scheduled_probability_and_beta_move_along_the_schedule() -> None:
    assert between("cosine", 0.5, 0.0, 0.4) == pytest.approx(0.2)
    assert between("linear", 0.25, 1.0, 0.0) == pytest.approx(0.75)
    assert between("constant", 0.9, 0.3, 1.0) == 0.3
    data = small()
    trainer, batches = set_up(
        planned(data, recipe="r3gan", overrides={"width": 8, "betas": [0.0, 0.9], "final_beta2": 0.99}), data
    )
    trainer.train_step(0, 0.5, lambda number: batches.draw(number, CPU))
    assert trainer.state.optimisers["generator"].param_groups[0]["betas"] == pytest.approx((0.0, 0.945))


def test_spectral_control_shrinks_the_gains_of_rare_classes() -> None:
    data = small()
    weights = rarity(data)
    assert weights[1] == 1 and weights[0] == pytest.approx((1 - 0.99**10) / (1 - 0.99**30), rel=1e-5)
    plan = planned(data, recipe="dcgan", overrides={"spectral_control": 1.0})
    trainer, _ = set_up(plan, data)
    trainer.state.backward(trainer._spectral())
    before = trainer._spectral().item()
    trainer.state.step("generator")
    assert trainer._spectral().item() < before
    assert trainer.generator.gains(2)[0].shape[0] == 2
    train_plan(plan, data)


def test_norms_that_no_class_conditions_cannot_be_controlled() -> None:
    with pytest.raises(SettingsError, match="conditional_norm=true"):
        planned(small(), recipe="dcgan", overrides={"spectral_control": 0.1, "conditional_norm": False})


def test_the_remedy_for_a_loss_whose_scores_have_no_sign_works() -> None:
    data, changes = small(), {"loss": "wasserstein", "gradient_penalty": 1.0, "width": 8}
    with pytest.raises(SettingsError, match=r"ada_target=0 and .*augment=diffaugment_light"):
        planned(data, recipe="stylegan", overrides=changes)
    remedy = {"overrides": {**changes, "ada_target": 0.0}, "augment": "diffaugment_light"}
    train_plan(planned(data, recipe="stylegan", steps=2, **remedy), data)


@pytest.mark.parametrize("settings", [{"recipe": "stylegan", "overrides": {"ada_target": 0.0}}, {"augment": "ada"}])
def test_all_of_adas_changes_at_every_image_are_refused(settings: dict) -> None:
    with pytest.raises(SettingsError, match="at a p of 1"):
        planned(small(), **settings)
    assert planned(small(), augment="ada", overrides={"augment_p": 0.3}).augment == "ada"


@pytest.mark.parametrize("phase", ["discriminator", "generator"])
def test_a_training_that_ran_out_of_memory_in_either_phase_continues_as_if_it_had_started_split(
    phase: str, monkeypatch
) -> None:
    data, events = small(), []
    plan = planned(data, recipe="dcgan", steps=6)
    trainer, batches = set_up(plan, data)
    trainer.state.extra["parts"].fill_(2)
    for step in range(6):
        trainer.train_step(step, step / 6, lambda number: batches.draw(number, CPU))
    original_head = Discriminator.head

    def cramped(self, features, conditions):
        frozen = not next(self.parameters()).requires_grad
        if frozen == (phase == "generator") and len(conditions) > (4 if frozen else 8):
            raise torch.OutOfMemoryError("no room")
        return original_head(self, features, conditions)

    monkeypatch.setattr(Discriminator, "head", cramped)
    trained = train_plan(plan, data, on_event=events.append)
    assert len(events) == 1 and "split into 2 micro-batches" in events[0]
    for name, tensor in trainer.state.average.module.state_dict().items():
        assert torch.equal(trained.generator.state_dict()[name], tensor), name


def test_a_budget_is_measured_in_the_parts_that_fit_into_memory(monkeypatch) -> None:
    data, sizes = small(), []
    original_fakes = AdversarialTrainer._fakes

    def cramped(self, micro):
        sizes.append(len(micro.real))
        if len(micro.real) > 2:
            raise torch.OutOfMemoryError("no room")
        return original_fakes(self, micro)

    monkeypatch.setattr(AdversarialTrainer, "_fakes", cramped)
    plan = planned(data, recipe="dcgan", steps=None, budget="1s")
    assert plan.images_per_second > 0
    assert sizes[:3] == [8, 4, 2] and set(sizes[3:]) == {2}
    monkeypatch.setattr(AdversarialTrainer, "_fakes", lambda self, micro: original_fakes(self, None))
    with pytest.raises(AttributeError):
        planned(data, recipe="dcgan", steps=None, budget="1s")


def test_a_batch_that_does_not_fit_into_memory_is_split(monkeypatch, tmp_path) -> None:
    data, events = small(), []
    plan = planned(data, recipe="dcgan", steps=6)
    original_fakes = AdversarialTrainer._fakes

    def cramped(self, micro):
        if len(micro.real) > 4:
            raise torch.OutOfMemoryError("no room")
        return original_fakes(self, micro)

    monkeypatch.setattr(AdversarialTrainer, "_fakes", cramped)
    reference = train_plan(plan, data, tmp_path / "a", on_event=events.append)
    assert len(events) == 1 and "split into 2 micro-batches" in events[0]

    interrupted(plan, data, tmp_path / "b", 3)
    assert train_plan(plan, data, tmp_path / "b", checkpoint_every=1e-9).weights == reference.weights
    monkeypatch.setattr(AdversarialTrainer, "_fakes", lambda self, micro: original_fakes(self, None))
    with pytest.raises(AttributeError):  # other errors are not taken for a lack of memory
        train_plan(plan, data)


def test_gradients_of_micro_batches_add_up_to_those_of_the_whole_batch() -> None:
    data = small()
    trainer, batches = set_up(planned(data, recipe="r3gan", overrides={"width": 8}), data)
    full_batch = draw_micro_batches(lambda number: batches.draw(number, CPU), 0.0, 0, 0, parts=1)[0]
    trainer.state.backward(trainer.discriminator(full_batch.real, full_batch.conditions).mean())
    expected = [p.grad.clone() for p in trainer.discriminator.parameters() if p.grad is not None]
    trainer.state.optimisers["discriminator"].zero_grad()
    for micro in draw_micro_batches(lambda number: batches.draw(number, CPU), 0.0, 0, 0, parts=4):
        trainer.state.backward(trainer.discriminator(micro.real, micro.conditions).mean() / micro.parts)
    gradients = [p.grad for p in trainer.discriminator.parameters() if p.grad is not None]
    for a, b in zip(gradients, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    with pytest.raises(TrainingError, match="no memory is left"):
        draw_micro_batches(lambda number: batches.draw(number, CPU), 0.0, 0, 0, parts=8)


@pytest.mark.parametrize("loss", ["minimax", "non_saturating", "hinge", "least_squares", "relativistic", "wasserstein"])
@pytest.mark.parametrize(
    "name", trainable(n for n, r in RECIPES.items() if NETWORKS[r.network].method == "adversarial")
)
def test_every_network_trains_with_every_loss(name: str, loss: str) -> None:
    data = small()
    changes = {"loss": loss, "clip": 0.0, "ada_target": 0.0, "simultaneous": False}
    changes |= {"width": 8} if name in ("r3gan", "stylegan", "projected") else {}
    changes |= {"r1": 0.0} if name == "projected" else {"r1": 0.1}
    plan = planned(data, recipe=name, steps=2, overrides=changes, augment="diffaugment_light")
    rows = []
    train_plan(replace(plan, batch=4), data, on_progress=lambda p: rows.append(p.losses))
    assert all(np.isfinite(v) for v in rows[-1].values())
    assert 0 <= rows[-1]["pairwise_accuracy"] <= 1


def test_a_fixed_chance_of_augmentation_stays_where_it_was_set() -> None:
    assert recipe("rpgan", {"augment_p": 0.3}).final_augment_p == 0.3
    assert recipe("rpgan", {"augment_p": 0.3, "final_augment_p": 0.7}).final_augment_p == 0.7
    with pytest.raises(SettingsError, match="p of 1"):
        planned(small(), augment="ada", overrides={"augment_p": 0.3, "final_augment_p": 1.0})


def test_an_autoencoder_is_shown_images_as_they_are() -> None:
    with pytest.raises(SettingsError, match="reconstruct the augmented images"):
        planned(small(), recipe="vae", augment="diffaugment")


def test_no_memory_at_all_ends_with_a_remedy(monkeypatch) -> None:
    data, events, plan = small(), [], planned(small(), recipe="dcgan", steps=4)

    def full(self, step, device, *processes):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(BatchLoader, "draw", full)
    with pytest.raises(TrainingError, match="use a smaller --size"):
        train_plan(plan, data, on_event=events.append)
    assert len(events) == 2  # 8 images in 2 and in 4 parts
    with pytest.raises(TrainingError, match="use a smaller --size"):
        planned(data, recipe="dcgan", steps=None, budget="1s")


def test_images_for_which_a_device_has_no_room_come_from_the_main_memory(monkeypatch) -> None:
    batches, device = set_up(planned(small(), recipe="dcgan"), small())[1], torch.device("meta")
    monkeypatch.setattr(torch, "empty", lambda *a, **k: (_ for _ in ()).throw(torch.OutOfMemoryError("no room")))
    assert batches.draw(0, device)[0].shape[0] == 8 and batches.resident is None


def test_weights_that_cannot_be_decomposed_are_no_crash(monkeypatch) -> None:
    data, events = small(), []
    plan = planned(data, recipe="dcgan", steps=4, overrides={"spectral_control": 0.1})
    original_step, calls = AdversarialTrainer.train_step, []

    def once(self, number, progress, draw):
        calls.append(number)
        if len(calls) == 3:
            for parameter in self.state.networks["generator"].parameters():
                parameter.data.fill_(float("nan"))
        return original_step(self, number, progress, draw)

    monkeypatch.setattr(AdversarialTrainer, "train_step", once)
    train_plan(plan, data, on_event=events.append)
    assert any("weights were no longer finite" in text for text in events)


def test_without_a_folder_a_late_checkpoint_is_due_once(monkeypatch) -> None:
    data, events = small(), []
    original_check = TrainState.all_finite
    monkeypatch.setattr(TrainState, "all_finite", lambda self: events.append(1) or original_check(self))
    clock = iter(range(0, 10_000_000, 7))  # every look at the clock is seven seconds later
    monkeypatch.setattr(checkpoint_manager.time, "monotonic", lambda: float(next(clock)))
    train_plan(planned(data, recipe="gan", steps=200), data, checkpoint_every=1000)
    assert len(events) < 60


def test_the_gradient_penalty_of_stylegan_grows_with_the_image() -> None:
    sizes = ((16, 16), (256, 256))
    weights = [planned(small(shape=(1, *size)), recipe="stylegan", batch=4).rule.r1 for size in sizes]
    assert weights == [0.05, pytest.approx(0.0002 * 256 * 256 / 4)]
    assert planned(small(shape=(1, 256, 256)), recipe="stylegan", overrides={"r1": 0.1}).rule.r1 == 0.1
