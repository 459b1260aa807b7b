"""The command `augury evaluate`: the score card of a run, of any two sets of images, or of merged shards by their moments."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from augury.cli import console
from augury.cli.options import Device, Json, Quiet, again, setting, without_none
from augury.cli.reading import DataOptions, reading, reads_images, typed_names
from augury.errors import SettingsError

if TYPE_CHECKING:
    from augury.metrics import Score

EXAMPLES = """Examples:

\b
augury evaluate runs/photos
augury evaluate many/ --reference photos/
augury evaluate photos/ made/
augury evaluate photos/ made.npz --features lite0,phash --limit 1000
augury evaluate photos/ made/ --features inception --weights pt_inception.pth --baseline none --scores fd,is,kid
augury evaluate photos/ made/ --features timm:vit_small_patch14_dinov2.lvd142m --train photos/ --held-out unseen/
augury evaluate photos/ made/ --features runs/photos -o card.json

Scores over Inception features are the published FID and Inception Score only with the published weights file, without
--size, and with --baseline none. Otherwise compare them with their baseline alone. See docs/scores.md for which score to use."""


OF_SETS = (
    "Options for two sets of images: The card of a run has every score, computed with the settings of the run, so these apply to "
    "REAL and FAKE alone."
)
OF_RUN = "Options for a run: Two sets of images have no settings of a run."
OF_SHARDS = "Options for merged shards: They are known by the moments of their features, so no image of them is read."
"""Sections of the help."""


@reads_images("the smaller native size of the two sets", OF_SETS)
def evaluate(
    real: Annotated[
        str,
        typer.Argument(
            help="A run folder, alone; real images in any format that augury run reads; or, with --reference, merged shards.",
            metavar="REAL",
        ),
    ],
    fake: Annotated[
        Path | None,
        typer.Argument(help="Synthetic images in the same formats, or a folder, tar, table or .npz without labels."),
    ] = None,
    features: Annotated[str | None, setting("score.features")] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Weights file for inception or timm:NAME: state dict or safetensors.", rich_help_panel=OF_SETS
        ),
    ] = None,
    sha256: Annotated[
        str | None,
        typer.Option(help="Refuse a weights file whose SHA-256 does not start with this.", rich_help_panel=OF_SETS),
    ] = None,
    scores: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: fd,kid,precision,…; default: all that can be computed.", rich_help_panel=OF_SETS
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            help="half (default): one half of REAL is scored in place of FAKE; a PATH: these real images are; none: no baseline, "
            "and all of REAL is the reference, as in other tools.",
            rich_help_panel=OF_SETS,
        ),
    ] = None,
    train: Annotated[
        Path | None,
        typer.Option(help="Training images of the generator; adds the memorisation scores.", rich_help_panel=OF_SETS),
    ] = None,
    held_out: Annotated[
        Path | None,
        typer.Option(
            help="Real images that the generator never saw, for the memorisation scores.", rich_help_panel=OF_SETS
        ),
    ] = None,
    limit: Annotated[int | None, setting("score.limit", default="all images of two sets, 1000 in a run")] = None,
    seed: Annotated[int | None, setting("seed", panel=OF_SETS)] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="fp32 (default) or bf16: faster on supported hardware, accurate to about one percent.",
            rich_help_panel=OF_SETS,
        ),
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="Real images to compare merged shards with.", rich_help_panel=OF_SHARDS)
    ] = None,
    data: DataOptions = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Also write the score card here (JSON).")
    ] = None,
    extra: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of the scores: score.limit=500; repeatable.", rich_help_panel=OF_RUN),
    ] = None,
    device: Device = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Score synthetic images against real ones: those of a run, any two sets, or merged shards.

    Each score has an interval, the number of images, its features, and, except for shards, the score of equally many real
    images as a baseline.
    """
    from augury.files import write_json

    of_sets = without_none(
        scores=None if scores is None else _listed(scores), baseline=baseline, train=train, held_out=held_out,
        weights=weights, sha256=sha256, precision=precision, seed=seed,
    )  # fmt: skip
    if reference is not None:
        read = reading(data or {})
        unread = [*(name for name in of_sets if name != "seed"), *(name for name in read if name == "size")]
        _refuse_others(fake, features, limit, unread, extra)
        card = _of_shards(real, reference, seed or 0, read, device, quiet)
    elif fake is None:
        unread = [*(f"--{name.replace('_', '-')}" for name in of_sets), *typed_names(data or {})]
        card = _of_run(Path(real), features, limit, unread, extra, device, quiet)
    else:
        card = _of_sets(Path(real), fake, features, limit, of_sets | reading(data or {}), extra, device, quiet)
    if output is not None:
        write_json(output, card)
    if as_json:
        typer.echo(json.dumps(card))
        return
    print_scores(card)
    if output is not None:
        typer.echo(f"\nwritten to {output}")


def _refuse_others(
    fake: Path | None, features: str | None, limit: int | None, unread: list[str], extra: list[str] | None
) -> None:
    """Raises SettingsError for what has no effect on merged shards."""
    ineffective = {"FAKE": fake, "--features": features, "--limit": limit, "--set": extra or None}
    names = [name for name, value in ineffective.items() if value is not None]
    names += [f"--{name.replace('_', '-')}" for name in unread]
    if names:
        raise SettingsError(
            f"{names[0]} has no effect with --reference: merged shards are scored by the moments that they hold, in their own size; leave it out"
        )


