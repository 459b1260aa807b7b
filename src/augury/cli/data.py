"""The commands about data sets: `inspect`, `split` or `augment` one, `export` that of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from augury.cli import console
from augury.cli.options import (
    Data,
    Device,
    Json,
    Quiet,
    RunFolder,
    Seed,
    Set,
    again,
    refuse_unread,
    setting,
    settled,
    sides,
    without_none,
)
from augury.cli.reading import DataOptions, reading, reads
from augury.errors import SettingsError
from augury.images import SPLITS

MOST_SHOWN = 12
"""Most values of an attribute that the text of `inspect` counts separately; the JSON has all."""
Format = Annotated[str | None, setting("export.format", "--format", default="by the ending of -o, else imagefolder")]
Force = Annotated[
    bool, typer.Option("--force", help="Replace an existing file, or an export that has additional files.")
]


@reads
def inspect(
    path: Data = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write a contact sheet here (PNG).")] = None,
    data: DataOptions = None,
    flips: Annotated[
        bool | None, typer.Option(help="Also search for mirrored copies; default: no (yes for the embedded sample).")
    ] = None,
    condition: Annotated[
        str | None,
        typer.Option(
            help="Show the table of class × these attributes: age,pose; default: each attribute with empty cells."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Count classes, sizes, modes, unreadable files, duplicates and cells; draw a contact sheet."""
    from augury import data as data_package
    from augury.data.cells import tables
    from augury.files import atomic_path

    attributes = tuple(name.strip() for name in (condition or "").split(",") if name.strip() not in ("", "label"))
    images, census = data_package.inspect(path, flips=flips, condition=attributes, **reading(data or {}))
    if output is not None:
        with atomic_path(output) as temporary:
            data_package.picture_sheet(images, clusters=census.clusters).save(temporary, format="PNG")
    if as_json:
        typer.echo(json.dumps(census.as_dict()))
        return
    for line in census.advice:
        typer.echo(f"- {line}")
    plain = census.as_dict()
    summary = {k: v for k, v in plain.items() if k not in ("advice", "cells", *console.BY_CLASS) and v not in ([], {})}
    summary["imbalance"] = round(census.imbalance, 2)
    if "attributes" in summary:
        summary["attributes"] = {
            k: v if len(v) <= MOST_SHOWN else f"{len(v)} values" for k, v in summary["attributes"].items()
        }
    typer.echo()
    console.facts(
        {
            k: _shortened([_shortened(item) if isinstance(item, list) else item for item in v])
            if isinstance(v, list)
            else v
            for k, v in summary.items()
        }
    )
    console.cells(tables(images, attributes), every=bool(attributes), splits=images.split is not None)
    console.classes(census)


def _shortened(items: list[Any]) -> list[Any]:
    return [*items[:5], f"and {len(items) - 5:,} more"] if len(items) > 6 else items


@reads
def split(
    path: Data = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Where to write the splits.")] = Path("splits"),
    written: Format = None,
    force: Force = False,
    seed: Seed = None,
    data: DataOptions = None,
    extra: Set = None,
    as_json: Json = False,
) -> None:
    """Split a data set into train, validation and test, as a run does. Groups and near-duplicates stay in one split.

    To judge images of another generator (augury prove --with), train that generator on the train split alone. Image files
    are copied as they are. An .npz needs images of one size, their own or that of --size. Images from other formats are
    written in the size in which they are read.
    """
    import numpy as np

    from augury.cards import Background, is_medical
    from augury.data import cautions, skipped_lines
    from augury.exports import ARRAYS, ExportOptions, format_of, writer
    from augury.files import refuse_within
    from augury.pipeline.inputs import load_splits

    if path is not None:
        refuse_within(output, path)
    kind = format_of(output, written, "imagefolder")
    write = writer(kind)
    settings = settled({}, extra, {"data": data or {}}, without_none(seed=seed))
    refuse_unread(extra, ("data", "prove"), "when images are split")
    splits, originals = load_splits(path, settings, arrays=kind in ARRAYS)
    for caution in cautions(splits):
        typer.echo(f"Caution: {caution}", err=True)
    known = Background(
        settings.data.licence or str(splits.notes.get("licence", "")),
        "" if path is None else path.name,
        medical=is_medical(splits.notes, splits.attributes),
    )
    options = ExportOptions(originals=originals, link=False, force=force, background=known)
    done = write(output, splits, options=options)
    assert splits.split is not None
    count = np.bincount(splits.split, minlength=len(SPLITS)).tolist()
    for line in skipped_lines(splits):
        typer.echo(line, err=True)
    summary = {"data_set": str(output), **dict(zip(SPLITS, count, strict=True))}
    if as_json:
        summary |= {name: splits.notes.get(note, {}) for name, note in console.SKIPPED.items()}
    _print_summary(summary, done, as_json)


