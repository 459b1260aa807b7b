"""`augury settings`: every setting, its value and where the value comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from augury.cli.options import Json


def settings(
    source: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="A run folder; none: the defaults.")] = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Only the settings that differ from their defaults.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show every setting with its value, where it comes from, and what it does."""
    from augury.pipeline.run_folder import Run
    from augury.settings import RunSettings, validated

    stored: dict[str, Any] = {}
    if source is not None:
        run = Run(source)
        stored = dict(run.metadata["settings"])  # refuses what is no run folder
    values = validated(RunSettings, stored)
    rows = [row for row in setting_rows(values, RunSettings()) if row["source"] == "run" or not changed]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        mark = "*" if row["source"] == "run" else " "
        typer.echo(f"{mark} {row['name']:<{width}}  {json.dumps(row['value'], ensure_ascii=False)}")
        typer.echo(f"  {'':<{width}}  {row['help']}")
    if source is not None:
        typer.echo("\n* differs from the default. Change a setting with: augury run -o RUN --set SECTION.NAME=VALUE")


def setting_rows(values: Any, defaults: Any, prefix: str = "") -> list[dict[str, Any]]:
    """Rows {name, value, default, source, help} of a settings model; `source` is "run" where the value is not the default."""
    from augury.settings import describe

    rows = []
    plain, usual = values.model_dump(mode="json"), defaults.model_dump(mode="json")
    for name in type(values).model_fields:
        value = getattr(values, name)
        if hasattr(value, "model_dump"):
            rows += setting_rows(value, getattr(defaults, name), f"{prefix}{name}.")
            continue
        source = "default" if plain[name] == usual[name] else "run"
        row = {"name": prefix + name, "value": plain[name], "default": usual[name], "source": source}
        rows.append(row | {"help": describe(prefix + name, default="")})
    return rows
