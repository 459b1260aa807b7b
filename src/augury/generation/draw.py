"""Drawing what a plan asks for, with some over, and filtering it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from augury.errors import RunFolderError
from augury.files import atomic_path, read_lines, write_lines
from augury.generation.filters import Evidence, apply
from augury.images import Codes, LabelledImages, SyntheticImages
from augury.training import Synthesizer

CHUNK = 1024
"""Images drawn between two progress reports."""


def draw(
    synthesizer: Synthesizer,
    plan: Codes,
    *,
    seed: int = 0,
    surplus: float = 1.0,
    truncation: float = 1.0,
    filters: tuple[str, ...] = (),
    evidence: Evidence | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> SyntheticImages:
    """Draw ceil(surplus · n) images for each cell of `plan` (as `wanted` gives it), filter them, and mark those beyond n
    that passed as "not needed". Index i of an image is its place in the whole drawing."""
    cells = np.argwhere(plan > 0)
    amounts = plan[tuple(cells.T)]
    drawn = [math.ceil(surplus * n) for n in amounts]
    conditions = np.repeat(cells, drawn, axis=0).astype(np.int64).reshape(-1, plan.ndim)
    parts = []
    for at in range(0, len(conditions), CHUNK):
        parts.append(synthesizer.sample(conditions[at : at + CHUNK], seed=seed, start=at, truncation=truncation))
        on_progress(min(at + CHUNK, len(conditions)), len(conditions))
    images = np.concatenate([p.images for p in parts]) if parts else np.empty((0, *synthesizer.card.shape), np.uint8)
    everything = SyntheticImages(
        images,
        conditions,
        synthesizer.card.condition_names,
        synthesizer.card.classes,
        seed,
        np.arange(len(images), dtype=np.int64),
        synthesizer.fingerprint,
        reasons=("",) * len(images),
    )
    if evidence is not None and len(images):
        scores, reasons = apply(filters, images, everything.labels, evidence)
        everything = replace(everything, scores=scores, reasons=tuple(reasons))
    return _cut(everything, drawn, amounts.tolist())


def _cut(synthetic: SyntheticImages, drawn: list[int], amounts: list[int]) -> SyntheticImages:
    reasons, at = list(synthetic.reasons), 0
    for number, amount in zip(drawn, amounts, strict=True):
        passed = [i for i in range(at, at + number) if not reasons[i]]
        for i in passed[amount:]:
            reasons[i] = "not needed"
        at += number
    return replace(synthetic, reasons=tuple(reasons))


def census(synthetic: SyntheticImages, train: LabelledImages, plan: Codes) -> list[dict[str, Any]]:
    """Per class: real images, wanted, drawn, kept, and how many each filter rejected; plain JSON."""
    per_class = plan.reshape(len(plan), -1).sum(1)
    rows = []
    for c, name in enumerate(synthetic.classes):
        reasons = [r for r, label in zip(synthetic.reasons, synthetic.labels, strict=True) if label == c]
        rejected = {r: reasons.count(r) for r in sorted(set(reasons) - {""})}
        counts = {"real": int(train.counts[c]), "wanted": int(per_class[c]), "drawn": len(reasons)}
        rows.append({"class": name, **counts, "kept": reasons.count(""), "rejected": rejected})
    return rows


def save(synthetic: SyntheticImages, folder: Path) -> None:
    """Write images.npy and then manifest.jsonl (one row an image) into `folder`, each atomically."""
    with atomic_path(folder / "images.npy") as temporary, temporary.open("wb") as file:
        np.save(file, synthetic.images, allow_pickle=False)
    rows = []
    for i in range(len(synthetic)):
        label, *attributes = synthetic.conditions[i].tolist()
        row = {"file": "images.npy", "row": i, "class": synthetic.classes[label], "label": label}
        row |= {"attributes": dict(zip(synthetic.condition_names, attributes, strict=True))} if attributes else {}
        row |= {"seed": synthetic.seed, "index": int(synthetic.indices[i]), "synthesizer": synthetic.synthesizer}
        row |= {"scores": {k: round(float(v[i]), 6) for k, v in synthetic.scores.items()}}
        rows.append({**row, "kept": not synthetic.reasons[i], "reason": synthetic.reasons[i]})
    write_lines(folder / "manifest.jsonl", rows)


def load(folder: Path, classes: tuple[str, ...], condition_names: tuple[str, ...] = ()) -> SyntheticImages:
    """Read what `save` wrote. Raises RunFolderError when the two files do not belong together."""
    try:
        images = np.load(folder / "images.npy", allow_pickle=False)
        rows = read_lines(folder / "manifest.jsonl")
        if len(rows) != len(images):
            raise ValueError(f"{len(images)} images but {len(rows)} manifest rows")
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
        )
    except (OSError, ValueError, KeyError) as error:
        raise RunFolderError(
            f"{folder}: no readable synthetic images ({error}); draw them again with: augury generate"
        ) from error
