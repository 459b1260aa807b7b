"""How many images a shard should hold, and how often a training should write a checkpoint, by simulation and closed form.

The generation: a billion images on 64 workers, which take shards from one queue (Ray, or the processes of one machine) or each
make every 64th shard (a job array); a shard that fails is drawn again. The times of an image, of a shard, of a start and of a
checkpoint are those that bench-cost measured. Failures are exponential, at three rates; the time of a shard and that of a worker
are lognormal. The training: 64 GPUs in step, so that a failure of one returns all to the last checkpoint.

Writes bench/results/failures.json and docs/pictures/failures.svg, in about a minute on one core. The same seed gives the same
numbers: nothing is timed here.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from augury.files import write_text
from augury.report.charts import Chart, Scale
from augury.settings import TrainSettings
from common import row, stored, write
from failure_model import (
    Fleet,
    best_interval,
    daly,
    expected_seconds,
    expected_shard,
    expected_training,
    simulate,
    simulate_training,
    slowest,
    young,
)

HOUR = 3600.0
WORKERS, IMAGES = 64, 1_000_000_000
RATES = {
    "a failure every 50,000 h of a worker": 50_000 * HOUR,
    "every 1,000 h": 1_000 * HOUR,
    "every 24 h": 24 * HOUR,
}
"""Mean time between failures of one worker. The first is that of a GPU in Llama 3's training: 419 interruptions of 16,384 GPUs
in 54 days (Dubey et al. 2024, section 3.3.4). The last stands for machines that are taken away at any time."""
SPREAD, SLOW = 0.2, 0.1
"""Standard deviations of the logarithms of a shard's time and of a worker's: one shard in 40 takes 1.5 times as long as usual,
and one worker in 40 is slower by a fifth. Assumed."""
RESTART = 120.0
"""Seconds from a failure until the process starts again. Assumed."""
SIZES = tuple(2**power for power in (11, 13, 15, 17, 19, 21))
CHOSEN = 8192
"""What `augury generate --count` chooses for images of 64 px (docs/sharding.md)."""
REPEATS = 4
"""Simulations of one kind; each has the same workers in every kind."""
EQUAL = "every 24 h, job array"
PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "failures.svg"
LEAST = 1e-4
"""Least overhead in the picture."""
STYLE = (
    "text{font:12px sans-serif;fill:#666}.grid{stroke:#ccc}.middle{text-anchor:middle}.end{text-anchor:end}"
    ".line{fill:none;stroke-width:1.5}.a{stroke:#1b6ca8;fill:#1b6ca8}.b{stroke:#2a9d3f;fill:#2a9d3f}.c{stroke:#c1121f;fill:#c1121f}.d{fill:#888}"
    "path.line{fill:none}circle{stroke:none}"
)


def constants() -> dict[str, float]:
    """What bench-cost measured."""
    facts = stored("cost").get("constants")
    if facts is None:
        raise SystemExit("bench/results/cost.json has no constants; run: make bench-cost")
    return dict(facts)


def fleet_of(mtbf: float, facts: dict[str, float], slow: float = SLOW) -> Fleet:
    restart = RESTART + facts["start_seconds"]
    return Fleet(WORKERS, mtbf=mtbf, restart=restart, fixed=facts["shard_seconds"], spread=SPREAD, slow=slow)


def over_sizes(facts: dict[str, float], repeats: int) -> list[dict[str, Any]]:
    """One entry for each size of a shard and rate of failures: overhead over the time of nothing but drawing, simulated (mean
    of the repeats) and by the closed form, which knows no last shard and no slow worker.
    """
    entries = []
    for size in SIZES:
        shards, work = math.ceil(IMAGES / size), size * facts["image_seconds"]
        for name, mtbf in (*RATES.items(), (EQUAL, list(RATES.values())[-1])):
            fleet = fleet_of(mtbf, facts)
            outcomes = [
                simulate(fleet, shards, work, np.random.default_rng(number), queue=name != EQUAL)
                for number in range(repeats)
            ]
            seconds = float(np.mean([each.seconds for each in outcomes]))
            total = WORKERS * seconds
            entries.append(
                {
                    "size": size,
                    "shards": shards,
                    "work": work,
                    "rate": name,
                    "hours": seconds / HOUR,
                    "overhead": float(np.mean([each.seconds * each.capacity for each in outcomes])) / (shards * work)
                    - 1,
                    "lost": float(np.mean([each.lost + each.restarting for each in outcomes])) / total,
                    "fixed": float(np.mean([each.fixed for each in outcomes])) / total,
                    "idle": float(np.mean([each.idle for each in outcomes])) / total,
                    "closed": expected_shard(fleet, work) / work - 1,
                }
            )
        print(f"  {size:,} images a shard: " + ", ".join(f"{e['overhead']:.2%}" for e in entries[-len(RATES) - 1 :]))
    return entries


def shard_table(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Overhead by size, the least of each column marked."""
    names = list(dict.fromkeys(e["rate"] for e in entries))
    least = {name: min(e["overhead"] for e in entries if e["rate"] == name) for name in names}
    rows = []
    for size in SIZES:
        those = [e for e in entries if e["size"] == size]
        line = {"images in a shard": f"{size:,}", "shards": those[0]["shards"], "a shard": spoken(those[0]["work"])}
        for e in those:
            marked = "**" if e["overhead"] == least[e["rate"]] else ""
            closed = "" if e["rate"] == EQUAL else f" ({e['closed']:.2%})"
            line[e["rate"]] = f"{marked}{e['overhead']:.2%}{marked}{closed}"
        rows.append(line)
    return rows


