"""Are synthetic images worth more, or less, when classifiers are trained longer and with stronger augmentation?

The long tail 500 to 5 of Fashion-MNIST, its generator trained and its images drawn as in bench-proof (in the same folder, so
that they are not made again). Each augmentation with a number of steps is tried without and with the kept images, ratio one
half, on 3,000 images of the official train part that are in no part of the run: the test part stays unread, so that what is
learnt here may be used. A training's result is kept as soon as it is there.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from augury import data
from augury.cli.console import callbacks
from augury.files import read_json, write_json
from augury.images import LabelledImages
from augury.pipeline.stages import advance, opened
from augury.proof import image_hashes
from augury.proof.arms import Arm
from augury.proof.trainings import Trainings
from augury.randomness import rng
from augury.settings import ProveSettings, RunSettings
from augury.validation import validated
from cases import CASES, DATA, DataPaths
from common import row, write
from proof import SECTIONS

CASE, EACH, RATIO = "fashion100", 300, 0.5
WAYS: dict[str, dict[str, Any]] = {
    "classical": {"augment": "classical"},
    "RandAugment": {"augment": "randaugment"},
    "RandAugment and CutMix": {"augment": "randaugment", "mix": "cutmix"},
}
ARMS = {
    (way, source): Arm(way, balanced=True, source=source, **changes)
    for way, changes in WAYS.items()
    for source in ("", "gan")
}


def unused(paths: DataPaths, used: LabelledImages) -> LabelledImages:
    """EACH official train images of every class that are not among those used."""
    whole = data.load(paths.fashion)
    assert whole.split is not None
    free = (whole.split == 0) & ~np.isin(image_hashes(whole.images), image_hashes(used.images))
    rows = [
        rng(9, "unused", label).permutation(np.flatnonzero(free & (whole.labels == label)))[:EACH]
        for label in range(len(whole.classes))
    ]
    return whole.take(np.concatenate(rows))


def main() -> None:
    """Every way at every number of steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the npz and tar files of cases.py")
    parser.add_argument("--fashion", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--steps", type=int, nargs="+", default=[300, 1000])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--folder", type=Path, default=Path("runs/proof"))
    options = parser.parse_args()
    paths, case_folder = DataPaths(options.data, options.fashion), options.folder / CASE
    rows, table, file = [], [], options.folder / f"{CASE}-steps.json"
    images = CASES[CASE].folds[0](paths)
    with opened(
        images, case_folder / "1", settings=validated(RunSettings, SECTIONS), callbacks=callbacks(False)
    ) as session:
        advance(session, "generate")
        accepted_images, train = session.synthetic.take(session.synthetic.accepted), session.splits["train"]
        judged, flips = unused(paths, images), session.flips
        inputs = [session.run.key("generate"), train.fingerprint]
    stored = read_json(file) if file.exists() else {}
    results = stored["results"] if stored.get("about") == inputs else {}
    for way in WAYS:
        for steps in options.steps:
            means = {}
            for source in ("", "gan"):
                trainings = Trainings(
                    train,
                    (accepted_images.images, accepted_images.labels),
                    ProveSettings(steps=steps, classifier="cnn"),
                    flips,
                    torch.device("cpu"),
                    results,
                    lambda done, name: write_json(file, {"about": inputs, "results": results}),
                    arms={"tried": ARMS[way, source]},
                )
                name = f"{way}, {steps} steps" + (", synthetic images" if source else "")
                scores = trainings.measured(name, "tried", RATIO, range(options.seeds), judged)
                means[source] = 100 * np.array([each["balanced_accuracy"] for each in scores])
            gap = means["gan"] - means[""]
            rows.append(
                row(f"{way}, {steps} steps", means["gan"].mean(), means[""].mean(), "without", "points", True, 2)
            )
            shown = {source: f"{each.mean():.1f}" for source, each in means.items()}
            each = ", ".join(f"{round(value, 1) + 0.0:+.1f}" for value in gap)
            table.append(
                {
                    "augmentation": way,
                    "steps": steps,
                    "without": shown[""],
                    "with synthetic images": shown["gan"],
                    "difference of each seed": each,
                }
            )
            print(f"{way}, {steps} steps: {shown['']} without, {shown['gan']} with ({each})", flush=True)
    write("steps", rows, table=table, seeds=options.seeds, images=len(judged))


if __name__ == "__main__":
    main()