def _of_shards(
    shards: str, reference: Path, seed: int, read: dict[str, Any], device: str | None, quiet: bool
) -> dict[str, Any]:
    """The card of merged shards."""
    from augury.shards import distance_to, feature_extractor, stored_moments
    from augury.training import choose_device

    plan, groups = stored_moments(shards)
    extractor = feature_extractor(plan.features, plan.shape, choose_device(device or "auto"))
    display = console.callbacks(quiet)
    display.begin(extractor.name, False)

    def on_progress(done: int, total: int) -> None:
        display.amount("images", done, total)

    return distance_to(groups, reference, extractor, plan.shape, seed=seed, on_progress=on_progress, **read).as_dict()


def _of_run(
    run: Path,
    features: str | None,
    limit: int | None,
    unread: list[str],
    extra: list[str] | None,
    device: str | None,
    quiet: bool,
) -> dict[str, Any]:
    """The card of a run, computed again where settings changed."""
    if unread:
        raise SettingsError(
            f"{unread[0]} is for two sets of images, but only {run} is given; give the synthetic images too, or leave it out: the "
            "card of a run has every score, computed with the settings of the run"
        )
    overrides = [f"score.{name}={value}" for name, value in without_none(features=features, limit=limit).items()]
    return again(run, "score", quiet, [*overrides, *(extra or [])], device).read("scores")


def _of_sets(
    real: Path,
    fake: Path,
    features: str | None,
    limit: int | None,
    options: dict[str, Any],
    extra: list[str] | None,
    device: str | None,
    quiet: bool,
) -> dict[str, Any]:
    """The card of two sets of images."""
    from augury.pipeline.evaluation import judge
    from augury.training import choose_device

    if extra:
        raise SettingsError("--set changes the settings of a run, but two sets of images have no run; leave it out")
    for path in (real, fake):
        if (path / "run.json").exists():
            raise SettingsError(
                f"{path}: a run folder, combined with another path; give it alone, or its images (its data set's path, dataset/)"
            )
    options |= {"baseline": None} if options.get("baseline") == "none" else {}
    callbacks = console.callbacks(quiet)

    def begin(name: str) -> Callable[[int, int], None]:
        callbacks.begin(name, False)
        return lambda done, total: callbacks.amount("images", done, total)

    names = _listed(features or "auto")
    return judge(
        real, fake, names, limit=limit, device=choose_device(device or "auto"), begin=begin, **options
    ).as_dict()


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def print_scores(card: dict[str, Any]) -> None:
    """Print a table for each kind of features: all images together, then by class; notes on scores below it."""
    from augury.metrics import ScoreCard

    for name, metadata in card.get("sets", {}).items():
        channels, height, width = metadata["shape"]
        colour = "grey" if channels == 1 else "colour"
        typer.echo(f"{name:<10} {metadata['images']:,} images, {height}x{width} {colour}, {metadata['path']}")
    for note in card.get("notes", ()):
        typer.echo(f"! {note}")
    for over, group in groupby(ScoreCard.from_dict(card).scores, lambda s: (s.features, s.preprocessing)):
        scores = list(group)
        typer.echo(f"\nover {over[0]}: {over[1]}")
        _aligned(_lines([s for s in scores if not s.group]), "<>><><")
        classes = _by_class([s for s in scores if s.group])
        if classes:
            typer.echo("\n  by class, real images in brackets")
            _aligned(classes, "<>" + ">" * len(classes[0]))
        for number, note in enumerate(_notes(scores), 1):
            typer.echo(f"  [{number}] {note}")


def _notes(scores: list[Score]) -> list[str]:
    return list(dict.fromkeys(s.note for s in scores if s.note and not s.group))


def _lines(scores: list[Score]) -> list[list[str]]:
    notes = _notes(scores)
    lines = [["score", "value", "95 % interval", "better", "real", "N"]]
    for s in scores:
        flag = f"  [{notes.index(s.note) + 1}]" if s.note else ""
        flag += "" if s.meaningful else " not meaningful"
        real = "–" if s.baseline is None else f"{s.baseline:.4g}"
        interval = f"{s.low:.4g} … {s.high:.4g}"
        lines.append([s.name, f"{s.value:.4g}", interval, s.better, real, f"{s.n:,}{flag}"])
    return lines


def _by_class(scores: list[Score]) -> list[list[str]]:
    """A line per class, a column per score."""
    names = list(dict.fromkeys(s.name for s in scores))
    by_group = {(s.group, s.name): s for s in scores}
    lines = [["class", "N", *names]] if scores else []
    for group in dict.fromkeys(s.group for s in scores):
        mine = [by_group.get((group, name)) for name in names]
        cells = ["–" if s is None else f"{s.value:.3g}" + _bracketed(s.baseline) for s in mine]
        lines.append([group, str(min(s.n for s in mine if s is not None)), *cells])
    return lines


def _bracketed(baseline: float | None) -> str:
    return "" if baseline is None else f" ({baseline:.3g})"


def _aligned(lines: list[list[str]], sides: str) -> None:
    """Print columns two spaces apart, each aligned left or right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        cells = (f"{text:{side}{width}}" for text, side, width in zip(line, sides, widths, strict=False))
        typer.echo(("  " + "  ".join(cells)).rstrip())
