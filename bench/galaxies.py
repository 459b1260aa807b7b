"""Simulated galaxies from FITS cut-outs to the verdict, and whether the generator keeps ellipticity and size.

The simulation (examples/simulate_galaxies.py) gives 1,500 train cut-outs of 32 px, 5 % of them rings, and held-out cut-outs. A run trains
the recipe flow, fills each class by 300 images and proves them. Shapes are compared as
examples/galaxy_shapes.py does, with real against real images as the baseline. A killed benchmark goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from PIL import Image

import augury
from augury.cli.console import callbacks
from augury.data import draw_contact_sheet
from augury.pipeline.run_folder import Run
from augury.settings import RunSettings
from augury.validation import validated
from augury.verdict import Verdict
from common import points, row, write

sys.path.append(str(Path(__file__).parents[1] / "examples"))

from galaxy_shapes import table
from simulate_galaxies import simulate

PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "galaxies.png"
SETTINGS: dict[str, dict[str, Any]] = {
    "train": {"recipe": "flow", "steps": 4000},
    "generate": {"sampling_strategy": 300},
    "score": {"features": "classifier", "limit": 300},
    "prove": {
        "flips": True,
        "arms": ["balanced", "astronomy", "gan"],
        "seeds": 6,
        "steps": 200,
        "ratios": [0.0, 0.5],
        "classifier": "cnn",
    },
}
"""What the run changes; docs/astronomy.md gives the same as a command."""


def answer(verdict: Verdict) -> list[dict[str, Any]]:
    """Balanced accuracy and recall of the rare class by arm, and the difference of the verdict."""
    ring = next(i for i, each in enumerate(verdict.per_class) if each["class"] == "ring")
    rows = [
        {
            "arm": name,
            "balanced_accuracy": round(100 * mean(verdict.values(name)), 1),
            "recall_of_rings": round(100 * mean(recalls[ring] for recalls in arm["recall"]), 1),
        }
        for name, arm in verdict.arms.items()
    ]
    return [each | {"verdict": _words(verdict) if each["arm"] == verdict.arm else ""} for each in rows]


def sheet(run: Run) -> Image.Image:
    """Ten train images and ten accepted generated ones of each class."""
    settings, synthetic = RunSettings(**run.settings), run.synthetic
    data = augury.load(run.metadata["source"], **settings.data.reading())
    rows = {}
    for label, name in enumerate(data.classes):
        rows[f"{name}, real"] = data.images[np.flatnonzero((data.labels == label) & (run.split == 0))[:10]]
        rows[f"{name}, generated"] = synthetic.images[
            np.flatnonzero((synthetic.labels == label) & synthetic.accepted)[:10]
        ]
    return draw_contact_sheet(rows, least=48, most=64)


def _words(verdict: Verdict) -> str:
    return f"{verdict.outcome}: {points(verdict.difference, verdict.low, verdict.high)} over {verdict.comparator}"


def main() -> None:
    """Simulate, run, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/galaxies"))
    parser.add_argument("--steps", type=int, default=4000, help="training steps of the generator")
    options = parser.parse_args()
    sky = options.folder / "sky"
    if not (sky / "metadata.csv").exists():
        simulate(sky)
    settings = SETTINGS | {"train": SETTINGS["train"] | {"steps": options.steps}}
    for until in ("generate", "report"):  # the shapes are written before the trial, which takes longer than the rest
        run = augury.run(
            str(sky),
            options.folder / "run",
            settings=validated(RunSettings, settings),
            until=until,
            callbacks=callbacks(False),
        )
        seconds = {stage: facts["seconds"] for stage, facts in run.state().items()}
        sheet(run).save(PICTURE)
        proven = {"arms": answer(run.verdict), "sentence": run.verdict.sentence} if until == "report" else {}
        write(
            "galaxies",
            [row("training of the generator", seconds["train"], 180, "limit", "s", False, digits=0)],
            table=table(run),
            steps=options.steps,
            seconds=seconds,
            **proven,
        )


if __name__ == "__main__":
    main()
