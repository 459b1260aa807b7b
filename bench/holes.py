"""Do translations into an empty cell of class × attribute help? Every arm on real holes, with the verdict of each.

Each case leaves out all train images of one cell, for example old women, and tests on other people. The outcome is balanced
accuracy within the attribute value that has the hole. Three translators are trained for each case; seeds 0 to 2, 3 to 5 and
6 to 7 of the trial show the images of one of them each, so the interval holds the variance of their training. The row "real
images" shows what as many real images of the cell would give. Runs and finished trainings stay under --folder, so that a
killed benchmark goes on where it stopped. The data lie where BENCH_DATA says.

`older` is the case that settings were chosen on. The others were named before any of them was run.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from augury import proof
from augury.data import from_arrays
from augury.data.cells import LEAST
from augury.images import LabelledImages
from augury.pipeline import stages
from augury.pipeline.session import Session
from augury.randomness import rng
from augury.settings import RunSettings
from augury.validation import validated
from augury.verdict import Verdict
from cases import DATA, cmu_faces
from common import BLOCKS, Remembered, over_translators, points, row, stored, with_real_images, write

EACH, HELD, MOST = 300, 60, 500
"""Images of each cell to train on, to validate with and to test with, at most."""
RIVALS = (
    "randaugment", "classical", "drop_cells", "cell_balanced", "group_dro", "dann", "cutmix", "logit_adjustment", "extreme_gamma",
    "moment_matching", "histogram_matching", "fourier_matching", "moment_symmetric", "histogram_symmetric", "fourier_symmetric",
    "untranslated", "degraded",
)  # fmt: skip
OURS = ("filled", "filled_degraded", "half_real", "symmetric")


@dataclass(frozen=True)
class Hole:
    """No train image has the `cell` (value of the label, of the attribute). `reads` gives the arrays; `label` and `attribute` are keys
    of a file, or names."""

    what: str
    label: str
    attribute: str
    cell: tuple[str, str]
    reads: Callable[[Hole, Path], Arrays]
    flips: bool = True


@dataclass(frozen=True)
class Arrays:
    """`images` uint8 [N, H, W]; label, attribute value, group and part (0 train, 1 validation, 2 test) of each."""

    images: np.ndarray
    labels: np.ndarray
    values: np.ndarray
    groups: np.ndarray
    splits: np.ndarray


def faces(case: Hole, folder: Path) -> Arrays:
    """CelebA. People are divided: 45 % train, 15 % validate, 40 % test."""
    file = np.load(folder / "celeba10k_grey32.npz", allow_pickle=False)
    groups = np.unique(file["group"], return_inverse=True)[1]
    order = rng(0, "people").permutation(groups.max() + 1)
    part_of = np.zeros(len(order), np.int8)
    part_of[order[: round(0.4 * len(order))]] = 2
    part_of[order[round(0.4 * len(order)) : round(0.55 * len(order))]] = 1
    return Arrays(file["image"], file[case.label], file[case.attribute], groups, part_of[groups])


def turned(case: Hole, folder: Path) -> Arrays:
    """CMU faces. Of twenty people eight are for the test and three validate; a person wears sunglasses in half of the images."""
    file = cmu_faces(folder, case.label)
    attribute = file.attributes[case.attribute]
    labels, values = np.array(file.classes)[file.labels], np.array(attribute.values)[attribute.codes]
    assert file.groups is not None, "this file names the person of each image"
    order = rng(0, "people").permutation(int(file.groups.max()) + 1)
    part_of = np.zeros(len(order), np.int8)
    part_of[order[:8]], part_of[order[8:11]] = 2, 1
    return Arrays(np.asarray(file.images)[:, 0], labels, values, file.groups, part_of[file.groups])


def scans(case: Hole, folder: Path) -> Arrays:
    """PneumoniaMNIST in its official parts; half of the images as a second scanner would give them: a known truth."""
    file = np.load(folder / "pneumoniamnist.npz", allow_pickle=False)
    images = np.concatenate([file[f"{part}_images"] for part in ("train", "val", "test")])
    labels = np.concatenate([file[f"{part}_labels"].ravel() for part in ("train", "val", "test")])
    splits = np.repeat([0, 1, 2], [len(file[f"{part}_labels"]) for part in ("train", "val", "test")]).astype(np.int8)
    second = rng(0, "scanner").random(len(images)) < 0.5
    shifted = 255 * (gaussian_filter(images[second] / 255, (0, 0.8, 0.8)) ** 0.5)
    shifted += rng(0, "scanner noise").normal(0, 12, shifted.shape)
    images = images.copy()
    images[second] = np.clip(np.round(shifted), 0, 255)
    names = np.array(["normal", "pneumonia"])[labels]
    return Arrays(images, names, np.where(second, "second", "first"), np.arange(len(images)), splits)


HOLES = {
    "older": Hole("old women (tuned on this case)", "young", "gender", ("no", "female"), faces),
    "hair": Hole("black-haired women", "black_hair", "gender", ("yes", "female"), faces),
    "wavy": Hole("men with wavy hair", "wavy_hair", "gender", ("yes", "male"), faces),
    "smile": Hole("men who do not smile", "smiling", "gender", ("no", "male"), faces),
    "mouth": Hole("men with open mouth", "mouth_slightly_open", "gender", ("yes", "male"), faces),
    "bangs": Hole("women with bangs", "bangs", "gender", ("yes", "female"), faces),
    "hat": Hole("women with hat", "wearing_hat", "gender", ("yes", "female"), faces),
    "glasses": Hole("women with eyeglasses (negative control)", "eyeglasses", "gender", ("yes", "female"), faces),
    "turned": Hole(
        "sunglasses on faces turned to the left", "eyes", "pose", ("sunglasses", "left"), turned, flips=False
    ),
    "scanner": Hole(
        "pneumonia from a second, drawn scanner", "label", "scanner", ("pneumonia", "second"), scans, flips=False
    ),
}


def images_of(case: Hole, folder: Path) -> tuple[LabelledImages, LabelledImages]:
    """(the data with their split, real train images of the empty cell)."""
    case_results, rows = case.reads(case, folder), []
    for label in np.unique(case_results.labels):
        for value in np.unique(case_results.values):
            for part, most in enumerate((EACH, HELD, MOST)):
                members = np.flatnonzero(
                    (case_results.labels == label) & (case_results.values == value) & (case_results.splits == part)
                )
                rows.append(rng(0, "cell", str(label), str(value), part).permutation(members)[:most])
    chosen = np.sort(np.concatenate(rows))
    data = from_arrays(
        case_results.images[chosen], case_results.labels[chosen], attributes={case.attribute: case_results.values[chosen]},
        groups=case_results.groups[chosen], split=case_results.splits[chosen], notes={"flips": case.flips},
    )  # fmt: skip
    empty = (case_results.labels[chosen] == case.cell[0]) & (case_results.values[chosen] == case.cell[1])
    return data.take(~empty | (data.split == 2)), data.take(empty & (data.split == 0))


def settings_of(case: Hole, number: int, steps: int | None) -> RunSettings:
    """Those of one translator's run."""
    return validated(
        RunSettings,
        {
            "seed": number,
            "data": {"near_duplicates": "drop"},
            "train": {"recipe": "translator", "condition": (case.attribute,), "steps": steps},
            "prove": {"arms": (*RIVALS, *OURS), "classifier": "cnn"},
        },
    )


