"""The threshold of a classifier to take away: chosen on validation, measured on test, shown on card and page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from augury import proof
from augury.images import LabelledImages
from augury.prediction import Predictor, finished, readme
from augury.prediction.measuring import detection
from augury.proof.learners import learner
from tests.helpers.classifier_data import card_facts, squares


def labelled(counts: tuple[int, int]) -> LabelledImages:
    labels = np.repeat([0, 1], counts)
    pixels = np.zeros((len(labels), 1, 1, 1), np.uint8)
    return LabelledImages(pixels, labels, ("a", "b"))


def probabilities(labels: np.ndarray, seed: int) -> np.ndarray:
    p = 1 / (1 + np.exp(-np.random.default_rng(seed).normal(2.0 * labels - 1, 1)))
    return np.stack([1 - p, p], axis=1)


def test_rates_are_counts_with_wilsons_interval() -> None:
    validation, test = labelled((60, 30)), labelled((120, 48))
    p_validation, p = probabilities(validation.labels, 0), probabilities(test.labels, 1)
    point = proof.OperatingPoint(1, "b", 0.9)
    rates = detection(validation, p_validation, test, p, point)
    assert (p_validation[:60, 1] <= rates["threshold"]).sum() == 54 and rates["validation"] == 60
    above = p[:, 1] > rates["threshold"]
    for name, right, n in (
        ("sensitivity", above[120:].sum(), 48),
        ("test_specificity", (~above[:120]).sum(), 120),
    ):
        expected = binomtest(int(right), n).proportion_ci(method="wilson")
        assert rates[name] == pytest.approx([right / n, expected.low, expected.high])
    assert (rates["positives"], rates["negatives"]) == (48, 120)
    one_patient = replace(test, groups=np.repeat([0, 1], (120, 48)))
    clustered = detection(validation, p_validation, one_patient, p, point)
    width = [each["sensitivity"][2] - each["sensitivity"][1] for each in (rates, clustered)]
    assert clustered["sensitivity"][0] == rates["sensitivity"][0] and width[1] > 2 * width[0]  # 48 images are worth one


def test_the_card_and_its_page_give_the_threshold(tmp_path: Path) -> None:
    train, validation, test = (squares(n, seed, 1, 12) for seed, n in enumerate((90, 60, 60)))
    chosen = learner("cnn", train.shape, torch.device("cpu"), "fp32")
    network = chosen.trained(train, proof.TrainConfig(steps=40, batch=32, balanced=True), 0)
    point = proof.operating_point(f"sensitivity@0.75:{train.classes[2]}", train.classes)
    predictor = finished(network, card_facts(chosen.blueprint, train), train, validation, test, seed=0, point=point)
    row = predictor.card.operating_point
    above = predictor.predict(test.images).probabilities[:, 2] > row["threshold"]
    assert row["sensitivity"][0] == pytest.approx(above[test.labels == 2].mean())
    assert row["test_specificity"][0] == pytest.approx((~above)[test.labels != 2].mean())
    predictor.save(tmp_path / "classifier")
    assert Predictor.load(tmp_path / "classifier").card.operating_point == row
    page = (tmp_path / "classifier" / "README.md").read_text()
    assert f"Threshold for {train.classes[2]}" in page and f"above {row['threshold']:.6g} is reported" in page
    assert f"- Sensitivity: {100 * row['sensitivity'][0]:.1f} %" in page
    assert "Threshold for" not in readme(replace(predictor.card, operating_point={}))
    assert "no medical device" not in page
    medical = replace(predictor.card, data={**predictor.card.data, "notes": {"grouped_by": "patient"}})
    assert "no medical device" in readme(medical)
    named = readme(replace(predictor.card, data={**predictor.card.data, "source": "a|<script>"}))
    assert "- Data: a\\|&lt;script>, fingerprint" in named and "<script>" not in named