@reads
def augment(
    path: Data = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where to write the augmented data set.")
    ] = None,
    preview: Annotated[
        Path | None, typer.Option(help="Write a contact sheet of every operator and policy on your images here (PNG).")
    ] = None,
    how: Annotated[
        str | None,
        typer.Option("--policy", help="classical (default), natural, medical, faces, astronomy, text, randaugment, …."),
    ] = None,
    per_image: Annotated[int | None, typer.Option(help="Copies of each image; default: 1.", min=1)] = None,
    originals: Annotated[bool, typer.Option(help="Also write the original images.")] = True,
    flips: Annotated[
        bool | None,
        typer.Option(help="Mirror left and right; default: as the policy does, and never where the data forbid it."),
    ] = None,
    written: Format = None,
    force: Force = False,
    seed: Seed = 0,
    data: DataOptions = None,
    as_json: Json = False,
) -> None:
    """Write augmented copies of a data set with their provenance, or preview every operator on a contact sheet.

    If the data have splits, only the train split is copied. An image and its copies form one group. --preview shows every
    operator and policy, or with --policy or --per-image the copies that would be written.
    """
    from augury.cards import Background, is_medical
    from augury.data import load
    from augury.exports import ExportOptions, format_of, writer
    from augury.files import atomic_path, refuse_within
    from augury.pipeline import augmented_copies

    if (output is None) == (preview is None):
        raise SettingsError(
            "give either -o FOLDER for an augmented data set, or --preview SHEET.png for a contact sheet"
        )
    if preview is not None and (written is not None or not originals):
        raise SettingsError(
            "--preview writes a picture: leave --format and --no-originals out, or give -o for a data set"
        )
    if output is not None and path is not None:
        refuse_within(output, path)
    write = writer(format_of(output or Path(), written, "imagefolder"))
    policy, times = how or "classical", per_image or 1
    images = load(path, **reading(data or {}))
    summary: dict[str, Any]
    done: dict[str, Any] = {}
    if preview is not None:
        if how is None and per_image is None:
            sheet = augmented_copies.preview(images, seed=seed or 0, flips=flips)
        else:
            sheet = augmented_copies.shown(images, policy, per_image=times, seed=seed or 0, flips=flips)
        with atomic_path(preview) as temporary:
            sheet.save(temporary, format="PNG")
        summary = {"sheet": str(preview)}
    else:
        assert output is not None
        copies = augmented_copies.copies(
            images, policy, per_image=times, seed=seed or 0, flips=flips, originals=originals
        )
        if written == "folder":
            augmented_copies.check_folders(copies)
        known = Background(
            str(images.notes.get("licence", "")),
            "" if path is None else path.name,
            medical=is_medical(images.notes, images.attributes),
        )
        done = write(output, copies, options=ExportOptions(force=force, background=known))
        summary = {"data_set": str(output), "images": len(copies), "policy": policy, "seed": seed or 0}
    _print_summary(summary, done, as_json)


def _print_summary(summary: dict[str, Any], done: dict[str, Any], as_json: bool) -> None:
    """Print what was written, and the writer's note if any."""
    summary = summary | ({"note": done["note"]} if "note" in done else {})
    typer.echo(json.dumps(summary) if as_json else "  ".join(f"{k} {v}" for k, v in summary.items()))


def export(
    source: RunFolder,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="File or folder to write; default: the data set in the run folder, where a new format replaces the old one.",
        ),
    ] = None,
    written: Annotated[
        str | None, setting("export.format", "--format", default="by the ending of -o, else folder")
    ] = None,
    originals: Annotated[str | None, setting("export.originals")] = None,
    size: Annotated[str | None, setting("export.size")] = None,
    sidecar: Annotated[bool | None, setting("export.sidecar", "--sidecar")] = None,
    force: Force = False,
    device: Device = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write the augmented data set of a run: its real train images and the kept synthetic ones, with their provenance."""
    from augury.exports import dataset_path, format_of, writer
    from augury.pipeline.run_folder import Run
    from augury.pipeline.stages import advance, opened, write_data_set

    if written is not None:
        writer(written)
    chosen: dict[str, Any] = {"size": None} if originals == "none" else {}  # a stored size goes with the original files
    chosen |= without_none(originals=originals, size=sides(size), sidecar=sidecar)
    if output is None:
        run = again(source, "export", quiet, None, device, {"export": without_none(format=written) | chosen})
        destination = dataset_path(run.path, run.settings["export"]["format"])
    else:
        stored = dict(Run(source).metadata["settings"])
        chosen |= {"format": format_of(output, written, stored["export"]["format"])}
        settings = settled(stored, None, {}, without_none(device=device))
        own = settled(stored, None, {"export": chosen}, {}).export
        with opened(None, source, settings=settings, callbacks=console.callbacks(quiet)) as session:
            session.originals(session.data, own)
            advance(session, "generate")
            write_data_set(session, output, own, force=force)
        destination = output
    typer.echo(json.dumps({"data_set": str(destination)}) if as_json else str(destination))
