"""Terminal output during a run and at its end."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import typer

SKIPPED = {"skipped": "ignored", "empty_classes": "empty_classes"}
"""Names in the JSON of several commands -> notes about files that were not read."""
TABLES = 3
"""Most tables of cells that are shown by default."""

if TYPE_CHECKING:
    from augury.data.cells import Cells
    from augury.pipeline.inputs import Callbacks
    from augury.pipeline.run_folder import Run
    from augury.training import Progress
    from augury.verdict import Verdict


def callbacks(quiet: bool) -> Callbacks:
    """Progress on standard error: a line per stage, and within a stage one line that updates in place on a terminal."""
    from augury.pipeline.inputs import Callbacks

    if quiet:
        return Callbacks()
    live, started, last_shown = sys.stderr.isatty(), [0.0], [0.0]

    def say(text: str, force: bool = False) -> None:
        now = time.monotonic()
        if force or now - last_shown[0] > (0.2 if live else 15):
            last_shown[0] = now
            sys.stderr.write(f"\r\033[K  {text}" if live else f"  {text}\n")
            sys.stderr.flush()

    def begin(stage: str, cached: bool) -> None:
        started[0] = last_shown[0] = time.monotonic()
        sys.stderr.write(f"{stage}{' (done before)' if cached else ''}\n")

    def training(p: Progress) -> None:
        losses = "  ".join(f"{k} {v:+.3f}" for k, v in p.losses.items())
        say(f"step {p.step}/{p.steps}  {losses}  {p.images_per_second:.0f} img/s  {_clock(p.seconds_left)} left")

    def amount(unit: str, done: int, total: int) -> None:
        left = (time.monotonic() - started[0]) / max(done, 1) * (total - done)
        say(f"{done}/{total} {unit}  {_clock(left)} left", force=done == total)

    def end(stage: str) -> None:
        sys.stderr.write("\r\033[K" if live else "")

    return Callbacks(begin, training, amount, end, lambda text: print(text, file=sys.stderr))


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def skipped(run: Run) -> dict[str, Any]:
    """What the JSON of a run says about files that were not read: their counts, and classes without images."""
    notes = run.metadata.get("data", {}).get("notes", {})
    return {name: notes.get(note, {}) for name, note in SKIPPED.items()}


def tell(run: Run, as_json: bool) -> None:
    """Print a finished run: verdict, arms, and the paths of the data set and the report."""
    from augury.exports import place

    dataset_path = place(run.path, run.settings.get("export", {}).get("format", "folder"))
    into = run.settings.get("data", {}).get("target") and (run / "target.json").exists()
    if into and not run.read("target")["test"]:  # no target image has a label; any verdict is of an earlier target
        kept_classes = run.read("generation").get("kept_classes")
        if as_json:
            typer.echo(
                json.dumps({"run": str(run.path), "verdict": None, "kept_classes": kept_classes, **skipped(run)})
            )
        else:
            advice = kept_classes["sentence"] if kept_classes else "No image was translated."
            typer.echo(
                f"\nNOT TESTED. No target image has a label, so there is no verdict. {advice}\n\n  data set  {dataset_path}"
            )
        return
    result = run.verdict
    if as_json:
        typer.echo(json.dumps({"run": str(run.path), "verdict": result.as_dict(), **skipped(run)}))
        return
    verdict(result)
    typer.echo(f"\n  data set  {dataset_path}\n  report    {run / 'report.html'}")


def verdict(result: Verdict) -> None:
    """Print the answer, the outcome with its sentence, and one line per arm."""
    from augury import sentences

    typer.echo(f"\n{sentences.question(result)} {result.headline}\n\n{result.title.upper()}. {result.sentence}\n")
    width = max(map(len, result.arms))
    for name, values in result.arms.items():
        mean, worst = (sum(values[k]) / len(values[k]) for k in ("balanced_accuracy", "worst_recall"))
        typer.echo(f"  {name:<{width}}  balanced accuracy {mean:.3f}  worst class {worst:.3f}")


def facts(values: dict[str, Any]) -> None:
    """Print names and values, one per line."""
    for name, value in values.items():
        typer.echo(f"{name:<12} {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")


def cells(tables: dict[str, Cells], *, every: bool, splits: bool) -> None:
    """Print tables of class × attributes.

    Without `every`, only the first TABLES tables with empty or rare cells are shown. `splits`: only train images are counted.
    """
    from augury.errors import DataError

    shown = {name: table for name, table in tables.items() if every or table.holes}
    for name, table in list(shown.items())[:TABLES]:
        counted = "train images" if splits else "images"
        typer.echo(f"\n{counted} by class and {name} (* empty or rare: fewer than {table.least})")
        for line in table.lines():
            typer.echo(f"  {line}")
        try:
            table.check()
            advice = f"augury run DATA --recipe translator --condition {name}" if table.holes else ""
            typer.echo(
                f"  a translator can fill the cells marked *: {advice}" if advice else "  no cell is empty or rare"
            )
        except DataError as error:
            typer.echo(f"  no translator can fill these cells: {error}")
    if len(shown) > TABLES:
        more = ", ".join(list(shown)[TABLES:])
        typer.echo(
            f"\n{len(shown) - TABLES} more attributes have empty or rare cells (show one with --condition): {more}"
        )
    if shown:
        typer.echo()


def comparison(rows: list[dict[str, Any]]) -> None:
    """Print a line per measure, a column per recipe, and a column of real images where they were measured too."""
    measures = [name for name in rows[0] if not name.endswith("_real") and name != "features"]
    cells = [[name.replace("_", " "), *(_short(row.get(name, "")) for row in rows)] for name in measures]
    for line, name in zip(cells, measures, strict=True):
        line.append("real" if name == "recipe" else _short(rows[0].get(f"{name}_real", "")))
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    for line in cells:
        rest = (text.rjust(width) for text, width in zip(line[1:], widths[1:], strict=True))
        typer.echo("  ".join([line[0].ljust(widths[0]), *rest]).rstrip())


def _short(value: Any) -> str:
    return f"{value:,.3g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
