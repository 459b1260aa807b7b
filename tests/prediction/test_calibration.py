"""The temperature is the optimum of the likelihood, and says so where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from augury.proof.calibration import COOLEST, HOTTEST, expected_calibration_error, fit_temperature


def labels_and_logits(scale: float, n: int = 400, k: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Classes drawn from softmax(z), and the logits scale · z: the right temperature is about `scale`."""
    random = np.random.default_rng(seed)
    z = random.normal(0, 1.5, (n, k))
    truth = np.array([random.choice(k, p=p) for p in softmax(z, axis=1)])
    return truth, scale * z


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.5, 8.0])
def test_the_temperature_is_the_optimum_that_scipy_finds(scale: float) -> None:
    truth, logits = labels_and_logits(scale)

    def loss(temperature: float) -> float:
        return -float(log_softmax(logits / temperature, axis=1)[np.arange(len(truth)), truth].mean())

    best = minimize_scalar(loss, bounds=(COOLEST, HOTTEST), method="bounded", options={"xatol": 1e-7})
    assert fit_temperature(truth, logits) == pytest.approx(best.x, rel=1e-4)
    assert fit_temperature(truth, logits) == pytest.approx(scale, rel=0.2)


def test_calibration_lowers_the_calibration_error_of_other_images() -> None:
    truth, logits = labels_and_logits(6.0, seed=1)
    other, other_logits = labels_and_logits(6.0, n=2000, seed=2)
    before = expected_calibration_error(other, softmax(other_logits, axis=1))
    after = expected_calibration_error(other, softmax(other_logits / fit_temperature(truth, logits), axis=1))
    assert after < 0.06 < 0.15 < before


def test_images_that_say_nothing_leave_the_probabilities_as_they_are() -> None:
    logits = np.array([[3.0, 0.0], [0.0, 1.0]])
    assert fit_temperature(np.array([0, 1]), logits) == 1.0
    assert fit_temperature(np.empty(0, np.int64), np.empty((0, 2))) == 1.0
    assert fit_temperature(np.array([1, 0]), logits) == pytest.approx(HOTTEST), "all wrong: as even as allowed"
