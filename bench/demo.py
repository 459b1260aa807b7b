"""`make demo` as it is, in a fresh run folder: wall time, peak memory, stages, and what the verdict was."""

from __future__ import annotations

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
    words = re.search(r"^demo:.*\n\t\$\(BIN\)/(augury run.*)$", (ROOT / "Makefile").read_text(), re.M)
    if words is None:
        raise SystemExit("no demo target in the Makefile")
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "demo"
        call = words[1].replace("runs/demo", str(run)).split()
        begun = time.perf_counter()
        subprocess.run([str(Path(sys.executable).parent / call[0]), *call[1:]], check=True)
        wall = time.perf_counter() - begun
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        verdict = json.loads((run / "verdict.json").read_text())
        state = json.loads((run / "state.json").read_text())
        scores = json.loads((run / "scores.json").read_text())["scores"]
    accuracy = {name: mean(arm["balanced_accuracy"]) for name, arm in verdict["arms"].items()}
    judged, best = verdict["arm"], verdict["comparator"]
    write(
        "demo",
        [
            row("demo, wall time", wall, 360, "limit", "s", False, digits=0),
            row("demo, the proof", state["prove"]["seconds"], 150, "limit", "s", False, digits=0),
            row("demo, peak memory", peak, 2, "limit", "GiB", False, digits=2),
            row(
                f"demo, test, arm '{judged}'",
                accuracy[judged],
                accuracy[best],
                f"arm '{best}'",
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
        words=words[1],
        verdict=verdict["word"],
        sentence=verdict["sentence"],
        arms={name: round(value, 4) for name, value in accuracy.items()},
        ratio_curve=verdict["ratio_curve"],
        seconds={stage: facts["seconds"] for stage, facts in state.items()},
    )


if __name__ == "__main__":
    main()
