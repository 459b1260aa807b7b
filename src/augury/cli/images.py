"""The commands that generate images with a trained run: `generate` from noise, `translate` from images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from augury.cli.options import Attributes, Drawing, Json, Licence, Seed, Sidecar, Trained, opened, pair, setting
from augury.cli.reading import DataOptions, reading, reads_images
from augury.errors import SettingsError

if TYPE_CHECKING:
    from augury.training import Synthesizer


def generate(
    source: Trained,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="Folder for the class folders; new, or of earlier calls, which it keeps."),
    ],
    label: Annotated[list[str] | None, typer.Option(help="The class to generate; repeatable; default: all.")] = None,
    attribute: Attributes = None,
    number: Annotated[int, typer.Option(help="Number of images of each class.", min=1)] = 16,
    start: Annotated[int, typer.Option(help="Index of the first image.", min=0)] = 0,
    seed: Seed = 0,
    truncation: Annotated[float, setting("generate.truncation")] = 1.0,
    sidecar: Sidecar = False,
    licence: Licence = None,
    device: Drawing = "cpu",
    as_json: Json = False,
) -> None:
    """Generate images with a trained run, in one folder per class; (seed, index) always gives the same image.

    manifest.jsonl and the metadata of each file name its class, seed and index. README.md is the card of the folder. To test
    the images: augury prove DATA --with FOLDER.
    """
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
    rows = generate_files(
        synthesizer,
        output,
        labels=label or (),
        attributes=dict(pair("--attribute", text) for text in attribute or []),
        number=number,
        start=start,
        seed=seed or 0,
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


@reads_images("native size")
def translate(
    source: Trained,
    images: Annotated[
        Path,
        typer.Argument(help="Images in any supported format: a folder of files, .npz, .csv, …; labels are not needed."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="New folder for the PNG files and manifest.jsonl.")],
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
    device: Drawing = "cpu",
    as_json: Json = False,
) -> None:
    """Translate your own images with a trained translator; the same command gives the same images.

    Without --size the images must have the size that the translator was trained on. manifest.jsonl names the source of each
    image, with its SHA-256, and the translator. Each file says in its metadata that it is synthetic.
    """
    from augury.pipeline.file_translation import translate_files
    from augury.pipeline.tagged_files import licence_of

    changes: dict[str, str] = {}
    for name, reached in (pair("--change", text) for text in change):
        if changes.setdefault(name, reached) != reached:
            raise SettingsError(
                f"--change {name}={changes[name]} and {name}={reached} contradict each other; give one of them"
            )
    translator = opened(source, device)
    rows = translate_files(
        translator,
        images,
        changes,
        output,
        seed=seed or 0,
        sidecar=sidecar,
        licence=licence or licence_of(source, translator),
        **reading(data or {}),
    )
    files = [str(output / row["file"]) for row in rows]
    summary = {"files": files, "manifest": str(output / "manifest.jsonl"), "translator": translator.fingerprint}
    typer.echo(json.dumps(summary) if as_json else f"{len(files):,} images in {output}")


def _example(translator: Synthesizer) -> str:
    """A change that this translator supports."""
    card = translator.card
    return (
        f"{card.condition_names[0]}={card.condition_values[0][0]}"
        if card.condition_names
        else f"label={card.classes[0]}"
    )
