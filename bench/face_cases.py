"""The cases of bench-faces that end in a verdict: cells that the training images lack, filled by translation and by a generator."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from augury import generation, proof
from augury.cli.console import callbacks
from augury.data.cells import LEAST
from augury.data.decoding import label_encoding
from augury.images import LabelledImages
from augury.pipeline import stages
from augury.randomness import rng
from augury.settings import RunSettings
from augury.validation import validated
from augury.verdict import Verdict
from cases import cmu_heads
from common import Remembered, points, row, with_real_images
from holes import HOLES, images_of

RIVALS = ("randaugment", "classical", "drop_cells")
"""Arms without a generator that both trials of a case share."""
TRANSLATED = ("untranslated", "filled", "symmetric")
DRAWN = ("filled",)
TESTED, VALIDATING = 7, 2
"""People of the CMU faces that test and that validate; the other eleven train."""


@dataclass(frozen=True)
class Options:
    """What the command line sets: folders, budgets and sizes."""

    data: Path
    folder: Path
    combinations: str
    translator_steps: int
    turning_steps: int
    combination_steps: int
    generator_steps: int
    paired: float
    seeds: int
    trial_steps: int
    judge_steps: int
    quick: bool

    def translator(self, condition: tuple[str, ...], paired: float, steps: int, **more: float) -> dict[str, Any]:
        """Settings of a translator; `more` overrides further settings of one that is trained with pairs."""
        overrides = {"paired": paired, "blocks": 4, **more} if paired else {}
        return {"recipe": "translator", "condition": condition, "steps": steps, "overrides": overrides}

    def generator(self, condition: tuple[str, ...]) -> dict[str, Any]:
        """Settings of a conditional generator from noise."""
        return {"recipe": "rpgan", "condition": condition, "steps": self.generator_steps}


@dataclass(frozen=True)
class FaceCase:
    """Train and validation images lack the cells `empty` of label × attribute. `reads` gives all images, with people as groups, and the
    real train images of these cells."""

    what: str
    attribute: str
    empty: tuple[tuple[str, str], ...]
    reads: Callable[[FaceCase, Options], tuple[LabelledImages, LabelledImages]]
    label: str = ""
    flips: bool = False
    paired: bool = True

    @property
    def inside(self) -> tuple[str, ...]:
        """The attribute values that have an empty cell."""
        return tuple(dict.fromkeys(value for _, value in self.empty))


def of_cmu(case: FaceCase, options: Options) -> tuple[LabelledImages, LabelledImages]:
    """CMU faces, whole people for training, validation and test."""
    faces = cmu_heads(options.data, case.label)
    assert faces.groups is not None, "this file names the person of each image"
    part = parts_of_people()[faces.groups]
    attribute = faces.attributes[case.attribute]
    absent = np.zeros(len(faces), bool)
    for label, value in case.empty:
        absent |= (faces.labels == faces.classes.index(label)) & (attribute.codes == attribute.values.index(value))
    faces = replace(faces, split=part)
    return label_encoding.finished(faces.take(~absent | (part == 2))), faces.take(absent & (part == 0))


def parts_of_people() -> np.ndarray[tuple[int], np.dtype[np.int8]]:
    """int8 [20]: whether a person trains (0), validates (1) or tests (2)."""
    order = rng(0, "people").permutation(20)
    part = np.zeros(20, np.int8)
    part[order[:TESTED]], part[order[TESTED : TESTED + VALIDATING]] = 2, 1
    return part


def of_celeba(case: FaceCase, options: Options) -> tuple[LabelledImages, LabelledImages]:
    """The hole of the same name in bench-holes, which names its own numbers of images."""
    return images_of(HOLES["smile"], options.data)


CASES = {
    "glasses": FaceCase(
        "CMU: sunglasses, never seen on faces turned left or right",
        "pose",
        (("sunglasses", "left"), ("sunglasses", "right")),
        of_cmu,
        label="eyes",
    ),
    "expression": FaceCase(
        "CMU: expression, happy never seen to the left, sad never to the right",
        "pose",
        (("happy", "left"), ("sad", "right")),
        of_cmu,
        label="expression",
    ),
    "smile": FaceCase(
        "CelebA: smile, men who do not smile never seen",
        "gender",
        (("no", "male"),),
        of_celeba,
        flips=True,
        paired=False,
    ),
}


def settings_of(case: FaceCase, way: str, number: int, options: Options) -> RunSettings:
    """Those of the run that makes images in this way; the generator draws `number` for each empty cell."""
    translates, condition = way == "translation", (case.attribute,)
    paired = options.paired if case.paired else 0.0
    generate: dict[str, Any] = {}
    if not translates:  # the run's classifier never saw the cell and would reject it, so its filter is left out
        cells = {f"{label}/{value}": number for label, value in case.empty}
        generate = {"sampling_strategy": cells, "filters": ("near_copy", "near_duplicate")}
    return validated(
        RunSettings,
        {
            "data": {"near_duplicates": "drop"},
            "train": options.translator(condition, paired, options.translator_steps)
            if translates
            else options.generator(condition),
            "generate": generate,
            "prove": {
                "arms": (*RIVALS, *(TRANSLATED if translates else DRAWN)),
                "classifier": "cnn",
                "seeds": options.seeds,
                "steps": options.trial_steps,
            },
        },
    )


def verdicts(name: str, options: Options) -> dict[str, Any]:
    """What the result file keeps of a case: the verdict of each way, and what real images of the empty cells would give."""
    case, folder = CASES[name], options.folder / name
    data, lacking = case.reads(case, options)
    counts = generation.table(data.take(data.split == 0), (case.attribute,))
    number = int(np.median(counts[counts >= LEAST]))
    verdicts_by_way: dict[str, Verdict] = {}
    shared: dict[str, Any] = {}
    for way in ("translation", "generator"):
        settings = settings_of(case, way, number, options)
        stages.run(data, folder / way, settings=settings, until="generate", callbacks=callbacks(False))
        results = Remembered(folder / f"{way}-{options.trial_steps}.json")
        results.values.update(shared)
        with stages.opened(data, folder / way, settings=settings) as session:
            splits = session.splits
            verdicts_by_way[way] = proof.prove(
                splits["train"], splits["validation"], splits["test"], session.synthetic, settings.prove, flips=case.flips,
                condition=(case.attribute,), rare=LEAST, results=results.values, on_result=results.keep, on_note=print,
            )  # fmt: skip
        shared = {key: value for key, value in results.values.items() if proof.arm_of(key) in RIVALS}
    with_real = Remembered(folder / f"real-{options.trial_steps}.json")
    real = with_real_images(
        splits["train"], lacking, splits["test"], case.attribute, case.inside, with_real, flips=case.flips, seeds=options.seeds,
        steps=options.trial_steps,
    )  # fmt: skip
    return {"date": time.strftime("%Y-%m-%d")} | case_record(case, verdicts_by_way, real)


def case_record(case: FaceCase, verdicts_by_way: dict[str, Verdict], real: dict[str, list[float]]) -> dict[str, Any]:
    """Rows of the tables, and every arm's values."""
    shown, cells, rows = [], [], []
    for way, verdict in verdicts_by_way.items():
        mean = {arm: float(np.mean(values["balanced_accuracy"])) for arm, values in verdict.arms.items()}
        assert verdict.overall is not None, "these trials study empty cells"
        overall = (verdict.overall[key] for key in ("difference", "low", "high"))
        shown.append(
            {
                "case": case.what,
                "images by": way,
                "no help": f"{100 * mean['randaugment']:.1f}",
                "best rival": f"{100 * mean[verdict.comparator]:.1f} ({verdict.comparator})",
                "with images": f"{100 * mean[verdict.arm]:.1f} ({verdict.arm})",
                "difference": points(verdict.difference, verdict.low, verdict.high),
                "overall": points(*overall),
                "real images": f"{100 * float(np.mean(real['within'])):.1f}",
                "outcome": verdict.outcome,
            }
        )
        cells += [
            {
                "case": case.what.partition(",")[0],
                "images by": way,
                "cell": each["cell"],
                "train": each["train"],
                "synthetic": each["synthetic"],
                "test": each["test"],
                "recall, best rival": f"{100 * each['recall_comparator']:.0f}",
                "recall, with images": f"{100 * each['recall_arm']:.0f}",
                "difference": points(each["difference"], each["low"], each["high"]),
            }
            for each in verdict.cells
            if each["within"]
        ]
        line = row(f"{case.what}, {way}: {verdict.outcome} ({verdict.arm})", mean[verdict.arm], mean[verdict.comparator], verdict.comparator, verdict.metric, True)  # fmt: skip
        rows.append(line | {"low": verdict.low, "high": verdict.high, "p": verdict.p, "overall": verdict.overall})
    arms = {
        way: {arm: values["balanced_accuracy"] for arm, values in verdict.arms.items()}
        for way, verdict in verdicts_by_way.items()
    }
    sentences = {way: verdict.sentence for way, verdict in verdicts_by_way.items()}
    return {"rows": rows, "table": shown, "cells": cells, "arms": arms, "real images": real, "sentences": sentences}
