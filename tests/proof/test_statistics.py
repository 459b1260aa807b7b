"""Measures, intervals, tests, power and looks against scikit-learn, scipy, published tables and simulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as theirs

from augury.errors import TrainingError
from augury.images import LabelledImages, SyntheticImages
from augury.intervals import wilson
from augury.proof import crossed
from augury.proof.crossed import RESAMPLES, effects
from augury.proof.judgement import coarse, compared, judge, matched_control_of, no_gain, outcome
from augury.proof.measures import measures, packed, unpacked
from augury.proof.power import detectable, images_needed, power, seeds_needed
from augury.proof.ranking import sensitivity_at
from augury.proof.recalls import worth
from augury.proof.sequential import looks, nominal_levels
from augury.proof.statistics import holm, least_seeds, sign_flip_p
from tests.helpers.proof_data import CLASSES


@pytest.mark.parametrize("n", [3, 6, 9])
def test_sign_flip_p_is_scipys(n: int) -> None:
    differences = np.random.default_rng(n).normal(0.4, 1, n)
    result = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_p(differences) == pytest.approx(result.pvalue)


def test_the_smallest_p_and_the_seeds_it_needs_are_known() -> None:
    assert [sign_flip_p(np.ones(n)) for n in (3, 5, 6)] == [0.25, 0.0625, 0.03125]
    for level in (0.05, 0.025, 0.01, 0.003, 0.5):
        n = least_seeds(level)
        assert 2.0 ** (1 - n) <= level and (n == 2 or 2.0 ** (2 - n) > level)


@pytest.mark.parametrize("classes", [2, 4])
def test_measures_are_scikit_learns(classes: int) -> None:
    random = np.random.default_rng(2)
    truth, p = random.integers(0, classes, 200), random.dirichlet(np.ones(classes), 200)
    actual, predicted = measures(truth, p), p.argmax(1)
    assert actual["balanced_accuracy"] == pytest.approx(theirs.balanced_accuracy_score(truth, predicted))
    assert actual["macro_f1"] == pytest.approx(theirs.f1_score(truth, predicted, average="macro"))
    recalls = theirs.recall_score(truth, predicted, average=None)
    np.testing.assert_allclose(actual["recall"], recalls)
    assert actual["worst_recall"] == pytest.approx(recalls.min())
    area = theirs.roc_auc_score(truth, p if classes > 2 else p[:, 1], multi_class="ovr")
    assert actual["auc"] == pytest.approx(area)
    assert actual["brier"] == pytest.approx(np.square(p - np.eye(classes)[truth]).sum(1).mean())
    for c in range(classes):
        false, true, _ = theirs.roc_curve(truth == c, p[:, c], drop_intermediate=False)
        assert actual["sensitivity"][c] == pytest.approx(true[false <= 0.1 + 1e-12].max())
    np.testing.assert_array_equal(unpacked(actual["hits"], 200), predicted == truth)


def test_the_calibration_error_of_two_known_bins() -> None:
    p = np.array([[0.9, 0.1]] * 10 + [[0.4, 0.6]] * 10)
    truth = np.array([0] * 7 + [1] * 3 + [1] * 10)  # .9 sure and .7 right; .6 sure and always right
    assert measures(truth, p)["ece"] == pytest.approx(0.5 * 0.2 + 0.5 * 0.4)
    assert measures(truth, np.eye(2)[truth])["ece"] == 0


def test_an_absent_class_has_no_ranking_and_no_part_in_the_means() -> None:
    p = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1]])
    result = measures(np.array([0, 1, 1]), p)
    assert result["sensitivity"][2] is None and result["auc"] == 1.0 and result["balanced_accuracy"] == 0.75
    assert result["worst_recall"] == 0.5
    assert sensitivity_at(np.array([1.0]), np.array([True])) is None


@pytest.mark.parametrize(
    ("p", "rule"),
    [
        (np.full((3, 2), np.nan), "NaN or infinity for 3 of 3 images.*learning rate"),
        (np.array([[0.5, np.inf], [0.5, 0.5], [1, 0]]), "NaN or infinity for 1 of 3"),
        (np.full((3, 2), 3.0), "add up to 6.*softmax"),
        (np.array([[1.5, -0.5]] * 3), "not negative"),
        (np.full(3, 0.5), r"shape \[3\] for 3 images"),
        (np.full((2, 2), 0.5), r"shape \[2, 2\] for 3 images"),
    ],
)
def test_a_classifier_that_gives_no_probabilities_is_refused(p: np.ndarray, rule: str) -> None:
    with pytest.raises(TrainingError, match=rule):
        measures(np.array([0, 1, 1]), p)


def test_hits_are_packed_and_unpacked() -> None:
    for n in (1, 7, 8, 9, 1000):
        hits = np.random.default_rng(n).random(n) < 0.5
        np.testing.assert_array_equal(unpacked(packed(hits), n), hits)


def test_holm_rejects_one_after_the_other() -> None:
    adjusted, levels = holm([0.01, 0.04, 0.03, 0.005])
    assert adjusted == pytest.approx([0.03, 0.06, 0.06, 0.02])  # the example of Holm's procedure in R's p.adjust
    assert levels == pytest.approx([0.05 / 3, 0.025, 0.025, 0.0125])  # two are rejected; the third and fourth share
    assert holm([0.2, 0.3, 0.01])[1] == pytest.approx([0.025, 0.025, 0.05 / 3])
    assert holm([0.2]) == ([0.2], [0.05])


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (3, 10), (49, 50), (50, 50)])
def test_wilsons_interval_is_scipys(hits: int, n: int) -> None:
    expected = stats.binomtest(hits, n).proportion_ci(0.95, "wilson")
    assert wilson(hits / n, n) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert wilson(0.0, 0) == (0.0, 1.0)


def draw(random: np.random.Generator, seeds: int, images: int, of_seed: float, of_image: float, of_both: float):
    parts = (of_seed * random.normal(size=(seeds, 1)), of_image * random.normal(size=(1, images)))
    return parts[0] + parts[1] + of_both * random.normal(size=(seeds, images))


def test_effects_are_the_balanced_mean_and_its_variances() -> None:
    random = np.random.default_rng(3)
    labels = np.repeat([0, 1, 2], [20, 5, 75])
    each = draw(random, 8, 100, 0.1, 0.3, 0.2)
    result = effects(each, labels)
    per_seed = np.mean([each[:, labels == c].mean(1) for c in range(3)], axis=0)
    assert result.value == pytest.approx(per_seed.mean())
    assert result.seed_variance == pytest.approx(per_seed.var(ddof=1) / 8)
    raw = sum(each[:, labels == c].mean(0).var(ddof=1) / (labels == c).sum() for c in range(3)) / 9
    assert result.image_variance + result.interaction == pytest.approx(raw)
    ungrouped = effects(each, labels, np.arange(100))  # groups of one image each: the same mean
    assert ungrouped.value == pytest.approx(result.value) and ungrouped.seed_variance == pytest.approx(
        result.seed_variance
    )


def test_the_variances_are_those_that_were_put_in() -> None:
    random, labels = np.random.default_rng(0), np.arange(200) % 4
    estimates = [effects(draw(random, 10, 200, 0.05, 0.4, 0.5), labels) for _ in range(400)]
    assert np.mean([f.seed_variance for f in estimates]) == pytest.approx(0.05**2 / 10 + 0.5**2 / 2000, rel=0.08)
    assert np.mean([f.image_variance for f in estimates]) == pytest.approx(0.4**2 / 200, rel=0.08)
    values = np.array([f.value for f in estimates])
    assert np.mean([f.error**2 for f in estimates]) == pytest.approx(values.var(), rel=0.2)


def test_images_of_a_group_count_as_one() -> None:
    random = np.random.default_rng(1)
    ungrouped = draw(random, 6, 40, 0.05, 0.5, 0.0)
    repeated, groups = np.repeat(ungrouped, 5, axis=1), np.repeat(np.arange(40), 5)
    labels = np.zeros(200, np.int64)
    once, five = effects(ungrouped, labels[:40], np.arange(40)), effects(repeated, labels, groups)
    assert five.image_variance == pytest.approx(once.image_variance)
    assert effects(repeated, labels).image_variance < 0.3 * once.image_variance


def test_images_of_groups_are_worth_their_design_effect() -> None:
    random = np.random.default_rng(0)
    people = (random.random(30) < 0.7).astype(float)
    assert worth(np.repeat(people, 6), np.repeat(np.arange(30), 6)) == 30  # copies of one another
    ungrouped = (random.random(6000) < 0.7).astype(float)
    assert worth(ungrouped, None) == 6000
    assert worth(ungrouped, np.arange(6000) % 2000) == pytest.approx(6000, rel=0.08)  # nothing in common
    # Kish: 1 + (m - 1) rho, for groups of m of correlation rho
    level = random.beta(2, 2, 4000)  # a share's own variance .05 of .25: rho .2
    mixed = (random.random((4000, 5)) < level[:, None]).astype(float)
    assert worth(mixed.ravel(), np.repeat(np.arange(4000), 5)) == pytest.approx(20000 / (1 + 4 * 0.2), rel=0.05)


def test_the_interval_is_scipys_with_tails_of_students_t() -> None:
    random, labels = np.random.default_rng(5), np.repeat([0, 1], [12, 30])
    result = effects(random.exponential(1, (9, 42)) * (1 + labels), labels)
    raw = sum(values.var(ddof=1) / len(values) for values in result.images)
    shrunk = [values * np.sqrt(result.image_variance / raw) for values in result.images]
    samples = [values * np.sqrt(len(values) / (len(values) - 1)) for values in (result.seeds, *shrunk)]
    tail = stats.norm.cdf(stats.t.ppf(0.025, result.freedom()))
    expected = stats.bootstrap(
        samples, lambda *x, axis: sum(part.mean(axis) for part in x), confidence_level=1 - 2 * tail, vectorized=True,
        n_resamples=RESAMPLES, method="BCa", random_state=np.random.default_rng(0), paired=False,
    ).confidence_interval  # fmt: skip
    low, high = result.interval()
    width = high - low
    assert low - result.value == pytest.approx(expected.low, abs=0.05 * width)
    assert high - result.value == pytest.approx(expected.high, abs=0.05 * width)
    assert effects(np.full((6, 4), 0.25), np.zeros(4, int)).interval() == (0.25, 0.25)


@pytest.mark.parametrize("spread", [(0.05, 0.0, 0.0), (0.0, 0.5, 0.0), (0.02, 0.2, 0.3)])
def test_the_interval_covers_about_as_often_as_it_says(
    spread: tuple[float, float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crossed, "RESAMPLES", 999)
    random, labels = np.random.default_rng(0), np.arange(40) % 2
    hits = 0
    for _ in range(60):
        low, high = effects(draw(random, 6, 40, *spread), labels).interval()
        hits += low <= 0 <= high
    assert hits >= 52  # at 90 % coverage, 1 time of 100 less


def test_two_one_sided_tests_are_scipys_where_only_seeds_vary() -> None:
    per_seed = np.random.default_rng(7).normal(0.005, 0.01, 8)
    result = effects(np.repeat(per_seed[:, None], 10, axis=1), np.zeros(10, int))
    above = stats.ttest_1samp(per_seed, -0.02, alternative="greater").pvalue
    below = stats.ttest_1samp(per_seed, 0.02, alternative="less").pvalue
    assert (result.p_above(-0.02), result.p_below(0.02)) == pytest.approx((above, below))
    same = effects(np.zeros((6, 10)), np.zeros(10, int))
    assert same.p_below(0.02) == 0 == same.p_above(-0.02) and same.p_below(-0.02) == 1


def test_power_is_cohens() -> None:
    assert power(0.5, 34**-0.5, 33) == pytest.approx(0.8078, abs=1e-4)  # G*Power 3.1: d = .5, 34 pairs
    assert power(0.5, 33**-0.5, 32) < 0.8
    assert power(0.0, 1.0, 5) == pytest.approx(0.05)
    for freedom in (5, 30, 1e6):
        assert power(detectable(2.0, freedom), 2.0, freedom) == pytest.approx(0.8, abs=1e-3)
    normal = stats.norm.isf(0.025) + stats.norm.isf(0.2)
    assert detectable(1.0, 1e6) == pytest.approx(normal, abs=1e-3) and detectable(0.0, 5) == 0


def test_the_seeds_and_images_needed_are_enough_and_no_more() -> None:
    per_seed = stats.norm.ppf((np.arange(6) + 0.5) / 6)
    per_seed = per_seed / per_seed.std(ddof=1)
    result = effects(np.repeat(per_seed[:, None], 10, axis=1), np.zeros(10, int))
    assert seeds_needed(result, 0.5) == 34  # only seeds vary, by 1
    crowded = effects(draw(np.random.default_rng(0), 6, 100, 0.01, 1.0, 0.0), np.zeros(100, int))
    assert seeds_needed(crowded, 0.05) is None  # images vary more than any number of seeds mends
    images = images_needed(crowded, 0.05, 100)
    assert images == pytest.approx(2 * 100 * crowded.image_variance / (0.05 / 2.8016) ** 2, rel=0.01)


def test_levels_of_looks_are_the_published_ones() -> None:
    quantiles = [stats.norm.isf(level / 2) for level in nominal_levels((0.2, 0.4, 0.6, 0.8, 1.0))]
    assert quantiles == pytest.approx(
        [4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=2e-4
    )  # Lan-DeMets, as in gsDesign, ldbounds
    assert nominal_levels((1.0,)) == pytest.approx((0.05,))


def test_looks_that_cannot_reach_their_level_are_left_out() -> None:
    assert looks(6, None) == ((6, 0.05),) == looks(6, 6)
    assert [n for n, _ in looks(6, 24)] == [12, 18, 24]
    assert [n for n, _ in looks(6, 10)] == [10]
    for n, level in looks(6, 40):
        assert 2.0 ** (1 - n) <= level <= 0.05


def null(random: np.random.Generator, seeds: int, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Hits of two arms that are equally good on all images that there are, each better on some of them."""
    accuracy = random.uniform(0.4, 0.95, len(labels))
    tilt = random.normal(0, 0.15, len(labels))
    off = random.normal(0, 0.02, (2, seeds, 1))
    return {
        name: random.random((seeds, len(labels))) < accuracy + sign * tilt + off[i]
        for i, (name, sign) in enumerate((("classical", -0.5), ("gan", 0.5)))
    }


