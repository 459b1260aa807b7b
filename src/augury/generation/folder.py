"""Synthetic images on disk, and their number in each class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from augury.errors import RunFolderError
from augury.files import DAMAGE, atomic_path, write_lines
from augury.generation.review import MANIFEST, REMEDY, carried, read_rows
from augury.images import Codes, LabelledImages, SyntheticImages, source_facts


def census(
    synthetic: SyntheticImages, train: LabelledImages, plan: Codes, why: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    """Count images per class.

    Parameters
    ----------
    synthetic, train
        The synthetic images and the train split.
    plan
        int64 [classes, …], the requested numbers.
    why
        A reason for each class, or empty.

    Returns
    -------
    One row per class, plain JSON: real images, requested (and why), drawn, accepted, and how many each filter rejected.
    """
    per_class = plan.reshape(len(plan), -1).sum(1)
    rows = []
    for c, name in enumerate(train.classes):
        reasons = [r for r, label in zip(synthetic.reasons, synthetic.labels, strict=True) if label == c]
        rejected = {r: reasons.count(r) for r in sorted(set(reasons) - {""})}
        counts = {"real": int(train.counts[c]), "requested": int(per_class[c]), "drawn": len(reasons)}
        row = {"class": name, **counts, "accepted": reasons.count(""), "rejected": rejected}
        rows.append(row | ({"why": why[c]} if why else {}))
    return rows


def recounted(rows: list[dict[str, Any]], synthetic: SyntheticImages) -> list[dict[str, Any]]:
    """The rows of `census` with the accepted and rejected images counted again, as after decisions by hand."""
    reasons: dict[str, list[str]] = {name: [] for name in synthetic.classes}
    for reason, label in zip(synthetic.reasons, synthetic.labels, strict=True):
        reasons[synthetic.classes[label]].append(reason)
    counted = []
    for row in rows:
        own = reasons[row["class"]]
        rejected = {reason: own.count(reason) for reason in sorted(set(own) - {""})}
        counted.append({**row, "accepted": own.count(""), "rejected": rejected})
    return counted


def save(synthetic: SyntheticImages, folder: Path, train: LabelledImages | None = None) -> int:
    """Write synthetic images, each file atomically.

    images.npy, latents.npy and targets.npy are written where present, then manifest.jsonl with one row per image. It keeps the
    decisions by hand that an earlier manifest has on the same images.

    Parameters
    ----------
    synthetic
        The images to write.
    folder
        An existing folder.
    train
        The images translated; rows of translations then name their source.

    Returns
    -------
    The number of earlier decisions by hand on images that are not drawn any more.
    """
    sources = [{}] * len(synthetic) if synthetic.sources is None or train is None else source_facts(synthetic, train)
    for name in ("images", "latents", "targets"):
        values = getattr(synthetic, name)
        if values is None:
            (folder / f"{name}.npy").unlink(missing_ok=True)
            continue
        with atomic_path(folder / f"{name}.npy") as temporary, temporary.open("wb") as file:
            np.save(file, values, allow_pickle=False)
    rows = []
    for i in range(len(synthetic)):
        label, *attributes = synthetic.conditions[i].tolist()
        row = {"file": "images.npy", "row": i, "class": synthetic.classes[label], "label": label}
        row |= {"attributes": dict(zip(synthetic.condition_names, attributes, strict=True))} if attributes else {}
        row |= {"seed": synthetic.seed, "index": int(synthetic.indices[i]), "synthesizer": synthetic.synthesizer}
        row |= sources[i]
        row |= {"latent": f"latents.npy row {i}, not drawn from the seed"} if synthetic.latents is not None else {}
        row |= {"scores": {k: round(float(v[i]), 6) for k, v in synthetic.scores.items()}}
        rows.append({**row, "accepted": not synthetic.reasons[i], "reason": synthetic.reasons[i]})
    rows, lost = carried(rows, folder)
    write_lines(folder / MANIFEST, rows)
    return lost


def load(folder: Path, classes: tuple[str, ...], condition_names: tuple[str, ...] = ()) -> SyntheticImages:
    """Read what `save` wrote.

    Parameters
    ----------
    folder
        The folder given to `save`.
    classes, condition_names
        Names of the classes, and of the attributes in the conditions.

    Returns
    -------
    The synthetic images.

    Raises
    ------
    RunFolderError
        When files are unreadable or do not belong together.
    """
    try:
        images = np.load(folder / "images.npy", allow_pickle=False)
        rows = read_rows(folder)
        latents, targets = (_beside(folder / f"{name}.npy") for name in ("latents", "targets"))
        for kind, values in (("manifest rows", rows), ("latents", latents), ("targets", targets)):
            if values is not None and len(values) != len(images):
                raise ValueError(f"{len(images)} images but {len(values)} {kind}")
        names = list(rows[0]["scores"]) if rows else []
        conditions = [[r["label"], *(r.get("attributes", {})[n] for n in condition_names)] for r in rows]
        return SyntheticImages(
            images,
            np.array(conditions, np.int64).reshape(len(rows), 1 + len(condition_names)),
            condition_names,
            classes,
            int(rows[0]["seed"]) if rows else 0,
            np.array([r["index"] for r in rows], np.int64),
            str(rows[0]["synthesizer"]) if rows else "",
            {n: np.array([r["scores"][n] for r in rows]) for n in names},
            tuple(r["reason"] for r in rows),
            latents,
            targets,
            np.array([r["source"] for r in rows], np.int64) if rows and "source" in rows[0] else None,
        )
    except (OSError, *DAMAGE) as error:
        raise RunFolderError(f"{folder}: no readable synthetic images ({error}); {REMEDY}") from error


def _beside(file: Path) -> npt.NDArray[Any] | None:
    return np.load(file, allow_pickle=False) if file.exists() else None
