"""What a score card promises: it travels as JSON, refuses wrong comparisons, and its baseline has the same N."""

import json
from dataclasses import replace

import numpy as np
import pytest

from augury.errors import ScoreError
from augury.metrics import Score, ScoreCard, evaluate, frechet_distance, kernel_distance, pixels, relative_spread

FD = Score("FD-pixels", 3.0, 2.0, 4.0, 100, "lower", "pixels", "value / 255", baseline=1.5, note="small")
AS = replace(FD, name="accuracy", better="higher", baseline=None, note="")


def test_comparing_knows_the_good_direction() -> None:
    assert FD.compare(replace(FD, value=5.0)) == 2.0
    assert AS.compare(replace(AS, value=5.0)) == -2.0


@pytest.mark.parametrize("field", ["name", "features", "preprocessing"])
def test_unlike_scores_refuse_to_be_compared(field: str) -> None:
    with pytest.raises(ScoreError, match=f"must not be compared, as {field} is .* 'other' in the other; score both"):
        FD.compare(replace(FD, **{field: "other"}))


def test_a_card_survives_json() -> None:
    card = ScoreCard((FD, AS))
    assert ScoreCard.from_dict(json.loads(json.dumps(card.as_dict(), allow_nan=False))) == card
    assert card["accuracy"] is AS
    with pytest.raises(ScoreError, match="no score 'IS'; it has: FD-pixels, accuracy"):
        card["IS"]


@pytest.mark.parametrize("value", [{}, {"scores": [{"name": "FD"}]}, {"scores": 3}])
def test_what_is_no_card_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(ScoreError, match="no score card"):
        ScoreCard.from_dict(value)


def images(n: int, seed: int, low: int = 0, high: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, (n, 1, 3, 2), dtype=np.uint8)


def test_evaluate_scores_both_sides_at_the_same_n() -> None:
    counted: list[int] = []
    plain = pixels((1, 3, 2))

    def extract(given: np.ndarray) -> np.ndarray:
        counted.append(len(given))
        return plain.extract(given)

    given = {"baseline": images(30, 1), "scores": ("fd", "kid", "precision", "recall")}
    card = evaluate(images(60, 0), images(45, 2, 90), [replace(plain, extract=extract)], **given)
    assert sorted(counted) == [30, 30, 60]
    fd, kernel, quality, variety = card.scores
    assert (quality.name, variety.name, quality.better) == ("precision-pixels", "recall-pixels", "higher")
    assert (fd.name, kernel.name, fd.n, kernel.n) == ("FD-pixels", "KID-pixels", 30, 30)
    reference, baseline = plain.extract(images(60, 0)), plain.extract(images(30, 1))
    assert fd.baseline == pytest.approx(frechet_distance(baseline, reference))
    assert kernel.baseline == pytest.approx(kernel_distance(baseline, reference))
    assert fd.value > 1.5 * fd.baseline and kernel.value > abs(kernel.baseline)
    assert card == evaluate(images(60, 0), images(45, 2, 90), [plain], **given)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_evaluate_refuses_too_few(which: int) -> None:
    sets = [images(9, i) for i in range(3)]
    sets[which] = sets[which][:3]
    with pytest.raises(ScoreError, match=r"at least 4 images a set, but the (reference|baseline|synthetic) set has 3"):
        evaluate(sets[0], sets[1], baseline=sets[2])


def test_relative_spread_is_a_ratio_of_deviations() -> None:
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], 2000)
    real = random.normal(0, 1, (4000, 5)) + 10 * labels[:, None]
    fake = random.normal(0, 0.25, (4000, 5)) - 3 * labels[:, None]
    assert relative_spread(fake, labels, real, labels) == pytest.approx(0.25, rel=0.02)
    assert relative_spread(np.zeros((4000, 5)), labels, real, labels) == 0
    few = np.array([0, 1, 2000, 2001])
    assert relative_spread(real[few], labels[few], real, labels) == pytest.approx(1, abs=0.5)
    assert np.isnan(relative_spread(fake[:1], labels[:1], real, labels))
