"""GAN-train and GAN-test: train on synthetic images and test on real ones, and the reverse."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from augury.errors import ScoreError
from augury.images import LabelledImages, SyntheticImages, as_labelled
from augury.intervals import wilson
from augury.metrics import Score
from augury.networks import Classifier
from augury.proof.classifiers import fit, probabilities
from augury.proof.measures import confusion
from augury.proof.train_config import TrainConfig

FEATURES = "the trial's classifier, trained here"
PREPROCESSING = "value / 127.5 - 1"


def usefulness(
    synthetic: LabelledImages | SyntheticImages,
    train: LabelledImages,
    held: LabelledImages,
    *,
    steps: int = 300,
    batch: int = 64,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> tuple[Score, Score]:
    """Compute GAN-train and GAN-test, both as balanced accuracy in [0, 1].

    GAN-train trains a classifier on the synthetic images alone and tests it on `held`. Its baseline is a classifier
    trained on `train`. GAN-test tests that second classifier on the synthetic images; its baseline is its accuracy on
    `held`.

    Parameters
    ----------
    synthetic
        Synthetic images; of SyntheticImages, the accepted ones.
    train
        Real training images.
    held
        Real held-out images.
    steps, batch
        Training steps and batch size of both classifiers. Classes are drawn equally often.
    seed
        Seed of both classifiers.
    device
        Where to train.

    Returns
    -------
    tuple of Score
        (GAN-train, GAN-test).

    Raises
    ------
    ScoreError
        When a set is empty or has other classes than `train`.

    Notes
    -----
    Shmelkov, Schmid & Alahari 2018, section 3. GAN-train is the classification accuracy score of Ravuri & Vinyals 2019.
    """
    synthetic = as_labelled(synthetic)
    sets = {"synthetic": synthetic, "training": train, "held-out": held}
    for set_name, images in sets.items():
        if not len(images):
            raise ScoreError(
                f"GAN-train and GAN-test need images of all sets, but there are 0 {set_name} ones; give some"
            )
        if images.classes != train.classes:
            raise ScoreError(
                f"the {set_name} images are of {len(images.classes)} classes, not those of the training images"
            )
    config = TrainConfig(steps=steps, batch=batch, balanced=True)
    of_synthetic, of_real = (
        fit(images, config, seed=seed, device=torch.device(device)) for images in (synthetic, train)
    )

    def tried(model: Classifier, images: LabelledImages) -> npt.NDArray[np.int64]:
        return confusion(images.labels, probabilities(model, images.images).argmax(1), len(train.classes))

    real = tried(of_real, held)
    training_note = f"{steps} steps of {batch}"
    return (
        _score("GAN-train", tried(of_synthetic, held), real, f"{len(synthetic)} synthetic images, {training_note}"),
        _score("GAN-test", tried(of_real, synthetic), real, f"{len(train)} training images, {training_note}"),
    )


def accuracy_interval(matrix: npt.NDArray[np.int64]) -> tuple[float, float, float]:
    """(balanced accuracy, low, high) of a confusion matrix [K, K].

    The method of variance estimates recovery (Zou & Donner 2008, eq. 4) combines Wilson's intervals of the recalls. So
    classes with few images count fully.
    """
    hits, truth = np.diag(matrix), matrix.sum(1)
    present = np.flatnonzero(truth)
    recalls = hits[present] / truth[present]
    ends = np.array([wilson(float(r), int(n)) for r, n in zip(recalls, truth[present], strict=True)])
    below, above = (np.sqrt(((recalls - ends[:, side]) ** 2).sum()) / len(present) for side in (0, 1))
    mean = float(recalls.mean())
    return mean, max(0.0, mean - float(below)), min(1.0, mean + float(above))


def _score(name: str, matrix: npt.NDArray[np.int64], real: npt.NDArray[np.int64], settings: str) -> Score:
    value, low, high = accuracy_interval(matrix)
    n = int(matrix.sum())
    note = f"the interval covers the {n} evaluated images; retraining may change the score by a point or two"
    return Score(
        name, value, low, high, n, "higher", FEATURES, PREPROCESSING, accuracy_interval(real)[0], note, settings
    )
