"""Every row of the table of scores keeps the same promises."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from augury.errors import ScoreError
from augury.metrics import SCORES, Score, ScoreCard, Sides

N, D = 60, 6
DOCS = Path(__file__).parents[2] / "docs" / "scores.md"


def cloud(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(n, D)) + shift).astype(np.float32)


def head(features: np.ndarray) -> np.ndarray:
    logits = 3 * np.asarray(features, np.float64)
    weights = np.exp(logits - logits.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True)


def sides(fake: np.ndarray, real: np.ndarray, **changes: object) -> Sides:
    labels = (np.arange(len(fake)) % 2, np.arange(len(real)) % 2)
    known = {"train": cloud(70, 5), "held_out": cloud(50, 6), "head": head, **changes}
    return Sides(fake, real, "toy", "toy@1", "as it is", 0, *labels, **known)


SIDES = sides(cloud(N, 0, 0.3), cloud(N + 5, 1))


@pytest.mark.parametrize("name", SCORES)
def test_a_score_says_everything_and_is_seeded(name: str) -> None:
    row = SCORES[name]
    score = row.score(SIDES, f"{row.label}-toy")
    assert score == row.score(replace(SIDES), f"{row.label}-toy")
    assert isinstance(score, Score) and isinstance(row.value(SIDES), float)
    assert (score.name, score.features, score.preprocessing) == (f"{row.label}-toy", "toy@1", "as it is")
    assert score.low <= score.value <= score.high and score.low < score.high
    assert score.n in (N, 50) and score.better in ("higher", "lower")
    assert row.value(SIDES) == pytest.approx(score.value, rel=1e-9)
    assert (
        ScoreCard.from_dict(json.loads(json.dumps(ScoreCard((score,)).as_dict(), allow_nan=False)))[score.name] == score
    )


@pytest.mark.parametrize("name", [name for name in SCORES if name not in ("is", "vendi", "fd_infinite")])
def test_order_does_not_matter(name: str) -> None:
    order = np.random.default_rng(3).permutation(N)
    mixed = replace(SIDES, fake=SIDES.fake[order], fake_labels=SIDES.fake_labels[order])
    assert SCORES[name].value(mixed) == pytest.approx(SCORES[name].value(SIDES), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", SCORES)
def test_features_with_holes_are_refused(name: str) -> None:
    holed = SIDES.fake.copy()
    holed[3, 1] = np.nan
    with pytest.raises(ScoreError, match=r"NaN or infinity|sum to"):
        SCORES[name].score(replace(SIDES, fake=holed), name)


@pytest.mark.parametrize("name", [name for name in SCORES if name != "is"])
def test_an_empty_side_is_refused(name: str) -> None:
    with pytest.raises(ScoreError):
        SCORES[name].score(replace(SIDES, fake=SIDES.fake[:0], fake_labels=SIDES.fake_labels[:0]), name)


@pytest.mark.parametrize("name", SCORES)
def test_what_a_score_needs_is_asked_for(name: str) -> None:
    for requirement in SCORES[name].needs:
        with pytest.raises(ScoreError, match=r"needs|give"):
            SCORES[name].score(replace(SIDES, **{requirement: None}), name)


@pytest.mark.parametrize("name", [name for name in SCORES if name != "spread"])
def test_constant_images_give_numbers(name: str) -> None:
    same = np.full((20, D), 0.25, np.float32)
    for case in (sides(same, same, train=same, held_out=same), sides(cloud(20, 1), same), sides(same, cloud(20, 1))):
        score = SCORES[name].score(case, name)
        assert np.isfinite([score.value, score.low, score.high]).all()


@pytest.mark.parametrize("name", SCORES)
def test_more_features_than_images(name: str) -> None:
    wide = np.random.default_rng(0).normal(size=(4, 24, 90))
    case = Sides(wide[0], wide[1], "toy", "toy", "", 0, *np.zeros((2, 24), np.int64), wide[2], wide[3], head)
    score = SCORES[name].score(case, name)
    assert np.isfinite([score.value, score.low, score.high]).all()
    if name in ("is", "fd", "fd_infinite"):
        assert score.note.startswith("not meaningful: ") and not score.meaningful


def test_the_page_explains_every_score() -> None:
    lines = [line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert [line.split("`")[1] for line in lines[: len(SCORES)]] == list(SCORES)
