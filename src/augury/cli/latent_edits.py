"""The commands of `augury latent` that find directions, edit images along them, invert photos and measure smoothness."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from augury.cli import console
from augury.cli.options import Attributes, Drawing, Json, Quiet, Seed, Trained, opened, pair, setting
from augury.errors import SettingsError

if TYPE_CHECKING:
    from augury.generation import Directions
    from augury.images import Images
    from augury.training import Synthesizer

Output = Annotated[
    Path, typer.Option("-o", "--output", help="Path of the picture (.png), or of a walk (.gif or .mp4).")
]
Picture = Annotated[Path, typer.Option("-o", "--output", help="Path of the picture (.png).")]
Rows = Annotated[int, typer.Option(help="Number of rows.", min=1, max=64)]
Start = Annotated[int, typer.Option(help="Index of the first image.", min=0)]
Condition = Annotated[
    list[str] | None,
    typer.Option(
        "--attribute",
        help="pose=left: for a generator conditioned on attributes; default: the first value of each; repeatable.",
    ),
]
Edits = Annotated[
    list[str] | None,
    typer.Option(
        "--edit",
        help="Direction and steps: pose=+2, from the image itself; or pca0=-2:2, from one end to the other; a step is one standard "
        "deviation; repeatable.",
    ),
]
WALK = 24
"""Frames of an animation where --frames is not given."""
EXAMPLES = {
    "directions": "Example: augury latent directions runs/faces --method pca --method labels -o directions.png",
    "edit": "Example: augury latent edit runs/faces --label face --edit pose=+2 --edit pca0=-1.5 -o edits.png",
    "invert": "Example: augury latent invert runs/faces photo.png --edit smile=+2 -o photo-edited.png",
    "smoothness": "Example: augury latent smoothness runs/faces --features classifier",
}


def directions(
    source: Trained,
    method: Annotated[
        list[str] | None,
        typer.Option(help="sefa, pca or labels; repeatable; default: all that apply to the recipe."),
    ] = None,
    number: Annotated[
        int | None,
        typer.Option(help="Directions of sefa and of pca, each; default: 8, or all where there are fewer.", min=1),
    ] = None,
    layers: Annotated[
        str, typer.Option(help="Layers that sefa factorises and moves: coarse, middle or fine (stylegan).")
    ] = "coarse",
    images: Annotated[
        Path | None,
        typer.Option(
            help="Labelled images, which are inverted: for attributes that the generator was not conditioned on, and for vae."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(help="Most labelled images.", min=8)] = 256,
    steps: Annotated[int, typer.Option(help="Updates of each inversion; 0: the encoder alone (vae, ae).", min=0)] = 100,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Also draw a row for each direction, from -3 to 3 steps (PNG)."),
    ] = None,
    label: Annotated[str | None, typer.Option(help="Class of the image in that picture; default: the first.")] = None,
    attribute: Condition = None,
    seed: Seed = 0,
    device: Drawing = "cpu",
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Find directions of the latent space, list them, and store them in the run folder (directions/).

    sefa: factorisation of the first layers. pca: principal components of w. labels: effects of classes and attributes, each
    orthogonal to the others. Other recipes than stylegan, vae and ae have sefa alone.
    """
    from augury.pipeline.latent_runs import FOLDER, run_of, store_directions

    if output is not None:
        is_walk(output, walks=False)
    callbacks = console.callbacks(quiet)
    callbacks.begin("directions", False)
    stored = store_directions(
        source, methods=method, number=number, layers=layers, images=images, limit=limit, steps=steps, seed=seed or 0,
        device=device, on_progress=lambda done, total: callbacks.amount("images inverted", done, total),
    )  # fmt: skip
    callbacks.end("directions")
    folder = run_of(source) / FOLDER
    if output is not None:
        synthesizer = opened(source, device)
        (cell,) = conditions_of(synthesizer, [label], attribute)
        _draw_directions(output, stored, synthesizer, cell, seed or 0)
    if as_json:
        facts = {"folder": str(folder), "space": stored.space, "directions": stored.rows(), "skipped": stored.skipped}
        typer.echo(json.dumps(facts | ({"file": str(output)} if output else {}), ensure_ascii=False))
        return
    print_directions(stored)
    typer.echo(f"\nstored in {folder}" + (f", drawn in {output}" if output else ""))


