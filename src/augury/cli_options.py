"""Options that verbs of several files share, and what they lead to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from augury.errors import SettingsError

if TYPE_CHECKING:
    from augury.training import Synthesizer

Trained = Annotated[Path, typer.Argument(help="A run folder, or a synthesizer's.")]
Data = Annotated[
    Path | None,
    typer.Argument(help="Folder of class folders, .npz, .csv, .parquet, .tar, idx, …; none: the embedded sample."),
]
Size = Annotated[str | None, typer.Option(help="96, or height and width as 96x64; default: native up to 64, else 64.")]
Fit = Annotated[str | None, typer.Option(help="crop (cover, cut the middle; the default) or pad (fit inside).")]
OnBad = Annotated[str | None, typer.Option(help="error (default), or skip: leave unreadable files out, listed.")]
Seed = Annotated[int | None, typer.Option(help="Decides every random number of the run; 0 unless given.", min=0)]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps; auto unless given.")]
RunFolder = Annotated[Path, typer.Argument(help="A run folder.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress, only results.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Any other setting: prove.steps=600, train.batch=32.")]
Json = Annotated[
    bool, typer.Option("--json", help="Results as JSON on standard output; progress goes to standard error.")
]
Attributes = Annotated[
    list[str] | None,
    typer.Option("--attribute", help="pose=left: for a generator conditioned on attributes; one for each."),
]


def sides(text: str | None) -> Any:
    """'96' or '96x64' as settings and readers take it."""
    if text is None:
        return None
    try:
        found = [int(side) for side in text.lower().split("x")]
    except ValueError:
        found = []
    if len(found) not in (1, 2):
        raise SettingsError(f"--size {text}: write one number of pixels, or height and width as 96x64")
    return found[0] if len(found) == 1 else tuple(found)


def pair(option: str, text: str) -> tuple[str, str]:
    """'name=value' in two."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise SettingsError(f"{option} {text}: write it as name=value")
    return name, value


def opened(source: Path, device: str | None) -> Synthesizer:
    """The synthesizer of a run, or in a folder of its own."""
    from augury.training import Synthesizer, choose_device, synthesizer_folder

    return Synthesizer.load(synthesizer_folder(source), choose_device(device or "auto"))
