"""Estimate the class mix of unlabelled images from predictions."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from augury.errors import SettingsError
from augury.images import Codes
from augury.proof.measures import check_probabilities

Floats = npt.NDArray[np.float64]
Estimate = Literal["counted", "confusion", "em"]
ROUNDS = 1000
"""Most rounds of expectation maximisation."""


def class_mix(
    probabilities: Floats,
    how: Estimate = "counted",
    *,
    held_out: tuple[Floats, Codes] | None = None,
    prior: Floats | None = None,
) -> Floats:
    """Estimate the share of each class among unlabelled images.

    - "counted" is the mean of the pseudo-labels. It is biased towards classes that the classifier predicts by mistake.
    - "confusion" corrects it by the confusion matrix C of `held_out` labelled images. C[i, j] is the share of class j that is
      predicted as i. The result is the mix q ≥ 0 that minimises ‖C q - counted‖ (black-box shift estimation, Lipton, Wang &
      Smola 2018, section 4). Least squares with a sign constraint replaces the matrix inverse, so no share is negative.
    - "em" maximises the likelihood of the mix under the probabilities (Saerens, Latinne & Decaestecker 2002, eq. 2.8-2.9).

    Count the predictions of the best adapted classifier. Correct only with `held_out` images of the target's kind:
    translated images, or labelled target images.

    Parameters
    ----------
    probabilities : float64 [M, K]
        Class probabilities of the unlabelled images.
    how : {"counted", "confusion", "em"}
    held_out : (float64 [N, K], int64 [N])
        For "confusion": predictions of the same classifier for images that it was not trained on, and their labels.
    prior : float64 [K]
        For "em": the class mix that the classifier was trained with; uniform when it saw all classes equally often.

    Returns
    -------
    float64 [K]
        Not negative, of sum 1.

    Raises
    ------
    SettingsError
        For an unknown estimate, or "confusion" without held-out images of each class.
    TrainingError
        When the values are not probabilities.

    Notes
    -----
    Both corrections assume that only the mix differs: images of a class look the same in both sets. This fails across
    domains, and the corrections can then be worse than counting.

    Measured on USPS (500 labels) -> MNIST, total variation distance from the true mix, counted and by "em". Classifier of
    the source alone: .17 to .27, .23 to .51. AdaBN and pseudo-labels: .10, .13. Mean teacher: .02, .02.
    """
    check_probabilities(probabilities, len(probabilities))
    classes = probabilities.shape[1]
    if how == "em":
        return _most_likely(probabilities, np.full(classes, 1 / classes) if prior is None else prior)
    counted = np.bincount(probabilities.argmax(1), minlength=classes) / max(len(probabilities), 1)
    if how == "counted":
        return counted
    if how != "confusion":
        raise SettingsError(f"there is no estimate '{how}' of a class mix; choose among: counted, confusion, em")
    if held_out is None or len(held_out[1]) == 0:
        raise SettingsError(
            "the estimate 'confusion' needs labelled images that the classifier was not trained on; give held_out"
        )
    return _corrected(counted, *held_out)


def _corrected(counted: Floats, p: Floats, truth: Codes) -> Floats:
    """The mix whose predictions, under the confusion matrix of `truth`, are closest to those counted."""
    from scipy.optimize import nnls

    check_probabilities(p, len(truth))
    classes = p.shape[1]
    sizes = np.bincount(truth, minlength=classes)
    if not sizes.all():
        raise SettingsError(
            f"{int((sizes == 0).sum())} of {classes} classes have no held-out image, so their error rates are unknown; give some of "
            "each class, or use the estimate 'counted'"
        )
    matrix = np.zeros((classes, classes))
    np.add.at(matrix, (p.argmax(1), truth), 1.0)
    mix, _ = nnls(matrix / sizes, counted)
    total = float(mix.sum())
    return np.asarray(mix / total) if total > 0 else counted


def _most_likely(p: Floats, prior: Floats, tolerance: float = 1e-8) -> Floats:
    """Iterate q ← mean over the images of p·q/prior, normalised for each image, until convergence."""
    if prior.shape != (p.shape[1],) or prior.min() <= 0:
        raise SettingsError(f"the prior must be {p.shape[1]} shares above 0, but is {prior.tolist()}")
    mix = prior / prior.sum()
    weights = p / (prior / prior.sum())
    for _ in range(ROUNDS):
        weighted = weights * mix
        new = (weighted / np.maximum(weighted.sum(1, keepdims=True), 1e-300)).mean(0)
        done = np.abs(new - mix).max() < tolerance
        mix = new
        if done:
            break
    return np.asarray(mix / mix.sum())
