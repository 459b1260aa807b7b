"""The verb `augury augment`: augmented copies of a data set, or a sheet of what could be done to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from augury.cli_options import Data, Fit, Json, OnBad, Seed, Size, sides
from augury.errors import SettingsError


def augment(
    path: Data = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where to write the augmented data set.")
    ] = None,
    preview: Annotated[
        Path | None, typer.Option(help="Write a sheet of every operator and policy on your images here (PNG).")
    ] = None,
    how: Annotated[
        str, typer.Option("--policy", help="classical, natural, medical, faces, astronomy, text, randaugment, ….")
    ] = "classical",
    per_image: Annotated[int, typer.Option(help="Copies of each image.", min=1)] = 1,
    originals: Annotated[bool, typer.Option(help="Write the images themselves too.")] = True,
    flips: Annotated[
        bool | None, typer.Option(help="Mirror left and right; unless given, where the data allow it.")
    ] = None,
    written: Annotated[str, typer.Option("--format", help="folder, imagefolder, csv, npz, tar or parquet.")] = "folder",
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    seed: Seed = 0,
    size: Size = None,
    fit: Fit = None,
    on_bad: OnBad = None,
    as_json: Json = False,
) -> None:
    """Write augmented copies of a data set with their provenance, or show on a sheet what each operator does to it."""
    from augury import data
    from augury.copies import copies
    from augury.copies import preview as shown
    from augury.exports import EXPORTS
    from augury.files import atomic_path

    if (output is None) == (preview is None):
        raise SettingsError("give either -o FOLDER for an augmented data set, or --preview SHEET.png to look first")
    if written not in EXPORTS:
        raise SettingsError(f"there is no format '{written}'; choose one of: {', '.join(EXPORTS)}")
    images = data.load(path, size=sides(size), fit=fit or "crop", on_bad=on_bad or "error")  # type: ignore[arg-type]  # checked there
    told: dict[str, Any]
    if preview is not None:
        with atomic_path(preview) as temporary:
            shown(images, seed=seed or 0).save(temporary, format="PNG")
        told = {"sheet": str(preview)}
    else:
        assert output is not None
        made = copies(images, how, per_image=per_image, seed=seed or 0, flips=flips, originals=originals)
        EXPORTS[written](output, made, force=force)
        told = {"data_set": str(output), "images": len(made), "policy": how, "seed": seed or 0}
    typer.echo(json.dumps(told) if as_json else "  ".join(f"{k} {v}" for k, v in told.items()))
