"""The face case from beginning to end: faces in poses that the training images lack, verdicts, sheets, and combinations never seen.

- `turned`: CMU faces turned by a translator: people in poses in which it saw them or not, and people whom it never saw.
- `glasses`: the same faces, a classifier of sunglasses; no training image shows sunglasses on a face turned left or right.
- `expression`: the same faces, a classifier of the expression; happy faces never look left, sad ones never right.
- `smile`: CelebA, a classifier of smiles; no training image shows a man who does not smile.
- `combinations`: one combination of expression × pose after the other is left out for all people, generated, and judged by
  classifiers that were trained on real images.
- `disgust`: FER-2013 with disgust as the rare class, from the results of bench-proof.

`glasses`, `expression` and `smile` test on people that trained nothing. Each lacking cell is filled in two ways: by translation (a face is turned; person,
expression and eyes stay) and by a conditional generator from noise, with one trial for each. Settings were chosen on validation
people and on `glasses`; the combinations were named before any was run.

CMU and CelebA are not in the repository; their files lie where BENCH_DATA says. Sheets of faces, runs and finished trainings stay under
--folder, so that a killed benchmark goes on where it stopped. The licences of the faces do not allow committing the sheets.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from augury import generation, proof, training
from augury.cli.console import callbacks
from augury.data import draw_contact_sheet
from augury.data.cells import LEAST
from augury.data.decoding import label_encoding
from augury.images import Codes, Images, LabelledImages
from augury.pipeline import stages
from augury.randomness import rng
from augury.settings import RunSettings, TrainSettings
from augury.validation import validated
from augury.verdict import Verdict
from cases import DATA, cmu_heads
from common import Remembered, points, row, stored, with_real_images, write
from face_judges import Judges, columns, shares, turn, turned_rows, turned_sheet
from holes import HOLES, images_of

RIVALS = ("randaugment", "classical", "drop_cells")
"""Arms without a generator that both trials of a case share."""
TRANSLATED = ("untranslated", "filled", "symmetric")
DRAWN = ("filled",)
WITHOUT_CYCLE = {"cycle": 0, "hole_share": 0}
"""The translators of combinations learn from pairs alone, which takes two thirds of the time."""
TESTED, VALIDATING = 7, 2
"""People of the CMU faces that test and that validate; the other eleven train."""
NUMBER = 200
"""Images of a combination that each way makes."""
DIAGONAL = "angry/left,happy/right,neutral/straight,sad/up"


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
PARTS = ("turned", *CASES, "combinations", "disgust")


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
    found: dict[str, Verdict] = {}
    shared: dict[str, Any] = {}
    for way in ("translation", "generator"):
        settings = settings_of(case, way, number, options)
        stages.run(data, folder / way, settings=settings, until="generate", callbacks=callbacks(False))
        results = Remembered(folder / f"{way}-{options.trial_steps}.json")
        results.values.update(shared)
        with stages.opened(data, folder / way, settings=settings) as session:
            splits = session.splits
            found[way] = proof.prove(
                splits["train"], splits["validation"], splits["test"], session.synthetic, settings.prove, flips=case.flips,
                condition=(case.attribute,), rare=LEAST, results=results.values, on_result=results.keep, on_note=print,
            )  # fmt: skip
        shared = {key: value for key, value in results.values.items() if proof.arm_of(key) in RIVALS}
    with_real = Remembered(folder / f"real-{options.trial_steps}.json")
    real = with_real_images(
        splits["train"], lacking, splits["test"], case.attribute, case.inside, with_real, flips=case.flips, seeds=options.seeds,
        steps=options.trial_steps,
    )  # fmt: skip
    return {"date": time.strftime("%Y-%m-%d")} | case_record(case, found, real)


def case_record(case: FaceCase, found: dict[str, Verdict], real: dict[str, list[float]]) -> dict[str, Any]:
    """Rows of the tables, and every arm's values."""
    shown, cells, rows = [], [], []
    for way, verdict in found.items():
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
        for way, verdict in found.items()
    }
    sentences = {way: verdict.sentence for way, verdict in found.items()}
    return {"rows": rows, "table": shown, "cells": cells, "arms": arms, "real images": real, "sentences": sentences}


