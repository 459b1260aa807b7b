"""Fine-tuning: what is frozen when, how fast layers learn, and that a pretrained network beats one from scratch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from augury.errors import SettingsError
from augury.images import LabelledImages
from augury.networks import Backbone, lite0_installed
from augury.proof import fit, prove
from augury.proof.arms import ARMS
from augury.proof.finetune import BACKBONE_RATE, PretrainedBuild, PretrainedClassifier, resized
from augury.proof.learners import Network, code_of, learner
from augury.proof.train_config import TrainConfig
from augury.settings import ProveSettings
from tests.helpers.tiny_data import tiny
from tests.proof.test_arms_contract import PART, PLAIN, trainings

CPU = torch.device("cpu")
SIDE = 32


def tiny_backbone(seed: int = 0, channels: int = 3) -> Backbone:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        inner = nn.Sequential(
            nn.Conv2d(channels, 8, 5, 2, padding=2), nn.BatchNorm2d(8), nn.ReLU(),
            nn.Conv2d(8, 16, 3, 2, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Dropout(0.5),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        )  # fmt: skip
    return Backbone("tiny", inner, dimension=16, side=SIDE, mean=(127.5,), deviation=(127.5,))


def stripes(angles: tuple[float, ...], count: int, seed: int) -> LabelledImages:
    """Noisy stripes, a class for each angle, at random phase and wavelength."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(angles)), count)
    y, x = np.mgrid[:SIDE, :SIDE]
    turned = np.radians(np.array(angles))[labels, None, None]
    phase, wavelength = random.uniform(0, 6.3, (len(labels), 1, 1)), random.uniform(5, 8, (len(labels), 1, 1))
    waves = np.sin(2 * np.pi * (np.cos(turned) * x + np.sin(turned) * y) / wavelength + phase)
    images = 128 + 40 * waves + random.normal(0, 60, waves.shape)
    return LabelledImages(np.clip(images, 0, 255).astype(np.uint8)[:, None], labels, tuple("abcdefgh"[: len(angles)]))


def bytes_of(module: nn.Module) -> list[bytes]:
    return [value.detach().numpy().tobytes() for value in module.state_dict().values()]


def fitted(config: TrainConfig, train: LabelledImages | None = None, seed: int = 0) -> PretrainedClassifier:
    train = tiny(size=SIDE) if train is None else train
    return fit(train, config, seed=seed, device=CPU, build=PretrainedBuild(tiny_backbone(), train.shape))  # type: ignore[no-any-return]


def test_the_first_phase_trains_the_last_layer_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("augury.proof.finetune.HEAD_SHARE", 1.0)
    before = PretrainedBuild(tiny_backbone(), (1, SIDE, SIDE))(1, 3)
    after = fitted(TrainConfig(steps=6, batch=16, decay=0.5))
    assert bytes_of(after.backbone) == bytes_of(before.backbone)  # weights and batch-norm statistics
    assert not torch.equal(after.last.weight, fitted(TrainConfig(steps=1, batch=16)).last.weight)


def test_pretrained_layers_learn_at_a_lower_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("augury.proof.finetune.HEAD_SHARE", 0.0)
    unlearned, learned = (fitted(TrainConfig(steps=1, batch=16, rate=rate, decay=0.0)) for rate in (0.0, 1e-2))
    names = dict(unlearned.named_parameters())
    steps = {name: float((value - names[name]).abs().max()) for name, value in learned.named_parameters()}
    # the first step of Adam moves a weight by the learning rate, whatever the gradient
    assert steps["last.weight"] == pytest.approx(1e-2, rel=1e-3)
    assert steps["backbone.inner.0.weight"] == pytest.approx(1e-2 * BACKBONE_RATE, rel=1e-3)


def test_weight_decay_leaves_out_norms_and_biases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("augury.proof.finetune.HEAD_SHARE", 0.0)
    undecayed, decayed = (dict(fitted(TrainConfig(steps=1, batch=16, decay=d)).named_parameters()) for d in (0.0, 9.0))
    changed = {name for name in undecayed if not torch.equal(undecayed[name], decayed[name])}
    assert changed == {"backbone.inner.0.weight", "backbone.inner.3.weight", "last.weight"}


@pytest.mark.parametrize("batch", [2, 32])
def test_batch_norm_keeps_its_statistics_and_learns_its_weights(batch: int) -> None:
    norm: Any = fitted(TrainConfig(steps=5, batch=batch)).backbone.inner[1]
    original: Any = tiny_backbone().inner[1]
    assert torch.equal(norm.running_mean, original.running_mean) and torch.equal(norm.running_var, original.running_var)
    assert not torch.equal(norm.weight, original.weight)


