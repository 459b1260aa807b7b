"""`make demo` as it is, in fresh run folders: wall time, peak memory, stages, and what the two verdicts were."""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean

from common import row, write

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Run the Makefile's own words, with the run folder exchanged."""
    target = re.search(r"^demo:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.M)
    words = re.findall(r"^\t\$\(BIN\)/(augury run.*)$", target[1], re.M) if target else []
    if len(words) != 2:
        raise SystemExit("the Makefile's demo target does not have two runs")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--folder", type=Path, help="a new folder that keeps the two runs; a temporary one unless given"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        run, started = (options.folder or Path(temporary)) / "demo", time.perf_counter()
        for each in words:
            call = each.replace("runs/demo", str(run)).split()
            subprocess.run([str(Path(sys.executable).parent / call[0]), *call[1:]], check=True)
        wall = time.perf_counter() - started
        hole = json.loads((run.with_name("demo-hole") / "verdict.json").read_text())
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        verdict = json.loads((run / "verdict.json").read_text())
        state = json.loads((run / "state.json").read_text())
        scores = json.loads((run / "scores.json").read_text())["scores"]
    accuracy = {name: mean(arm["balanced_accuracy"]) for name, arm in verdict["arms"].items()}
    questions = (("images", verdict), ("discriminator's layers", verdict["initialisation"]))
    filled = {name: mean(arm["balanced_accuracy"]) for name, arm in hole["arms"].items()}
    write(
        "demo",
        [
            row("demo, wall time", wall, 360, "limit", "s", False, digits=0),
            row("demo, the proof", state["prove"]["seconds"], 150, "limit", "s", False, digits=0),
            row("demo, peak memory", peak, 2, "limit", "GiB", False, digits=2),
            *(
                row(
                    f"demo, {what}, arm '{answer['arm']}': {answer['outcome']}",
                    accuracy[answer["arm"]],
                    accuracy[answer.get("comparator") or answer["against"]],
                    f"arm '{answer.get('comparator') or answer['against']}'",
                    "balanced accuracy",
                    True,
                )
                for what, answer in questions
            ),
            row(
                f"demo, empty cell, arm '{hole['arm']}': {hole['outcome']}",
                filled[hole["arm"]],
                filled[hole["comparator"]],
                f"arm '{hole['comparator']}'",
                "balanced accuracy",
                True,
            ),
            *(
                row(
                    f"demo, {s['name']} ({s['features']}, N {s['n']})",
                    s["value"],
                    s["baseline"],
                    "real images",
                    "",
                    s["better"] == "higher",
                )
                for s in scores
                if s["baseline"] and not s["group"] and s["name"].split("-")[0] in ("FD", "KID", "precision", "recall")
            ),
        ],
        words=words,
        hole={"outcome": hole["outcome"], "sentence": hole["sentence"]},
        verdict=verdict["outcome"],
        sentence=verdict["sentence"],
        arms={name: round(value, 4) for name, value in accuracy.items()},
        ratio_curve=verdict["ratio_curve"],
        seconds={stage: facts["seconds"] for stage, facts in state.items()},
    )


if __name__ == "__main__":
    main()
