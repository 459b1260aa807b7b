"""The verb checklist: reporting checklists of medical studies, filled from a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from augury.cli.options import Json
from augury.errors import SettingsError


def checklist(
    source: Annotated[Path, typer.Argument(help="A finished run folder.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File to write; default: checklist.md in the run folder.")
    ] = None,
    only: Annotated[str | None, typer.Option(help="claim or tripod-ai; default: both.")] = None,
    as_json: Json = False,
) -> None:
    """Write the items of CLAIM and TRIPOD+AI that a run can answer, and name those that the author must."""
    from augury.files import read_json, write_text
    from augury.pipeline.run_folder import Run
    from augury.report.checklist import LISTS, Study
    from augury.report.checklist import checklist as filled

    if only is not None and only not in LISTS:
        raise SettingsError(f"there is no checklist '{only}'; choose one of: {', '.join(LISTS)}")
    run = Run(source)
    plan, card = run / "train" / "plan.json", run / "classifier" / "card.json"
    study = Study(
        run.metadata,
        run.verdict,
        plan=read_json(plan)["plan"] if plan.exists() else {},
        card=read_json(card) if card.exists() else {},
        scores=read_json(run / "scores.json") if (run / "scores.json").exists() else {},
    )
    path = output or run / "checklist.md"
    write_text(path, filled(study, (only,) if only else tuple(LISTS)))
    typer.echo(json.dumps({"checklist": str(path)}) if as_json else str(path))
