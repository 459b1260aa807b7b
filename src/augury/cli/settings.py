"""`augury settings`: every setting, its value and where the value comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from augury.cli.options import Json

if TYPE_CHECKING:
    from augury.pipeline.run_folder import Run


def settings(
    source: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="A run folder; none: the defaults.")] = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Only the settings that differ from their defaults.")
    ] = False,
    recipe: Annotated[
        str | None,
        typer.Option(help="Also the settings of this recipe (train.overrides); default: the recipe of the run."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show every setting with its value, where it comes from, and what it does."""
    from augury.pipeline.run_folder import Run
    from augury.settings import RunSettings
    from augury.validation import validated

    stored: dict[str, Any] = {}
    own = None
    if source is not None:
        stored = dict(Run(source).metadata["settings"])  # refuses what is no run folder
        own = _recipe(Run(source))
    values, recipe = validated(RunSettings, stored), recipe or own
    rows = setting_rows(values, RunSettings())
    if recipe is not None:
        rows += override_rows(recipe, values.train.overrides if recipe == own else {})
    rows = [row for row in rows if row["source"] == "run" or not changed]
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
    if recipe is None:
        typer.echo("\nThe settings of a recipe: augury settings --recipe rpgan")
    else:
        typer.echo(f"\nThe last ones are those of recipe {recipe}: --set 'train.overrides={{\"NAME\": VALUE}}'")


def _recipe(run: Run) -> str | None:
    """The recipe of a run; None while it is auto and the training has no plan."""
    name: str = run.settings["train"]["recipe"]
    if name != "auto":
        return name
    return run.read("train/plan")["plan"]["recipe"] if (run / "train" / "plan.json").exists() else None


def setting_rows(values: Any, defaults: Any, prefix: str = "") -> list[dict[str, Any]]:
    """Rows {name, value, default, source, help} of a settings model; `source` is "run" where the value is not the default."""
    from augury.settings_help import describe

    rows = []
    plain, usual = values.model_dump(mode="json"), defaults.model_dump(mode="json")
    for name, field in type(values).model_fields.items():
        value = getattr(values, name)
        if hasattr(value, "model_dump"):
            rows += setting_rows(value, getattr(defaults, name), f"{prefix}{name}.")
            continue
        source = "default" if plain[name] == usual[name] else "run"
        row = {"name": prefix + name, "value": plain[name], "default": usual[name], "source": source}
        rows.append(row | {"help": describe(field, default="")})
    return rows


def override_rows(recipe: str, overrides: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows as of `setting_rows`: the settings of a recipe, of its network and of its discriminator."""
    from augury.networks import NETWORKS, PIPELINES, DiscriminatorSettings, PipelineSettings
    from augury.training.pipelines import BY_THE_RUN
    from augury.training.recipes import recipe as named
    from augury.validation import changed

    usual, chosen = named(recipe), named(recipe, overrides)
    models: list[Any] = [PipelineSettings()]
    rows = []
    if usual.network not in PIPELINES:
        network = NETWORKS[usual.network]
        models = [network.settings] + ([DiscriminatorSettings()] if network.trunk is not None else [])
        rows = setting_rows(chosen, usual, "train.overrides.")
    for model in models:
        old, new = (
            changed(recipe, model, {k: v for k, v in rule.settings.items() if k in type(model).model_fields})
            for rule in (usual, chosen)
        )
        rows += setting_rows(new, old, "train.overrides.")
    hidden = {f"train.overrides.{name}" for name in ("settings", *BY_THE_RUN)}
    return [row for row in rows if row["name"] not in hidden]