def turned(options: Options, judges: Judges) -> list[dict[str, Any]]:
    """How well one translator turns people whom it knows, into poses in which it saw them or not, and new people; writes the sheets.

    Each of the thirteen known people lacks the images of one pose: left, right and up in turn.
    """
    faces, folder = cmu_heads(options.data, "eyes"), options.folder / "turned"
    assert faces.groups is not None, "this file names the person of each image"
    pose, new = faces.attributes["pose"], parts_of_people() == 2
    lacking = np.full(len(new), -1)
    for number, person in enumerate(np.flatnonzero(~new)):
        lacking[person] = pose.values.index(("left", "right", "up")[number % 3])
    train = label_encoding.finished(faces.take(~new[faces.groups] & (pose.codes != lacking[faces.groups])))
    settings = TrainSettings(**options.translator(("pose",), options.paired, options.turning_steps, **WITHOUT_CYCLE))
    translator = training.train(train, folder / "train", settings=settings, seed=0, device="cpu")
    translator.save(folder / "synthesizer")
    turns = turn(translator, faces, "eyes", np.arange(len(new)))
    people, reached = faces.groups[turns.sources], pose.codes[turns.counterparts]
    kinds = {
        "known, pose seen": ~new[people] & (reached != lacking[people]),
        "known, pose never seen": ~new[people] & (reached == lacking[people]),
        "new": new[people],
    }
    rows = [each for who, chosen in kinds.items() for each in turned_rows(who, turns.take(chosen), judges)]
    notes = {int(person): f" ({pose.values[lacking[person]]} never seen)" for person in np.flatnonzero(~new)}
    sheets = options.folder / "sheets"
    sheets.mkdir(parents=True, exist_ok=True)
    turned_sheet(turns, faces, "eyes", dict(list(notes.items())[:6])).save(sheets / "turned, known people.png")
    turned_sheet(turns, faces, "eyes", dict.fromkeys(np.flatnonzero(new).tolist()[:6], "")).save(
        sheets / "turned, new people.png"
    )
    return rows


