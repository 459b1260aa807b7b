"""What every benchmark shares: interleaved timing and the result file."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from augury.machine import machine, versions

RESULTS = Path(__file__).parent / "results"


def row(
    case: str, ours: float, peer: float, peer_name: str, unit: str, higher_is_better: bool, digits: int = 3
) -> dict[str, Any]:
    """One line of a result file; `ratio` is ours / peer, None where the peer's is 0."""
    return {
        "case": case,
        "ours": round(ours, digits),
        "peer": round(peer, digits),
        "peer_name": peer_name,
        "ratio": round(ours / peer, 3) if peer else None,
        "unit": unit,
        "higher_is_better": higher_is_better,
    }


def interleaved(contestants: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Run every contestant once a round, in turn; name -> median of what it returned."""
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name, run in contestants.items():
            found[name].append(run())
            print(f"  round {number + 1}/{rounds}  {name}: {found[name][-1]:.4g}", flush=True)
    return {name: statistics.median(values) for name, values in found.items()}


def write(name: str, rows: list[dict[str, Any]], **more: Any) -> None:
    """bench/results/NAME.json with command, machine and date."""
    RESULTS.mkdir(exist_ok=True)
    facts = {
        "command": f"make bench-{name}",
        "machine": machine(),
        "versions": versions(),
        "date": time.strftime("%Y-%m-%d"),
        **more,
        "rows": rows,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    for line in rows:
        print(f"{line['case']}: {line['ours']} against {line['peer']} {line['unit']} ({line['peer_name']})", flush=True)