@pytest.mark.parametrize("plan", [looks(6, None), looks(6, 14)], ids=["six seeds", "looks"])
def test_helps_is_a_false_positive_at_most_one_time_in_twenty(
    plan: tuple[tuple[int, float], ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crossed, "RESAMPLES", 999)
    random, labels = np.random.default_rng(0), np.arange(40) % 2
    test = LabelledImages(np.zeros((40, 1, 1, 1), np.uint8), labels, CLASSES)
    outcomes = []
    for _ in range(200):
        hits = null(random, plan[-1][0], labels)
        for seeds, level in plan:
            (result,) = compared({name: each[:seeds] for name, each in hits.items()}, test, level)
            outcomes.append(outcome(result, result, 0.02, seeds, level))
            if outcomes[-1] != "underpowered":
                break
    assert outcomes.count("helps") <= 10 and outcomes.count("hurts") <= 10
    assert outcomes.count("underpowered") > 100  # forty images cannot rule out two points


def test_the_best_of_three_generators_for_twenty_people_is_as_rarely_a_false_positive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What an arm is better at varies by person, so that no number of seeds takes it away; the best arm is judged."""
    monkeypatch.setattr(crossed, "RESAMPLES", 999)
    random, person = np.random.default_rng(1), np.repeat(np.arange(20), 4)
    test = LabelledImages(np.zeros((80, 1, 1, 1), np.uint8), np.arange(80) % 2, CLASSES, groups=person)
    names, outcomes = ("classical", "gan", "gan_alone", "gan_pretrain"), []
    for _ in range(200):
        accuracy = random.uniform(0.4, 0.9, 20)[person]
        hits = {
            name: random.random((8, 80))
            < accuracy + random.normal(0, 0.15, 20)[person] + random.normal(0, 0.02, (8, 1))
            for name in names
        }
        best = max(compared(hits, test, 0.05), key=lambda candidate: candidate.effects.value)
        outcomes.append(outcome(best, best, 0.02, 8, 0.05))
    assert outcomes.count("helps") <= 10


def test_a_gain_that_matters_is_seldom_ruled_out_over_the_best_of_many_arms(monkeypatch: pytest.MonkeyPatch) -> None:
    """The arm gains just the margin over every other; the one that does best on these images hides some of it."""
    monkeypatch.setattr(crossed, "RESAMPLES", 99)
    random, labels = np.random.default_rng(2), np.arange(300) % 2
    test = LabelledImages(np.zeros((300, 1, 1, 1), np.uint8), labels, CLASSES)
    plain = ("none", "balanced", "classical", "randaugment", "mixup", "cutmix", "focal", "class_weights")
    naive = ruled_out = 0
    for _ in range(150):
        accuracy = random.uniform(0.5, 0.85, 300)
        hits = {
            name: random.random((7, 300)) < accuracy + random.normal(0, 0.1, 300) + 0.02 * (name == "gan")
            for name in (*plain, "gan")
        }
        (main,) = compared(hits, test, 0.05)
        naive += main.effects.p_below(0.02) <= 0.05
        ruled_out += no_gain(main, matched_control_of(main, hits, test), 0.02, len(plain)) <= 0.05
    assert naive > 15 and ruled_out <= 10


def test_few_people_or_a_single_image_give_no_outcome() -> None:
    random, labels = np.random.default_rng(5), np.arange(60) % 2
    hits = {"classical": random.random((8, 60)) < 0.3, "gan": random.random((8, 60)) < 0.95}
    results = {
        name: [measures(labels, np.eye(2)[np.where(row, labels, 1 - labels)]) for row in each]
        for name, each in hits.items()
    }

    def outcome_of(labels: np.ndarray, groups: np.ndarray | None):
        test = LabelledImages(random.integers(0, 256, (60, 1, 4, 4), dtype=np.uint8), labels, CLASSES, groups=groups)
        synthetic = SyntheticImages(test.images[:2], labels[:2, None], (), CLASSES, 0, np.arange(2), "any")
        return judge(results, tuple(range(8)), 1.0, (), test, synthetic, test)

    assert outcome_of(labels, None).outcome == "helps" == outcome_of(labels, np.arange(60) % 6).outcome
    five = outcome_of(labels, np.arange(60) % 5)
    assert five.outcome == "underpowered" and "of 5 groups" in five.sentence and "at least 6" in five.sentence
    for people, expected in ((1, "underpowered"), (2, "underpowered"), (3, "helps")):
        rare = outcome_of(labels, np.where(labels == 1, np.arange(60) // 2 % people, 100 + np.arange(60) // 2 % 20))
        assert rare.outcome == expected
        assert (f"only {people} group" in rare.sentence) == (people < 3)
        assert ((rare.per_class[1]["low"], rare.per_class[1]["high"]) == (-1, 1)) == (people < 3)
    single = outcome_of(np.r_[1, np.zeros(59, np.int64)], None)
    assert single.outcome == "underpowered" and "single test image" in single.sentence and "--folds" in single.sentence


def test_a_second_look_at_the_same_trial_is_reported() -> None:
    random, labels = np.random.default_rng(7), np.arange(60) % 2
    test = LabelledImages(np.zeros((60, 1, 1, 1), np.uint8), labels, CLASSES)
    synthetic = SyntheticImages(test.images[:2], labels[:2, None], (), CLASSES, 0, np.arange(2), "any")
    hits = {"classical": random.random((12, 60)) < 0.8, "gan": random.random((12, 60)) < 0.8}
    results = {
        name: [measures(labels, np.eye(2)[np.where(row, labels, 1 - labels)]) for row in each]
        for name, each in hits.items()
    }

    def look(seeds: int):
        return judge({k: v[:seeds] for k, v in results.items()}, tuple(range(seeds)), 1.0, (), test, synthetic, test)

    first, second = look(7), look(12)
    assert first.outcome == "underpowered"
    assert second.after(None) == second.after(look(3)) == second and first.after(first) == first
    reported = second.after(first)
    assert (
        reported.earlier_seeds == 7
        and "an earlier interim look at 7 seeds (outcome 'underpowered')" in reported.sentence
    )
    clear = replace(first, outcome="no difference")
    assert second.after(clear).earlier_outcome == "no difference"  # which another word would have followed as well
    for change in ({"ratio": 0.25}, {"margin": 0.1}):
        assert first.after(replace(first, **change)).earlier_seeds == 7
    assert first.after(None, (9, "hurts")).earlier_outcome == "hurts"
    fewer = replace(second, arms={"gan": second.arms["gan"]})
    assert second.after(fewer).earlier_seeds == 12 and second.after(second).earlier_seeds == 0
    assert replace(reported, seeds=tuple(range(20))).after(reported).earlier_seeds == 7


def test_words_follow_their_rules() -> None:
    labels = np.zeros(400, np.int64)
    random = np.random.default_rng(4)
    test = LabelledImages(np.zeros((400, 1, 1, 1), np.uint8), labels, CLASSES)

    def outcome_of(gain: float, seeds: int = 8, matched_control: float | None = None, level: float = 0.05) -> str:
        base = random.random((seeds, 400)) < 0.8
        better = base ^ ((random.random((seeds, 400)) < abs(gain)) & (base if gain < 0 else ~base))
        (main,) = compared({"classical": base, "gan": better}, test, level)
        if matched_control is None:
            return outcome(main, main, 0.02, seeds, level)
        other = base ^ ((random.random((seeds, 400)) < abs(matched_control)) & base)
        (second,) = compared({"classical": other, "gan": better}, test, level)
        return outcome(main, second, 0.02, seeds, level)

    assert outcome_of(0.5) == "helps" and outcome_of(-0.3) == "hurts" and outcome_of(0.01) == "no difference"
    assert outcome_of(0.5, seeds=5) == "underpowered"
    assert outcome_of(0.5, level=0.005) == "underpowered"  # eight seeds reach p = .0078
    assert (
        outcome_of(-0.3, matched_control=-0.6) != "hurts"
    )  # worse than the best arm, but better than the same training without


def test_no_difference_needs_the_interval_as_well_as_the_test() -> None:
    hits = {"classical": np.ones((8, 60), bool), "gan": np.ones((8, 60), bool)}
    hits["gan"][:, 0] = False  # a lone image lost: Student's t knows nothing of the skew
    test = LabelledImages(np.zeros((60, 1, 1, 1), np.uint8), np.zeros(60, np.int64), CLASSES)
    (main,) = compared(hits, test, 0.05)
    assert main.effects.p_above(-0.05) < 0.03 and main.effects.interval(0.9)[0] < -0.05
    assert outcome(main, main, 0.05, 8) == "underpowered" and outcome(main, main, 0.2, 8) == "no difference"


@pytest.mark.parametrize("groups", [False, True])
@pytest.mark.parametrize(("n", "classes"), [(12, 4), (37, 4), (38, 4), (74, 2), (75, 2), (10, 10), (15, 10)])
def test_images_that_may_all_have_missed_a_difference_do_not_rule_it_out(n: int, classes: int, groups: bool) -> None:
    names, labels = tuple(map(str, range(classes))), np.repeat(np.arange(classes), [n] + [2 * n] * (classes - 1))
    if groups:
        labels = labels.repeat(3)
    home = np.arange(len(labels)) // 3 if groups else None
    test = LabelledImages(np.zeros((len(labels), 1, 1, 1), np.uint8), labels, names, groups=home)
    missed = stats.binom.pmf(0, n, classes * 0.02)  # of a class in which so many are named better, none is tested
    assert bool(coarse(test, 0.02)) == (missed > 0.05) or abs(missed - 0.05) < 0.01
    assert not coarse(test, 0.3)
    equal = np.ones((7, len(labels)), bool)
    shared = {name: [measures(labels, np.eye(classes)[labels]) for _ in equal] for name in ("classical", "gan")}
    synthetic = SyntheticImages(test.images[:2], labels[:2, None], (), names, 0, np.arange(2), "any")
    verdict = judge(shared, tuple(range(7)), 1.0, (), test, synthetic, test)
    assert verdict.outcome == ("underpowered" if coarse(test, 0.02) else "no difference")
    assert (f"the class '0' has {n}" in verdict.sentence) == (verdict.outcome == "underpowered")
    assert verdict.per_class[0]["high"] == pytest.approx(min(1, 3 / n)) == -verdict.per_class[0]["low"]
    assert verdict.test_groups == (len(np.unique(home)) if groups else None)
    assert (f"test images of {verdict.test_groups} groups" in verdict.sentence) == groups


def test_a_gain_on_few_images_of_one_class_is_seldom_ruled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two points, all of them images that one arm alone knows: a test part may hold none of these."""
    monkeypatch.setattr(crossed, "RESAMPLES", 999)
    random, labels = np.random.default_rng(6), np.arange(150) % 2
    test = LabelledImages(np.zeros((150, 1, 1, 1), np.uint8), labels, CLASSES)
    assert not coarse(test, 0.02)
    outcomes = []
    for _ in range(200):
        known = (random.random(150) < 0.04) & (labels == 1)
        hits = {"classical": np.broadcast_to(~known, (7, 150)), "gan": np.ones((7, 150), bool)}
        (main,) = compared(hits, test, 0.05)
        outcomes.append(outcome(main, main, 0.02, 7))
    assert outcomes.count("no difference") <= 16


def test_the_matched_control_is_the_same_training_without_synthetic_images() -> None:
    random, labels = np.random.default_rng(4), np.zeros(100, np.int64)
    test = LabelledImages(np.zeros((100, 1, 1, 1), np.uint8), labels, CLASSES)
    hits = {name: random.random((6, 100)) < share for name, share in (("none", 0.9), ("classical", 0.5), ("gan", 0.5))}
    (main,) = compared(hits, test, 0.05)
    assert matched_control_of(main, hits, test, "classical").against == "classical" and main.against == "none"
    del hits["classical"]
    control = matched_control_of(main, hits | {"balanced": hits["none"]}, test)
    assert control.against == "none" and control.level == 0.025  # pays for the choice among two
