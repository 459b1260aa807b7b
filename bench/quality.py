"""Every recipe on the same data for the same time: quality, variety, usefulness, speed and a sheet of pictures.

Each recipe trains in a run folder of its own under --folder, so that a killed benchmark goes on where it stopped, and
one more recipe costs no more than itself. Every recipe has one core to itself for --budget, as many at once as there are
cores: twenty minutes of one core are as much work as ten minutes of two. Measures are those of `augury compare`; "real
images" are measured the same way where that means something. The machine should have nothing else to do: the time is
what is held equal.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from augury.comparison import compare
from augury.console import watcher
from augury.recipes import RECIPES
from augury.settings import RunSettings, validated
from common import row, write

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
MEASURES = {
    "kid": ("KID", "kid_real", False),
    "fd": ("FD", "fd_real", False),
    "precision": ("precision", "precision_real", True),
    "recall": ("recall", "recall_real", True),
    "gan_train": ("GAN-train", "gan_train_real", True),
}
"""Column of the comparison -> its name, the column of real images, and whether more is better."""


def in_lanes(names: list[str]) -> None:
    """Train and measure the recipes in processes of one core each, side by side."""
    lanes, places = [], sorted(os.sched_getaffinity(0))
    for which, core in enumerate(places):
        mine = names[which :: len(places)]
        if mine:
            words = [sys.executable, *sys.argv, "--lane", "--recipes", ",".join(mine)]
            lanes.append(subprocess.Popen(words, env={**os.environ, "OMP_NUM_THREADS": "1"}))
            os.sched_setaffinity(lanes[-1].pid, {core})
    failed = [lane.wait() for lane in lanes]
    if any(failed):
        raise SystemExit("a recipe could not be measured; what it says stands above")


def main() -> None:
    """Train, measure, and write the result and the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a data set as augury run takes it; none: the embedded sample")
    parser.add_argument("--name", default="sample", help="what to call the data in the result")
    parser.add_argument("--budget", default="20m", help="training time of each recipe on one core")
    parser.add_argument("--recipes", default=",".join(RECIPES))
    parser.add_argument("--folder", type=Path, default=Path("runs/quality"))
    parser.add_argument("--lane", action="store_true", help="only train and measure, here; for the processes")
    options = parser.parse_args()
    settings = validated(RunSettings, {"train": {"budget": options.budget}, "score": {"limit": 300}})
    place, names = options.folder / options.name, tuple(options.recipes.split(","))
    if not options.lane:
        in_lanes(list(names))
    table = compare(options.data, place, names, settings=settings, watch=watcher(False))
    if options.lane:
        return
    rows: list[dict[str, Any]] = [
        row(f"{options.name}, {line['recipe']}: {title}", line[column], line[real], "real images", "", higher, digits=4)
        for line in table
        for column, (title, real, higher) in MEASURES.items()
    ]
    PICTURES.mkdir(exist_ok=True)
    (PICTURES / f"quality-{options.name}.png").write_bytes((place / "comparison.png").read_bytes())
    suffix = "" if options.name == "sample" else f"_{options.name}"
    write(f"quality{suffix}", rows, budget=options.budget, table=table)


if __name__ == "__main__":
    main()
