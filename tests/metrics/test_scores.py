"""What a score card promises: it travels as JSON, refuses wrong comparisons, and its baseline has the same N."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from augury.errors import ScoreError, SettingsError
from augury.metrics import (
    SCORES,
    Score,
    ScoreCard,
    evaluate,
    frechet_distance,
    kernel_distance,
    pixels,
    relative_spread,
)

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
    lengths: list[int] = []
    pixel_extractor = pixels((1, 3, 2))

    def extract(inputs: np.ndarray) -> np.ndarray:
        lengths.append(len(inputs))
        return pixel_extractor.extract(inputs)

    options = {"baseline": images(30, 1), "scores": ("fd", "kid", "precision", "recall")}
    card = evaluate(images(60, 0), images(45, 2, 90), [replace(pixel_extractor, extract=extract)], **options)
    assert sorted(lengths) == [30, 30, 60]
    fd, kernel, quality, variety = card.scores
    assert (quality.name, variety.name, quality.better) == ("precision-pixels", "recall-pixels", "higher")
    assert (fd.name, kernel.name, fd.n, kernel.n) == ("FD-pixels", "KID-pixels", 30, 30)
    reference, baseline = pixel_extractor.extract(images(60, 0)), pixel_extractor.extract(images(30, 1))
    assert fd.baseline == pytest.approx(frechet_distance(baseline, reference))
    assert kernel.baseline == pytest.approx(kernel_distance(baseline, reference))
    assert fd.value > 1.5 * fd.baseline and kernel.value > abs(kernel.baseline)
    assert card == evaluate(images(60, 0), images(45, 2, 90), [pixel_extractor], **options)


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
    rows = np.array([0, 1, 2000, 2001])
    assert relative_spread(real[rows], labels[rows], real, labels) == pytest.approx(1, abs=0.5)
    assert np.isnan(relative_spread(fake[:1], labels[:1], real, labels))


def test_cards_are_written_and_read(tmp_path: Path) -> None:
    card = ScoreCard((FD, replace(FD, group="cats", settings="k=5", same_n=True)))
    card.write(tmp_path / "card.json")
    assert ScoreCard.read(tmp_path / "card.json") == card
    assert card["FD-pixels"] is card.scores[0] and card.of("FD-pixels", "cats") is card.scores[1]
    (tmp_path / "cut.json").write_text('{"scores": [')
    for name in ("cut.json", "missing.json"):
        with pytest.raises(ScoreError, match="cannot be read as a score card"):
            ScoreCard.read(tmp_path / name)
    assert not list(tmp_path.glob(".*"))


def test_cards_are_compared_score_by_score_or_not_at_all() -> None:
    worse = ScoreCard((replace(FD, value=5.0), replace(AS, value=1.0), replace(FD, group="cats")))
    assert ScoreCard((FD, AS)).compare(worse) == {("FD-pixels", ""): 2.0, ("accuracy", ""): 2.0}
    with pytest.raises(ScoreError, match="as preprocessing is 'value / 255' in one and 'cut' in the other"):
        ScoreCard((FD, AS)).compare(ScoreCard((replace(FD, preprocessing="cut"), AS)))
    with pytest.raises(ScoreError, match="share no score, as one has FD-pixels and the other accuracy"):
        ScoreCard((FD,)).compare(ScoreCard((AS,)))
    vague = replace(FD, note="not meaningful: N=9 is small against D=100")
    assert ScoreCard((vague, AS)).compare(worse) == {("accuracy", ""): 2.0}


def test_scores_that_move_with_n_are_compared_at_one_n() -> None:
    biased = replace(FD, same_n=True)
    with pytest.raises(ScoreError, match="as n is '100' in one and '50' in the other"):
        biased.compare(replace(biased, n=50))
    assert FD.compare(replace(FD, n=50)) == 0


@pytest.mark.parametrize("broken", [{"value": float("nan")}, {"high": float("inf")}, {"baseline": float("nan")}])
def test_a_score_is_finite(broken: dict[str, float]) -> None:
    with pytest.raises(ScoreError, match="must be finite"):
        replace(FD, **broken)


def labelled(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    return images(n, seed), np.arange(n) % 2


def test_evaluate_pooled_and_by_class_with_memorisation() -> None:
    (real, real_labels), (fake, fake_labels) = labelled(80, 0), labelled(60, 1)
    card = evaluate(
        real,
        fake,
        ["pixels", pixels((1, 3, 2))],
        real_labels=real_labels,
        fake_labels=fake_labels,
        classes=("cats", "dogs"),
        train=fake[:40],
        held_out=images(30, 3),
    )
    pooled = [score.name for score in card.scores if not score.group]
    expected = [f"{row.label}-pixels" for name, row in SCORES.items() if name != "is"]
    assert pooled == expected * 2
    assert {score.group for score in card.scores} == {"", "cats", "dogs"}
    assert all(score.baseline is not None for score in card.scores)
    assert card["KID-pixels"].n == 40 and 10 < card.of("KID-pixels", "dogs").n <= 20
    assert card["duplicates-pixels"].value == pytest.approx(40 / 60) and card["duplicates-pixels"].n == 60
    assert card["C_T-pixels"].value < -3 < card["C_T-pixels"].baseline
    assert card == evaluate(
        real,
        fake,
        ["pixels", "pixels"],
        real_labels=real_labels,
        fake_labels=fake_labels,
        classes=("cats", "dogs"),
        train=fake[:40],
        held_out=images(30, 3),
    )


def test_evaluate_as_other_tools_do() -> None:
    real, fake = images(50, 0), images(40, 1)
    card = evaluate(real, fake, baseline=None, scores=["fd"])
    extract = pixels((1, 3, 2)).extract
    (fd,) = card.scores
    assert fd.value == pytest.approx(frechet_distance(extract(fake), extract(real))) and fd.baseline is None
    half = evaluate(real, fake, scores=["fd"])["FD-pixels"]
    assert half.n == 25 and half.baseline is not None


def test_evaluate_of_few_or_constant_images_leaves_out_what_it_cannot_tell() -> None:
    scores = evaluate(images(8, 0), images(4, 1))
    assert [score.name for score in scores.scores] == [
        "FD-pixels",
        "KID-pixels",
        "CMMD-pixels",
        "Vendi-pixels",
        "spread-pixels",
    ]
    constant = evaluate(np.full((20, 1, 3, 2), 7, np.uint8), np.full((20, 1, 3, 2), 7, np.uint8))
    assert constant["FD-pixels"].value == 0 and constant["precision-pixels"].value == 1
    assert "spread-pixels" not in [score.name for score in constant.scores]
    with pytest.raises(ScoreError, match="needs class probabilities"):
        evaluate(images(20, 0), images(20, 1), scores=["is"])


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"fake": images(9, 1)[:, :, :2]}, r"synthetic images are \[1, 2, 2\] but the reference images \[1, 3, 2\]"),
        ({"fake": np.repeat(images(9, 1), 3, axis=1)}, r"\[3, 3, 2\] but .* bring all to one size and mode"),
        ({"fake": images(0, 1)}, "synthetic set has 0"),
        ({"fake": images(1, 1)}, "synthetic set has 1"),
        ({"held_out": images(2, 1)}, "held-out set has 2"),
        ({"real_labels": np.zeros(3, np.int64), "fake_labels": np.zeros(9, np.int64)}, "one label an image"),
    ],
)
def test_evaluate_refuses_what_does_not_fit_together(bad: dict[str, np.ndarray], says: str) -> None:
    with pytest.raises(ScoreError, match=says):
        evaluate(**{"real": images(20, 0), "fake": images(9, 1), **bad})


def test_evaluate_refuses_unknown_names() -> None:
    with pytest.raises(SettingsError, match="no score 'fid'; choose from: is, fd, "):
        evaluate(images(20, 0), images(9, 1), scores=["fid"])
    with pytest.raises(SettingsError, match="'half' or None, but is 'whole'"):
        evaluate(images(20, 0), images(9, 1), baseline="whole")


def test_features_that_are_not_finite_are_refused_with_their_number() -> None:
    pixel_extractor = pixels((1, 3, 2))

    def holed(inputs: np.ndarray) -> np.ndarray:
        features = pixel_extractor.extract(inputs)
        features[0] = np.nan
        return features

    with pytest.raises(ScoreError, match="1 of 9 images hold NaN or infinity"):
        evaluate(images(20, 0), images(9, 1), [replace(pixel_extractor, extract=holed)])


def test_an_extractor_with_a_head_gives_the_inception_score() -> None:
    def head(features: np.ndarray) -> np.ndarray:
        odds = np.exp(4 * np.asarray(features[:, :3], np.float64))
        return odds / odds.sum(1, keepdims=True)

    card = evaluate(images(60, 0), images(60, 1), [replace(pixels((1, 3, 2)), head=head)])
    score = card.scores[0]
    assert score.name == "IS-pixels" and 1 < score.value < 3 and score.baseline == pytest.approx(score.value, rel=0.3)
