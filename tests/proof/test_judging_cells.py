"""The outcome of a trial about holes: known truths, calculations by hand, and what the verdict must say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from augury.errors import DataError
from augury.images import LabelledImages, SyntheticImages
from augury.proof import Verdict, arm_of, prove
from augury.proof.arms import USUAL_CELLS
from augury.proof.cells import Holes
from augury.proof.crossed import effects
from augury.proof.judgement import judge
from augury.proof.judging_cells import judged_images
from augury.proof.measures import packed
from augury.proof.pooling import Fold, pooled
from augury.report import badge
from augury.report.wording import meaning
from augury.settings import ProveSettings
from augury.verdict import FORMAT
from tests.helpers.cell_data import held_out_cells, images, train, translated

TRAIN = train(60)
SYNTHETIC = translated(TRAIN)
HOLES = Holes.of(TRAIN, ("ground",))
TEST = held_out_cells(50, 2)
QUICK = ProveSettings(arms=("drop_cells", "filled"), seeds=6, steps=40, batch=32, near_duplicates="allow")


def trial(kind: str, **changes: Any) -> Verdict:
    settings = QUICK.model_copy(update=changes)
    return prove(TRAIN, held_out_cells(10, 1), held_out_cells(100, 2), translated(TRAIN, kind), settings)


def test_a_hole_filled_with_right_images_helps_within() -> None:
    result = trial("right", arms=("randaugment", "drop_cells", "symmetric"), steps=60)
    assert result.outcome == "helps" and result.arm == "symmetric" and result.difference > 0.05
    assert result.metric == "balanced accuracy within ground=bright" and result.test_n == 200
    assert result.matched_control["against"] == "drop_cells"  # the same real images
    assert "of balanced accuracy within ground=bright" in result.sentence
    assert "Over all 400 test images, balanced accuracy changes by " in result.sentence
    rows = {row["cell"]: row for row in result.cells}
    assert [row["train"] for row in result.cells] == [60, 60, 60, 0]
    assert [row["synthetic"] for row in result.cells] == [0, 60, 0, 60]
    assert rows["standing, ground=bright"]["hole"] and not rows["lying, ground=bright"]["hole"]
    assert rows["lying, ground=bright"]["within"] and not rows["lying, ground=dark"]["within"]
    assert result.ratio == pytest.approx(120 / 180) and result.ratio_curve == ()
    assert Verdict.from_dict(result.as_dict()).as_dict() == result.as_dict() and result.format == FORMAT


@pytest.mark.parametrize("kind", ["wrong", "noise"])
def test_a_hole_filled_with_wrong_images_does_not_help(kind: str) -> None:
    result = trial(kind, arms=("drop_cells", "symmetric"))
    assert result.outcome != "helps"


def test_a_trial_of_the_usual_arms_judges_those_of_the_translator() -> None:
    settings = ProveSettings(seeds=2, steps=2, batch=8, near_duplicates="allow")
    notes: list[str] = []
    progress: list[tuple[int, int]] = []
    result = prove(
        train(10),
        held_out_cells(4, 1),
        held_out_cells(6, 2),
        translated(train(10)),
        settings,
        extra={"shuffled": translated(train(10), "noise")},
        on_note=notes.append,
        on_result=lambda count, total, name: progress.append((count, total)),
    )
    assert result.outcome == "underpowered" and len(result.arms) == len(USUAL_CELLS) == 25
    assert {row["arm"] for row in result.comparisons} == {"filled", "half_real", "symmetric"}
    assert progress[-1] == (50, 50) and any("2 seeds" in text for text in notes)
    shuffled = result.arms["shuffled"]
    assert len(shuffled["overall"]) == len(shuffled["balanced_accuracy"]) == 2


# By hand: hits of 2 seeds on TEST, whose cells of 50 images are lying dark, lying bright, standing dark, standing bright.
def hits(*recalls: float, seeds: int = 8, jitter: int = 1) -> np.ndarray:
    """bool [S, 200]: of each cell the first so many images hit, one fewer in every other seed."""
    rows = np.zeros((seeds, 200), bool)
    for cell, recall in enumerate(recalls):
        for seed in range(seeds):
            rows[seed, 50 * cell : 50 * cell + round(50 * recall) - jitter * (seed % 2)] = True
    return rows


def verdict(
    arms: dict[str, np.ndarray], test: LabelledImages = TEST, synthetic: SyntheticImages = SYNTHETIC
) -> Verdict:
    def measured(rows: np.ndarray) -> list[dict[str, Any]]:
        names = ("balanced_accuracy", "macro_f1", "worst_recall", "auc", "ece", "brier")
        each = [np.mean([row[test.labels == c].mean() for c in (0, 1)]) for row in rows]
        lists = {"recall": [0.5, 0.5], "sensitivity": [0.5, 0.5]}
        return [
            {"hits": packed(row), **dict.fromkeys(names, float(b)), **lists} for row, b in zip(rows, each, strict=True)
        ]

    results = {name: measured(rows) for name, rows in arms.items()}
    seeds = tuple(range(len(next(iter(arms.values())))))
    return judge(results, seeds, 0.0, (), TRAIN, synthetic, test, holes=HOLES)


def test_the_outcome_within_and_the_cost_are_as_by_hand() -> None:
    arms = {"randaugment": hits(0.9, 0.96, 0.8, 0.2), "filled": hits(0.9, 0.8, 0.76, 0.8)}
    result = verdict(arms)
    cell = {name: rows.reshape(-1, 4, 50).mean(2) for name, rows in arms.items()}  # [S, 4]
    within = {name: each[:, [1, 3]].mean(1) for name, each in cell.items()}
    assert result.difference == pytest.approx((within["filled"] - within["randaugment"]).mean())
    assert result.difference == pytest.approx(0.22)  # (0.8 - 0.2 + 0.8 - 0.96) / 2
    np.testing.assert_allclose(result.arms["filled"]["balanced_accuracy"], within["filled"])
    np.testing.assert_allclose(result.arms["filled"]["overall"], cell["filled"].mean(1))
    assert result.overall["difference"] == pytest.approx((0.0 - 0.16 - 0.04 + 0.6) / 4)
    differences = arms["filled"].astype(float) - arms["randaugment"]
    assert (result.overall["low"], result.overall["high"]) == effects(differences, TEST.labels).interval()
    worst = {role: result.worst(role) for role in ("comparator", "arm")}
    assert worst["comparator"]["name"] == "standing, ground=bright" and worst["arm"]["name"] == "standing, ground=dark"
    inside = differences[:, np.tile([False] * 50 + [True] * 50, 2)]
    assert (result.low, result.high) == effects(inside, np.repeat([0, 1], 50)).interval(1 - result.level)
    assert [row["difference"] for row in result.cells] == pytest.approx([0, -0.16, -0.04, 0.6])


def test_the_outcome_weighs_the_cells_of_the_value_equally_whatever_their_number() -> None:
    test = images({(0, 0): 50, (0, 1): 10, (1, 0): 50, (1, 1): 90}, 2)
    judged_rows, inside = judged_images(test, HOLES)
    assert judged_rows.counts.tolist() == [10, 90] and inside.sum() == 100
    assert judged_rows.classes == ("lying, ground=bright", "standing, ground=bright")
    before, after = np.zeros((8, 200), bool), np.zeros((8, 200), bool)
    before[:, 50:60] = True  # all that lies, nothing that stands
    after[:, 110:] = True  # the threshold has moved: the other way round
    assert verdict({"randaugment": before, "filled": after}, test).difference == pytest.approx(0)


def test_a_cell_that_gets_worse_is_never_passed_over() -> None:
    result = verdict({"randaugment": hits(0.9, 0.9, 0.9, 0.2), "filled": hits(0.9, 0.9, 0.5, 0.9)})
    assert result.outcome == "helps"
    assert [row["worse"] for row in result.cells] == [False, False, True, False]
    assert result.sentence.startswith("The synthetic images help, but not everywhere: +35.0 points")
    assert "One cell gets significantly worse: standing, ground=dark by 40.0 points (-" in result.sentence
    assert result.title == "Helps, but one cell gets worse" and badge(result).count(", a cell worse") >= 1
    assert any(line.startswith("Weigh this loss before you use the synthetic images") for line in meaning(result))
    assert any(
        line.startswith("Train as the arm filled does: randaugment, the real images and") for line in meaning(result)
    )
    verdict_above = verdict({"randaugment": hits(0.9, 0.9, 0.9, 0.2), "filled": hits(0.9, 0.9, 0.88, 0.9)})
    assert verdict_above.sentence.startswith("The synthetic images help: ") and "worse" not in verdict_above.sentence
    assert verdict_above.title == "Helps"


def test_losses_are_corrected_for_the_number_of_cells() -> None:
    """Of four cells the one tested first has its interval at 1 - .05 / 4, by Holm; those behind the first that is not
    rejected share its level."""
    result = verdict({"randaugment": hits(0.9, 0.9, 0.9, 0.2), "filled": hits(0.9, 0.9, 0.9, 0.9)})
    assert result.cells[3]["level"] == pytest.approx(0.05 / 4)
    assert [row["level"] for row in result.cells[:3]] == pytest.approx([0.05 / 3] * 3)
    equal = result.cells[0]  # no image differs: the rule of three
    assert (equal["low"], equal["high"]) == (pytest.approx(-3 / 50), pytest.approx(3 / 50)) and not equal["worse"]


def test_intervals_are_over_groups() -> None:
    arms = {"randaugment": hits(0.9, 0.9, 0.9, 0.2), "filled": hits(0.9, 0.9, 0.9, 0.9)}
    grouped = replace(TEST, groups=np.arange(200) // 10)  # each stands or falls as one
    ungrouped, per_group = verdict(arms), verdict(arms, grouped)
    assert per_group.test_groups == 10 and per_group.cells[3]["groups"] == 5
    assert per_group.high - per_group.low > ungrouped.high - ungrouped.low
    assert (
        per_group.cells[3]["high"] - per_group.cells[3]["low"] > ungrouped.cells[3]["high"] - ungrouped.cells[3]["low"]
    )


def test_without_test_images_of_the_cell_it_is_not_reported() -> None:
    test = images({(0, 0): 50, (0, 1): 50, (1, 0): 100}, 2)
    result = verdict({"randaugment": hits(0.9, 0.2, 0.9, 0.9), "filled": hits(0.9, 0.9, 0.9, 0.9)}, test)
    assert result.outcome == "underpowered"
    assert "The test split has no image of the cell 'standing, ground=bright', so it cannot be" in result.sentence
    row = result.cells[3]
    assert row["test"] == 0 and row["recall_arm"] is None and row["difference"] is None and not row["worse"]
    notes: list[str] = []
    settings = QUICK.model_copy(update={"seeds": 2, "steps": 1})
    result = prove(TRAIN, held_out_cells(10, 1), test, SYNTHETIC, settings, on_note=notes.append)
    assert result.outcome == "underpowered" and any(
        "no image of the cell 'standing, ground=bright'" in s for s in notes
    )
    dark = images({(0, 0): 50, (1, 0): 50}, 2)
    with pytest.raises(DataError, match="the test split has no image with ground=bright"):
        prove(TRAIN, held_out_cells(10, 1), dark, SYNTHETIC, settings)


def test_a_cell_of_one_test_image_gives_no_outcome() -> None:
    test = images({(0, 0): 50, (0, 1): 50, (1, 0): 99, (1, 1): 1}, 2)
    result = verdict({"randaugment": hits(0.9, 0.2, 0.9, 0.9), "filled": hits(0.9, 0.9, 0.9, 1.0)}, test)
    assert result.outcome == "underpowered" and "'standing, ground=bright' has a single test image" in result.sentence
    assert (result.cells[3]["low"], result.cells[3]["high"]) == (-1, 1)


@pytest.mark.parametrize(
    ("arm", "matched_control"),
    [("filled", "randaugment"), ("symmetric", "drop_cells"), ("half_real", "randaugment"), ("passed", "randaugment"),
     ("consistency", "randaugment")],
)  # fmt: skip
def test_matched_controls_are_the_same_training_without_images(arm: str, matched_control: str) -> None:
    plain = ("none", "moment_matching", "untranslated", "shuffled", "drop_cells", "group_dro", "randaugment")
    arms = {name: hits(0.9, 0.9, 0.9, 0.1 * i) for i, name in enumerate((*plain, arm))}
    assert verdict(arms).matched_control["against"] == matched_control


def test_a_control_is_no_arm_to_be_praised_but_one_to_beat() -> None:
    accurate = hits(0.9, 0.9, 0.9, 0.9)
    result = verdict({"randaugment": hits(0.9, 0.9, 0.9, 0.2), "shuffled": accurate, "filled": accurate})
    assert result.arm == "filled" and result.comparator == "shuffled" and result.difference == 0
    undecided = replace(result, outcome="no difference")
    assert any("The best of them is a control" in line for line in meaning(undecided))


def test_translations_without_holes_are_judged_over_all_cells() -> None:
    full = images({(c, g): 12 for c in (0, 1) for g in (0, 1)}, 0)
    notes: list[str] = []
    settings = ProveSettings(arms=("balanced", "gan"), seeds=2, steps=2, batch=8, ratios=(1.0,))
    settings = settings.model_copy(update={"near_duplicates": "allow"})
    result = prove(full, held_out_cells(4, 1), held_out_cells(6, 2), translated(full), settings, on_note=notes.append)
    assert result.metric == "balanced accuracy" and result.cells == () and result.overall is None
    assert any("no cell of class × ground has fewer than 1 train images" in text for text in notes)


def test_images_from_noise_fill_holes_where_the_attributes_are_named() -> None:
    noise = replace(SYNTHETIC, sources=None)
    settings = QUICK.model_copy(update={"seeds": 2, "steps": 1})
    result = prove(TRAIN, held_out_cells(10, 1), TEST, noise, settings, condition=("ground",))
    assert result.metric == "balanced accuracy within ground=bright" and result.arm == "filled"
    rejected = replace(SYNTHETIC, reasons=("changed",) * len(SYNTHETIC))
    untested = prove(TRAIN, held_out_cells(10, 1), TEST, rejected, settings)
    assert untested.outcome == "not tested" and untested.synthetic["rejected"] == {"changed": len(SYNTHETIC)}
    elsewhere = SYNTHETIC.take(~HOLES.fills(SYNTHETIC, TRAIN))
    with pytest.raises(DataError, match=r"was made for an empty cell \('standing, ground=bright'\)"):
        prove(TRAIN, held_out_cells(10, 1), TEST, elsewhere, settings)
    with pytest.raises(DataError, match="not generated for values of 'ground'"):
        prove(TRAIN, held_out_cells(10, 1), TEST, TEST.take(np.arange(3)), settings, condition=("ground",))


def test_results_of_another_threshold_are_not_taken_up() -> None:
    few_images = images({(0, 0): 30, (0, 1): 30, (1, 0): 30, (1, 1): 5}, 0)
    results: dict[str, Any] = {}
    settings = QUICK.model_copy(update={"seeds": 2, "steps": 1})
    result = prove(few_images, held_out_cells(10, 1), TEST, translated(few_images), settings, rare=20, results=results)
    assert result.cells[3]["hole"] and result.cells[3]["train"] == 5
    assert set(results) == {f"test/{arm}, fewer than 20/{s}" for arm in ("drop_cells", "filled") for s in result.seeds}
    assert {arm_of(name) for name in results} == {"drop_cells", "filled"}


def test_trials_about_holes_are_not_pooled() -> None:
    result = verdict({"randaugment": hits(0.9, 0.9, 0.9, 0.2), "filled": hits(0.9, 0.9, 0.9, 0.9)})
    fold = Fold(TRAIN, TEST, {"gan": SYNTHETIC}, result, {})
    with pytest.raises(DataError, match="about empty cells"):
        pooled([fold, fold])
