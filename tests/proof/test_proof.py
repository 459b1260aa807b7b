"""The verdict: statistics against scipy and scikit-learn, and planted sets that help, do nothing and hurt."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import permutation_test
from sklearn.metrics import balanced_accuracy_score, f1_score, recall_score

from augury.errors import SettingsError
from augury.images import LabelledImages, SyntheticImages
from augury.proof import bca_interval, prove, sign_flip_p
from augury.proof.judgement import judge
from augury.proof.statistics import confusion, measures, word
from augury.settings import ProveSettings
from augury.verdict import Verdict


@pytest.mark.parametrize("n", [3, 6, 9])
def test_sign_flip_p_is_scipys(n: int) -> None:
    differences = np.random.default_rng(n).normal(0.4, 1, n)
    theirs = permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_p(differences) == pytest.approx(theirs.pvalue)


def test_the_smallest_p_is_known() -> None:
    assert [sign_flip_p(np.ones(n)) for n in (3, 5, 6)] == [0.25, 0.0625, 0.03125]


def test_bca_covers_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    hits = 0
    for _ in range(60):
        low, high = bca_interval(random.normal(1, 1, 30))
        hits += low <= 1 <= high
    assert 50 <= hits <= 60
    assert bca_interval(np.full(6, 0.25)) == (0.25, 0.25)


def test_words_need_both_interval_and_test() -> None:
    d = np.ones(6)
    assert word(d, 0.01, 0.02, 0.03) == "helps"
    assert word(d, 0.01, 0.02, 0.06) == "underpowered"
    assert word(d, 0.001, 0.005, 0.06) == "no difference"
    assert word(-d, -0.02, -0.01, 0.03) == "hurts"
    assert word(d, -0.01, 0.02, 0.03) == "underpowered"
    assert word(d, -0.01, 0.02, 0.3) == "no difference"
    assert word(d, -0.2, 0.2, 0.5) == "underpowered"
    assert word(d[:5], 0.01, 0.02, 0.0625) == "underpowered"


def test_measures_are_scikit_learns() -> None:
    random = np.random.default_rng(2)
    truth, predicted = random.integers(0, 4, 200), random.integers(0, 4, 200)
    ours = measures(confusion(truth, predicted, 4))
    assert ours["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, predicted))
    assert ours["macro_f1"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    np.testing.assert_allclose(ours["recall"], recall_score(truth, predicted, average=None))


AMPLITUDE = 30.0


def stripes(n: int, label: int, random: np.random.Generator) -> np.ndarray:
    """Two classes that differ in the direction of faint stripes under noise."""
    wave = AMPLITUDE * np.sin(np.arange(12) * 2 + random.uniform(0, 6.3, (n, 1)))
    waves = wave[:, None, :] if label else wave[:, :, None]
    return np.clip(128 + waves + random.normal(0, 60, (n, 12, 12)), 0, 255).astype(np.uint8)[:, None]


def part(counts: tuple[int, int], seed: int) -> LabelledImages:
    random = np.random.default_rng(seed)
    images = np.concatenate([stripes(n, c, random) for c, n in enumerate(counts)])
    return LabelledImages(images, np.repeat([0, 1], counts), ("a", "b"), fingerprint=str(seed))


def planted(kind: str) -> SyntheticImages:
    random = np.random.default_rng(9)
    n = 300
    images = np.concatenate([stripes(n, 0, random), stripes(n, 1, random)])
    labels = np.repeat([0, 1], n)
    if kind == "harmful":
        labels = 1 - labels
    if kind == "useless":  # copies of what the classifier has already
        train = part((40, 6), 0)
        picks = np.concatenate([random.choice(np.flatnonzero(train.labels == c), n) for c in (0, 1)])
        images = train.images[picks]
    zeros = np.arange(2 * n)
    return SyntheticImages(images, labels[:, None], (), ("a", "b"), 0, zeros, kind, reasons=("",) * (2 * n))


@pytest.mark.parametrize(
    ("kind", "expected"), [("useful", "helps"), ("useless", "no difference"), ("harmful", "hurts")]
)
def test_a_planted_set_gets_the_right_word(kind: str, expected: str) -> None:
    ratios = (3.0,) if kind == "harmful" else (1.0,)
    settings = ProveSettings(arms=("balanced", "classical", "gan"), steps=160, batch=32, ratios=ratios)
    train, validation, test = part((40, 6), 0), part((60, 60), 1), part((400, 400), 2)
    if kind == "harmful":  # a validation part as mislabelled as the set, so that the harm is not avoided by choosing 0
        validation = LabelledImages(validation.images, 1 - validation.labels, ("a", "b"))
    results: dict[str, object] = {}
    verdict = prove(train, validation, test, planted(kind), settings, results=results)
    assert verdict.word == expected, verdict.sentence
    assert Verdict.from_dict(verdict.as_dict()) == verdict
    again = prove(train, validation, test, planted(kind), settings, results=dict(results))
    assert again == verdict


def test_arms_that_cannot_be_compared_are_refused() -> None:
    train = part((8, 4), 0)
    for arms in (("none",), ("gan",), ("none", "magic", "gan")):
        with pytest.raises(SettingsError):
            prove(train, train, train, planted("useful"), ProveSettings(arms=arms))


def test_without_synthetic_images_shown_they_neither_help_nor_hurt() -> None:
    train, fake = part((8, 4), 0), planted("useful")
    for gan in (0.6, 0.8):
        arms = {
            name: {"balanced_accuracy": [v] * 6, "macro_f1": [v] * 6, "recall": [[v, v]] * 6}
            for name, v in (("balanced", 0.7), ("gan", gan))
        }
        assert judge(arms, tuple(range(6)), 0.0, [], train, fake, train).word == "no difference"
        assert judge(arms, tuple(range(6)), 0.5, [], train, fake, train).word == ("hurts" if gan < 0.7 else "helps")
