"""Two sets of images from any source, brought to one size and scored; every change to them is reported."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from augury import metrics
from augury.data import pictures, skipped_lines
from augury.data.decoding.cache import cache_folder
from augury.data.decoding.resize import RESAMPLING, Fit, Size, resized
from augury.data.loading import refuse_unread
from augury.errors import SettingsError
from augury.images import LabelledImages, SyntheticImages, as_labelled
from augury.metrics import Extractor, ScoreCard
from augury.metrics.features import Progress
from augury.networks import lite0_installed
from augury.pipeline.inputs import IN_MEMORY
from augury.randomness import rng

Source = str | os.PathLike[str] | LabelledImages | SyntheticImages
Sets = dict[str, LabelledImages]
UNNAMED = ("",)
"""The classes of images without labels."""


@dataclass(frozen=True)
class Judged:
    """The score card, the facts of each set and the notes.

    `sets` has for each set its path, number of images, shape [C, H, W] as scored, and classes. `notes` say what was changed.
    """

    card: ScoreCard
    sets: dict[str, dict[str, Any]]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, which `ScoreCard.read` reads too."""
        return {"sets": self.sets, "notes": list(self.notes)} | self.card.as_dict()


def judge(
    real: Source,
    fake: Source,
    features: Sequence[str] = ("auto",),
    *,
    scores: Sequence[str] | None = None,
    baseline: Source | None = "half",
    train: Source | None = None,
    held_out: Source | None = None,
    weights: str | os.PathLike[str] | None = None,
    sha256: str = "",
    precision: Literal["fp32", "bf16"] = "fp32",
    limit: int | None = None,
    seed: int = 0,
    size: int | Size | None = None,
    fit: Fit = "crop",
    device: str | torch.device = "cpu",
    begin: Callable[[str], Progress | None] = lambda features: None,
    **reading: Any,
) -> Judged:
    """Score the images `fake` against `real`; no labels are needed.

    Images of several sizes are resized to `size`, else to the smallest size that one set has throughout. Grey images get three
    channels beside coloured ones. Features are cached for the user.

    Parameters
    ----------
    real, fake
        Paths of any format that `augury.load` reads, or sets of images; of SyntheticImages, the accepted ones are scored.
    features
        Names for `metrics.extractor`. "auto" is lite0 where it is installed, else pixels.
    scores
        Names of scores; None: all that can be computed.
    baseline, train, held_out
        Further images, see `metrics.evaluate`. `baseline` may be "half" or None.
    weights
        Weights file for the features that take one.
    sha256
        Beginning of the SHA-256 of that file.
    precision
        "fp32" or "bf16".
    limit
        At most this many images of each set, chosen at random.
    seed
        Seed of random choices.
    size, fit
        As for `augury.load`.
    device
        Device that extracts the features.
    begin
        Called with the name of each extractor; returns its progress callback or None.
    **reading
        Other options of `augury.data.pictures`, such as on_bad and columns, for the sets that are paths.

    Returns
    -------
    Judged: the score card and what it was computed from.

    Raises
    ------
    DataError, SettingsError, ScoreError, MissingExtraError.
    """
    if precision not in ("fp32", "bf16"):
        raise SettingsError(f"precision is '{precision}'; choose fp32 or bf16")
    paths = {"real": real, "synthetic": fake, "training": train, "held-out": held_out}
    paths |= {"baseline": None if isinstance(baseline, str) and baseline == "half" else baseline}
    sources = {name: path for name, path in paths.items() if path is not None}
    sets, notes, how = together(sources, size, fit, **reading)
    if limit is not None:
        sets = {name: _some(images, limit, seed, name) for name, images in sets.items()}
    notes += _without_classes(sets)
    feature_names = _spelt(features, weights, sha256)
    shape = sets["real"].shape
    extractors = []
    for name in feature_names:
        extractor = metrics.extractor(name, shape, device, sha256=sha256 if _has_file(name) else "")
        extractor = metrics.in_bf16(extractor, device) if precision == "bf16" and extractor.fingerprint else extractor
        extractor = replace(extractor, preprocessing=f"{how}{extractor.preprocessing}")
        extractors.append(_cached(extractor, begin(extractor.name)))
    card = metrics.evaluate(
        sets["real"],
        sets["synthetic"],
        extractors,
        baseline=sets.get("baseline", None if baseline is None else "half"),
        train=sets.get("training"),
        held_out=sets.get("held-out"),
        scores=scores,
        seed=seed,
    )
    set_facts = {
        name: {
            "path": IN_MEMORY if isinstance(sources[name], LabelledImages | SyntheticImages) else str(sources[name]),
            "images": len(images),
            "shape": list(images.shape),
            "classes": [name for name in images.classes if name],
        }
        for name, images in sets.items()
    }
    return Judged(card, set_facts, tuple(notes))


