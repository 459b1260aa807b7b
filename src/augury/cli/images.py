"""The commands that generate images with a trained run: `generate` from noise, `translate` from images, `merge` of shards."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from augury.cli import console
from augury.cli.options import (
    Attributes,
    Drawing,
    Json,
    Licence,
    Quiet,
    Seed,
    Sidecar,
    Trained,
    opened,
    pair,
    setting,
)
from augury.cli.reading import DataOptions, reading, reads_images
from augury.errors import SettingsError

if TYPE_CHECKING:
    from augury.shards import ShardOptions, ShardWork
    from augury.training import Synthesizer

MANY = (
    "Options for many images: They are written as shards, tar or parquet files whose bytes do not depend on the number of workers. "
    "Finished shards are skipped. Afterwards: augury merge OUT."
)
"""Section of the help."""
ADDED = "Options for moments: They are computed from the images of the shards, as augury generate computes them with the same option."
"""Section of the help of `merge`."""
Shard = Annotated[
    str | None,
    typer.Option(
        "--shard", help="Make every n-th shard only, beginning with shard i: 3/8; for job arrays.", rich_help_panel=MANY
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(
        help="local (default: processes of this machine) or ray (the cluster of RAY_ADDRESS).", rich_help_panel=MANY
    ),
]
Workers = Annotated[
    int | None, typer.Option(help="Number of workers; default: one for each core.", min=1, rich_help_panel=MANY)
]
Written = Annotated[
    str | None, typer.Option("--format", help="tar (default: WebDataset) or parquet.", rich_help_panel=MANY)
]
OfFeatures = Annotated[
    str | None,
    typer.Option(
        "--moments",
        help="Also store the mean and covariance of these features, such as lite0, for augury evaluate OUT --reference REAL.",
        rich_help_panel=MANY,
    ),
]


def generate(
    source: Trained,
    output: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            help="Folder for the class folders; new, or of earlier calls, which it keeps. With --count: folder or fsspec address of the "
            "shards.",
        ),
    ],
    label: Annotated[list[str] | None, typer.Option(help="The class to generate; repeatable; default: all.")] = None,
    attribute: Attributes = None,
    number: Annotated[int | None, typer.Option(help="Number of images of each class; default: 16.", min=1)] = None,
    start: Annotated[int, typer.Option(help="Index of the first image.", min=0)] = 0,
    seed: Seed = 0,
    truncation: Annotated[float, setting("generate.truncation")] = 1.0,
    sidecar: Sidecar = False,
    licence: Licence = None,
    count: Annotated[
        int | None,
        typer.Option(help="Number of images of all classes together, written as shards.", min=1, rich_help_panel=MANY),
    ] = None,
    shard: Shard = None,
    engine: Engine = None,
    workers: Workers = None,
    form: Written = None,
    passing: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            help="Keep the images that pass this filter of the run, such as agreement; repeatable.",
            rich_help_panel=MANY,
        ),
    ] = None,
    of_features: OfFeatures = None,
    device: Drawing = "cpu",
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Generate images with a trained run, in one folder per class; (seed, index) always gives the same image.

    manifest.jsonl and the metadata of each file name its class, seed and index. README.md is the card of the folder. To test
    the images: augury prove DATA --with FOLDER. Millions of images: --count N.
    """
    attributes = dict(pair("--attribute", text) for text in attribute or [])
    of_many = {
        "--shard": shard, "--engine": engine, "--workers": workers, "--format": form, "--filter": passing, "--moments": of_features,
    }  # fmt: skip
    if count is None:
        _refuse_given(of_many, "is for many images; give --count too, or leave it out")
        _generate_files(
            source,
            Path(output),
            label or [],
            attributes,
            number,
            start,
            seed or 0,
            truncation,
            sidecar,
            licence,
            device,
            as_json,
        )
        return
    _refuse_given({"--number": number, "--sidecar": sidecar or None}, "has no effect with --count; leave it out")
    from augury.shards import generate_shards

    work = generate_shards(
        source,
        output,
        count,
        _shard_options(form or "tar", shard, engine, workers, of_features, seed, licence, device),
        labels=label or (),
        attributes=attributes,
        start=start,
        truncation=truncation,
        filters=passing or (),
        on_progress=_progress(quiet),
    )
    _print_shards(work, output, as_json)


