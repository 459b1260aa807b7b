"""Sensitivity at a stated specificity: a threshold from validation, measured on test, and a verdict about it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from augury import proof
from augury.errors import DataError, SettingsError
from augury.images import Attribute, LabelledImages
from augury.proof import OWN, Fold, operating_point, pooled, prove
from augury.proof.judgement import coarse
from augury.proof.measures import packed, unpacked
from augury.proof.operating_point import HITS, hits_of, primary
from augury.randomness import derived_seed
from augury.settings import BALANCED, ProveSettings
from augury.verdict import Verdict
from tests.helpers.proof_data import part, synthetic

METRIC = "sensitivity@0.8:standing"
TRAIN, VALIDATION, TEST = part((40, 40), 0), part((20, 20), 1), part((200, 200), 2)
SETTINGS = ProveSettings(arms=("classical", "gan"), steps=1, batch=16, ratios=(1.0,), metric=METRIC)


def scores(seed: int, labels: np.ndarray, apart: float) -> np.ndarray:
    """Probabilities of two classes whose logits are `apart` on average."""
    logit = np.random.default_rng(seed).normal(0, 1, len(labels)) + apart * labels
    p = 1 / (1 + np.exp(-logit))
    return np.stack([1 - p, p], axis=1)


def test_the_threshold_is_that_of_the_roc_curve_of_validation() -> None:
    point = operating_point("sensitivity@0.9:b", ("a", "b"))
    assert point is not None and point.metric == "sensitivity for b at 90 % specificity"
    labels = np.repeat([0, 1], (137, 61))
    for seed in range(5):
        p = scores(seed, labels, 1.0)
        threshold = point.threshold(labels, p)
        false, true, _ = roc_curve(labels, p[:, 1], drop_intermediate=False)
        measured = point.at(threshold, labels, p)
        assert primary(measured) == pytest.approx(true[false <= 0.1].max())
        assert (
            measured["specificity"] == pytest.approx(1 - false[false <= 0.1].max()) and measured["specificity"] >= 0.9
        )
        other = scores(seed + 99, labels, 1.0)
        above = other[:, 1] > threshold
        moved = point.at(threshold, labels, other)
        assert moved["primary"] == above[labels == 1].mean() and moved["specificity"] == (~above)[labels == 0].mean()
        assert np.array_equal(unpacked(moved[HITS], len(labels)), above == (labels == 1))


@pytest.mark.parametrize(
    ("metric", "rule"),
    [
        ("accuracy", "must be balanced_accuracy, or sensitivity@SPECIFICITY:CLASS"),
        ("sensitivity@1.5:b", "specificity between 0 and 1"),
        ("sensitivity@90:b", "such as sensitivity@0.9:a"),
        ("sensitivity@0.0:b", "specificity between 0 and 1"),
        ("sensitivity@0.9", "it names no class to detect; write sensitivity@0.9:CLASS with one of 'a', 'b'"),
        ("sensitivity@0.9:B", "there is no class 'B'"),
    ],
)
def test_other_metrics_are_refused_in_words(metric: str, rule: str) -> None:
    with pytest.raises(SettingsError, match=rule):
        operating_point(metric, ("a", "b"))
    assert operating_point(BALANCED, ("a", "b")) is None
    named = operating_point("sensitivity@.95:is: it", ("a", "is: it"))
    assert named is not None and (named.label, named.specificity) == (1, 0.95)


def rigged(gan: float, slip: float = 0.2, seeds: int = 8) -> dict[str, object]:
    """Results of finished trainings: at their threshold, `classical` detects .7 of the class, `gan` another share, and of the
    images of the other class `classical` reports .2, `gan` the share `slip`.
    """
    random, results = np.random.default_rng(0), {}
    standing = TEST.labels == 1
    for arm, share, false in (("test/classical", 0.7, 0.2), ("test/gan at ratio 1", gan, slip)):
        for seed in range(seeds):
            hits = np.where(standing, random.random(len(TEST)) < share, random.random(len(TEST)) >= false)
            own = proof.measures(TEST.labels, np.full((len(TEST), 2), 0.5)) | {
                "primary": float(hits[standing].mean()),
                "specificity": float(hits[~standing].mean()),
                "threshold": 0.3,
                HITS: packed(hits),
            }
            results[f"{arm}/{derived_seed(0, 'trial', seed)}"] = own
    return results


def judged(gan: float, slip: float = 0.2, **more: object) -> Verdict:
    settings = SETTINGS.model_copy(update=more)
    return prove(
        TRAIN, VALIDATION, TEST, synthetic(TRAIN.images[:1], TRAIN.labels[:1]), settings, results=rigged(gan, slip)
    )


def test_the_verdict_is_about_the_sensitivity() -> None:
    verdict = judged(0.85)
    rates = [np.mean(verdict.values(name)) for name in ("gan", "classical")]
    assert verdict.outcome == "helps" and verdict.difference == pytest.approx(rates[0] - rates[1])
    assert verdict.low < 0.15 < verdict.high and verdict.test_n == 200
    assert verdict.metric == "sensitivity for standing at 80 % specificity" and verdict.metric in verdict.sentence
    row = verdict.operating_point
    assert row is not None and row["test"] == 200 and row["low"] < 0 < row["high"]
    assert row["specificity_arm"] == pytest.approx(np.mean(verdict.arms["gan"]["specificity"]))
    assert f"their specificity is {100 * row['specificity_arm']:.1f} % (gan)" in verdict.sentence
    assert Verdict.from_dict(verdict.as_dict()).operating_point == row
    lying, standing = verdict.per_class
    assert lying["recall_arm"] == pytest.approx(row["specificity_arm"]) and not lying["worse"]
    assert standing["recall_arm"] == pytest.approx(rates[0])
    assert judged(0.7, margin=0.1).outcome == "no difference"
    point = operating_point(METRIC, TEST.classes)
    assert point is not None  # by the rule of three, 3 / 200 of the class may differ unseen
    assert "'standing' has 200 test images, but at least 300" in coarse(point.judged(TEST)[0], 0.01)


def test_sensitivity_that_costs_specificity_is_not_called_a_plain_gain() -> None:
    verdict = judged(0.85, slip=0.4)
    assert verdict.outcome == "helps" and verdict.title == "Helps, but one class gets worse"
    assert verdict.operating_point is not None and verdict.operating_point["high"] < -0.1
    strict = judged(0.85, slip=0.4, max_class_loss=0.05)
    assert strict.outcome == "hurts" and "'lying'" not in strict.class_loss and "lying loses" in strict.class_loss


def test_trained_classifiers_choose_the_threshold_on_validation() -> None:
    generated = synthetic(*(getattr(part((30, 30), 9), name) for name in ("images", "labels")))
    settings = SETTINGS.model_copy(
        update={"steps": 60, "seeds": 2, "ratios": (0.0, 0.5, 1.0), "learning_rates": (1e-3, 3e-3)}
    )
    results: dict[str, dict[str, object]] = {}
    verdict = prove(TRAIN, VALIDATION, TEST, generated, settings, results=results)
    assert all({"primary", "threshold", HITS} <= m.keys() for m in results.values())
    for name, m in results.items():
        size = len(TEST) if name.startswith("test/") else len(VALIDATION)
        labels = (TEST if name.startswith("test/") else VALIDATION).labels
        hits = unpacked(hits_of(m), size)
        assert primary(m) == hits[labels == 1].mean() and m["specificity"] == hits[labels == 0].mean()
        assert name.startswith("test/") or m["specificity"] >= 0.8
    assert verdict.ratio in (0.5, 1.0) and [len(row["values"]) for row in verdict.ratio_curve] == [3, 3, 3]
    assert set(verdict.arms["gan"]) > {"primary", "specificity", "threshold", "validation"}
    without = {name: m for name, m in results.items() if name.startswith("test/")}
    assert all(0 <= m["validation"] <= 1 and m["validation"] * 20 % 1 == pytest.approx(0) for m in without.values())


def test_folds_are_pooled_at_their_own_thresholds() -> None:
    def fold(seed: int, metric: str) -> Fold:
        train, test = part((30, 30), 10 + seed), part((30, 20), 20 + seed)
        generated, results = synthetic(train.images[:4], train.labels[:4]), {}
        settings = SETTINGS.model_copy(update={"seeds": 2, "steps": 20, "metric": metric})
        verdict = prove(train, VALIDATION, test, generated, settings, results=results, on_note=lambda text: None)
        return Fold(train, test, {OWN: generated}, verdict, results)

    folds = [fold(0, METRIC), fold(1, METRIC)]
    together = pooled(folds)
    assert together.test_n == 40 and together.metric == folds[0].verdict.metric and together.operating_point is not None
    for name in ("gan", "classical"):
        each = [np.mean(f.verdict.values(name)) for f in folds]
        assert np.mean(together.values(name)) == pytest.approx(np.mean(each))  # as many images of the class in both
    with pytest.raises(DataError, match="different metrics"):
        pooled([folds[0], fold(1, BALANCED)])


def test_empty_cells_are_judged_by_balanced_accuracy() -> None:
    def posed(data: LabelledImages) -> LabelledImages:
        return replace(data, attributes={"pose": Attribute(np.arange(len(data)) % 2, ("left", "right"))})

    train = posed(TRAIN)
    train = train.take(np.flatnonzero((train.labels == 0) | (train.attributes["pose"].codes == 0)))
    translated = replace(
        synthetic(TRAIN.images[40:44], np.ones(4, int)), conditions=np.ones((4, 2), np.int64), condition_names=("pose",)
    )
    with pytest.raises(
        SettingsError, match=r"measures balanced accuracy within them; use prove\.metric=balanced_accuracy"
    ):
        prove(train, posed(VALIDATION), posed(TEST), translated, SETTINGS, condition=("pose",))
