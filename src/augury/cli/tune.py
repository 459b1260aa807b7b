"""The command `augury tune`: search for settings that give a better generator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from augury.cli import console
from augury.cli.options import (
    Config,
    Device,
    Json,
    Quiet,
    Seed,
    Set,
    read_config,
    setting,
    settled,
    with_set,
    without_none,
)
from augury.cli.reading import DataOptions, reads

if TYPE_CHECKING:
    from augury.tuning import Tuned

EXAMPLES = (
    "Example: augury tune photos/ --time 2h -o runs/tune    then: augury run photos/ -o runs/tuned --config runs/tune/winner.yaml    "
    "several processes or machines on one study: augury tune photos/ --time 2h -o runs/tune-2 --study postgresql://host/database    "
    "a few settings only: augury tune photos/ --recipe rpgan --search generator_lr,discriminator_lr,r1"
)
"""End of the help."""


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


@reads
def tune(
    path: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of class folders, .npz, .csv, .parquet, .tar, idx, …; default: the data of the folder, or the embedded sample."
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder of the search; created, or continued if it exists.")
    ] = Path("runs/tune"),
    time: Annotated[
        str,
        typer.Option(
            help="Time of this call with the final training, such as 30m or 2h. About twenty trainings share it, unless --set train.steps or "
            "train.budget gives their length. Repeat the command to search on for that time again."
        ),
    ] = "1h",
    objective: Annotated[
        str | None,
        typer.Option(
            help="gan_train: accuracy on validation of a classifier trained on generated images alone; kid: kernel distance to validation "
            "images; uplift: gain of accuracy on validation through the images. Default: gan_train."
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            help="Where the trials are stored, for several processes or machines: FILE.journal, sqlite:///FILE.db or "
            "postgresql://USER@HOST/NAME, with #NAME for one of several studies. Default: study.journal in the folder."
        ),
    ] = None,
    recipes: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated recipes to choose from; default: the one of auto, r3gan, stylegan, projected, flow and vae."
        ),
    ] = None,
    search: Annotated[
        str | None,
        typer.Option(help="Comma-separated settings to search, as the report names them; default: all of the recipe."),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="Most trials of this call; default: as many as fit.", min=1)
    ] = None,
    recipe: Annotated[str | None, setting("train.recipe")] = None,
    condition: Annotated[str | None, setting("train.condition")] = None,
    seed: Seed = None,
    device: Device = None,
    data: DataOptions = None,
    track: Annotated[str | None, setting("train.track")] = None,
    config: Config = None,
    extra: Set = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Search for settings of the generator that are better on validation images, and train the best ones. The default
    configuration comes first, and the test split is never read. Settings that you give are not searched.
    """
    from augury.pipeline.run_folder import Run
    from augury.tuning import tune as tuned
    from augury.tuning.space import dimensions_of

    train = without_none(recipe=recipe, track=track)
    if condition is not None:
        train["condition"] = _names(condition)
    sections = {"data": data or {}, "train": train}
    top = without_none(seed=seed, device=device)
    settings = settled(Run(output / "base").settings, extra, sections, top, config)
    fixed = dimensions_of(read_config(config)) | dimensions_of(
        with_set(sections, extra)
    )  # without those stored in the folder
    result = tuned(
        path,
        output,
        time=time,
        objective=objective,
        study=study,
        recipes=_names(recipes),
        search=_names(search),
        fixed=tuple(fixed),
        trials=trials,
        settings=settings,
        callbacks=console.callbacks(quiet),
    )
    _print_result(result, as_json)


def _print_result(result: Tuned, as_json: bool) -> None:
    """Print the result of a search."""
    facts = {
        "folder": str(result.folder),
        "objective": result.objective,
        "winner": result.number,
        "search": result.search,
        "fresh": result.fresh,
        "default_search": result.default_search,
        "default_fresh": result.default_fresh,
        "trials": len(result.trials),
        "config": str(result.config),
        "report": str(result.report),
        "run": None if result.run is None else str(result.run.path),
    }
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for title, best, default in (
        ("in the search", result.search, result.default_search),
        ("from a fresh seed", result.fresh, result.default_fresh),
    ):
        if best is not None:
            against = "" if default is None else f", default {default:.4f}"
            typer.echo(f"{result.objective} {title}: best {best:.4f} (trial {result.number}){against}")
    generator = (
        "" if result.run is None else f"\n  generator {result.run.path}    continue: augury run -o {result.run.path}"
    )
    typer.echo(
        f"\n  settings  {result.config}    judge them on the test split: augury run PATH -o NEW --config {result.config}{generator}"
        f"\n  report    {result.report}"
    )
