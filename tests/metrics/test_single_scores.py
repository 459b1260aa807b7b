"""Each score against closed forms, definitions written out, and sets whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, stats
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import rbf_kernel

from augury.errors import ScoreError
from augury.metrics import (
    SCORES,
    Sides,
    cmmd,
    frechet_distance,
    frechet_infinite,
    frechet_of_moments,
    kernel_distance,
    merged,
    moments,
    near_duplicates,
    vendi_value,
)
from augury.metrics import moments as moments_module
from augury.metrics.balls import ball_counts, radii
from augury.metrics.clipped import clipped_coverage_value, clipped_density_value, expected_coverage
from augury.metrics.coverage import coverage, density
from augury.metrics.inception_score import split_scores
from augury.metrics.kernel import gaussian, usual_bandwidth
from augury.metrics.membership import auc_interval, membership
from augury.metrics.memorisation import authenticity, copying_z, data_copying, duplicates

KNOWN = {"features": "toy", "preprocessing": "", "seed": 0}


def cloud(n: int, d: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) * scale + shift


def sides(fake: np.ndarray, real: np.ndarray, **options: object) -> Sides:
    return Sides(
        fake, real, "toy", "toy", "", 0, np.zeros(len(fake), np.int64), np.zeros(len(real), np.int64), **options
    )


def test_inception_score_of_sure_and_unsure_classifiers() -> None:
    assert split_scores(np.eye(5)[np.arange(50) % 5], 2) == pytest.approx([5, 5])
    assert split_scores(np.full((40, 4), 0.25), 4) == pytest.approx(np.ones(4))
    assert split_scores(np.eye(3)[np.zeros(30, int)], 3) == pytest.approx(np.ones(3))
    p = np.random.default_rng(0).dirichlet(np.ones(7), 40)
    expected = [np.exp(np.mean([stats.entropy(row, part.mean(0)) for row in part])) for part in np.split(p, 4)]
    assert split_scores(p, 4) == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ScoreError, match="give the softmax of the logits"):
        split_scores(cloud(20, 3, 0))


def test_frechet_to_infinite_n_loses_the_bias() -> None:
    x, y = cloud(400, 8, 1), cloud(400, 8, 2)
    assert abs(frechet_infinite(x, y, 0)) < 0.35 * frechet_distance(x, y)
    shifted = cloud(800, 8, 3, 0.5)
    assert frechet_infinite(shifted, np.concatenate([x, y]), 0) == pytest.approx(8 * 0.25, rel=0.15)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.floats(-1e4, 1e4))
def test_moments_merge_and_come_apart(sizes: list[int], shift: float) -> None:
    parts = [cloud(n, 5, i, shift) for i, n in enumerate(sizes)]
    total, x = merged(moments(part) for part in parts), np.concatenate(parts)
    np.testing.assert_allclose(total.mean, x.mean(0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(total.scatter, (x - x.mean(0)).T @ (x - x.mean(0)), rtol=1e-9, atol=1e-6)
    if len(parts) > 1:
        remainder = total.without(moments(parts[0]))
        np.testing.assert_allclose(remainder.scatter, moments(np.concatenate(parts[1:])).scatter, rtol=1e-8, atol=1e-5)


def test_moments_are_taken_in_blocks_and_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = (cloud(90, 6, i, 100).astype(np.float32) for i in (0, 1))
    expected = frechet_distance(x, y)
    monkeypatch.setattr(moments_module_file(), "ROWS", 7)
    assert frechet_of_moments(moments(x), moments(y)) == pytest.approx(expected, rel=1e-9)
    assert moments(x).scatter.dtype == np.float64


def moments_module_file() -> object:
    from importlib import import_module

    assert callable(moments_module)
    return import_module("augury.metrics.moments")


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(5, 60))
def test_turning_the_features_changes_nothing(seed: int, n: int) -> None:
    x, y, turn = cloud(n, 6, seed), cloud(n + 3, 6, seed + 1, 0.3), linalg.qr(cloud(6, 6, seed + 2))[0]
    for score in (frechet_distance, kernel_distance, lambda a, b: kernel_distance(a, b, gaussian(2.0))):
        assert score(x @ turn, y @ turn) == pytest.approx(score(x, y), rel=1e-6, abs=1e-9)
    assert vendi_value(x @ turn) == pytest.approx(vendi_value(x), rel=1e-8)
    np.testing.assert_array_equal(
        ball_counts(x @ turn, y @ turn, radii(y @ turn, 3)).queries, ball_counts(x, y, radii(y, 3)).queries
    )


def test_duplicating_the_fakes_changes_no_share() -> None:
    x, y = cloud(40, 4, 0), cloud(50, 4, 1)
    once, twice = sides(x, y), sides(np.concatenate([x, x]), y)
    for score in (density, coverage):
        assert score(twice, "").value == pytest.approx(score(once, "").value)
    assert vendi_value(np.concatenate([x, x])) == pytest.approx(vendi_value(x), rel=1e-9)
    assert clipped_density_value(twice) == pytest.approx(clipped_density_value(once))


def test_cmmd_is_the_unbiased_gaussian_mmd() -> None:
    x, y, width = cloud(30, 5, 0), cloud(25, 5, 1, 0.4), 2.5
    xx, yy, xy = (rbf_kernel(a, b, gamma=1 / (2 * width**2)) for a, b in ((x, x), (y, y), (x, y)))
    expected = (xx.sum() - 30) / (30 * 29) + (yy.sum() - 25) / (25 * 24) - 2 * xy.mean()
    score = cmmd(x, y, width, **KNOWN)
    assert score.value == pytest.approx(1000 * expected, rel=1e-9) and score.settings == "σ=2.5"
    assert usual_bandwidth(y, 0) == pytest.approx(np.median(cdist(y, y)[np.triu_indices(25, 1)]), rel=0.01)


def test_density_and_coverage_by_definition() -> None:
    fake, real = cloud(70, 5, 0, 0.3), cloud(60, 5, 1)
    reach = np.sort(cdist(real, real), axis=1)[:, 5]
    inside = cdist(fake, real) <= reach
    assert density(sides(fake, real), "").value == pytest.approx(inside.sum() / 5 / 70)
    assert coverage(sides(fake, real), "").value == pytest.approx(inside.any(0).mean())
    assert coverage(sides(real, real), "").value == 1
    many = [coverage(sides(cloud(200, 3, 2 * i), cloud(200, 3, 2 * i + 1)), "").value for i in range(8)]
    assert np.mean(many) == pytest.approx(1 - 2**-5, abs=0.02)


def test_clipped_forms_read_as_the_share_of_good_fakes() -> None:
    real, good = cloud(600, 4, 0), cloud(600, 4, 1)
    for share in (0.25, 0.5, 1.0):
        fakes = np.concatenate([good[: int(600 * share)], good[int(600 * share) :] + 100])
        assert clipped_density_value(sides(fakes, real)) == pytest.approx(share, abs=0.06)
        assert clipped_coverage_value(sides(fakes, real)) == pytest.approx(share, abs=0.08)
    real[0] = 1e3  # an outlier, whose ball would hold everything
    everywhere = cloud(600, 4, 3, scale=1.0) + 30
    assert density(sides(everywhere, real), "").value > 0.1
    assert clipped_density_value(sides(everywhere, real)) < 0.01


def test_expected_coverage_is_that_of_draws() -> None:
    random, k, reals, m = np.random.default_rng(0), 5, 30, 20
    samples = random.binomial(m, random.beta(k, reals - k, 200_000))
    expected = expected_coverage(40, reals, k)
    assert expected[m] == pytest.approx(np.minimum(samples / k, 1).mean(), abs=0.003)
    assert expected[0] == 0 and (np.diff(expected) > 0).all()


def test_vendi_counts_different_images() -> None:
    assert vendi_value(np.eye(7)) == pytest.approx(7)
    assert vendi_value(np.repeat(np.eye(3), 5, axis=0)) == pytest.approx(3)
    assert vendi_value(np.ones((9, 4))) == pytest.approx(1)
    assert vendi_value(np.zeros((9, 4))) == pytest.approx(1)  # black images, as pixels
    x = cloud(12, 5, 0)
    units = x / linalg.norm(x, axis=1, keepdims=True)
    values = linalg.eigvalsh(units @ units.T / 12)
    values = values[values > 1e-12]
    assert vendi_value(x) == pytest.approx(np.exp(-(values * np.log(values)).sum()), rel=1e-9)


def test_copying_z_is_that_of_scipy_with_ties() -> None:
    random = np.random.default_rng(0)
    a, b = random.integers(0, 9, 40).astype(float), random.integers(1, 10, 30).astype(float)
    p = stats.mannwhitneyu(a, b, alternative="less", method="asymptotic", use_continuity=False).pvalue
    assert stats.norm.cdf(copying_z(a, b)) == pytest.approx(p, rel=1e-9)
    assert copying_z(np.zeros(5), np.zeros(4)) == 0


def test_copies_are_found_and_new_images_are_not() -> None:
    train, unseen, new = cloud(150, 6, 0), cloud(100, 6, 1), cloud(120, 6, 2)
    copies = train[:120] + 1e-3 * cloud(120, 6, 3)
    new_images, copied_images = (sides(fake, train, train=train, held_out=unseen) for fake in (new, copies))
    assert data_copying(copied_images, "").value < -8 < -3 < data_copying(new_images, "").value
    assert authenticity(copied_images, "").value == 0 and authenticity(new_images, "").value > 0.3
    assert duplicates(copied_images, "").value == 1 and duplicates(new_images, "").value < 0.05
    assert (
        membership(copied_images, "").low > 0.7
        and membership(new_images, "").low < 0.5 < membership(new_images, "").high
    )
    distant = sides(new + 9, train, train=train, held_out=unseen)
    assert data_copying(distant, "").value > 8


def test_near_duplicates_tell_their_pictures() -> None:
    train, fake = cloud(50, 6, 0), cloud(20, 6, 1, 5)
    fake[[3, 11]] = train[[40, 7]]
    fake[11] += 1e-3
    clusters = near_duplicates(fake, train)
    assert (clusters.fakes.tolist(), clusters.train.tolist()) == ([3, 11], [40, 7])
    assert clusters.distances[0] == 0 and (clusters.distances <= clusters.limit).all()
    assert len(near_duplicates(fake, train, at_least=6).fakes) == 6
    with pytest.raises(ScoreError, match="at least 2 training images, but there are 1"):
        near_duplicates(fake, train[:1])


def test_auc_and_its_interval() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(0.5, 1, 50).round(1), random.normal(0, 1, 40).round(1)
    auc, low, high = auc_interval(a, b)
    assert auc == pytest.approx(roc_auc_score([1] * 50 + [0] * 40, np.concatenate([a, b])))
    placements = (a[:, None] > b) + 0.5 * (a[:, None] == b)
    error = np.sqrt(placements.mean(1).var(ddof=1) / 50 + placements.mean(0).var(ddof=1) / 40)
    assert (high - low) / 2 == pytest.approx(1.959964 * error)
    assert auc_interval(np.ones(10), np.zeros(20)) == (1, pytest.approx(0.7), 1)
    intervals = [auc_interval(random.normal(size=40), random.normal(size=40)) for _ in range(200)]
    assert 0.9 < np.mean([low <= 0.5 <= high for _, low, high in intervals]) <= 1
    with pytest.raises(ScoreError, match="2 images a side"):
        auc_interval(np.ones(1), np.ones(5))


def test_balls_have_closed_edges_whatever_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import import_module

    grid = np.stack(np.meshgrid(np.arange(8.0), np.arange(8.0)), -1).reshape(-1, 2) + 1e3
    expected = cdist(grid, grid) <= 1
    for pairs in (10, 8_000_000):
        monkeypatch.setattr(import_module("augury.metrics.balls"), "PAIRS", pairs)
        counts = ball_counts(grid, grid, np.ones(64))
        np.testing.assert_array_equal(counts.queries, expected.sum(1))
        np.testing.assert_array_equal(counts.centres, expected.sum(0))


def test_neighbourhood_intervals_hold_the_usual_value_and_say_when_they_are_narrow() -> None:
    pairs = [sides(cloud(80, 4, 2 * i, 0.5), cloud(80, 4, 2 * i + 1)) for i in range(40)]
    for name in ("precision", "recall", "density", "coverage", "clipped_density", "clipped_coverage"):
        scores = [SCORES[name].score(pair, name) for pair in pairs]
        middle = np.mean([score.value for score in scores])
        assert np.mean([score.low <= middle <= score.high for score in scores]) > 0.85, name
    few = density(sides(cloud(6, 4, 0), cloud(6, 4, 1)), "")
    assert "too narrow" in few.note and density(pairs[0], "").note == ""


def test_a_translation_that_resembles_its_own_source_is_no_near_duplicate() -> None:
    train = np.random.default_rng(0).normal(size=(20, 3)) * 10
    fake = train[[4, 5, 6]] + 1e-3
    fake[2] = train[9]  # of another image than its source
    assert near_duplicates(fake, train).fakes.tolist() == [2, 0, 1]
    clusters = near_duplicates(fake, train, own=np.array([4, 5, 6]))
    assert (clusters.fakes.tolist(), clusters.train.tolist()) == ([2], [9])
    assert near_duplicates(fake, train, own=np.array([4, -1, 6])).fakes.tolist() == [2, 1]