def edit(
    source: Trained,
    output: Output,
    edits: Edits = None,
    label: Annotated[str | None, typer.Option(help="The class to generate; default: the first.")] = None,
    attribute: Condition = None,
    frames: Annotated[
        int | None,
        typer.Option(help="Images in a row, including both ends; default: 5, and 24 for a walk.", min=2, max=128),
    ] = None,
    rows: Rows = 4,
    start: Start = 0,
    seed: Seed = 0,
    truncation: Annotated[float, setting("generate.truncation")] = 1.0,
    device: Drawing = "cpu",
    as_json: Json = False,
) -> None:
    """Move generated images along directions of the latent space, all edits together.

    Uses the directions that `augury latent directions` stored; without them, those that it finds by default. The first image
    of a row is the one of augury generate, unless the edit has two ends.
    """
    from augury import generation
    from augury.pipeline.latent_runs import directions_of

    walk = is_walk(output)
    synthesizer = opened(source, device)
    moves, known = _moves(edits), directions_of(source, synthesizer)
    conditions = conditions_of(synthesizer, [label], attribute) * rows
    count = frames or (WALK if walk else 5)
    drawn = generation.edit(
        synthesizer, known, moves, conditions, frames=count, seed=seed or 0, start=start, truncation=truncation
    )
    strips = {f"{label or ''} {start + i}".strip(): images for i, images in enumerate(drawn)}
    write_strips(
        output, strips, _columns(moves, count), synthesizer, as_json, {"edits": _plain(moves), "truncation": truncation}
    )


def invert(
    source: Trained,
    photos: Annotated[
        list[Path], typer.Argument(help="Photos: image files, folders or any format that augury run reads.")
    ],
    output: Output,
    edits: Edits = None,
    label: Annotated[str | None, typer.Option(help="Class of the photos; not needed with recipe stylegan.")] = None,
    attribute: Attributes = None,
    space: Annotated[
        str | None, typer.Option(help="w (default of stylegan), or w+: closer to the photo, less reliable to edit.")
    ] = None,
    features: Annotated[
        str, typer.Option(help="Features to match besides the pixels: auto, lite0, classifier, or pixels for none.")
    ] = "auto",
    fit: Annotated[str, typer.Option(help="How photos of another shape are resized: crop or pad.")] = "crop",
    steps: Annotated[int, typer.Option(help="Updates of the search.", min=0)] = 300,
    frames: Annotated[
        int | None,
        typer.Option(help="Images of an edit, including both ends; default: 5, and 24 for a walk.", min=2, max=128),
    ] = None,
    seed: Seed = 0,
    device: Drawing = "cpu",
    as_json: Json = False,
) -> None:
    """Find the points of the latent space that draw your photos, say how close they are, and edit them.

    Photos are resized to the size of the generator and converted to its mode, and each such change is printed. A row of the
    picture: the photo, what the generator draws of it, and the edits.
    """
    import numpy as np

    from augury import generation
    from augury.pipeline.latent_runs import directions_of, invert_photos, read_photos

    if fit not in ("crop", "pad"):
        raise SettingsError(f"--fit {fit}: choose crop or pad")
    walk, moves = is_walk(output), _moves(edits) if edits else {}
    if walk and not moves:
        raise SettingsError(f"{output}: a walk needs an edit; give --edit, or a .png for photos and their inversions")
    synthesizer = opened(source, device)
    read = read_photos(photos, synthesizer.card, fit)  # type: ignore[arg-type]
    known = directions_of(source, synthesizer) if moves else None
    if known is not None:
        for name in moves:  # an unknown one is refused before the search
            known.resolve(name)
    projection = invert_photos(
        source, synthesizer, read, label=label, attributes=dict(pair("--attribute", text) for text in attribute or []),
        space=space, features=features, steps=steps, seed=seed or 0,
    )  # fmt: skip
    count = frames or (WALK if walk else 5)
    strips: dict[str, Images] = {}
    columns = ["photo", "inverted"]
    edited = None if known is None else generation.edit(synthesizer, known, moves, projection.points, frames=count)
    for i, name in enumerate(read.names):
        shown = [] if walk else [read.images[[i]], projection.images[[i]]]
        shown += [] if edited is None else [edited[i]]
        strips[_unused(Path(name).name, strips)] = np.concatenate(shown)
    columns = ([] if walk else columns) + ([] if edited is None else _columns(moves, count))
    facts = {
        "photos": [
            {"name": name, "psnr": round(psnr, 2), "distance": round(distance, 3), "failed": bool(failed)}
            for name, psnr, distance, failed in zip(
                read.names, projection.psnr.tolist(), projection.distance.tolist(), projection.failed, strict=True
            )
        ],
        "measured": projection.measured,
        "notes": list(read.notes),
    }
    if not as_json:
        for note in read.notes:
            typer.echo(f"! {note}")
        for name, sentence in zip(read.names, projection.sentences(), strict=True):
            typer.echo(f"{name}: {sentence}")
    write_strips(output, strips, columns, synthesizer, as_json, facts, composite=not walk)


