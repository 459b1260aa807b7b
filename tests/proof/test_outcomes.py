"""Outcomes that mislead if they are not told apart: no image to test, layers and images, a class that pays for the mean."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from augury.images import LabelledImages
from augury.proof import Verdict, prove
from augury.proof.judgement import judge
from augury.proof.measures import measures
from augury.report import badge
from augury.sentences import question, remedy
from augury.settings import ProveSettings
from tests.helpers.proof_data import part, synthetic

CLASSES = ("bag", "coat", "dress", "shirt")
EACH = 200
LABELS = np.repeat(np.arange(4), EACH)
TEST = LabelledImages(np.zeros((4 * EACH, 1, 1, 1), np.uint8), LABELS, CLASSES)
TRAIN = LabelledImages(np.zeros((8, 1, 1, 1), np.uint8), np.repeat(np.arange(4), 2), CLASSES)
SYNTHETIC = synthetic(np.zeros((4, 1, 1, 1), np.uint8), np.arange(4), CLASSES)


def trial(
    recalls: dict[str, tuple[float, ...]], ratio: float = 1.0, limit: float | None = None, classes: int = 4
) -> Verdict:
    """The verdict on arms with these recalls of each class, the same images right with every seed but for a few."""
    random, results = np.random.default_rng(1), {}
    for name, shares in recalls.items():
        runs = []
        for _ in range(8):
            is_right = np.concatenate([np.arange(EACH) < round(share * EACH) for share in shares])
            flipped = is_right ^ (random.random(len(is_right)) < 0.01)
            predicted = np.eye(4)[np.where(flipped, LABELS, (LABELS + 1) % 4)]
            runs.append(measures(LABELS[: classes * EACH], predicted[: classes * EACH]))
        results[name] = runs
    test = TEST.take(np.arange(classes * EACH))
    return judge(results, tuple(range(8)), ratio, (), TRAIN, SYNTHETIC, test, max_class_loss=limit)


ALL = (0.7, 0.7, 0.7, 0.7)


def test_no_accepted_image_is_an_outcome_of_its_own() -> None:
    train, synthetic_images = part((40, 40), 0), synthetic(part((30, 30), 5).images, np.repeat([0, 1], 30))
    rejected = replace(synthetic_images, reasons=("near_copy",) * 10 + ("agreement",) * 50)
    settings = ProveSettings(arms=("classical", "gan"), seeds=2, steps=1, batch=8)
    verdict = prove(train, part((10, 10), 1), part((20, 20), 2), rejected, settings)
    assert verdict.outcome == "not tested" and verdict.ratio == 0
    assert verdict.synthetic == {
        "drawn": 60,
        "accepted": 0,
        "rejected": {"near_copy": 10, "agreement": 50},
        "left_out": 0,
    }
    assert verdict.headline == (
        "Not tested. None of the 60 synthetic images was accepted; the filter agreement rejected 50, near_copy 10."
    )
    assert "difference" not in verdict.sentence and "train longer (--steps)" in remedy(verdict)
    assert "not tested, 0 of 60 accepted" in badge(verdict)
    assert Verdict.from_dict(verdict.as_dict()).as_dict() == verdict.as_dict()
    assert verdict.look == (0, "")  # nothing was looked at


def test_layers_are_answered_separately_and_never_for_the_images() -> None:
    plain = {"none": ALL, "classical": ALL, "discriminator_random": ALL}
    both = trial({**plain, "gan": (0.6, 0.6, 0.6, 0.6), "discriminator_init": (0.8, 0.8, 0.8, 0.8)})
    assert (both.outcome, both.arm, question(both)) == ("hurts", "gan", "Use these synthetic images?")
    assert both.initialisation is not None and both.initialisation["outcome"] == "helps"
    assert both.initialisation["difference"] == pytest.approx(0.1, abs=0.02)
    assert "Separately, starting from the discriminator's layers (discriminator_init): helps, +" in both.sentence
    unshown = trial({**plain, "gan": ALL, "discriminator_init": (0.8, 0.8, 0.8, 0.8)}, ratio=0.0)
    assert unshown.outcome == "not tested" and unshown.initialisation is not None
    assert unshown.initialisation["outcome"] == "helps" and unshown.initialisation["level"] == 0.05  # one arm to test
    plain_trial = trial({**plain, "discriminator_init": (0.8, 0.8, 0.8, 0.8)})
    assert (plain_trial.outcome, plain_trial.initialisation, question(plain_trial)) == (
        "helps",
        None,
        "Use the discriminator's layers?",
    )


def test_a_class_that_pays_for_the_mean_is_named() -> None:
    verdict = trial({"classical": ALL, "gan": (0.6, 0.8, 0.8, 0.8)})
    assert verdict.outcome == "helps" and [row["name"] for row in verdict.worse] == ["bag"]
    assert verdict.headline == f"Yes. On average they add {100 * verdict.difference:.1f} points, but bag loses " + (
        f"{-100 * verdict.worse[0]['difference']:.1f} points."
    )
    assert "One class gets significantly worse: bag by" in verdict.sentence and "a class worse" in badge(verdict)
    stored = verdict.as_dict()
    assert stored["worse"][0]["name"] == "bag" and stored["worst"]["arm"]["name"] == "bag"
    assert stored["worst"]["comparator"]["recall"] == pytest.approx(0.7, abs=0.03)


def test_intervals_of_classes_are_holm_corrected() -> None:
    verdict = trial({"classical": ALL, "gan": (0.6, 0.7, 0.7, 0.7)})
    single_class = trial({"classical": ALL, "gan": (0.6, 0.7, 0.7, 0.7)}, classes=1)
    bag, single = verdict.per_class[0], single_class.per_class[0]
    assert (bag["level"], single["level"]) == (
        pytest.approx(0.05 / 4),
        0.05,
    )  # the smallest of four p, and the only one
    assert bag["difference"] == pytest.approx(single["difference"])
    assert bag["low"] < single["low"] < single["high"] < bag["high"] < 0
    assert bag["p_adjusted"] == pytest.approx(4 * single["p_adjusted"])
    assert bag["worse"] and not any(row["worse"] for row in verdict.per_class[1:])


@pytest.mark.parametrize(
    ("loss", "limit", "expected"),
    [(0.0, 0.1, "helps"), (0.1, 0.03, "hurts"), (0.1, 0.1, "underpowered"), (0.1, 0.4, "helps"), (0.1, None, "helps")],
)
def test_a_limit_on_the_loss_of_a_class_is_part_of_the_outcome(loss: float, limit: float | None, expected: str) -> None:
    verdict = trial({"classical": ALL, "gan": (0.7 - loss, 0.85, 0.85, 0.85)}, limit=limit)
    assert verdict.outcome == expected and verdict.max_class_loss == limit
    assert bool(verdict.class_loss) == (expected != "helps")
    if expected == "hurts":
        assert verdict.headline.startswith("No. Bag loses") and "more than the allowed 3 points" in verdict.headline
        assert "hurts a class" in badge(verdict) and "Leave them out" in verdict.sentence
    if expected == "underpowered":
        assert "A loss of more than 10 points (prove.max_class_loss) is not ruled out for bag" in verdict.sentence
