"""A user's own images, translated by the translator of a run and written as files with a manifest."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from augury.data import pictures
from augury.data.decoding.resize import Fit, Size
from augury.data.loading import refuse_unread
from augury.errors import DataError, RunFolderError, SettingsError
from augury.files import atomic_folder, check_folder_name, refuse_within, write_lines
from augury.images import LabelledImages
from augury.pipeline.tagged_files import write_card, write_tagged
from augury.training import Synthesizer

MANIFEST = "manifest.jsonl"


def translate_files(
    translator: Synthesizer,
    images: str | os.PathLike[str],
    changes: Mapping[str, str],
    output: Path,
    *,
    seed: int = 0,
    size: int | Size | None = None,
    fit: Fit = "crop",
    sidecar: bool = False,
    licence: str | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    **reading: Any,
) -> list[dict[str, Any]]:
    """Translate images of any format that `augury.load` reads, with labels or without.

    Parameters
    ----------
    translator
        The synthesizer of a run with a translator.
    images
        Path of the images.
    changes
        Target values: {"young": "no", "label": "woman"}. Everything else stays as it is.
    output
        New folder for one PNG file per image, manifest.jsonl and the card README.md.
    seed
        Seed of the noise, for a translator that takes noise.
    size, fit
        As for `augury.load`. Without `size`, the images must have the translator's size.
    sidecar
        Also write an unsigned C2PA-style file beside each image.
    licence
        Licence of the training images, for the card; None: that on the card of the translator.
    on_progress
        Called with (images translated, all images).
    **reading
        Other options of `augury.data.pictures`, such as on_bad and columns.

    Returns
    -------
    The rows of the manifest: file, source_name, source_sha256 (of the pixels as they were read), changes, seed, index and
    translator.

    Raises
    ------
    SettingsError for a generator that draws from noise, and without changes. DataError for an attribute or value that the
    translator does not know, and for images of another size or mode. RunFolderError when `output` has files in it.
    """
    refuse_translation(translator, changes, Path(images), output)
    _refuse_files(output)
    code = translator.changes_of(changes)
    refuse_unread([images], reading)
    data = pictures(images, size=size, fit=fit, **reading)
    refuse_other_shape(data, translator.card.shape, Path(images))
    provenance = {"changes": dict(changes), "seed": seed, "translator": translator.fingerprint}
    rows: list[dict[str, Any]] = []
    with atomic_folder(output) as folder:
        for begin in range(0, len(data), translator.chunk):
            at = np.arange(begin, min(begin + translator.chunk, len(data)), dtype=np.int64)
            sources = np.ascontiguousarray(data.images[at])
            translations = translator.translate(sources, code.repeat(len(at), 0), seed=seed, indices=at)
            for index, source, image in zip(at.tolist(), sources, translations, strict=True):
                name = data.names[index] if data.names else f"index {index}"
                file = f"{index:06d}-{re.sub(r'[^A-Za-z0-9_-]+', '-', Path(name).stem)[:60]}.png"
                digest = hashlib.sha256(source.tobytes()).hexdigest()
                row = {"file": file, "source_name": name, "source_sha256": digest, "index": index, **provenance}
                write_tagged(folder / file, image, row, translator, sidecar)
                rows.append(row)
            on_progress(len(rows), len(data))
        write_lines(folder / MANIFEST, rows)
        write_card(folder, output.name, translator, rows, licence)
    return rows


def refuse_translation(translator: Synthesizer, changes: Mapping[str, str], images: Path, output: Path | None) -> None:
    """Raises SettingsError and DataError for what is known to be wrong before any image is read, and RunFolderError for an
    output within the images; `output` is None where it is no path.
    """
    if not translator.translates:
        raise SettingsError(
            f"this run's recipe, {translator.card.recipe}, generates images from noise and cannot translate; train a translator with: "
            "augury run DATA --recipe translator --condition ATTRIBUTE, or generate images with: augury generate"
        )
    if not changes:
        raise SettingsError("no change is given; name the target value, for example --change young=no")
    translator.changes_of(changes)
    if output is not None:
        check_folder_name(output)
        refuse_within(output, images)


def _refuse_files(output: Path) -> None:
    """Raises RunFolderError unless `output` is a new or an empty folder."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise RunFolderError(f"{output}: exists already; choose another folder with -o, or remove it")


def refuse_other_shape(data: LabelledImages, shape: tuple[int, int, int], path: Path) -> None:
    """Raises DataError unless the images have the translator's mode and size."""
    modes = {1: "grey", 3: "colour"}
    if data.shape[0] != shape[0]:
        raise DataError(
            f"{path}: the images are {modes[data.shape[0]]}, but the translator was trained on {modes[shape[0]]} images; convert "
            "them, or train a translator on images of this kind"
        )
    if data.shape[1:] == shape[1:]:
        return
    sizes = data.notes.get("original_sizes", {})
    came = f"of {len(sizes)} sizes" if len(sizes) > 1 else f"{data.shape[1]} x {data.shape[2]}"
    raise DataError(
        f"{path}: the images are {came} (height x width), but the translator takes {shape[1]} x {shape[2]}; resize them "
        f"with --size {shape[1]}x{shape[2]}, and --fit crop (centre crop) or pad"
    )
