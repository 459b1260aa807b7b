"""The face case from beginning to end: faces in poses that the training images lack, verdicts, sheets, and combinations never seen.

- `turned`: CMU faces turned by a translator: people in poses in which it saw them or not, and people whom it never saw.
- `glasses`: the same faces, a classifier of sunglasses; no training image shows sunglasses on a face turned left or right.
- `expression`: the same faces, a classifier of the expression; happy faces never look left, sad ones never right.
- `smile`: CelebA, a classifier of smiles; no training image shows a man who does not smile.
- `combinations`: one combination of expression × pose after the other is left out for all people, generated, and judged by
  classifiers that were trained on real images.

`glasses`, `expression` and `smile` test on people that trained nothing. Each lacking cell is filled in two ways: by translation (a face
is turned; person, expression and eyes stay) and by a conditional generator from noise, with one trial for each. Settings were chosen on
two people who trained nothing, one of whom is among the seven test people now; the combinations were named before any was run.

CMU and CelebA are not in the repository; their files lie where BENCH_DATA says. Sheets of faces, runs and finished trainings stay under
--folder, so that a killed benchmark goes on where it stopped. The licences of the faces do not allow committing the sheets.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from augury import generation, training
from augury.data import draw_contact_sheet
from augury.data.decoding import label_encoding
from augury.images import Codes, Images
from augury.settings import TrainSettings
from cases import DATA, cmu_heads
from common import stored, write
from face_cases import CASES, Options, parts_of_people, verdicts
from face_judges import Judges, columns, shares, turn, turned_rows, turned_sheet

WITHOUT_CYCLE = {"cycle": 0, "hole_share": 0}
"""Translators of complete tables learn from pairs alone, which takes two thirds of the time."""
NUMBER = 200
"""Images of a combination that each way makes."""
PARTS = ("turned", *CASES, "combinations")


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
    images_of_way = {
        "translated: face turned": (drawn.images[along_pose], people[along_pose], sources[along_pose]),
        "translated: expression changed": (drawn.images[~along_pose], people[~along_pose], sources[~along_pose]),
        "from noise": (noise.images, everyone, None),
    }
    rows, pictures, title = [], {}, ", ".join(names)
    for way, (images, persons, apart) in images_of_way.items():
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
    rows, pictures = {}, {}
    for first, second in asked:
        rows[f"{first}/{second}"], some = combination((first, second), options, judges)
        pictures |= some
        print(f"{first}/{second}: {rows[f'{first}/{second}']}", flush=True)
    sheets = options.folder / "sheets"
    sheets.mkdir(parents=True, exist_ok=True)
    draw_contact_sheet(pictures, least=64, most=96).save(sheets / "combinations.png")
    return rows


def percent(cell: str) -> float:
    """The number of a cell such as "38 %"."""
    return float(cell.split()[0])


def share_of_all(rows_of: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """A row for each combination: the share of each way's images that show person, expression and pose as requested."""
    return [
        {"combination": rows[0]["combination"]} | {each["images"]: each["all"] for each in rows}
        for rows in rows_of.values()
    ]


def averaged(rows_of: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """A row for each way: its shares, mean over the combinations."""
    every = [each for rows in rows_of.values() for each in rows]
    means = []
    for way in dict.fromkeys(each["images"] for each in every):
        rows = [each for each in every if each["images"] == way]
        means.append({"images": way, "combinations": len(rows), "n": sum(each["n"] for each in rows)})
        for name in ("person", "expression", "pose", "all"):
            means[-1][name] = f"{np.mean([percent(each[name]) for each in rows]):.0f} %"
    return means


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
        "combination": share_of_all(parts.get("combinations", {})),
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
    parser.add_argument("--combinations", default="all", help="expression/pose,…; all: all 16")
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
    values = vars(parser.parse_args(words))
    if values["quick"]:
        values |= {"folder": values["folder"] / "quick", "translator_steps": 20, "generator_steps": 20}
        values |= {"combination_steps": 20, "turning_steps": 20}
        values |= {"seeds": 2, "trial_steps": 10, "judge_steps": 20}
    chosen = values.pop("cases").split(",")
    if unknown := set(chosen) - set(PARTS):
        raise SystemExit(f"there is no case '{min(unknown)}'; there are: {', '.join(PARTS)}")
    options = Options(**values)
    judges = Judges(cmu_heads(options.data, "pose"), "pose", options.folder / "judges", options.judge_steps)
    for name in chosen:
        if name == "combinations":
            store(name, combinations(options, judges), options)
        elif name == "turned":
            store(name, turned(options, judges), options)
        else:
            store(name, verdicts(name, options), options)


if __name__ == "__main__":
    main()