def combination(
    names: tuple[str, str], options: Options, judges: Judges
) -> tuple[list[dict[str, Any]], dict[str, Images]]:
    """Rows of the table for one combination of expression and pose, and some images of each way."""
    folder = options.folder / "combinations" / "-".join(names)
    faces = cmu_heads(options.data, "expression")
    cell = np.array([faces.classes.index(names[0]), faces.attributes["pose"].values.index(names[1])])
    held_out = (faces.conditions(("pose",)) == cell).all(1)
    train = label_encoding.finished(faces.take(~held_out))
    shown = columns(train, "expression")
    fit = partial(training.train, seed=0, device="cpu")
    settings = TrainSettings(
        **options.translator(("pose",), options.paired, options.combination_steps, **WITHOUT_CYCLE)
    )
    translator = fit(train, folder / "translator", settings=settings)
    plan = generation.plan_translations(train, ("pose",), NUMBER)
    drawn = generation.translate(translator, train, plan, seed=0)
    drawn = drawn.take((drawn.conditions == cell).all(1))
    assert drawn.sources is not None, "translations have sources"
    along_pose = train.labels[drawn.sources] == cell[0]
    people = shown["person"].codes[drawn.sources]
    with_people = replace(train, attributes={"pose": train.attributes["pose"], "person": shown["person"]})
    condition = ("pose", "person")
    generator = fit(with_people, folder / "generator", settings=TrainSettings(**options.generator(condition)))
    everyone = np.repeat(np.arange(len(shown["person"].values)), NUMBER // len(shown["person"].values))
    noise = generator.sample(np.column_stack([np.tile(cell, (len(everyone), 1)), everyone]))
    sources = np.flatnonzero(~held_out)[drawn.sources]  # a judge that trained on a source would remember its expression
    made = {
        "translated: face turned": (drawn.images[along_pose], people[along_pose], sources[along_pose]),
        "translated: expression changed": (drawn.images[~along_pose], people[~along_pose], sources[~along_pose]),
        "from noise": (noise.images, everyone, None),
    }
    rows, pictures, title = [], {}, ", ".join(names)
    for way, (images, persons, apart) in made.items():
        requested: dict[str, Codes] = {"person": persons}
        requested |= {name: np.full(len(images), code) for name, code in zip(("expression", "pose"), cell, strict=True)}
        right = shares(judges.right(images, requested, apart))
        rows.append({"combination": title, "images": way, "n": len(images)} | right)
        pictures[f"{title}, {way}"] = images[:: max(1, len(images) // 10)][:10]
    best = judges.right_of_real(np.flatnonzero(held_out), ("person", "expression", "pose"))
    real = {"combination": title, "images": "real images", "n": int(held_out.sum())} | shares(best)
    pictures[f"{title}, real"] = faces.images[np.flatnonzero(held_out)[::4][:10]]
    return [*rows, real], pictures


def combinations(options: Options, judges: Judges) -> dict[str, list[dict[str, Any]]]:
    """The rows of each combination that --combinations names, and a sheet of them."""
    expression, pose = judges.truth["expression"].values, judges.truth["pose"].values
    asked = [tuple(name.split("/")) for name in options.combinations.split(",")]
    if options.combinations == "all":
        asked = list(product(expression, pose))
    found, pictures = {}, {}
    for first, second in asked:
        found[f"{first}/{second}"], some = combination((first, second), options, judges)
        pictures |= some
        print(f"{first}/{second}: {found[f'{first}/{second}']}", flush=True)
    sheets = options.folder / "sheets"
    sheets.mkdir(parents=True, exist_ok=True)
    draw_contact_sheet(pictures, least=64, most=96).save(sheets / "combinations.png")
    return found


def averaged(found: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The rows of all combinations, and their mean for each way."""
    rows = [each for part in found.values() for each in part]
    means = []
    for way in dict.fromkeys(each["images"] for each in rows):
        of_way = [each for each in rows if each["images"] == way]
        means.append({"combination": f"mean of {len(of_way)}", "images": way, "n": sum(each["n"] for each in of_way)})
        for name in ("person", "expression", "pose", "all"):
            means[-1][name] = f"{np.mean([float(each[name].split()[0]) for each in of_way]):.0f} %"
    return [*rows, *means]


def disgust() -> dict[str, Any]:
    """The case of that name in bench-proof. Raises SystemExit where it was not measured."""
    case = stored("proof").get("cases", {}).get("disgust")
    if case is None:
        raise SystemExit(
            "disgust is not in bench/results/proof.json; measure it with: python bench/proof.py --cases disgust"
        )
    lines = [case["shown"] | {"classifier": "small network"}]
    lines += [case["features"]["shown"] | {"classifier": "pretrained features"}] if "features" in case else []
    return {"date": case["date"], "table": lines}


def store(name: str, part: Any, options: Options) -> None:
    """Add a part to bench/results/faces.json, and make its tables from all parts; with --quick, print it."""
    if options.quick:
        print(f"{name}: {json.dumps(part, indent=1)}", flush=True)
        return
    parts: dict[str, Any] = stored("faces").get("parts", {}) | {name: part}
    contests = [parts[each] for each in CASES if each in parts]
    tables = {
        "cells": [each for case in contests for each in case["cells"]],
        "turned": parts.get("turned", []),
        "combinations": averaged(parts.get("combinations", {})),
        "disgust": parts.get("disgust", {}).get("table", []),
    }
    budgets = {key: value for key, value in vars(options).items() if key not in ("data", "folder", "quick")}
    write(
        "faces",
        [each for case in contests for each in case["rows"]],
        table=[each for case in contests for each in case["table"]],
        tables=tables,
        parts=parts,
        budgets=budgets,
    )


def main(words: Sequence[str] | None = None) -> None:
    """Every part that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the npz files")
    parser.add_argument("--folder", type=Path, default=Path("runs/faces"), help="runs, trainings and sheets")
    parser.add_argument("--cases", default=",".join(PARTS), help="parts to run")
    parser.add_argument("--combinations", default=DIAGONAL, help="expression/pose,… or all 16")
    parser.add_argument("--translator-steps", type=int, default=500)
    parser.add_argument("--turning-steps", type=int, default=2500, help="of the translator of `turned`")
    parser.add_argument("--combination-steps", type=int, default=400, help="of the translator of each combination")
    parser.add_argument("--generator-steps", type=int, default=200)
    parser.add_argument(
        "--paired", type=float, default=60.0, help="weight of the loss of pairs of one person; 0: without"
    )
    parser.add_argument("--seeds", type=int, default=7)
    parser.add_argument("--trial-steps", type=int, default=150)
    parser.add_argument("--judge-steps", type=int, default=300)
    parser.add_argument("--quick", action="store_true", help="a few steps of each, to see that it works; no result")
    given = vars(parser.parse_args(words))
    if given["quick"]:
        given |= {"folder": given["folder"] / "quick", "translator_steps": 20, "generator_steps": 20}
        given |= {"combination_steps": 20, "turning_steps": 20}
        given |= {"seeds": 2, "trial_steps": 10, "judge_steps": 20}
    chosen = given.pop("cases").split(",")
    if unknown := set(chosen) - set(PARTS):
        raise SystemExit(f"there is no case '{min(unknown)}'; there are: {', '.join(PARTS)}")
    options = Options(**given)
    judges = Judges(cmu_heads(options.data, "pose"), "pose", options.folder / "judges", options.judge_steps)
    for name in chosen:
        if name == "disgust":
            store(name, disgust(), options)
        elif name == "combinations":
            store(name, combinations(options, judges), options)
        elif name == "turned":
            store(name, turned(options, judges), options)
        else:
            store(name, verdicts(name, options), options)


if __name__ == "__main__":
    main()
