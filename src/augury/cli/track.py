"""The command `augury track`: show the training of a run in a tracker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from augury.cli.options import Json, Quiet, RunFolder


def track(
    source: RunFolder,
    to: Annotated[str, typer.Option(help="tensorboard, mlflow, wandb; comma-separated.")] = "tensorboard",
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Send the curves and sample images of a run's training to TensorBoard, MLflow or Weights & Biases. What was sent before
    is not sent again.
    """
    from augury.cli import console
    from augury.pipeline.tracking import send

    sent = send(Path(source), to, console.callbacks(quiet).note)
    if as_json:
        typer.echo(json.dumps({"run": str(source), "sent": sent}))
        return
    for name, facts in sent.items():
        typer.echo(f"{name:<12} up to step {facts['row']:,}, run {facts['run']}")