def _generate_files(
    source: Path,
    output: Path,
    labels: list[str],
    attributes: dict[str, str],
    number: int | None,
    start: int,
    seed: int,
    truncation: float,
    sidecar: bool,
    licence: str | None,
    device: str,
    as_json: bool,
) -> None:
    from augury.files import check_folder_name
    from augury.pipeline.file_generation import MANIFEST, generate_files
    from augury.pipeline.tagged_files import licence_of

    check_folder_name(output)
    synthesizer = opened(source, device)
    if synthesizer.translates:
        raise SettingsError(
            f"{source}: this run has a translator, which does not generate from noise; give it images with: augury translate {source} "
            f"images/ --change {_example(synthesizer)} -o {output}"
        )
    number = number or 16
    rows = generate_files(
        synthesizer,
        output,
        labels=labels,
        attributes=attributes,
        number=number,
        start=start,
        seed=seed,
        truncation=truncation,
        sidecar=sidecar,
        licence=licence or licence_of(source, synthesizer),
    )
    files, classes = [str(output / row["file"]) for row in rows], list(dict.fromkeys(row["class"] for row in rows))
    if as_json:
        facts = {"files": files, "manifest": str(output / MANIFEST), "synthesizer": synthesizer.fingerprint}
        typer.echo(json.dumps(facts))
        return
    listed = ", ".join(classes[:8]) + (", …" if len(classes) > 8 else "")
    each = f"{number:,} each of {len(classes):,} classes: {listed}" if len(classes) > 1 else f"all of class {listed}"
    typer.echo(f"{len(files):,} images in {output} ({each})")


def _refuse_given(options: dict[str, Any], reason: str) -> None:
    """Raises SettingsError for the first option that was given; `reason` completes the message."""
    for name, value in options.items():
        if value is not None:
            raise SettingsError(f"{name} {reason}")


def _shard_options(
    form: str,
    shard: str | None,
    engine: str | None,
    workers: int | None,
    of_features: str | None,
    seed: int | None,
    licence: str | None,
    device: str,
) -> ShardOptions:
    """The options that `generate` and `translate` share; one that was not given has its default."""
    from augury.shards import ShardOptions
    from augury.training import choose_device

    return ShardOptions(
        seed=seed or 0,
        features=of_features or "",
        licence=licence,
        written=form,  # type: ignore[arg-type]  # the functions refuse other formats
        share=shard,
        engine=engine or "local",
        workers=workers,
        device=choose_device(device),
    )


def _progress(quiet: bool) -> Callable[[int, int], None]:
    """Shows (shards done, shards in all) on standard error."""
    display = console.callbacks(quiet)
    display.begin("shards", False)
    return lambda done, total: display.amount("shards", done, total)


def _print_shards(work: ShardWork, output: str, as_json: bool) -> None:
    """Print what a call has done, and what comes next."""
    images, plan = sum(manifest["images"] for manifest in work.manifests), work.plan
    if as_json:
        names = [name for manifest in work.manifests for name in manifest["files"]]
        facts = {"folder": output, "shards": plan.shards, "done": len(work.manifests), "images": images, "files": names}
        typer.echo(json.dumps(facts))
        return
    typer.echo(
        f"{len(work.manifests):,} of {plan.shards:,} shards of {plan.size:,} images in {output}: {images:,} images"
    )
    typer.echo(f"when all shards are there: augury merge {output}")