def smoothness(
    source: Trained,
    features: Annotated[
        str, typer.Option(help="lite0, classifier (of the run) or pixels; auto: lite0 where it is installed.")
    ] = "auto",
    number: Annotated[int, typer.Option(help="Number of paths.", min=20)] = 500,
    epsilon: Annotated[float, typer.Option(help="Length of a step, as a share of the path.")] = 1e-4,
    sampling: Annotated[str, typer.Option(help="full: steps anywhere on the paths; end: at their start.")] = "full",
    space: Annotated[str | None, typer.Option(help="w (default of stylegan) or z.")] = None,
    seed: Seed = 0,
    device: Drawing = "cpu",
    as_json: Json = False,
) -> None:
    """Measure the perceptual path length: how much the image changes with a small step in latent space; lower is smoother.

    Compare generators with the same features, sampling, space and epsilon only.
    """
    from dataclasses import asdict

    from augury.pipeline import latent_runs

    score = latent_runs.smoothness(
        source, features=features, number=number, epsilon=epsilon, sampling=sampling, space=space, seed=seed or 0,
        device=device,
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(asdict(score)))
        return
    typer.echo(f"{score.name} {score.value:.4g} (95 % interval {score.low:.4g} to {score.high:.4g}); lower is smoother")
    typer.echo(f"{score.n:,} paths, {score.settings}; features {score.features}")


def print_directions(stored: Directions) -> None:
    """Print a table of directions, and why others could not be stored."""
    spaces = {"w": "w", "code": "the code of the autoencoder", "z": "the noise z"}
    typer.echo(f"{len(stored)} directions of {spaces[stored.space]}; a step is one standard deviation\n")
    width = max([len(d.name) for d in stored.entries] + [len("name")])
    typer.echo(f"  {'name':<{width}}  {'source':<10}  {'share':>6}  {'layers':<8}  leads")
    for d in stored.entries:
        layers = f"{d.layers[0]} to {d.layers[-1]}" if d.layers else "all" if stored.space == "w" else "–"
        leads = f"from {d.values[0]} to {d.values[1]}" if d.values else ""
        leads = leads or (f"to {d.name.partition('.')[2]}" if d.gap is not None else "")
        leads += f", {d.gap:.1f} steps apart" if d.gap is not None else ""
        typer.echo(f"  {d.name:<{width}}  {d.source:<10}  {100 * d.share:>4.1f} %  {layers:<8}  {leads}".rstrip())
    for name, reason in stored.skipped.items():
        typer.echo(f"! {name}: {reason}")


def write_strips(
    output: Path,
    strips: Mapping[str, Images],
    columns: Sequence[str],
    synthesizer: Synthesizer,
    as_json: bool,
    facts: dict[str, Any] | None = None,
    composite: bool = False,
) -> None:
    """Write rows of images as a picture, or as a walk through their columns, atomically; and print its path.

    The file says that it is synthetic; `composite`: beside real images.
    """
    import numpy as np

    from augury.data import draw_contact_sheet, write_animation
    from augury.provenance import comment

    tag = _tag(synthesizer) | {name: value for name, value in (facts or {}).items() if name in ("edits", "truncation")}
    if is_walk(output):
        frames = np.stack(list(strips.values()), axis=1)
        sheets = [draw_contact_sheet({" ": images}, least=128, most=256) for images in frames]
        write_animation(output, sheets, comment=comment(tag))
    else:
        _write_sheet(output, strips, columns, tag, composite)
    result = {"file": str(output), "synthesizer": synthesizer.fingerprint} | (facts or {})
    typer.echo(json.dumps(result, ensure_ascii=False) if as_json else str(output))


