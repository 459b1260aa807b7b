"""Arms that adapt to another domain: each trains with paired seeds, what cannot be is refused, and known truths come out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from augury.errors import SettingsError
from augury.images import LabelledImages, SyntheticImages
from augury.proof import Verdict, checks, prove
from augury.proof.arms import ARMS, OWN, USUAL_DOMAINS
from augury.proof.judgement import judge
from augury.proof.measures import measures
from augury.proof.statistics import least_seeds
from augury.proof.trainings import Trainings
from augury.proof.trial import result_name
from augury.settings import ProveSettings
from tests.helpers.two_domains import source, target

CPU = torch.device("cpu")
TRAIN, TEST, UNLABELLED = source(), target((40, 40), seed=3), target(seed=1).images
OF_DOMAINS = tuple(name for name, arm in ARMS.items() if arm.method)
TRANSLATED = tuple(name for name in OF_DOMAINS if ARMS[name].source)


def pale_images(real: LabelledImages, labels: np.ndarray | None = None) -> SyntheticImages:
    """The images as they would look in the target domain: translations without fault, or under other `labels`."""
    rows = np.arange(len(real))
    cells = np.stack([real.labels if labels is None else labels, np.ones(len(real), np.int64)], 1)
    images = (150 + real.images / 3).astype(np.uint8)
    return SyntheticImages(images, cells, ("domain",), real.classes, 0, rows, "formula", sources=rows)


SYNTHETIC = pale_images(TRAIN)


def trainings(results: dict[str, Any] | None = None, **changes: Any) -> Trainings:
    synthetic = changes.pop("synthetic", SYNTHETIC)
    unlabelled = changes.pop("target", UNLABELLED)
    return Trainings(
        TRAIN,
        (synthetic.images, synthetic.labels),
        ProveSettings(**{"steps": 4, "batch": 12, **changes}),
        False,
        CPU,
        {} if results is None else results,
        lambda count, name: None,
        validation=source((6, 6), seed=2),
        holes="the trial is about another domain",
        images_by_source={OWN: synthetic},
        target=unlabelled,
    )


def measured(arm: str, trainer: Trainings, seeds: tuple[int, ...] = (0,)) -> list[dict[str, Any]]:
    return trainer.measured(f"test/{arm}", arm, 1.0, seeds, TEST)


@pytest.mark.parametrize("arm", OF_DOMAINS)
def test_an_arm_trains_alike_each_time_and_goes_on_where_it_stopped(arm: str) -> None:
    all_trainings = trainings()
    assert all_trainings.select([arm]) == (arm,)
    rows = measured(arm, all_trainings, (0, 1))
    assert all_trainings.done == 2 and list(all_trainings.results) == [f"test/{arm}/0", f"test/{arm}/1"]
    assert all(0 <= each["balanced_accuracy"] <= 1 and len(each["recall"]) == 2 for each in rows)
    first = all_trainings.results[f"test/{arm}/0"]
    assert measured(arm, trainings({f"test/{arm}/0": first}), (0, 1)) == rows
    marked_trainings = trainings(
        {f"test/{arm}/0": first | {"balanced_accuracy": -1.0}}
    )  # what is stored is not trained again
    assert measured(arm, marked_trainings, (0, 1))[0]["balanced_accuracy"] == -1


@pytest.mark.parametrize("arm", TRANSLATED)
def test_the_translations_are_pooled_with_the_real_images(arm: str) -> None:
    """Each is a train image like any other, and none is shown a second time by a ratio."""
    all_trainings = trainings()
    pooled = all_trainings.train_part(arm, 0)
    np.testing.assert_array_equal(pooled.images, np.concatenate([TRAIN.images, SYNTHETIC.images]))
    np.testing.assert_array_equal(pooled.labels, np.concatenate([TRAIN.labels, SYNTHETIC.labels]))
    assert all_trainings.config(arm, 1.0, 3e-3, 1e-2).synthetic is None
    other = replace(SYNTHETIC, images=255 - SYNTHETIC.images)
    assert measured(arm, trainings()) != measured(arm, trainings(synthetic=other))


def test_arms_without_translations_train_on_the_real_images_alone() -> None:
    for arm in set(OF_DOMAINS) - set(TRANSLATED):
        assert trainings().train_part(arm, 0) is TRAIN, arm


def test_the_unlabelled_images_have_an_effect_on_all_that_adapt() -> None:
    other = 255 - UNLABELLED
    same = {arm for arm in OF_DOMAINS if measured(arm, trainings()) == measured(arm, trainings(target=other))}
    assert same == {"translated"}  # which is trained on images with labels alone


def test_the_usual_arms_of_a_trial_with_a_target() -> None:
    assert trainings().select(["usual"]) == USUAL_DOMAINS
    assert set(OF_DOMAINS) <= set(USUAL_DOMAINS)
    every = trainings().select(["all"])
    assert set(OF_DOMAINS) <= set(every) and not any(ARMS[name].cells for name in every)
    assert {name for name in every if ARMS[name].shows} == set(TRANSLATED)
    generative_arms = [name for name in USUAL_DOMAINS if ARMS[name].generative]
    assert set(generative_arms) == set(TRANSLATED)
    assert least_seeds(0.05 / len(generative_arms)) <= ProveSettings().seeds, "the default trial could give no word"
    without = set(trainings(target=None).select(["all", "usual"]))
    assert not without & set(OF_DOMAINS) and "gan" in without


@pytest.mark.parametrize("arm", OF_DOMAINS)
def test_an_arm_that_adapts_is_refused_without_a_target_and_for_features(
    arm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("augury.proof.learners.lite0_installed", lambda: False)  # pixels: quick
    with pytest.raises(SettingsError, match=rf"'{arm}' cannot be trained: it adapts to another domain.*--target"):
        trainings(target=None).select([arm])
    with pytest.raises(SettingsError, match=rf"'{arm}' cannot be trained: .*use prove\.classifier=cnn"):
        trainings(classifier="linear_probe:pixels").select([arm])
    assert not set(OF_DOMAINS) & set(trainings(classifier="linear_probe:pixels").select(["all"]))


def test_images_beside_the_real_ones_and_arms_for_holes_are_refused_with_a_target() -> None:
    for arm in ("gan", "gan_alone", "gan_pretrain"):
        with pytest.raises(SettingsError, match="translations are of the target; use translated"):
            trainings().select([arm])
    with pytest.raises(SettingsError, match=r"empty cells .* but the trial is about another domain"):
        trainings().select(["drop_cells"])


def test_all_errors_are_found_before_anything_is_trained() -> None:
    def foreseen(*arms: str, into: bool = True, classifier: str = "cnn") -> None:
        settings = ProveSettings(arms=("none", "translated", *arms) if into else ("none", "gan", *arms))
        settings = settings.model_copy(update={"classifier": classifier})
        checks.check_trial(settings, TRAIN.shape, CPU, target=into)

    foreseen("adabn", "usual")
    foreseen("all")
    with pytest.raises(SettingsError, match="--target"):
        foreseen("mean_teacher", into=False)
    with pytest.raises(SettingsError, match="use translated"):
        foreseen("gan")
    with pytest.raises(SettingsError, match=r"prove\.classifier=cnn"):
        foreseen(classifier="linear_probe:pixels")


QUICK = ProveSettings(arms=("randaugment", "translated"), seeds=2, steps=60, batch=24, near_duplicates="allow")


def trial(synthetic: SyntheticImages, **changes: Any) -> Verdict:
    settings = QUICK.model_copy(update=changes)
    return prove(TRAIN, source((10, 10), seed=2), TEST, synthetic, settings, target=UNLABELLED)


def accuracy(verdict: Verdict, arm: str) -> float:
    return float(np.mean(verdict.arms[arm]["balanced_accuracy"]))


def test_correctly_translated_images_are_far_above_their_matched_control() -> None:
    verdict = trial(SYNTHETIC, seeds=3)
    assert verdict.arm == "translated" and verdict.comparator == verdict.matched_control["against"] == "randaugment"
    assert (
        accuracy(verdict, "translated") > 0.9 and accuracy(verdict, "randaugment") < 0.75 and verdict.difference > 0.2
    )
    assert verdict.ratio == 1 and verdict.ratio_curve == () and verdict.cells == ()
    assert verdict.metric == "balanced accuracy" and verdict.test_n == len(TEST)


def test_correctly_translated_images_help() -> None:
    verdict = trial(SYNTHETIC, arms=("none", "translated"), seeds=6, steps=40)
    assert verdict.outcome == "helps" and verdict.low > 0.1


def test_translations_under_the_labels_of_the_other_class_are_worse_than_chance() -> None:
    verdict = trial(pale_images(TRAIN, 1 - TRAIN.labels), arms=("none", "translated"))
    assert verdict.outcome != "helps" and accuracy(verdict, "translated") < 0.35


def test_the_matched_control_of_an_arm_is_the_same_method_without_translations() -> None:
    """Also where the comparator is another: the best of those without."""
    names = ("none", "randaugment", "self_training", "mean_teacher", *TRANSLATED)
    perfect = TEST.labels
    random = np.random.default_rng(0)

    def results(best: str) -> dict[str, list[dict[str, Any]]]:
        share = dict.fromkeys(names, 0.6) | {"none": 0.8, best: 0.95}
        rows: dict[str, list[dict[str, Any]]] = {}
        for name in names:
            rows[name] = []
            for _ in range(2):
                predicted = np.where(random.random(len(perfect)) < share[name], perfect, 1 - perfect)
                rows[name].append(measures(perfect, np.eye(2)[predicted]))
        return rows

    twins = {"translated": "randaugment", "translated_self_training": "self_training"}
    for arm, matched_control in (twins | {"translated_mean_teacher": "mean_teacher"}).items():
        verdict = judge(results(arm), (0, 1), 1.0, [], TRAIN, SYNTHETIC, TEST)
        assert (
            verdict.arm == arm
            and verdict.comparator == "none"
            and verdict.matched_control["against"] == matched_control
        )


def test_a_stopped_trial_goes_on_and_gives_the_same() -> None:
    stored: dict[str, Any] = {}
    calls: list[tuple[int, int, str]] = []
    settings = QUICK.model_copy(update={"arms": ("none", "adabn", "translated"), "steps": 4, "batch": 12})
    inputs = (TRAIN, source((10, 10), seed=2), TEST, SYNTHETIC, settings)
    verdict = prove(*inputs, target=UNLABELLED, results=stored, on_result=lambda *arguments: calls.append(arguments))
    assert [count for count, _, _ in calls] == [1, 2, 3, 4, 5, 6] and {total for _, total, _ in calls} == {6}
    half = dict(list(stored.items())[:3])
    assert prove(*inputs, target=UNLABELLED, results=half).as_dict() == verdict.as_dict() and half == stored


def test_arms_of_a_trial_without_a_target_do_not_adapt() -> None:
    with pytest.raises(SettingsError, match=r"'adabn' cannot be trained.*--target"):
        settings = QUICK.model_copy(update={"arms": ("none", "gan", "adabn")})
        prove(TRAIN, source((10, 10), seed=2), source((10, 10), seed=3), source(seed=4), settings)


def test_results_of_arms_that_adapt_have_names_without_a_ratio() -> None:
    """Several translators keep other numbers of images; the trial of each must find the results of the others."""
    assert result_name("translated", 0.9) == result_name("translated", 0.8) == "test/translated"
    assert result_name("gan", 0.5) == "test/gan at ratio 0.5"
