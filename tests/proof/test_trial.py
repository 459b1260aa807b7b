"""The whole trial on constructed sets whose truth is known, its choice, its resamples, and what it refuses."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from augury.errors import AuguryError, DataError, RunFolderError, SettingsError
from augury.images import LabelledImages, SyntheticImages
from augury.proof import prove
from augury.proof.choice import choose
from augury.proof.measures import measures
from augury.proof.resampling import rows
from augury.randomness import derived_seed
from augury.settings import ProveSettings
from augury.verdict import Verdict
from tests.helpers.proof_data import both, part, synthetic

VALIDATION, TEST = part((20, 20), 1), part((150, 150), 2)
KNOWN = ProveSettings(arms=("classical", "gan"), steps=80, batch=16, ratios=(1.0,))


def planted(kind: str) -> tuple[LabelledImages, SyntheticImages]:
    """Train images and synthetic ones that are useful, useless or harmful beside them."""
    if kind == "useful":  # standing bars were only seen on the left; the synthetic ones stand everywhere
        return part((40, 40), 0, (8, 3)), synthetic(*both((100, 100), (8, 8), 9))
    train = part((40, 40), 0)
    if kind == "useless":  # copies of what the classifier has already
        indices = np.random.default_rng(3).integers(0, 80, 200)
        return train, synthetic(train.images[indices], train.labels[indices])
    images, labels = both((100, 100), (8, 8), 9)
    return train, synthetic(images, 1 - labels)


@pytest.mark.parametrize(
    ("kind", "expected"), [("useful", "helps"), ("useless", "no difference"), ("harmful", "hurts")]
)
def test_a_planted_set_gets_the_right_word(kind: str, expected: str) -> None:
    train, synthetic_images = planted(kind)
    results: dict[str, object] = {}
    verdict = prove(train, VALIDATION, TEST, synthetic_images, KNOWN, results=results)
    assert verdict.outcome == expected, verdict.sentence
    assert Verdict.from_dict(verdict.as_dict()) == Verdict.from_dict(Verdict.from_dict(verdict.as_dict()).as_dict())
    repeated = prove(train, VALIDATION, TEST, synthetic_images, KNOWN, results=dict(results), on_note=pytest.fail)
    assert repeated == verdict
    if kind == "useful":
        notes: list[str] = []
        three = KNOWN.model_copy(update={"seeds": 3})
        three_seeds = prove(train, VALIDATION, TEST, synthetic_images, three, results=results, on_note=notes.append)
        assert three_seeds.outcome == "underpowered" and "at least 6 seeds" in three_seeds.sentence
        (result,) = notes
        assert "3 seeds" in result and "one generative arm needs at least 6" in result
        assert verdict.per_class[1]["low"] > 0.3 and verdict.per_class[1]["test"] == 150
        assert set(verdict.arms["gan"]) > {"ece", "brier", "auc", "worst_recall", "sensitivity"}


def rigged(gan: float, seeds: int) -> dict[str, object]:
    """Results of trainings that were done before: `classical` names .8 of the test images rightly, `gan` so many."""
    random, results = np.random.default_rng(0), {}
    for arm, share in (("test/classical", 0.8), ("test/gan at ratio 1", gan)):
        for seed in range(seeds):
            hit = random.random(len(TEST)) < share
            results[f"{arm}/{derived_seed(0, 'trial', seed)}"] = measures(
                TEST.labels, np.eye(2)[np.where(hit, TEST.labels, 1 - TEST.labels)]
            )
    return results


def test_a_growing_trial_stops_when_its_answer_is_clear() -> None:
    train, synthetic_images = planted("useful")
    settings = KNOWN.model_copy(update={"max_seeds": 12, "seeds": 4})
    verdict = prove(train, VALIDATION, TEST, synthetic_images, settings, results=rigged(0.95, 8))
    assert (
        verdict.outcome == "helps" and len(verdict.seeds) == 8
    )  # four are too few for any look, eight of twelve enough
    (look,) = verdict.looks
    assert look["seeds"] == 8 and look["p"] == 2.0**-7 <= look["level"] == verdict.level < 0.05
    assert f"{100 * (1 - verdict.level):.3g} % interval" in verdict.sentence
    unclear = prove(train, VALIDATION, TEST, synthetic_images, settings, results=rigged(0.81, 12))
    assert [look["seeds"] for look in unclear.looks] == [8, 12] and unclear.outcome == "underpowered"


def test_two_seeds_share_no_training() -> None:
    train, synthetic_images = planted("useful")
    names: list[set[str]] = []
    for seed in (0, 1):
        results: dict[str, object] = {}
        settings = KNOWN.model_copy(update={"steps": 1, "ratios": (0.0, 0.5, 1.0), "learning_rates": (1e-3, 3e-3)})
        verdict = prove(train, VALIDATION, TEST, synthetic_images, settings, seed=seed, results=results)
        assert len(set(verdict.seeds)) == 7
        names.append({name.rpartition("/")[2] for name in results})
    assert (
        len(names[0]) == 7 + 3 + 2 and not names[0] & names[1]
    )  # trial, choice of the ratio, search of the learning rate


def test_parts_of_a_trial_are_those_of_the_whole() -> None:
    train, synthetic_images = planted("useful")
    settings = KNOWN.model_copy(update={"seeds": 4, "steps": 1})
    whole_verdict = prove(train, VALIDATION, TEST, synthetic_images, settings, seed=3)
    results: dict[str, object] = {}
    for offset in (0, 2):
        half = settings.model_copy(update={"seeds": 2})
        part_seeds = prove(
            train, VALIDATION, TEST, synthetic_images, half, seed=3, offset=offset, results=results
        ).seeds
        assert part_seeds == whole_verdict.seeds[offset : offset + 2]
    assert len(results) == 8
    joined = prove(
        train, VALIDATION, TEST, synthetic_images, settings, seed=3, results=results, on_note=lambda text: None
    )
    assert joined == whole_verdict and len(results) == 8


def test_a_trial_that_was_killed_goes_on_where_it_stopped() -> None:
    train, synthetic_images = planted("useful")
    settings = KNOWN.model_copy(update={"seeds": 2, "steps": 1})
    results: dict[str, object] = {}

    def killed(number: int, total: int, name: str) -> None:
        assert total == 4
        if number == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prove(train, VALIDATION, TEST, synthetic_images, settings, results=results, on_result=killed)
    before = dict(results)
    assert len(before) == 3
    prove(train, VALIDATION, TEST, synthetic_images, settings, results=results)
    assert results.items() > before.items() and len(results) == 4


def results_by_ratio(
    validation: LabelledImages, rights: dict[float, list[float]]
) -> dict[float, list[dict[str, object]]]:
    """Measures of classifiers that name so many of the first images of each class rightly, a ratio and a seed each."""
    results: dict[float, list[dict[str, object]]] = {}
    for ratio, shares in rights.items():
        results[ratio] = []
        for share in shares:
            hit = np.concatenate([np.arange(n) < share * n for n in validation.counts])
            results[ratio].append(
                measures(validation.labels, np.eye(2)[np.where(hit, validation.labels, 1 - validation.labels)])
            )
    return results


def test_the_smallest_ratio_within_a_standard_error_of_the_best_is_chosen() -> None:
    validation = part((50, 50), 5)
    equal = {0.0: [0.7, 0.7, 0.7], 0.25: [0.8, 0.84, 0.8], 0.5: [0.82, 0.8, 0.84], 1.0: [0.8, 0.82, 0.88]}
    assert choose(results_by_ratio(validation, equal), validation)[0] == 0.25
    better_results = equal | {1.0: [0.94, 0.94, 0.96]}
    ratio, curve = choose(results_by_ratio(validation, better_results), validation)
    assert ratio == 1.0 and [row["ratio"] for row in curve] == [0.0, 0.25, 0.5, 1.0]
    assert curve[0]["behind"] == pytest.approx(np.mean(better_results[1.0]) - 0.7) and curve[-1]["behind"] == 0
    harmful = {0.0: [0.9] * 3, 0.25: [0.7] * 3, 1.0: [0.4] * 3}
    assert (
        choose(results_by_ratio(validation, harmful), validation)[0] == 0.25
    )  # shown at their mildest, so that the trial can tell


def test_the_trial_uses_the_chosen_ratio() -> None:
    train, synthetic_images = planted("useless")
    settings = KNOWN.model_copy(update={"seeds": 2, "steps": 2, "ratios": (0.0, 0.5, 1.0)})
    results: dict[str, object] = {}
    verdict = prove(train, VALIDATION, TEST, synthetic_images, settings, results=results)
    assert verdict.ratio in (0.5, 1.0) and len(verdict.ratio_curve) == 3
    assert f"test/gan at ratio {verdict.ratio:g}/{verdict.seeds[0]}" in results and len(results) == 9 + 4


@pytest.mark.parametrize("strategy", ["subsample", "bootstrap"])
def test_resamples_keep_classes_and_groups_whole(strategy: str) -> None:
    train = part((30, 7), 0)
    indices = rows(train, strategy, 3)
    counts = np.bincount(train.labels[indices], minlength=2)
    assert counts.tolist() == ([30, 7] if strategy == "bootstrap" else [27, 7])
    assert len(np.unique(indices)) == len(indices) or strategy == "bootstrap"
    np.testing.assert_array_equal(indices, rows(train, strategy, 3))
    assert not np.array_equal(indices, rows(train, strategy, 4))
    grouped = replace(train, groups=np.arange(37) // 4)
    for seed in range(20):
        indices = rows(grouped, strategy, seed)
        assert (np.bincount(grouped.labels[indices], minlength=2) > 0).all()
        for group in np.unique(grouped.groups[indices]):
            times = np.bincount(indices, minlength=37)[grouped.groups == group]
            assert len(set(times.tolist())) == 1
    np.testing.assert_array_equal(rows(train, "none", 0), np.arange(37))


def test_without_accepted_images_no_difference_is_reported() -> None:
    train, synthetic_images = planted("useless")
    rejected = replace(synthetic_images, reasons=("agreement",) * len(synthetic_images))
    verdict = prove(train, VALIDATION, TEST, rejected, KNOWN.model_copy(update={"seeds": 2, "steps": 1}))
    assert verdict.outcome == "not tested" and verdict.ratio == 0 and "difference" not in verdict.sentence


def test_verdicts_of_another_format_are_refused_in_words() -> None:
    with pytest.raises(RunFolderError, match=r"format 1.*augury prove RUN"):
        Verdict.from_dict({"outcome": "helps", "sentence": "…"})


SYNTHETIC = synthetic(*both((5, 5), (8, 8), 9))
SMALL = {"train": part((8, 4), 0), "validation": part((4, 4), 1), "test": part((5, 5), 2), "synthetic": SYNTHETIC}
BAD: list[tuple[dict[str, object], dict[str, object], type[AuguryError], str]] = [
    ({}, {"arms": ("none",)}, SettingsError, "an arm with neither; add both kinds"),
    ({}, {"arms": ("gan",)}, SettingsError, "an arm with neither; add both kinds"),
    ({}, {"arms": ("none", "magic", "gan")}, SettingsError, "no arm 'magic'"),
    ({}, {"ratios": (-1.0, 1.0)}, SettingsError, "must be finite and not negative"),
    ({}, {"ratios": (0.5, math.nan)}, SettingsError, "must be finite and not negative"),
    ({}, {"ratios": (math.inf,)}, SettingsError, "must be finite and not negative"),
    ({}, {"seeds": 1}, SettingsError, "seeds is 1, but a paired trial needs at least 2.*prove.seeds=7"),
    ({}, {"max_seeds": 4}, SettingsError, "max_seeds is 4, less than the 7"),
    ({"validation": part((8, 0), 1)}, {}, DataError, "'standing' has no validation image"),
    ({"test": part((0, 8), 1)}, {}, DataError, "'lying' has no test image.*leave the class out"),
    (
        {"synthetic": replace(SYNTHETIC, images=SYNTHETIC.images[:, :, :6])},
        {},
        DataError,
        r"synthetic images are \[C, H, W\] \[1, 6, 8\], but the train images \[1, 8, 8\].*same size",
    ),
    ({"synthetic": replace(SYNTHETIC, classes=("lying", "stooping"))}, {}, DataError, "'stooping'.*same classes"),
    (
        {"synthetic": replace(SYNTHETIC, conditions=SYNTHETIC.conditions + 1)},
        {},
        DataError,
        "run from 1 to 2.*2 classes",
    ),
]


@pytest.mark.parametrize(("sets", "settings", "kind", "rule"), BAD)
def test_what_cannot_be_tried_is_refused(
    sets: dict[str, object], settings: dict[str, object], kind: type[AuguryError], rule: str
) -> None:
    with pytest.raises(kind, match=rule):
        prove(*(SMALL | sets).values(), ProveSettings(**settings))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("other", "rule"),
    [
        (replace(SYNTHETIC, classes=("standing", "lying")), "same classes in the same order"),
        (replace(SYNTHETIC, images=SYNTHETIC.images[:, :, :6]), "same size"),
        (replace(SYNTHETIC, conditions=SYNTHETIC.conditions + 1), "run from 1 to 2.*2 classes"),
    ],
)
def test_images_of_other_generators_are_checked_as_the_judged_ones(other: SyntheticImages, rule: str) -> None:
    with pytest.raises(DataError, match=rule):
        prove(*SMALL.values(), ProveSettings(arms=("classical", "gan", "vae")), extra={"vae": other})


def test_other_generators_teach_their_own_soft_labels() -> None:
    def accuracies(targets: np.ndarray | None) -> list[float]:
        settings = ProveSettings(arms=("classical", "gan", "vae"), seeds=2, steps=30, batch=8, ratios=(1.0,))
        with_targets = replace(SYNTHETIC, targets=targets)
        result = prove(*SMALL.values(), settings, extra={"vae": with_targets}).arms["vae"]["brier"]
        return [float(x) for x in result]

    hard_labels = np.eye(2)[SYNTHETIC.labels]
    assert accuracies(hard_labels) == accuracies(None) != accuracies(hard_labels[:, ::-1])


def test_labelled_images_can_be_tried_as_they_are() -> None:
    settings = ProveSettings(arms=("classical", "gan"), seeds=2, steps=1, batch=4, ratios=(1.0,))
    result = prove(part((12, 12), 0), part((6, 6), 1), part((10, 10), 2), part((5, 3), 9), settings)
    assert [row["synthetic"] for row in result.per_class] == [5, 3]