def conditions_of(
    synthesizer: Synthesizer, labels: Sequence[str | None], attribute: list[str] | None
) -> list[list[int]]:
    """The condition of each class, all with the same attribute values; None is the first class.

    An attribute that is not given takes its first value; a line on standard error says so.
    """
    card, chosen = synthesizer.card, dict(pair("--attribute", text) for text in attribute or [])
    attributes = dict(zip(card.condition_names, card.condition_values, strict=True))
    filled = {name: values[0] for name, values in attributes.items() if name not in chosen}
    conditions = [synthesizer.cell(card.classes[0] if label is None else label, filled | chosen) for label in labels]
    if filled:
        typer.echo(
            "! an attribute that is not given takes its first value: "
            + ", ".join(f"{name}={value}" for name, value in filled.items()),
            err=True,
        )
    return conditions


def _draw_directions(output: Path, stored: Directions, synthesizer: Synthesizer, cell: list[int], seed: int) -> None:
    from augury import generation

    strips = {
        d.name: generation.edit(synthesizer, stored, {d.name: (-3.0, 3.0)}, [cell], frames=7, seed=seed)[0]
        for d in stored.entries
    }
    _write_sheet(output, strips, [f"{step:+d}" for step in range(-3, 4)], _tag(synthesizer), False)


def _write_sheet(
    output: Path, strips: Mapping[str, Images], columns: Sequence[str], tag: Mapping[str, Any], composite: bool
) -> None:
    """Write rows of images as a picture whose text chunks say that it is synthetic, atomically."""
    from augury.data import draw_contact_sheet
    from augury.files import atomic_path
    from augury.provenance import tagged_png

    with atomic_path(output) as temporary:
        sheet = draw_contact_sheet(strips, columns, least=64, most=256)
        temporary.write_bytes(tagged_png(sheet, tag, composite=composite))


def _tag(synthesizer: Synthesizer) -> dict[str, Any]:
    return {"recipe": synthesizer.card.recipe, "synthesizer": synthesizer.fingerprint}


def is_walk(output: Path, walks: bool = True) -> bool:
    """Whether the output is an animation; refuses other endings, and an MP4 without its package, before any work."""
    from augury.data import is_animation, ready_to_animate

    if not is_animation(output):
        return False
    if not walks:
        raise SettingsError(f"{output}: this command draws a picture; choose a name that ends in .png")
    ready_to_animate(output)
    return True


def _moves(edits: list[str] | None) -> dict[str, float | tuple[float, float]]:
    """Direction -> steps, or (from, to)."""
    moves: dict[str, float | tuple[float, float]] = {}
    for text in edits or []:
        name, equals, amount = text.rpartition("=")
        try:
            ends = [float(part) for part in amount.split(":")]
        except ValueError:
            ends = []
        if not (name and equals and len(ends) in (1, 2)):
            raise SettingsError(f"--edit {text}: write a direction and its steps, as pose=+2 or pca0=-2:2")
        if name in moves:
            raise SettingsError(f"--edit {name} is given twice; give it once, with the sum of both")
        moves[name] = ends[0] if len(ends) == 1 else (ends[0], ends[1])
    if not moves:
        raise SettingsError("nothing to edit; give at least one direction, such as --edit pca0=2")
    return moves


def _columns(moves: Mapping[str, float | tuple[float, float]], frames: int) -> list[str]:
    """Names above the frames: the steps of a single edit, else the share of all edits."""
    if len(moves) > 1:
        return [f"{100 * i / (frames - 1):.0f} %" for i in range(frames)]
    amount = next(iter(moves.values()))
    low, high = amount if isinstance(amount, tuple) else (0.0, amount)
    return [f"{low + (high - low) * i / (frames - 1):+.3g}" for i in range(frames)]


def _plain(moves: Mapping[str, float | tuple[float, float]]) -> dict[str, Any]:
    return {name: list(amount) if isinstance(amount, tuple) else amount for name, amount in moves.items()}


def _unused(name: str, names: Mapping[str, Any]) -> str:
    number = 1
    while (text := name if number == 1 else f"{name} ({number})") in names:
        number += 1
    return text
