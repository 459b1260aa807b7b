"""The command `augury prove`: repeat the trial of a run, or judge synthetic images of any origin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from augury.cli import console
from augury.cli.options import (
    Config,
    Device,
    Json,
    JudgeSize,
    Quiet,
    Set,
    TrialClassifier,
    again,
    classifiers,
    refuse_unread,
    setting,
    settled,
    without_none,
)
from augury.cli.reading import DATA, DataOptions, reads_with, typed_names
from augury.errors import SettingsError

EXTERNAL = (
    "Options with --with SYNTHETIC: A run has its own folder, seed and data settings, so these apply to images of another origin "
    "alone. --set and --config take their settings of data and prove."
)
"""Section of the help."""


@reads_with({name: kind for name, (_, kind, _) in DATA.items()}, EXTERNAL)
def prove(
    source: Annotated[Path, typer.Argument(help="A run folder; or, with --with, real images in any format.")],
    synthetic: Annotated[
        Path | None, typer.Option("--with", help="Synthetic images of any origin and format, of the same classes.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Folder for verdict, report and badge; default: runs/judged.",
            rich_help_panel=EXTERNAL,
        ),
    ] = None,
    classifier: TrialClassifier = None,
    judge_size: JudgeSize = None,
    seed: Annotated[int | None, setting("seed", panel=EXTERNAL)] = None,
    data: DataOptions = None,
    config: Config = None,
    extra: Set = None,
    device: Device = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Repeat the trial of a run, with other settings if given, and write its report; or judge synthetic images that Augury
    did not generate. An interrupted trial resumes.
    """
    if synthetic is None:
        own = [f"--{name}" for name in without_none(output=output, seed=seed)]
        if external := [*own, *typed_names(data or {})]:
            raise SettingsError(
                f"{external[0]} needs --with SYNTHETIC; a run has its own folder, seed and data settings"
            )
        sections = {"prove": classifiers(classifier, judge_size)}
        console.print_result(again(source, "report", quiet, extra, device, sections, config), as_json)
        return
    from augury import report
    from augury.pipeline.external_trial import judge

    usual, top = {"prove": {"near_duplicates": "refuse"}}, without_none(seed=seed, device=device)
    sections = {"data": data or {}, "prove": classifiers(classifier, judge_size)}
    settings = settled(usual, extra, sections, top, config)
    refuse_unread(extra, ("data", "prove"), "with --with SYNTHETIC", config)
    folder = output or Path("runs/judged")
    verdict = judge(source, synthetic, folder, settings=settings, callbacks=console.callbacks(quiet))
    badge = report.markdown(verdict, folder / "badge.svg")
    if as_json:
        summary = {
            "folder": str(folder),
            "verdict": verdict.as_dict(),
            "report": str(folder / "report.html"),
            "badge": badge,
        }
        typer.echo(json.dumps(summary))
        return
    console.verdict(verdict)
    typer.echo(f"\n  report    {folder / 'report.html'}\n  badge     {badge}")
