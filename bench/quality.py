"""Every recipe on the same data for the same time: quality, variety, usefulness, speed and a sheet of pictures.

Each recipe trains in a run folder of its own under --folder, so that a killed benchmark goes on where it stopped, and
one more recipe costs no more than itself. Every recipe has one core to itself for the time of its set, as many at once as
there are cores: twenty minutes of one core are as much work as ten minutes of two. Measures are those of `augury compare`;
"real images" are measured the same way where that means something. Beside `projected` all are measured with the features of
the run's classifier. The machine should have nothing else to do: the time
is what is held equal. `--sets sample,tiles,flowers` asks for more than the embedded sample, with the files of BENCH_DATA;
the result keeps the sets that it had.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from augury.cli.console import callbacks
from augury.files import read_json
from augury.pipeline.comparison import compare
from augury.settings import RunSettings
from augury.validation import validated
from cases import DATA
from common import FROM_NOISE, row, stored, write

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
MEASURES = {
    "kid": ("KID", "kid_real", False),
    "fd": ("FD", "fd_real", False),
    "precision": ("precision", "precision_real", True),
    "recall": ("recall", "recall_real", True),
    "gan_train": ("GAN-train", "gan_train_real", True),
}
"""Column of the comparison -> its name, the column of real images, and whether more is better."""
SETS: dict[str, tuple[str, int | None, str, str]] = {
    "sample": ("", None, "20m", "sample, 28 px, 20 min"),
    "tiles": ("magnetic_tile_64.npz", 32, "10m", "magnetic tiles, 32 px, 10 min"),
    "flowers": ("flowers5.tar", 32, "10m", "flowers, 32 px colour, 10 min"),
    "tiles64": ("magnetic_tile_64.npz", 64, "2m", "magnetic tiles, 64 px, 2 min"),
    "flowers64": ("flowers5.tar", 64, "2m", "flowers, 64 px colour, 2 min"),
    "flowers128": ("flowers5.tar", 128, "2m", "flowers, 128 px colour, 2 min"),
}
"""Name -> (file, px, training time of each recipe on one core, what it is called)."""


def in_lanes(names: list[str], data: str) -> None:
    """Train and measure the recipes on a set in processes of one core each, side by side."""
    lanes, places = [], sorted(os.sched_getaffinity(0))
    for which, core in enumerate(places):
        mine = names[which :: len(places)]
        if mine:
            words = [sys.executable, *sys.argv, "--lane", "--sets", data, "--recipes", ",".join(mine)]
            lanes.append(subprocess.Popen(words, env={**os.environ, "OMP_NUM_THREADS": "1"}))
            os.sched_setaffinity(lanes[-1].pid, {core})
    failed = [lane.wait() for lane in lanes]
    if any(failed):
        raise SystemExit("a recipe could not be measured; what it says stands above")


def sheet(set_folder: Path, name: str) -> None:
    """Keep the pictures of the embedded sample; those of other data are not ours to give away."""
    if name == "sample":
        PICTURES.mkdir(exist_ok=True)
        (PICTURES / "quality-sample.png").write_bytes((set_folder / "comparison.png").read_bytes())


def main() -> None:
    """Train, measure, and write the result and the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default="sample", help=f"with commas between: {', '.join(SETS)}")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the files of the other sets")
    parser.add_argument("--recipes", default=",".join(FROM_NOISE))
    parser.add_argument("--folder", type=Path, default=Path("runs/quality"))
    parser.add_argument("--lane", action="store_true", help="only train and measure, here; for the processes")
    options = parser.parse_args()
    names = tuple(options.recipes.split(","))
    for name in options.sets.split(","):
        file, size, budget, _ = SETS[name]
        sections = {"data": {"size": size, "near_duplicates": "drop"}} if file else {}
        score = {"limit": 300, "features": "classifier,auto,lite0"}  # the same in every process
        settings = validated(RunSettings, {**sections, "train": {"budget": budget}, "score": score})
        set_folder = options.folder / name
        if not options.lane:
            in_lanes(list(names), name)
        compare(options.data / file if file else None, set_folder, names, settings=settings, callbacks=callbacks(False))
        if not options.lane:
            sheet(set_folder, name)
    if not options.lane:
        sets = options.sets.split(",")
        rows_by_set = {}
        for name in sets:
            rows = read_json(options.folder / name / "comparison.json")["rows"]
            features = "" if rows[0]["features"].startswith("lite0") else ", features of the classifier"
            rows_by_set[SETS[name][3] + features] = rows
        titles = {title for *_, title in SETS.values()}
        earlier_rows = [
            row
            for row in stored("quality").get("table", [])
            if row["data"] not in rows_by_set and row["data"].split(", features")[0] in titles
        ]
        table = earlier_rows + [{"data": data, **row} for data, rows in rows_by_set.items() for row in rows]
        write("quality", [line for row in table for line in lines(row)], table=table)


def lines(rows_by_set: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of one recipe on one set."""
    return [
        row(
            f"{rows_by_set['data']}, {rows_by_set['recipe']}: {title}",
            rows_by_set[column],
            rows_by_set[real],
            "real images",
            "",
            higher,
            digits=4,
        )
        for column, (title, real, higher) in MEASURES.items()
    ]


if __name__ == "__main__":
    main()
