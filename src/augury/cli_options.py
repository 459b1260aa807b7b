"""Options that verbs of several files share, and what they lead to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from augury.errors import SettingsError

if TYPE_CHECKING:
    from augury.training import Synthesizer

Trained = Annotated[Path, typer.Argument(help="A run folder, or a synthesizer's.")]
Seed = Annotated[int | None, typer.Option(help="Decides every random number of the run; 0 unless given.", min=0)]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps; auto unless given.")]
Json = Annotated[
    bool, typer.Option("--json", help="Results as JSON on standard output; progress goes to standard error.")
]
Attributes = Annotated[
    list[str] | None,
    typer.Option("--attribute", help="pose=left: for a generator conditioned on attributes; one for each."),
]


def pair(option: str, text: str) -> tuple[str, str]:
    """'name=value' in two."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise SettingsError(f"{option} {text}: write it as name=value")
    return name, value


def opened(source: Path, device: str | None) -> Synthesizer:
    """The synthesizer of a run, or in a folder of its own."""
    from augury.training import Synthesizer, choose_device

    folder = source / "synthesizer" if (source / "synthesizer").exists() else source
    return Synthesizer.load(folder, choose_device(device or "auto"))
