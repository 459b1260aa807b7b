"""The command `augury predict`: classify new images with the classifier of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from augury.cli import console
from augury.cli.options import Device, Json, Quiet

if TYPE_CHECKING:
    from augury.prediction import Predictions, Predictor

EXAMPLES = """Examples:

\b
augury predict runs/photos new-photos/ -o predictions.csv
augury predict runs/photos one.jpg another.png
augury predict runs/photos new.npz -o predictions.parquet --force
augury predict runs/photos/classifier new-photos/ --json"""
LISTED = 20
"""Most images whose predictions are printed where no table is written, and most skipped files that are named."""
WIDEST = 20
"""Most classes of a confusion matrix that is printed."""


def predict(
    source: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="A finished run folder, or the folder of a classifier (RUN/classifier)."),
    ],
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGES...",
            help="Images to classify: files, folders (images anywhere below), .npz, .tar or any format that augury run reads; labels are "
            "not needed.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Table with a row for each image: .csv, .json or .parquet; default: a summary only."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing table.")] = False,
    device: Device = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Classify new images with the classifier that a run has left.

    Images are resized as in training. The columns of the table: file, predicted class, its calibrated probability, whether the
    image is unlike the training images (with its distance to them), and the probability of each class. Files that cannot be read
    are left out and listed. If images lie in folders called as the classes, the accuracy is printed too.
    """
    from augury.pipeline.file_prediction import classifier, predict_files

    callbacks = console.callbacks(quiet)
    predictor = classifier(source, device=device or "auto")
    callbacks.begin("predict", False)
    predictions = predict_files(
        predictor, images, output, force=force, on_progress=lambda done, total: callbacks.amount("images", done, total)
    )
    callbacks.end("predict")
    if as_json:
        table = {"table": str(output)} if output else {"predictions": predictions.rows()}
        typer.echo(json.dumps(predictions.summary() | table, ensure_ascii=False))
        return
    print_summary(predictor, predictions, output)


def print_summary(predictor: Predictor, predictions: Predictions, output: Path | None) -> None:
    """Print a summary: images per class, how many are unlike the training images, skipped files, and the accuracy if known."""
    card, n = predictor.card, len(predictions)
    value, low, high = card.test["balanced_accuracy"]
    typer.echo(
        f"{n:,} {'image' if n == 1 else 'images'} classified. The classifier (arm {card.arm['name']}) has a balanced accuracy of "
        f"{100 * value:.1f} % ({100 * low:.1f} to {100 * high:.1f}) on {card.test['n']:,} test images."
    )
    for note in predictions.notes:
        typer.echo(f"! {note}")
    counts = predictions.summary()["classes"]
    width = max(map(len, counts))
    typer.echo("")
    for name, count in sorted(counts.items(), key=lambda item: -item[1]):
        typer.echo(f"  {name:<{width}}  {count:>7,}")
    odd = int(predictions.unlike.sum())
    usual = f"of images like them, about {100 * card.novelty['share']:g} % are flagged"
    if odd:
        typer.echo(f"\nUnlike the training images: {odd:,} of {n:,} ({usual}). Do not trust the classes of these.")
    else:
        typer.echo(f"\nUnlike the training images: none ({usual}).")
    _print_skipped(predictions)
    _print_accuracy(predictions)
    if output is not None:
        typer.echo(f"\n  table  {output}")
    elif n <= LISTED:
        _print_rows(predictions)
    else:
        typer.echo("\nFor a row per image, give a table: -o predictions.csv")


def _print_skipped(predictions: Predictions) -> None:
    skipped = dict(predictions.skipped or {})
    if not skipped:
        return
    typer.echo(
        f"{len(skipped):,} {'file' if len(skipped) == 1 else 'files'} could not be read and {'is' if len(skipped) == 1 else 'are'} not in the table:"
    )
    for file, reason in list(skipped.items())[:LISTED]:
        typer.echo(f"  {file}: {reason}")
    if len(skipped) > LISTED:
        typer.echo(f"  and {len(skipped) - LISTED:,} more (--json lists all)")


def _print_accuracy(predictions: Predictions) -> None:
    """The accuracy and the confusion matrix, where the images name their classes."""
    summary = predictions.summary()
    if "accuracy" not in summary:
        return
    typer.echo(f"\nThe images name their classes: accuracy {100 * summary['accuracy']:.1f} %.")
    if len(predictions.classes) > WIDEST:
        return
    typer.echo("Rows: class of the image; columns: predicted class, in the same order.")
    width = max(map(len, predictions.classes))
    for name, row in zip(predictions.classes, summary["confusion"], strict=True):
        typer.echo(f"  {name:<{width}}  {' '.join(f'{count:>5,}' for count in row)}")


def _print_rows(predictions: Predictions) -> None:
    width = max(map(len, predictions.names))
    typer.echo("")
    for name, label, p, odd in zip(
        predictions.names, predictions.predicted, predictions.confidence, predictions.unlike, strict=True
    ):
        typer.echo(f"  {name:<{width}}  {label}  {100 * p:.1f} %{'  unlike the training images' if odd else ''}")
