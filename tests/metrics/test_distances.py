"""Fréchet and kernel distances against closed forms, SciPy's matrix root, a triple loop and scikit-learn."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy import linalg
from sklearn.metrics.pairwise import polynomial_kernel

from augury.errors import ScoreError
from augury.metrics import frechet, frechet_distance, kernel, kernel_distance, kid

Floats = npt.NDArray[np.float64]
DESCRIPTION = {"features": "toy", "preprocessing": "none", "seed": 0}


def sample(n: int, d: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> Floats:
    return np.random.default_rng(seed).normal(size=(n, d)) * scale + shift


def exact_moments(mean: Floats, sd: Floats, n: int, seed: int) -> Floats:
    """A sample whose mean and (diagonal) covariance are exactly these."""
    raw = sample(n, len(mean), seed)
    raw -= raw.mean(0)
    white = raw @ linalg.inv(linalg.cholesky(np.cov(raw.T), lower=True)).T
    return white * sd + mean


@pytest.mark.parametrize("n", [40, 500])
def test_gaussians_in_closed_form(n: int) -> None:
    random = np.random.default_rng(1)
    means, sds = random.normal(size=(2, 12)), random.uniform(0.3, 2, size=(2, 12))
    x, y = (exact_moments(means[i], sds[i], n + i, seed=i) for i in (0, 1))
    expected = ((means[0] - means[1]) ** 2).sum() + ((sds[0] - sds[1]) ** 2).sum()
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(50, 60), (5, 60), (50, 6), (7, 7)])
def test_frechet_agrees_with_the_matrix_root(n: int, m: int) -> None:
    mixing = sample(8, 8, 3)
    x, y = sample(n, 8, 1) @ mixing, sample(m, 8, 2, 1.5, 0.3)
    first, second = np.cov(x.T), np.cov(y.T)
    if min(n, m) > 8:
        root = linalg.sqrtm(first @ second).real.trace()
    else:  # sqrtm fails on singular matrices; the root of the positive semidefinite one does not
        values, vectors = linalg.eigh(first)
        half = (vectors * np.sqrt(values.clip(0))) @ vectors.T
        root = np.sqrt(linalg.eigvalsh(half @ second @ half).clip(0)).sum()
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + first.trace() + second.trace() - 2 * root
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-6)


def test_both_routes_agree() -> None:
    """Columns of zeros change no distance, but with them the sets have fewer rows than columns."""
    x, y = sample(90, 20, 1), sample(70, 20, 2, 2.0)
    wide = [np.hstack([features, np.zeros((len(features), 100))]) for features in (x, y)]
    assert frechet_distance(*wide) == pytest.approx(frechet_distance(x, y), rel=1e-10)


def test_features_that_never_vary_take_the_other_route() -> None:
    x, y = sample(60, 6, 1), sample(50, 6, 2)
    dead = [np.hstack([s, np.full((len(s), 3), 0.7)]) for s in (x, y)]
    assert frechet_distance(*dead) == pytest.approx(frechet_distance(x, y), rel=1e-9)


@pytest.mark.parametrize("n", [9, 200])
def test_invariances(n: int) -> None:
    x, y = sample(n, 16, 1), sample(n + 3, 16, 2, 1.3, 0.2)
    turn = linalg.qr(sample(16, 16, 5))[0]
    assert frechet_distance(x @ turn, y @ turn) == pytest.approx(frechet_distance(x, y), rel=1e-8)
    assert frechet_distance(y, x) == pytest.approx(frechet_distance(x, y), rel=1e-8)
    assert kernel_distance(x @ turn, y @ turn) == pytest.approx(kernel_distance(x, y), rel=1e-8)
    assert frechet_distance(x, x) < 1e-6


def test_kernel_distance_by_a_triple_loop() -> None:
    x, y = sample(6, 3, 1), sample(5, 3, 2, 1.2, 0.4)

    def k(a: Floats, b: Floats) -> float:
        total = 0.0
        for i in range(3):
            total += a[i] * b[i]
        return (total / 3 + 1) ** 3

    within = [sum(k(a, b) for i, a in enumerate(s) for j, b in enumerate(s) if i != j) for s in (x, y)]
    across = sum(k(a, b) for a in x for b in y)
    assert kernel_distance(x, y) == pytest.approx(within[0] / 30 + within[1] / 20 - 2 * across / 30, rel=1e-12)


def test_kernel_distance_agrees_with_sklearn_whatever_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = sample(53, 10, 1), sample(41, 10, 2, 1.1, 0.2)
    xx, yy, xy = (polynomial_kernel(a, b, degree=3, gamma=0.1, coef0=1) for a, b in ((x, x), (y, y), (x, y)))
    expected = (xx.sum() - xx.trace()) / (53 * 52) + (yy.sum() - yy.trace()) / (41 * 40) - 2 * xy.mean()
    for tile in ((7, 5), (5, 7), (8, 64), (512, 1024)):
        monkeypatch.setattr(kernel, "TILE", tile)
        assert kernel_distance(x, y) == pytest.approx(expected, rel=1e-10)


def test_float32_features_give_the_kernel_distance_of_float64() -> None:
    random = np.random.default_rng(0)  # like a network's: none below 0, few large, the two sides nearly alike
    x, y = (random.gamma(0.3, scale, (700, 512)).astype(np.float32) for scale in (1.0, 1.1))
    exact = kernel_distance(x.astype(np.float64), y.astype(np.float64))
    assert kernel_distance(x, y) == pytest.approx(exact, rel=1e-6)
    assert kernel_distance(x, y.astype(np.float64)) == exact


def test_kernel_distance_is_unbiased_where_frechet_is_not() -> None:
    scores = [(sample(20, 8, 2 * i), sample(20, 8, 2 * i + 1)) for i in range(300)]
    values = np.array([kernel_distance(*pair) for pair in scores])
    assert abs(values.mean()) < 3 * values.std() / 300**0.5
    assert min(frechet_distance(*pair) for pair in scores[:20]) > 0.5


@pytest.mark.parametrize("score", [frechet, kid])
def test_intervals_hold_the_truth_about_as_often_as_they_say(score: type) -> None:
    pairs = [(sample(60, 4, 2 * i, shift=0.6), sample(60, 4, 2 * i + 1)) for i in range(120)]
    scores = [score(*pair, **DESCRIPTION) for pair in pairs]
    truth = np.mean([s.value for s in scores])  # of the score at this N
    assert all(s.low <= s.value <= s.high for s in scores)
    assert np.mean([s.low <= truth <= s.high for s in scores]) > 0.88
    width, spread = np.mean([s.high - s.low for s in scores]), np.std([s.value for s in scores])
    assert 0.8 < width / (2 * 1.96 * spread) < 1.6


@pytest.mark.parametrize("score", [frechet, kid])
def test_scores_are_seeded_and_say_what_they_are(score: type) -> None:
    x, y = sample(40, 4, 1), sample(50, 4, 2)
    one = score(x, y, **DESCRIPTION)
    assert one == score(x, y, **DESCRIPTION)
    assert one.high != score(x, y, **{**DESCRIPTION, "seed": 1}).high
    assert (one.n, one.better, one.features, one.preprocessing, one.note) == (40, "lower", "toy", "none", "")


def test_a_small_sample_is_called_not_meaningful() -> None:
    assert (
        "N=19 is small against D=10; go by the KID" in frechet(sample(19, 10, 1), sample(60, 10, 2), **DESCRIPTION).note
    )
    assert frechet(sample(20, 10, 1), sample(60, 10, 2), **DESCRIPTION).note == ""


@pytest.mark.parametrize("n", [4, 5, 30])
@pytest.mark.parametrize("score", [frechet, kid])
def test_constant_images_give_numbers(score: type, n: int) -> None:
    same = np.full((n, 6), 0.25)
    zero = score(same, same, **DESCRIPTION)
    assert zero.value == pytest.approx(0, abs=1e-9) and zero.high == pytest.approx(0, abs=1e-9)
    other = score(same, sample(n, 6, 1), **DESCRIPTION)
    assert np.isfinite([other.value, other.low, other.high]).all()


def test_frechet_of_a_constant_set_is_distance_and_variance() -> None:
    y = sample(30, 6, 1)
    expected = ((y.mean(0) - 0.25) ** 2).sum() + np.cov(y.T).trace()
    assert frechet_distance(np.full((8, 6), 0.25), y) == pytest.approx(expected, rel=1e-12)


GOOD = sample(9, 4, 0)
HOLED = GOOD.copy()
HOLED[[2, 5], 1] = np.nan, np.inf
BAD = [
    (GOOD[:0], "at least . images a side, but one side has 0"),
    (GOOD[:1], "at least . images a side, but one side has 1"),
    (HOLED, "2 of 9 images hold NaN or infinity .first: image 2.; look"),
    (GOOD[:, :3], "4 features an image; extract both with the same extractor"),
    (GOOD[:, 0], r"\[N, D\].*\[9\]"),
    (GOOD[:, :0], r"\[N, D\].*\[9, 0\]"),
]


@pytest.mark.parametrize("invalid", BAD, ids=["empty", "single", "nan", "dimension", "flat", "no features"])
def test_bad_features_are_refused(invalid: tuple[Floats, str]) -> None:
    for function in (frechet_distance, kernel_distance):
        with pytest.raises(ScoreError, match=invalid[1]):
            function(invalid[0], GOOD)
    for score in (frechet, kid):
        with pytest.raises(ScoreError, match=invalid[1]):
            score(invalid[0], GOOD, **DESCRIPTION)


def test_an_interval_needs_four() -> None:
    with pytest.raises(ScoreError, match="at least 4 images a side, but one side has 3"):
        kid(GOOD, GOOD[:3], **DESCRIPTION)