def together(
    paths: dict[str, Source],
    size: int | Size | None,
    fit: Fit,
    **reading: Any,
) -> tuple[Sets, list[str], str]:
    """(the sets in one size and mode, the notes about that, the same as a prefix of `preprocessing`)."""
    files = [path for path in paths.values() if not isinstance(path, LabelledImages | SyntheticImages)]
    refuse_unread(files, reading)
    reading = {"fit": fit, **reading}
    sets = {name: _opened(path, size=size, **reading) for name, path in paths.items()}
    sizes: dict[str, dict[str, int]] = {name: images.notes["original_sizes"] for name, images in sets.items()}
    notes = [
        f"{name}: {len(images.notes['skipped'])} unreadable files were left out"
        for name, images in sets.items()
        if images.notes.get("skipped")
    ]
    notes += [line for name, images in sets.items() for line in skipped_lines(images, f"{name}: ")]
    alike = [images.shape[1:] for name, images in sets.items() if size is not None or len(sizes[name]) == 1]
    if not alike:
        raise SettingsError(
            f"the images of every set have several sizes ({', '.join(map(_sizes, sizes.values()))}); choose the common size "
            "with --size"
        )
    goal = min(alike, key=lambda sides: sides[0] * sides[1])
    changed = [name for name in sets if set(sizes[name]) != {f"{goal[0]}x{goal[1]}"}]
    for name in changed:
        notes.append(
            f"{name}: images of {_sizes(sizes[name])} px are resized to {goal[0]}x{goal[1]} ({fit}; {RESAMPLING})"
        )
        if sets[name].shape[1:] != goal and len(sizes[name]) > 1:
            sets[name] = _opened(paths[name], size=goal, **reading)
        sets[name] = replace(sets[name], images=resized(sets[name].images, goal, fit))
    if len({images.shape[0] for images in sets.values()}) > 1:
        grey = [name for name, images in sets.items() if images.shape[0] == 1]
        notes.append(f"{' and '.join(grey)}: grey is repeated to three channels, because other images have colour")
        sets |= {name: replace(sets[name], images=np.repeat(sets[name].images, 3, axis=1)) for name in grey}
    how = f"{' and '.join(changed)} to {goal[0]}x{goal[1]} first ({fit}); " if changed else ""
    return sets, notes, how


def _opened(source: Source, *, size: int | Size | None, **reading: Any) -> LabelledImages:
    """The images of a path, or those in memory, with their sizes in `notes["original_sizes"]`."""
    if not isinstance(source, LabelledImages | SyntheticImages):
        return pictures(source, size=size, **reading)
    images = as_labelled(source)
    return replace(images, notes={"original_sizes": {"x".join(map(str, images.shape[1:])): len(images)}})


def _without_classes(sets: Sets) -> list[str]:
    """The note that there are no scores by class, unless there are or a set has no labels."""
    classes = [images.classes for name, images in sets.items() if name in ("real", "synthetic", "baseline")]
    if UNNAMED in classes or max(map(len, classes)) == 1 or len(set.intersection(*map(set, classes))) > 1:
        return []
    return ["no scores by class: real and synthetic images have fewer than two class names in common"]


def _spelt(features: Sequence[str], weights: str | os.PathLike[str] | None, sha256: str) -> list[str]:
    """The names in full."""
    auto = "lite0" if lite0_installed() else "pixels"
    names = [auto if name == "auto" else name for name in dict.fromkeys(features)]
    takes = [n for n in names if "=" not in n and n.startswith(("inception", "timm:"))]
    if weights is not None and not takes:
        raise SettingsError(f"the features {', '.join(names)} take no weights file; give it to inception or timm:NAME")
    full = [f"{name}={weights}" if weights is not None and name in takes else name for name in names]
    if sha256 and not any(map(_has_file, full)):
        raise SettingsError("a checksum needs a weights file, but there is none; give one, or leave the checksum out")
    return full


def _has_file(name: str) -> bool:
    return (name.startswith(("inception=", "timm:")) and "=" in name) or Path(name).is_file()


def _cached(extractor: Extractor, progress: Progress | None) -> Extractor:
    return metrics.remembered(extractor, cache_folder(None) / "features", progress)


def _some(images: LabelledImages, limit: int, seed: int, name: str) -> LabelledImages:
    if len(images) <= limit:
        return images
    return images.take(np.sort(rng(seed, "limit", name).permutation(len(images))[:limit]))


def _sizes(sizes: dict[str, int]) -> str:
    first, *others = sizes
    return first + (f" and {len(others)} other sizes" if others else "")
