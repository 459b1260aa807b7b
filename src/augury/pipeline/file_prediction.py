"""A user's own images, classified by the classifier of a run and written as a table."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from augury.errors import DataError, RunFolderError, SettingsError
from augury.exports.parquet import pyarrow
from augury.files import atomic_path, refuse_within, write_text
from augury.prediction import Predictions, Predictor
from augury.prediction.networks import Build
from augury.training import choose_device

ENDINGS = (".csv", ".json", ".parquet")


def classifier(run: str | os.PathLike[str], *, device: str = "cpu", build: Build | None = None) -> Predictor:
    """Load the classifier of a finished run.

    It is trained as the arm of the trial that was best on validation, calibrated, and measured on the test split.
    Its card says how.

    Parameters
    ----------
    run
        A run folder, or its folder classifier/.
    device
        "cpu", "cuda", "mps" or "auto".
    build
        (channels, classes) -> the untrained network, for a run whose trial used your own network.

    Returns
    -------
    Predictor

    Raises
    ------
    RunFolderError
        When there is no classifier, or one of its files is damaged.

    Examples
    --------
    >>> classifier = augury.classifier("runs/photos")
    >>> classifier.predict("new-photos/").predicted[:2]
    ['bag', 'shirt']
    """
    return Predictor.load(run, choose_device(device), build=build)


def predict_files(
    predictor: Predictor,
    sources: Sequence[str | os.PathLike[str]],
    output: Path | None,
    *,
    force: bool = False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Predictions:
    """Classify the images of one or several paths, and write a table.

    Parameters
    ----------
    predictor
        The classifier.
    sources
        Paths that `Predictor.predict` reads.
    output
        A .csv, .json or .parquet file with a row for each image; None writes nothing.
    force
        Replace an existing file.
    on_progress
        Called with (images done, all images) of the present path.

    Raises
    ------
    SettingsError
        For another ending of the file.
    RunFolderError
        When it exists or lies among the images.
    DataError
        When no image can be read.
    """
    paths = [Path(source) for source in sources]
    for path in paths:
        if not path.exists():
            raise DataError(f"{path}: there is no such file or folder; give images, a folder, an .npz or a .tar")
    if output is not None:
        check_table(output, paths, force)
    parts = [predictor.predict(source, on_progress=on_progress) for source in sources]
    if len(parts) > 1:
        parts = [
            replace(part, names=tuple(_under(source, name) for name in part.names))
            for source, part in zip(sources, parts, strict=True)
        ]
    together = joined(parts)
    if output is not None:
        write_table(together, output)
    return together


def _under(source: str | os.PathLike[str], name: str) -> str:
    """The name of an image of a path; the path itself where it is the image."""
    path = Path(source)
    return str(path / name) if path.is_dir() else str(path) if path.name == name else f"{path}: {name}"


def joined(parts: Sequence[Predictions]) -> Predictions:
    """The predictions of several paths as one."""
    first, truths = parts[0], [part.truth for part in parts if part.truth is not None]
    skipped: dict[str, str] = {}
    for part in parts:
        skipped |= part.skipped or {}
    return replace(
        first,
        probabilities=np.concatenate([part.probabilities for part in parts]),
        distance=np.concatenate([part.distance for part in parts]),
        names=tuple(name for part in parts for name in part.names),
        truth=np.concatenate(truths) if len(truths) == len(parts) else None,
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        skipped=skipped,
    )


def check_table(path: Path, sources: Sequence[Path], force: bool) -> None:
    """Raise the errors of `predict_files` that can be found before any image is read."""
    if path.suffix.lower() not in ENDINGS:
        raise SettingsError(f"-o {path}: the table ends in {', '.join(ENDINGS)}; name it predictions.csv, for example")
    if path.is_dir():
        raise RunFolderError(f"{path}: this is a folder; name a file in it, as {path / 'predictions.csv'}")
    if path.exists() and not force:
        raise RunFolderError(f"{path}: exists already; replace it with --force, or choose another file with -o")
    for source in sources:
        refuse_within(path, source)
    if path.suffix.lower() == ".parquet":
        pyarrow()


def write_table(predictions: Predictions, path: Path) -> None:
    """Write one row per image, as CSV, JSON or parquet by the ending of the path."""
    rows = predictions.rows()
    if path.suffix.lower() == ".json":
        write_text(path, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    elif path.suffix.lower() == ".parquet":
        arrow, parquet = pyarrow()
        with atomic_path(path) as temporary:
            parquet.write_table(arrow.Table.from_pylist(rows), temporary)
    else:
        with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            table: Any = csv.DictWriter(file, predictions.columns)
            table.writeheader()
            table.writerows(rows)
