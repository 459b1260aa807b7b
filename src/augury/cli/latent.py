"""The commands of `augury latent`: pictures of the latent space of a generator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from augury.cli import latent_edits
from augury.cli.latent_edits import Condition, Output, Picture, Rows, Start, conditions_of, is_walk, write_strips
from augury.cli.options import Drawing, Json, Seed, Trained, VerbGroup, opened, registers
from augury.errors import SettingsError

if TYPE_CHECKING:
    from augury.images import Images

latent = typer.Typer(
    cls=VerbGroup,
    help="A generator's latent space: walks, style mixing, truncation, directions, edits, inversion, smoothness.",
    epilog="Image i of these pictures is image i of: augury generate --label CLASS --seed SEED",
    no_args_is_help=True,
    rich_markup_mode=None,
)
command = registers(latent)
for name, verb in (
    ("directions", latent_edits.directions),
    ("edit", latent_edits.edit),
    ("invert", latent_edits.invert),
    ("smoothness", latent_edits.smoothness),
):
    command(name, epilog=latent_edits.EXAMPLES[name])(verb)

Label = Annotated[str, typer.Option(help="The class to generate.")]


@command(epilog="Example: augury latent interpolate runs/photos -o walk.png --label cat --to dog --frames 10 --rows 4")
def interpolate(
    source: Trained,
    output: Output,
    label: Label,
    to: Annotated[str | None, typer.Option(help="The class to walk to; default: the same class.")] = None,
    attribute: Condition = None,
    frames: Annotated[int, typer.Option(help="Images in a row, including both ends.", min=2, max=64)] = 8,
    rows: Rows = 4,
    start: Start = 0,
    space: Annotated[
        str | None, typer.Option(help="w (styles; stylegan only, where it is the default) or z (noise).")
    ] = None,
    seed: Seed = 0,
    device: Drawing = "cpu",
    as_json: Json = False,
) -> None:
    """Interpolate from image i to image i + rows, one row for each i."""
    synthesizer = opened(source, device)
    ends = conditions_of(synthesizer, [label, to or label], attribute)
    strips = {}
    for i in range(start, start + rows):
        indices = [i, i + rows]
        strips[f"{i} to {i + rows}"] = synthesizer.interpolate(
            ends, seed=seed or 0, indices=indices, frames=frames, space=space
        )
    write_strips(output, strips, [label, *[""] * (frames - 2), to or label], synthesizer, as_json)


@command(epilog="Example: augury latent mix runs/photos -o table.png --label cat --layers coarse")
def mix(
    source: Trained,
    output: Picture,
    label: Label,
    to: Annotated[str | None, typer.Option(help="The class of the columns; default: the same class.")] = None,
    attribute: Condition = None,
    layers: Annotated[str, typer.Option(help="Layers taken from the columns: coarse, middle or fine.")] = "coarse",
    rows: Rows = 4,
    columns: Annotated[int, typer.Option(help="Number of columns.", min=1, max=64)] = 6,
    start: Start = 0,
    seed: Seed = 0,
    device: Drawing = "cpu",
    as_json: Json = False,
) -> None:
    """Mix styles: each row's image with some layers of each column's image (stylegan only)."""
    import numpy as np

    is_walk(output, walks=False)
    synthesizer = opened(source, device)
    of_rows, of_columns = conditions_of(synthesizer, [label, to or label], attribute)
    own, other = [of_rows] * rows, [of_columns] * columns
    table = synthesizer.mix(own, other, layers=layers, seed=seed or 0, start=start)
    drawn = synthesizer.sample([*own, *other], seed=seed or 0, start=start).images
    blank = np.full_like(drawn[:1], 255)
    strips = {f"{layers} from": np.concatenate([blank, drawn[rows:]])}
    for i in range(rows):
        strips[f"{label} {start + i}"] = np.concatenate([drawn[[i]], table[i]])
    named = [f"{to or label} {start + rows + i}" for i in range(columns)]
    write_strips(output, strips, ["", *named], synthesizer, as_json)


@command(
    epilog="Example: augury latent truncate runs/photos -o sweep.png --label cat --label dog --values 0,.5,1 --rows 3"
)
def truncate(
    source: Trained,
    output: Output,
    label: Annotated[list[str], typer.Option(help="The class to generate; repeatable.")],
    attribute: Condition = None,
    values: Annotated[
        str, typer.Option(help="Truncations from -2 to 2; 0 is typical, 1 as diverse as in training.")
    ] = "0,.25,.5,.75,1",
    rows: Annotated[int, typer.Option(help="Number of images of each class.", min=1, max=64)] = 6,
    start: Start = 0,
    seed: Seed = 0,
    device: Drawing = "cpu",
    as_json: Json = False,
) -> None:
    """Show the same images from typical to diverse."""
    synthesizer = opened(source, device)
    sweep = _numbers(values)
    strips: dict[str, Images] = {}
    for name, condition in zip(label, conditions_of(synthesizer, label, attribute), strict=True):
        drawn = synthesizer.truncate([condition] * rows, sweep, seed=seed or 0, start=start)
        strips |= {f"{name} {start + i}": images for i, images in enumerate(drawn)}
    write_strips(output, strips, [f"{value:g}" for value in sweep], synthesizer, as_json)


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise SettingsError(f"--values {text}: write comma-separated numbers, as 0,.5,1") from None
