"""The class mix of unlabelled images: known mixes are found; rows are drawn in a wanted mix."""

from __future__ import annotations

import numpy as np
import pytest

from augury.errors import SettingsError
from augury.proof.class_mix import class_mix

CENTRES = np.array([0.0, 1.5, 3.0])
MIX = np.array([0.7, 0.25, 0.05])


def predicted(counts: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The true probabilities, for equal classes, of draws from three normals of unit deviation, and the classes."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), counts)
    x = random.normal(CENTRES[labels], 1)
    p = np.exp(-((x[:, None] - CENTRES) ** 2) / 2)
    return p / p.sum(1, keepdims=True), labels


def test_both_corrections_find_a_known_mix_that_counting_misses() -> None:
    p, _ = predicted((14000, 5000, 1000), 0)
    held_out = predicted((4000, 4000, 4000), 1)
    away = {
        estimator: np.abs(class_mix(p, estimator, held_out=held_out) - MIX).max()
        for estimator in ("counted", "confusion", "em")
    }
    assert away["counted"] > 0.05
    assert away["confusion"] < 0.03 and away["em"] < 0.02


def test_em_takes_the_mix_that_the_classifier_was_trained_with() -> None:
    p, _ = predicted((14000, 5000, 1000), 0)
    prior = np.array([0.2, 0.3, 0.5])
    tilted = p * prior
    tilted /= tilted.sum(1, keepdims=True)
    np.testing.assert_allclose(class_mix(tilted, "em", prior=prior), class_mix(p, "em"), atol=1e-4)


def test_the_confusion_estimate_is_a_solution_of_its_equation() -> None:
    """Closed form for two classes: q = (counted - b) / (a - b), where a, b are the shares of class 0, 1 called 0."""
    truth = np.repeat([0, 1], 10)
    called = np.r_[np.zeros(8), np.ones(2), np.zeros(3), np.ones(7)].astype(int)
    true_classes = np.repeat([0, 1], (60, 40))
    mix = class_mix(np.eye(2)[true_classes], "confusion", held_out=(np.eye(2)[called], truth))
    np.testing.assert_allclose(mix, [(0.6 - 0.3) / (0.8 - 0.3), 0.4])


def test_an_impossible_count_gives_no_negative_share() -> None:
    truth, called = np.repeat([0, 1], 10), np.r_[np.zeros(8), np.ones(2), np.zeros(3), np.ones(7)].astype(int)
    mix = class_mix(np.eye(2)[np.ones(50, int)], "confusion", held_out=(np.eye(2)[called], truth))
    np.testing.assert_allclose(mix, [0, 1])


def test_what_makes_no_mix_is_refused() -> None:
    p, labels = predicted((5, 5, 5), 0)
    with pytest.raises(SettingsError, match="there is no estimate 'bbse'"):
        class_mix(p, "bbse")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="give held_out"):
        class_mix(p, "confusion")
    with pytest.raises(SettingsError, match="1 of 3 classes have no held-out image"):
        class_mix(p, "confusion", held_out=(p[:10], labels[:10]))
    with pytest.raises(SettingsError, match="prior must be 3 shares"):
        class_mix(p, "em", prior=np.array([0.5, 0.5, 0.0]))
