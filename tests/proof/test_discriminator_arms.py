"""Classifiers that begin as a discriminator: what they begin with, that it counts, and where there is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import augury
from augury.errors import DataError, RunFolderError, SettingsError
from augury.images import LabelledImages
from augury.networks import OnDiscriminator
from augury.pipeline.stages import advance, opened
from augury.proof import TrainConfig, fit, image_hashes, prove
from augury.proof.judgement import judge
from augury.proof.measures import measures
from augury.report import badge, wording
from augury.settings import ProveSettings, RunSettings, TrainSettings
from augury.training import PretrainedBackbone, as_float, choose_device, layers, make_plan, train_plan
from augury.training.plan import set_up
from augury.validation import validated
from augury.verdict import Verdict
from tests.helpers.proof_data import both, part, synthetic
from tests.helpers.tiny_data import random_layers

CPU = torch.device("cpu")
TRAIN, VALIDATION, TEST = part((40, 40), 0, (8, 3)), part((20, 20), 1), part((150, 150), 2)
NONE = synthetic(*both((1, 1), (8, 8), 9)).take(np.empty(0, int))
RANDOM_INIT = PretrainedBackbone("dcgan", {"width": 8}, (1, 8, 8), {}, random_init=True)
OWN = ("discriminator_init", "discriminator_random", "classical")


def trained(recipe: str, folder: Path, overrides: dict[str, object] | None = None) -> tuple[object, object]:
    """The layers after two steps, or why there are none, and the plan."""
    plan = make_plan(
        TRAIN,
        TrainSettings(recipe=recipe, steps=2, batch=8, precision="fp32", overrides=overrides or {}),
        seed=0,
        device=choose_device("cpu"),
        flips=False,
    )
    train_plan(plan, TRAIN, folder)
    return layers(folder, plan, TRAIN.shape), plan


@pytest.mark.parametrize(
    ("recipe", "overrides"),
    [
        ("gan", {}),
        ("dcgan", {"scales": 2, "patch": True, "spectral": True, "conditioning": "auxiliary"}),
        ("r3gan", {}),
        ("stylegan", {"latent": 8}),
        ("rpgan", {}),
    ],
)
def test_it_begins_with_what_the_discriminator_has_learned(recipe: str, overrides: dict, tmp_path: Path) -> None:
    backbone, plan = trained(recipe, tmp_path, overrides)
    assert isinstance(backbone, PretrainedBackbone)
    network, other = backbone(1, 5).eval(), backbone(1, 5).eval()
    x = as_float(TEST.images[:7])
    with torch.no_grad():
        trainer = set_up(plan, TRAIN)[0]
        trainer.state.restore(augury.training.checkpoints.load(max(tmp_path.glob("checkpoint-*")))[0])
        single_features = [trainer.discriminator.eval().features(image[None]) for image in x]
        features = torch.cat([torch.cat([f.mean(1) for f in each], 1) for each in single_features])
        expected = F.linear(features / (1 + 1e-5) ** 0.5, network.last.weight, network.last.bias)  # untrained norm
        torch.testing.assert_close(network(x), expected, atol=2e-5, rtol=1e-4)
        assert network(x).shape == (7, 5) and not torch.equal(network.last.weight, other.last.weight)
    if not overrides.get("spectral"):  # its largest singular values are found step by step
        torch.manual_seed(0)
        random_backbone = PretrainedBackbone(**{**backbone.__dict__, "random_init": True})(1, 5)
        parameters = dict(random_backbone.body.named_parameters())
        assert [v.shape for v in parameters.values()] == [v.shape for v in network.body.parameters()]
        assert any(not torch.equal(v, parameters[k]) for k, v in network.body.named_parameters())


def test_each_part_of_it_learns() -> None:
    torch.manual_seed(0)
    network = RANDOM_INIT(1, 2)
    before = {k: v.clone() for k, v in network.named_parameters()}
    model = fit(TRAIN, TrainConfig(steps=3, batch=16), seed=0, device=CPU, build=RANDOM_INIT)
    assert isinstance(model, OnDiscriminator)
    assert all(not torch.equal(v, dict(model.named_parameters())[k]) for k, v in before.items())
    repeated = fit(TRAIN, TrainConfig(steps=3, batch=16), seed=0, device=CPU, build=RANDOM_INIT)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), repeated.parameters(), strict=True))


def test_layers_that_know_more_than_the_train_images_help() -> None:
    """They come from images whose standing bars are everywhere; those of the trial stand on the left."""
    trained = fit(part((400, 400), 5), TrainConfig(steps=400, batch=32), seed=0, device=CPU, build=RANDOM_INIT)
    known = PretrainedBackbone("dcgan", {"width": 8}, (1, 8, 8), trained.body.state_dict())
    settings = ProveSettings(arms=OWN, steps=36, batch=16, seeds=8)
    verdict = prove(TRAIN, VALIDATION, TEST, NONE, settings, layers=known)
    assert (verdict.outcome, verdict.arm, verdict.adds) == ("helps", "discriminator_init", "discriminator's layers")
    assert verdict.sentence.startswith("The discriminator's layers help: +") and verdict.ratio == 0
    assert verdict.matched_control["against"] == "discriminator_random" and verdict.matched_control["difference"] > 0.05
    assert all(row["synthetic"] == 0 for row in verdict.per_class)
    assert Verdict.from_dict(verdict.as_dict()).adds == verdict.adds
    stored = verdict.as_dict()
    assert "augury.pretrained('RUN')" in " ".join(wording.meaning(verdict))
    assert "discriminator&#x27;s layers: helps" in badge(verdict)
    before = {k: v for k, v in stored.items() if k != "adds"}  # as it was kept before there were such arms
    assert Verdict.from_dict(before).adds == "synthetic images"


def test_an_arm_that_shows_images_is_judged_for_them() -> None:
    synthetic_images = synthetic(*both((100, 100), (8, 8), 9))
    settings = ProveSettings(arms=(*OWN, "gan"), steps=40, batch=16, ratios=(1.0,), seeds=6)
    verdict = prove(TRAIN, VALIDATION, TEST, synthetic_images, settings, layers=random_layers((1, 8, 8)))
    assert (verdict.arm, verdict.adds, verdict.matched_control["against"]) == ("gan", "synthetic images", "classical")
    assert {row["arm"] for row in verdict.comparisons} == {"gan", "discriminator_init"}
    assert any(row["synthetic"] for row in verdict.per_class)


def test_without_a_discriminator_words_say_why(tmp_path: Path) -> None:
    reason, _ = trained("vae", tmp_path)
    assert isinstance(reason, str) and reason.startswith("the recipe vae trains none")
    with pytest.raises(SettingsError, match=r"'discriminator_init' cannot be trained.*the recipe vae trains none"):
        prove(TRAIN, VALIDATION, TEST, NONE, ProveSettings(arms=OWN), layers=reason)
    with pytest.raises(SettingsError, match="channels, not 3"):
        RANDOM_INIT(3, 2)
    with pytest.raises(RunFolderError, match="not a run folder"):
        augury.pretrained(tmp_path)


def test_a_run_proves_with_its_own_and_gives_it_away(tmp_path: Path) -> None:
    images, labels = both((60, 60), (8, 8), 3)
    data = LabelledImages(images, labels, ("lying", "standing"), fingerprint="x")
    sections = {
        "train": {"steps": 2, "batch": 8, "recipe": "dcgan", "overrides": {"width": 8}},
        "prove": {"arms": ("classical", "discriminator_init"), "seeds": 2, "steps": 2, "batch": 8},
        "score": {"limit": 20},
        "data": {"near_duplicates": "allow"},
    }
    run = augury.run(data, tmp_path / "run", settings=validated(RunSettings, sections))
    assert run.verdict.adds == "discriminator's layers" and len(run.verdict.arms) == 2
    page = (tmp_path / "run" / "report.html").read_text()
    assert "with discriminator&#39;s layers" in page and "synthetic : real" not in page
    network = augury.pretrained(tmp_path / "run")(1, 4)
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 4)


def found_by(shares: dict[str, float], ratio: float = 1.0) -> Verdict:
    """The verdict on eight seeds of arms that name such shares of the test images rightly."""
    random = np.random.default_rng(3)
    results = {
        name: [
            measures(TEST.labels, np.eye(2)[np.where(random.random(300) < share, TEST.labels, 1 - TEST.labels)])
            for _ in range(8)
        ]
        for name, share in shares.items()
    }
    return judge(results, tuple(range(8)), ratio, (), TRAIN, NONE, TEST)


def test_another_network_is_not_what_images_must_beat() -> None:
    verdict = found_by({"classical": 0.7, "gan": 0.8, "discriminator_random": 0.9, "discriminator_init": 0.88})
    against = {row["arm"]: row["against"] for row in verdict.comparisons}
    assert against == {"gan": "classical", "discriminator_init": "discriminator_random"}
    assert (verdict.outcome, verdict.arm, verdict.comparator) == ("helps", "gan", "classical")


def test_layers_are_judged_without_images_that_were_not_used() -> None:
    shares = {"classical": 0.7, "gan": 0.72, "discriminator_random": 0.7, "discriminator_init": 0.85}
    verdict = found_by(shares, ratio=0.0)
    assert (verdict.outcome, len(verdict.comparisons), verdict.level) == ("not tested", 1, 0.05)
    assert verdict.initialisation is not None and verdict.initialisation["outcome"] == "helps"
    without = found_by({"classical": 0.7, "gan": 0.72}, ratio=0.0)
    assert without.outcome == "not tested" and without.initialisation is None


@pytest.mark.parametrize("share", [0.9, 0.7, 0.705, 0.6])
@pytest.mark.parametrize("control", [True, False])
def test_sentences_are_about_layers(share: float, control: bool) -> None:
    shares = {"classical": 0.7, "discriminator_init": share} | ({"discriminator_random": 0.69} if control else {})
    verdict = found_by(shares)
    text = " ".join([verdict.sentence, *wording.meaning(verdict)])
    assert "synthetic" not in text and "the same training without them" not in text
    assert ("random weights" in text) <= control


def test_layers_of_other_images_are_refused_and_so_are_those_that_saw_the_test(tmp_path: Path) -> None:
    settings = ProveSettings(arms=("usual",), seeds=2, steps=1, batch=8)
    with_layers = prove(TRAIN, VALIDATION, TEST, NONE, settings, layers=random_layers((1, 16, 16)))
    assert "discriminator_init" not in with_layers.arms
    with pytest.raises(SettingsError, match=r"trained on images \[C, H, W\] \[3, 8, 8\]"):
        prove(TRAIN, VALIDATION, TEST, NONE, ProveSettings(arms=OWN), layers=random_layers((3, 8, 8)))
    hashes = {"discriminator": image_hashes(TEST.images[:2])}
    with pytest.raises(DataError, match="2 of 300 test images were seen by the discriminator"):
        prove(TRAIN, VALIDATION, TEST, NONE, settings, layers=replace(random_layers((1, 8, 8)), seen=hashes))


@pytest.mark.slow
def test_another_split_or_plan_trains_again(tmp_path: Path) -> None:
    images, labels = both((60, 60), (8, 8), 3)
    data = LabelledImages(images, labels, ("lying", "standing"), fingerprint="x")

    def trained_with(**changes: dict[str, object]) -> tuple[list[str], bytes]:
        sections = {"train": {"steps": 4, "batch": 8, "recipe": "dcgan", "overrides": {"width": 8}}}
        sections["data"] = {"near_duplicates": "allow"}
        merged_sections = {section: {**sections.get(section, {}), **values} for section, values in changes.items()}
        with opened(data, tmp_path / "run", settings=validated(RunSettings, sections | merged_sections)) as session:
            advance(session, "train")
            weights = (session.run / "synthesizer" / "weights.safetensors").read_bytes()
            return sorted(f.name for f in (session.run / "train").glob("checkpoint-*")), weights

    first = trained_with()
    divided = trained_with(data={"test": 0.4})
    shorter = trained_with(train={"steps": 2})
    assert divided[1] != first[1] and max(shorter[0]) == "checkpoint-0000002.safetensors"
    assert trained_with() == first
    with pytest.raises(RunFolderError, match="training has not ended"):
        (tmp_path / "run" / "state.json").write_text("{}")
        augury.pretrained(tmp_path / "run")