def test_a_pretrained_network_beats_the_same_from_scratch() -> None:
    rich = stripes((10, 30, 55, 75, 100, 120, 145, 165), 40, 0)
    few, test = stripes((0, 20, 40, 60, 80), 2, 1), stripes((0, 20, 40, 60, 80), 30, 2)
    scratch = tiny_backbone()

    class Whole(nn.Module):
        """The same layers, trained as any network."""

        draws = False

        def __init__(self, channels: int, classes: int) -> None:
            super().__init__()
            self.backbone, self.last = tiny_backbone(), nn.Linear(16, classes)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.backbone(x))  # type: ignore[no-any-return]

    config = TrainConfig(steps=150, batch=32, rate=1e-2)
    pretrained = fit(rich, config, seed=0, device=CPU, build=Whole).backbone
    accuracy = {}
    for name, classifier in (
        ("pretrained", pretrained),
        ("the same recipe from random weights", scratch),
        ("plain", Whole),
    ):
        model = learner(classifier, few.shape, CPU)
        predictions = model.predicted([few] * 2, TrainConfig(steps=60, batch=16, rate=1e-2), (0, 1), test.images)
        accuracy[name] = np.mean([(p.argmax(1) == test.labels).mean() for p in predictions])
    assert accuracy["pretrained"] > 0.15 + max(v for name, v in accuracy.items() if name != "pretrained"), accuracy


def test_seeds_give_the_same_again_in_threads_or_one_after_the_other() -> None:
    train, state = tiny(size=SIDE), torch.random.get_rng_state()
    config = TrainConfig(steps=8, batch=16, balanced=True)
    build = PretrainedBuild(tiny_backbone(), train.shape)
    threaded, repeated, sequential = (
        np.stack(list(Network(build, CPU, way=mode).predicted([train] * 3, config, (0, 1, 2), train.images)))
        for mode in ("auto", "auto", "sequential")
    )
    np.testing.assert_array_equal(threaded, repeated)
    np.testing.assert_allclose(threaded, sequential, atol=1e-5)
    assert not np.allclose(threaded[0], threaded[1])
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("arm", [name for name in PLAIN if not ARMS[name].network and not ARMS[name].pretrained])
def test_every_arm_fine_tunes(arm: str) -> None:
    def measured_rows() -> list[dict[str, Any]]:
        subject = trainings(classifier_object=tiny_backbone())
        assert isinstance(subject.learner, Network) and subject.select([arm]) == (arm,)
        return subject.measured("test", arm, 0.5, (0,), PART)

    assert measured_rows() == measured_rows()


def test_a_trial_fine_tunes() -> None:
    verdict = prove(
        tiny(), tiny((6, 6, 6), 1), PART, tiny(seed=5),
        ProveSettings(arms=("balanced", "gan"), seeds=2, steps=4, batch=8, ratios=(1.0,)), classifier=tiny_backbone(),
    )  # fmt: skip
    assert set(verdict.arms) == {"balanced", "gan"}


def test_images_keep_their_size_unless_the_network_needs_another() -> None:
    assert [tuple(resized(torch.zeros(1, 1, h, w), side).shape[2:]) for h, w, side in (
        (48, 64, None), (512, 300, None), (16, 24, None), (48, 64, 56),
    )] == [(48, 64), (512, 300), (32, 48), (56, 56)]  # fmt: skip

    class OneSize(nn.Module):
        """As a vision transformer, whose positions are those of one size."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3 * 40 * 40, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x.flatten(1))  # type: ignore[no-any-return]

    def build(dimension: int) -> PretrainedBuild:
        network = Backbone("one size", OneSize(), dimension=dimension, side=40, mean=(0.0,), deviation=(1.0,))
        return PretrainedBuild(network, (1, 10, 10))

    assert build(5).side == 40 and build(5)(1, 2)(torch.zeros(3, 1, 10, 10)).shape == (3, 2)
    assert PretrainedBuild(tiny_backbone(), (1, 10, 10)).side is None
    with pytest.raises(SettingsError, match=r"gives \[2, 5\], but must give \[2, 6\]"):
        build(6)(1, 2)


def test_names() -> None:
    with pytest.raises(SettingsError, match="no pretrained network 'vgg'; choose one of: lite0, timm:NAME"):
        next(
            iter(learner("finetune:vgg", (1, 10, 10), CPU).predicted([tiny()], TrainConfig(steps=1), (0,), PART.images))
        )
    with pytest.raises(SettingsError, match="finetune also with a pretrained network"):
        learner("probe", (1, 10, 10), CPU)


def test_the_file_of_weights_is_part_of_a_trial(tmp_path: Any) -> None:
    file = tmp_path / "weights.pt"
    codes = set()
    for content in (b"a", b"b"):
        file.write_bytes(content)
        codes.add(code_of(f"finetune:timm:resnet18={file}"))
    assert len(codes) == 2 and code_of("finetune") == ""


@pytest.mark.skipif(not lite0_installed(), reason="the extra 'features' is not installed")
def test_lite0_is_fine_tuned_by_name() -> None:
    train = tiny((4, 4), size=SIDE)
    model = learner("finetune", train.shape, CPU)
    assert isinstance(model, Network)
    first, second = (
        next(iter(model.predicted([train], TrainConfig(steps=2, batch=16), (0,), train.images))) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)  # Lite0's stochastic depth is off
