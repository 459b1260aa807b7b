"""Two medical data sets, judged by sensitivity at 90 % specificity; memorisation and membership beside it.

BreastMNIST (ultrasound, malignant) and PneumoniaMNIST (radiographs, pneumonia) of MedMNIST, with their official splits, from
breastmnist.npz and pneumoniamnist.npz in the folder --data. One run for each, as docs/medicine.md gives it. A killed benchmark
goes on where it stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean
from typing import Any

import augury
from augury.cli.console import callbacks
from augury.intervals import wilson
from augury.pipeline.run_folder import Run
from augury.settings import RunSettings
from augury.validation import validated
from cases import DATA
from common import points, row, write

SETS = {
    "BreastMNIST": ("breastmnist.npz", "0", "malignant", 0.1),
    "PneumoniaMNIST": ("pneumoniamnist.npz", "1", "pneumonia", 0.02),
}
"""Name -> (file, class to detect, what it is, margin)."""
SETTINGS: dict[str, dict[str, Any]] = {
    "data": {"near_duplicates": "drop"},
    "train": {"recipe": "rpgan", "steps": 400},
    "score": {"features": "classifier,pixels", "limit": 200},
    "prove": {
        "arms": ["none", "balanced", "medical", "gan"],
        "seeds": 6,
        "steps": 150,
        "ratios": [0.0, 0.5],
        "classifier": "cnn",
    },
}


def settings(label: str, margin: float, steps: int = SETTINGS["train"]["steps"]) -> dict[str, Any]:
    """The settings of a run; docs/medicine.md gives the same as a command."""
    prove = SETTINGS["prove"] | {"metric": f"sensitivity@0.9:{label}", "margin": margin}
    return SETTINGS | {"prove": prove, "train": SETTINGS["train"] | {"steps": steps}}


def lines(name: str, run: Run) -> list[dict[str, Any]]:
    """A row for each arm; the verdict and the risks beside the arm with synthetic images.

    The interval of a sensitivity is Wilson's for the mean over the seeds: other test images, not other trainings.
    """
    verdict, risks = run.verdict, {}
    detected = verdict.operating_point["class"] if verdict.operating_point else ""
    positives = next(each["test"] for each in verdict.per_class if each["class"] == detected)
    for score in run.read("scores")["scores"]:
        if score["name"] == "membership-AUC-classifier" and not score["group"]:
            risks["membership"] = f"{score['value']:.2f} ({score['low']:.2f} to {score['high']:.2f})"
    rows = []
    for arm, values in verdict.arms.items():
        sensitivity = mean(verdict.values(arm))
        low, high = wilson(sensitivity, positives)
        auc = [each for each in values["auc"] if each is not None]
        rows.append(
            {
                "data": name,
                "arm": arm,
                "sensitivity": f"{100 * sensitivity:.1f} ({100 * low:.1f} to {100 * high:.1f})",
                "specificity": round(100 * mean(values["specificity"]), 1),
                "AUC": round(mean(auc), 3),
            }
        )
        if arm == verdict.arm:
            gained = points(verdict.difference, verdict.low, verdict.high)
            rows[-1] |= {"verdict": f"{verdict.outcome}: {gained} over {verdict.comparator}"} | risks
    return [{**each, "verdict": each.get("verdict", ""), "membership": each.get("membership", "")} for each in rows]


def main() -> None:
    """Run each set, then write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/medicine"))
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the two files")
    parser.add_argument("--steps", type=int, default=SETTINGS["train"]["steps"], help="training steps of the generator")
    options = parser.parse_args()
    table: list[dict[str, Any]] = []
    timed, sentences = [], {}
    for name, (file, label, what, margin) in SETS.items():
        run = augury.run(
            str(options.data / file),
            options.folder / name.lower(),
            settings=validated(RunSettings, settings(label, margin, options.steps)),
            callbacks=callbacks(False),
        )
        table += lines(f"{name}, {what}", run)
        sentences[name] = run.verdict.sentence
        seconds = sum(facts["seconds"] for facts in run.state().values())
        timed.append(row(f"{name}, the whole run", seconds, 240, "limit", "s", False, digits=0))
    write("medicine", timed, table=table, sentences=sentences, steps=options.steps)


if __name__ == "__main__":
    main()