def parts_table(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Where the workers' time goes at the highest rate of failures, with a queue and without one."""
    names = {"files of shards": "fixed", "failed attempts, restarts": "lost", "idle at the end": "idle"}
    return [
        {
            "images in a shard": f"{e['size']:,}",
            "workers": "job array" if e["rate"] == EQUAL else "queue",
            "hours": f"{e['hours']:.2f}",
            **{k: f"{e[v]:.2%}" for k, v in names.items()},
        }
        for e in entries
        if e["rate"] in (list(RATES)[-1], EQUAL) and e["size"] in (SIZES[0], CHOSEN, SIZES[-1])
    ]


def checkpoint_table(cost: float, default: float, restart: float) -> list[dict[str, Any]]:
    """The interval between checkpoints of a training on all workers in step, at each rate of failures."""
    rows, segments, generator = [], round(8 * HOUR / default), np.random.default_rng(1)
    work = segments * default
    for name, alone in RATES.items():
        mtbf = alone / WORKERS
        least = best_interval(cost, mtbf)
        draws = [simulate_training(segments, default, cost, mtbf, restart, generator) for _ in range(2000)]
        rows.append(
            {
                "failures": name,
                "of the training, every": spoken(mtbf),
                "Young": spoken(young(cost, mtbf)),
                "Daly": spoken(daly(cost, mtbf)),
                "exact": spoken(least),
                "overhead there": f"{expected_seconds(least + cost, mtbf, restart) / least - 1:.2%}",
                f"at {default:g} s": f"{expected_training(work, default, cost, mtbf, restart) / work - 1:.2%}",
                f"at {default:g} s, simulated": f"{float(np.mean(draws)) / work - 1:.2%}",
                "at 600 s": f"{expected_seconds(600 + cost, mtbf, restart) / 600 - 1:.2%}",
            }
        )
    return rows


def step_table() -> list[dict[str, Any]]:
    """How much longer a step takes that waits for the slowest of several workers."""
    random = np.random.default_rng(0)
    rows = []
    for spread in (0.02, 0.05, 0.1, 0.3):
        line: dict[str, Any] = {"spread of a step's time": f"{spread:.0%}"}
        for workers in (4, 16, WORKERS):
            draws = np.exp(spread * random.standard_normal((20_000, workers)) - spread**2 / 2)
            line[f"{workers} workers"] = f"{slowest(workers, spread):.3f} ({draws.max(axis=1).mean():.3f})"
        rows.append(line)
    return rows


def spoken(seconds: float) -> str:
    """Seconds in a suitable unit."""
    for unit, length in (("h", HOUR), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.3g} {unit}"
    return f"{seconds:,.3g} s"


def height(overhead: float) -> float:
    """The logarithm of an overhead, within the picture."""
    return min(0.5, math.log10(max(overhead, LEAST)))


def picture(entries: list[dict[str, Any]]) -> str:
    """SVG of overhead against the size of a shard, both logarithmic: dots are simulated, lines the closed form."""
    chart = Chart(375, "Overhead of generating a billion images against the number of images in a shard", width=580)
    x = Scale(math.log10(SIZES[0]), math.log10(SIZES[-1]), 60, 540)
    y = Scale(-4.0, 0.5, 250, 20)
    for share in (0.0001, 0.001, 0.01, 0.1, 1.0):
        chart.add("line", "grid", x1=60, x2=540, y1=y(math.log10(share)), y2=y(math.log10(share)))
        chart.add("text", "tick end", f"{100 * share:g}%", x=54, y=y(math.log10(share)) + 4)
    for size in SIZES:
        chart.add("text", "tick middle", f"{size:,}", x=x(math.log10(size)), y=270)
    chart.add("text", "label middle", "images in a shard", x=300, y=290)
    for kind, (number, name) in zip("abcd", enumerate((*RATES, EQUAL)), strict=True):
        those = [e for e in entries if e["rate"] == name]
        where = [(x(math.log10(e["size"])), y(height(e["closed"]))) for e in those if e["closed"] > LEAST]
        if name != EQUAL:
            chart.add("path", f"line {kind}", d="M" + " L".join(f"{a:.1f},{b:.1f}" for a, b in where))
        for e in those:
            chart.add("circle", kind, cx=x(math.log10(e["size"])), cy=y(height(e["overhead"])), r=3.5)
        chart.add("circle", kind, cx=70.0, cy=316.0 + 17 * number, r=3.5)
        chart.add("text", "label", f"{name}, simulated", x=80, y=320 + 17 * number)
    marks = [
        f"<{m.tag} {' '.join(f'{k}={quoteattr(str(v))}' for k, v in m.attributes.items())}>{escape(m.text)}</{m.tag}>"
        for m in chart.marks
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {chart.width} {chart.height}" role="img" aria-label={quoteattr(chart.alt)}>'
    return "\n".join([head, f"<style>{STYLE}</style>", *marks, "</svg>", ""])


def main() -> None:
    """All tables and the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=REPEATS, help="simulations for each size and rate")
    parser.add_argument("--dry-run", action="store_true", help="print the tables, and write nothing")
    options = parser.parse_args()
    facts = constants()
    default = TrainSettings().checkpoint_every
    entries = over_sizes(facts, options.repeats)
    tables = {
        "shards": shard_table(entries),
        "parts": parts_table(entries),
        "checkpoints": checkpoint_table(facts["checkpoint_seconds"], default, RESTART + facts["start_seconds"]),
        "steps": step_table(),
    }
    if options.dry_run:
        print(json.dumps(tables, indent=1, ensure_ascii=False))
        return
    rows = [
        row(
            f"{e['size']:,} images a shard, {e['rate']}",
            100 * e["overhead"],
            100 * e["closed"],
            "closed form",
            "%",
            False,
        )
        for e in entries
    ]
    used = {name: facts[name] for name in ("image_seconds", "shard_seconds", "start_seconds", "checkpoint_seconds")}
    assumed = {"workers": WORKERS, "images": IMAGES, "spread": SPREAD, "slow": SLOW, "restart": RESTART, "mtbf": RATES}
    write("failures", rows, table=tables["shards"], tables=tables, entries=entries, constants=used, assumed=assumed)
    write_text(PICTURE, picture(entries))


if __name__ == "__main__":
    main()
