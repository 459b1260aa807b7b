"""The classifier "auto": the best one on validation, in the images' own size, with the outcome in the verdict."""

import numpy as np
import pytest
import torch

from augury.errors import DataError, SettingsError
from augury.images import LabelledImages
from augury.networks import lite0_installed
from augury.proof import Splits, check_trial, prove
from augury.proof.auto_classifier import FEATURES, FINETUNED, NETWORK, at_size, candidates, choose_classifier
from augury.settings import ProveSettings, RunSettings
from tests.helpers.proof_data import both, part, synthetic

CPU = torch.device("cpu")
needs_lite0 = pytest.mark.skipif(not lite0_installed(), reason="the extra 'features' is not installed")


@pytest.fixture
def features(monkeypatch: pytest.MonkeyPatch) -> None:
    """The candidates as with the lite0 package."""
    monkeypatch.setattr("augury.proof.auto_classifier.lite0_installed", lambda: True)


def splits(side: int = 8) -> Splits:
    def sized(images: LabelledImages) -> LabelledImages:
        pixels = np.asarray(images.images).repeat(side // 8, 2).repeat(side // 8, 3)
        return LabelledImages(pixels, images.labels, images.classes, fingerprint=images.fingerprint)

    return Splits(sized(part((20, 20), 1)), sized(part((10, 10), 2)), sized(part((10, 10), 3)))


def chosen(settings: ProveSettings, accuracy: dict[str, float], own_size: Splits | None = None, classifier=None):
    contests = []

    def contest(name, model, image_shape, arm, seeds):
        contests.append((name, image_shape.size, len(set(seeds))))
        return [{"balanced_accuracy": accuracy[name]} for _ in seeds]

    choice = choose_classifier(
        settings, splits(), own_size, contest, classifier=classifier, device=CPU, target=False, seed=0
    )
    return choice, contests


@needs_lite0
def test_the_better_one_on_validation_is_chosen_in_its_own_size(features: None) -> None:
    large = splits(16)
    winner, contests = chosen(ProveSettings(), {FEATURES: 0.8, NETWORK: 0.7}, large)
    assert winner.record["name"] == FEATURES and winner.splits is large
    assert winner.record["validation"] == {FEATURES: 0.8, NETWORK: 0.7}
    assert contests == [(FEATURES, (16, 16), 2), (NETWORK, (8, 8), 2)]
    worse, _ = chosen(ProveSettings(), {FEATURES: 0.6, NETWORK: 0.7}, large)
    assert worse.record["name"] == NETWORK and worse.splits.size == (8, 8)
    tied, _ = chosen(ProveSettings(), {FEATURES: 0.7, NETWORK: 0.7})
    assert tied.record["name"] == FEATURES


@needs_lite0
def test_a_named_arm_that_features_do_not_allow_leaves_the_network(features: None) -> None:
    shape = (1, 8, 8)
    assert candidates(ProveSettings(), shape, CPU, target=False) == (FEATURES, NETWORK)
    assert candidates(ProveSettings(arms=("cutmix", "gan")), shape, CPU, target=False) == (NETWORK,)
    assert candidates(ProveSettings(), shape, CPU, target=True) == (NETWORK,)


@needs_lite0
def test_on_a_gpu_fine_tuning_is_a_candidate_too(features: None, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu, shape = torch.device("cuda"), (1, 8, 8)
    monkeypatch.setattr("augury.proof.auto_classifier.refused_arms", lambda *_: [])
    assert candidates(ProveSettings(), shape, gpu, target=False) == (FINETUNED, FEATURES, NETWORK)
    monkeypatch.setattr("augury.proof.auto_classifier.refused_arms", lambda *_: ["cutmix"])
    assert candidates(ProveSettings(arms=("cutmix", "gan")), shape, gpu, target=False) == (FINETUNED, NETWORK)


def test_candidates_can_be_named(features: None) -> None:
    shape, named = (1, 8, 8), ProveSettings(candidates=("resnet", "linear_probe:pixels", NETWORK))
    assert candidates(named, shape, CPU, target=False) == ("resnet", "linear_probe:pixels", NETWORK)
    assert candidates(named, shape, CPU, target=True) == (NETWORK,)
    winner, contests = chosen(named, {"resnet": 0.7, "linear_probe:pixels": 0.9, NETWORK: 0.8})
    assert winner.record["name"] == "linear_probe:pixels" and len(contests) == 3
    with pytest.raises(SettingsError, match="there is no classifier 'resnett'"):
        check_trial(ProveSettings(candidates=("resnett",)), shape, CPU)


@needs_lite0
def test_of_named_candidates_features_are_left_out_where_an_arm_does_not_allow_them(features: None) -> None:
    named = ProveSettings(arms=("cutmix", "gan"), candidates=("resnet", FEATURES))
    assert candidates(named, (1, 8, 8), CPU, target=False) == ("resnet",)


def test_a_size_of_the_settings_holds_for_every_classifier() -> None:
    large = splits(16)
    choice, contests = chosen(ProveSettings(classifier="cnn", judge_size=16), {}, large)
    assert choice.splits is large and not contests and choice.record["size"] == [16, 16]
    choice, _ = chosen(ProveSettings(classifier="cnn"), {}, large)
    assert choice.splits.size == (8, 8)
    choice, _ = chosen(ProveSettings(judge_size=16), {}, large, classifier=torch.nn.Linear(1, 2))
    assert choice.splits is large and choice.record["name"] == "Linear"


def test_judge_sizes_are_bounded() -> None:
    with pytest.raises(SettingsError, match="512"):
        RunSettings(prove={"judge_size": 513})


def test_synthetic_images_are_resized_and_keep_their_records() -> None:
    images = synthetic(*both((3, 3), (8, 8), 4))
    large = at_size(images, (16, 16))
    assert large.images.shape == (6, 1, 16, 16) and large.images.dtype == np.uint8
    np.testing.assert_array_equal(large.labels, images.labels)
    assert at_size(images, (8, 8)).images is images.images


def test_a_trial_in_another_size_checks_leaks_in_the_size_of_the_generator() -> None:
    small, large = splits(), splits(16)
    settings = ProveSettings(classifier="cnn", judge_size=16, seeds=2, steps=5, ratios=(0.5,), arms=("none", "gan"))
    verdict = prove(
        small.train, small.validation, small.test, synthetic(*both((4, 4), (8, 8), 9)), settings, own_size=large
    )
    assert verdict.classifier["size"] == [16, 16] and verdict.test_n == 20
    leaked = synthetic(np.asarray(small.test.images[:2]), np.asarray(small.test.labels[:2]))
    with pytest.raises(DataError, match="test"):
        prove(small.train, small.validation, small.test, leaked, settings, own_size=large)