@reads_images("native size")
def translate(
    source: Trained,
    images: Annotated[
        Path,
        typer.Argument(help="Images in any supported format: a folder of files, .npz, .csv, …; labels are not needed."),
    ],
    output: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            help="New folder for the PNG files and manifest.jsonl. With --format: folder or fsspec address of the shards.",
        ),
    ],
    change: Annotated[
        list[str],
        typer.Option(
            "--change",
            help="Target value: young=no, or label=woman for the class; repeatable. All other values stay.",
        ),
    ],
    data: DataOptions = None,
    seed: Seed = 0,
    sidecar: Sidecar = False,
    licence: Licence = None,
    form: Written = None,
    shard: Shard = None,
    engine: Engine = None,
    workers: Workers = None,
    of_features: OfFeatures = None,
    device: Drawing = "cpu",
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Translate your own images with a trained translator; the same command gives the same images.

    Without --size the images must have the size that the translator was trained on. manifest.jsonl names the source of each
    image, with its SHA-256, and the translator. Each file says in its metadata that it is synthetic.
    Millions of images: --format tar.
    """
    changes: dict[str, str] = {}
    for name, reached in (pair("--change", text) for text in change):
        if changes.setdefault(name, reached) != reached:
            raise SettingsError(
                f"--change {name}={changes[name]} and {name}={reached} contradict each other; give one of them"
            )
    if form is not None:
        _refuse_given({"--sidecar": sidecar or None}, "has no effect with --format; leave it out")
        from augury.shards import translate_shards

        options = _shard_options(form, shard, engine, workers, of_features, seed, licence, device)
        work = translate_shards(
            source, images, changes, output, options, on_progress=_progress(quiet), **reading(data or {})
        )
        _print_shards(work, output, as_json)
        return
    of_many = {"--shard": shard, "--engine": engine, "--workers": workers, "--moments": of_features}
    _refuse_given(of_many, "is for many images; give --format tar too, or leave it out")
    from augury.pipeline.file_translation import translate_files
    from augury.pipeline.tagged_files import licence_of

    translator, folder = opened(source, device), Path(output)
    rows = translate_files(
        translator,
        images,
        changes,
        folder,
        seed=seed or 0,
        sidecar=sidecar,
        licence=licence or licence_of(source, translator),
        **reading(data or {}),
    )
    files = [str(folder / row["file"]) for row in rows]
    summary = {"files": files, "manifest": str(folder / "manifest.jsonl"), "translator": translator.fingerprint}
    typer.echo(json.dumps(summary) if as_json else f"{len(files):,} images in {folder}")


def merge(
    output: Annotated[
        str,
        typer.Argument(help="Folder or fsspec address of the shards of augury generate or translate.", metavar="OUT"),
    ],
    of_features: Annotated[
        str | None,
        typer.Option(
            "--moments",
            help="First add the mean and covariance of these features, such as lite0, to shards that were made without.",
            rich_help_panel=ADDED,
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(help="local (default: processes of this machine) or ray.", rich_help_panel=ADDED),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Number of workers; default: one for each core.", min=1, rich_help_panel=ADDED)
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu (default), auto, cuda or mps.", rich_help_panel=ADDED)] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Check the shards of generated images by their counts and SHA-256, and write one manifest, the card and the moments.

    Missing and damaged shards are named, with the command that makes them again.
    """
    from augury.shards import MANIFEST, add_moments, merge

    if of_features is None:
        _refuse_given({"--engine": engine, "--workers": workers, "--device": device}, "has no effect without --moments")
    else:
        from augury.training import choose_device

        add_moments(
            output,
            of_features,
            engine=engine or "local",
            workers=workers,
            device=choose_device(device or "cpu"),
            on_progress=_progress(quiet),
        )
    merged = merge(output, on_progress=_progress(quiet))
    facts = {"folder": output, "manifest": MANIFEST, **{k: v for k, v in merged.manifest.items() if k != "files"}}
    if as_json:
        typer.echo(json.dumps(facts))
        return
    typer.echo(f"{merged.manifest['images']:,} images in {merged.plan.shards:,} complete shards in {output}")
    for name, number in merged.manifest["rejected"].items():
        typer.echo(f"  {number:,} rejected by {name}")
    if merged.plan.features:
        typer.echo(f"score them against real images: augury evaluate {output} --reference REAL")


def _example(translator: Synthesizer) -> str:
    """A change that this translator supports."""
    card = translator.card
    return (
        f"{card.condition_names[0]}={card.condition_values[0][0]}"
        if card.condition_names
        else f"label={card.classes[0]}"
    )