def verdict_of(name: str, data_folder: Path, folder: Path, steps: int | None) -> tuple[Verdict, dict[str, list[float]]]:
    """The verdict of a case over eight seeds and three translators, and balanced accuracy within with real images, a value a seed."""
    case = HOLES[name]
    data, lacking = images_of(case, data_folder)
    results = Remembered(folder / name / "trainings.json")

    def trial(session: Session, first: int, seeds: int) -> Verdict:
        splits, trial_settings = session.splits, session.settings.prove.model_copy(update={"seeds": seeds})
        return proof.prove(
            splits["train"], splits["validation"], splits["test"], session.synthetic, trial_settings, offset=first, flips=case.flips,
            condition=(case.attribute,), rare=LEAST, results=results.values, on_result=results.keep, on_note=print,
        )  # fmt: skip

    settings = partial(settings_of, case, steps=steps)
    verdict = over_translators(data, folder / name, settings, trial)
    with stages.opened(data, folder / name / "translator-0", settings=settings(0)) as session:
        train, test = session.splits["train"], session.splits["test"]
    real = with_real_images(
        train, lacking, test, case.attribute, case.cell[1:], results, flips=case.flips, seeds=sum(n for _, n in BLOCKS)
    )
    return verdict, real


def case_record(name: str, verdict: Verdict, real: dict[str, list[float]]) -> dict[str, Any]:
    """What the result file keeps of a case."""
    arms = {arm: values["balanced_accuracy"] for arm, values in verdict.arms.items()}
    mean = {arm: float(np.mean(values)) for arm, values in arms.items()}
    gap = float(np.mean(real["within"])) - mean[verdict.comparator]
    shown = {
        "case": HOLES[name].what,
        "no help": f"{100 * mean['randaugment']:.1f}",
        "leave out": f"{100 * mean['drop_cells']:.1f}",
        "best rival": f"{100 * mean[verdict.comparator]:.1f} ({verdict.comparator})",
        "translations": f"{100 * mean[verdict.arm]:.1f} ({verdict.arm})",
        "difference": points(verdict.difference, verdict.low, verdict.high),
        "real images": f"{100 * float(np.mean(real['within'])):.1f}",
        "share of the gap": f"{100 * verdict.difference / gap:.0f} %" if gap > 0.005 else "–",
        "outcome": verdict.outcome,
    }
    facts = {
        "outcome": verdict.outcome,
        "low": verdict.low,
        "high": verdict.high,
        "p": verdict.p,
        "overall": verdict.overall,
    }
    line = row(
        f"{HOLES[name].what}: {verdict.outcome} ({verdict.arm})", mean[verdict.arm], mean[verdict.comparator],
        verdict.comparator, verdict.metric, True,
    )  # fmt: skip
    return {
        "date": time.strftime("%Y-%m-%d"), "row": line | facts, "shown": shown, "arms": arms, "real images": real,
        "sentence": verdict.sentence, "cells": list(verdict.cells),
    }  # fmt: skip


def main() -> None:
    """Every case that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--cases", default=",".join(HOLES))
    parser.add_argument("--folder", type=Path, default=Path("runs/holes"))
    parser.add_argument("--steps", type=int, help="of a translator; the recipe's own unless given")
    options = parser.parse_args()
    for name in options.cases.split(","):
        verdict, real = verdict_of(name, options.data, options.folder, options.steps)
        print(f"{name}: {verdict.outcome.upper()}. {verdict.sentence}", flush=True)
        cases = stored("holes").get("cases", {}) | {name: case_record(name, verdict, real)}
        cases = {each: cases[each] for each in HOLES if each in cases}
        write(
            "holes",
            [each["row"] for each in cases.values()],
            table=[each["shown"] for each in cases.values()],
            cases=cases,
        )


if __name__ == "__main__":
    main()
