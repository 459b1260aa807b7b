"""Terminal output during a run and at its end."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import typer

SKIPPED = {"skipped": "ignored", "empty_classes": "empty_classes"}
"""Names in the JSON of several commands -> notes about files that were not read."""
TABLES = 3
"""Most tables of cells that are shown by default."""
BY_CLASS = ("counts", "splits", "effective", "plan", "too_few")
"""Fields of a census that the table of its classes shows."""
MOST_CLASSES, SHORTEST_NAME = 40, 12
"""Most rows of that table; of more classes, the largest and the smallest are shown. Fewest characters for a name."""

if TYPE_CHECKING:
    from augury.data import Census
    from augury.data.cells import Cells
    from augury.pipeline.inputs import Callbacks
    from augury.pipeline.run_folder import Run
    from augury.verdict import Verdict


def callbacks(quiet: bool) -> Callbacks:
    """Progress on standard error; none if `quiet`."""
    from augury.pipeline.display import Display
    from augury.pipeline.inputs import Callbacks

    return Callbacks() if quiet else Display().callbacks()


def skipped(run: Run) -> dict[str, Any]:
    """What the JSON of a run says about files that were not read: their counts, and classes without images."""
    notes = run.metadata.get("data", {}).get("notes", {})
    return {name: notes.get(note, {}) for name, note in SKIPPED.items()}


def print_result(run: Run, as_json: bool) -> None:
    """Print a finished run: verdict, arms, and the paths of the data set and the report."""
    from augury import sentences
    from augury.exports import dataset_path

    path = dataset_path(run.path, run.settings.get("export", {}).get("format", "folder"))
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
                f"\nNOT TESTED. No target image has a label, so there is no verdict. {advice}\n\n  data set  {path}"
            )
        return
    result, stored = run.verdict, (run / "classifier" / "card.json").exists()
    card = run.read("classifier/card") if stored else {}
    if as_json:
        classifier = (
            {"arm": card["arm"]["name"], "test": card["test"], "path": str(run / "classifier")} if stored else None
        )
        facts = {"run": str(run.path), "verdict": result.as_dict(), "classifier": classifier, **skipped(run)}
        typer.echo(json.dumps(facts))
        return
    if stored:
        typer.echo(f"\n{sentences.gain(result, card['arm']['name'], card['arm']['by'])}")
    verdict(result)
    use = (
        f"\n  classifier  {run / 'classifier'}    use it: augury predict {run.path} NEW-IMAGES -o predictions.csv"
        if stored
        else ""
    )
    typer.echo(f"\n  data set    {path}{use}\n  report      {run / 'report.html'}")


def verdict(result: Verdict) -> None:
    """Print the answer, the outcome with its sentence, and one line per arm."""
    from augury import sentences

    typer.echo(f"\n{sentences.question(result)} {result.headline}\n\n{result.title.upper()}. {result.sentence}\n")
    width = max(map(len, result.arms))
    for name, values in result.arms.items():
        measured = {"balanced accuracy": "balanced_accuracy", "worst class": "worst_recall"}
        if result.operating_point is not None:
            measured = {"sensitivity": "primary", "specificity": "specificity"}
        means = (f"{words} {sum(values[key]) / len(values[key]):.3f}" for words, key in measured.items())
        typer.echo(f"  {name:<{width}}  {'  '.join(means)}")


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


def classes(census: Census) -> None:
    """Print a table with a row for each class, the largest first: images, plan, duplicates and skipped files."""
    counted = {name: list(split.values()) for name, split in census.splits.items()}
    counted = counted or {name: [count] for name, count in census.counts.items()}
    heads = list(next(iter(census.splits.values()))) if census.splits else ["images"]
    lost = [name for name in census.skipped_by_class if name not in counted]  # no image of the class is readable
    counted |= {name: [0] * len(heads) for name in lost}
    rows = {
        name: [
            *counts,
            census.effective.get(name, 0),
            *(by.get(name, 0) for by in (census.plan, census.duplicates_by_class, census.skipped_by_class)),
        ]
        for name, counts in sorted(counted.items(), key=lambda item: -item[1][0])
    }
    lines = [[name, *(f"{number:,}" for number in numbers)] for name, numbers in rows.items()]
    if len(lines) > MOST_CLASSES:
        hidden = f"… {len(lines) - MOST_CLASSES:,} more (--json)"
        half = MOST_CLASSES // 2
        lines = [*lines[:half], [hidden, *[""] * (len(lines[0]) - 1)], *lines[-half:]]
    total = [sum(column) for column in zip(*rows.values(), strict=True)]
    lines.append(["all", *(f"{round(number, 1):,}" for number in total)])
    lines.insert(0, ["class", *heads, "effective", "plan", "duplicates", "skipped"])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    available = shutil.get_terminal_size().columns - sum(widths[1:]) - 2 * len(widths[1:])
    widths[0] = min(widths[0], max(available, SHORTEST_NAME))
    learnt = "train images" if census.splits else "images"
    typer.echo(
        f"\neffective: non-redundant {learnt} (Cui et al. 2019); plan: synthetic images that a run draws by default;\n"
        "duplicates: images that are a near-duplicate of another; skipped: unreadable and other files\n"
    )
    for name, *numbers in lines:
        shown = name if len(name) <= widths[0] else f"{name[: widths[0] - 1]}…"
        cells = [number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True)]
        typer.echo("  ".join([shown.ljust(widths[0]), *cells]))


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
