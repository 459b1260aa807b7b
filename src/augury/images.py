"""The two sets of images that flow between the rooms, always uint8 [N, C, H, W]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from augury.errors import DataError

Images = npt.NDArray[np.uint8]
Codes = npt.NDArray[np.int64]
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Attribute:
    """A second label of each image (pose, stain, telescope): codes int64 [N] into `values`."""

    codes: Codes
    values: tuple[str, ...]


@dataclass(frozen=True)
class LabelledImages:
    """A labelled image set.

    `images` uint8 [N, C, H, W], C 1 or 3, possibly memory-mapped; `labels` int64 [N] into `classes`; `groups` int64 [N]
    (patient, person, track) or None; `split` int8 [N] into `SPLITS` as the user gave it, or None; `names` where each
    image came from (relative path or "index 12"); `fingerprint` names the content; `notes` says what was done to it
    on the way in (resize policy, skipped files).

    Raises DataError when lengths disagree, a label has no class, or the array is not uint8 [N, 1|3, H, W].
    """

    images: Images
    labels: Codes
    classes: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    groups: Codes | None = None
    split: npt.NDArray[np.int8] | None = None
    names: tuple[str, ...] = ()
    fingerprint: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.shape[1] not in (1, 3) or self.images.dtype != np.uint8:
            raise DataError(
                f"images must be uint8 [N, 1 or 3, H, W], but are {self.images.dtype} {list(self.images.shape)}; "
                "convert them, or read them with augury.load"
            )
        n = len(self.images)
        columns = {"labels": self.labels, "groups": self.groups, "split": self.split}
        columns |= {f"attribute '{name}'": attribute.codes for name, attribute in self.attributes.items()}
        for name, column in columns.items():
            if column is not None and column.shape != (n,):
                raise DataError(f"{name} has shape {list(column.shape)} for {n} images; give one value an image")
        if n and not (int(self.labels.min()) >= 0 and int(self.labels.max()) < len(self.classes)):
            raise DataError(
                f"labels run from {self.labels.min()} to {self.labels.max()}, but there are {len(self.classes)} classes"
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of every image."""
        c, h, w = self.images.shape[1:]
        return int(c), int(h), int(w)

    @property
    def counts(self) -> Codes:
        """Images per class, int64 [len(classes)]."""
        return np.bincount(self.labels, minlength=len(self.classes)).astype(np.int64)

    def take(self, indices: npt.NDArray[Any]) -> LabelledImages:
        """The images at `indices` (int or bool), in that order; reads them into memory."""
        chosen = np.flatnonzero(indices) if indices.dtype == bool else indices
        return replace(
            self,
            images=np.ascontiguousarray(self.images[chosen]),
            labels=self.labels[chosen],
            attributes={k: Attribute(a.codes[chosen], a.values) for k, a in self.attributes.items()},
            groups=None if self.groups is None else self.groups[chosen],
            split=None if self.split is None else self.split[chosen],
            names=tuple(self.names[i] for i in chosen) if self.names else (),
        )

    def conditions(self, names: tuple[str, ...] = ()) -> Codes:
        """int64 [N, 1 + len(names)]: the label, then the named attributes, as a conditional network wants them."""
        self._check(names)
        return np.stack([self.labels, *(self.attributes[name].codes for name in names)], axis=1)

    def cardinalities(self, names: tuple[str, ...] = ()) -> tuple[int, ...]:
        """How many values each column of `conditions(names)` can take."""
        self._check(names)
        return (len(self.classes), *(len(self.attributes[name].values) for name in names))

    def _check(self, names: tuple[str, ...]) -> None:
        for name in names:
            if name not in self.attributes:
                known = ", ".join(self.attributes) or "none"
                raise DataError(f"there is no attribute '{name}' to condition on; the data have: {known}")


@dataclass(frozen=True)
class SyntheticImages:
    """Generated images, each redrawable from (synthesizer, condition, seed, index), or where there are `latents`, the noise
    float32 [N, Z] that was searched for and not drawn, from (synthesizer, condition, latent, index).

    `images` uint8 [N, C, H, W]; `conditions` int64 [N, K], column 0 the class; `indices` int64 [N]; `scores`
    filter name -> float64 [N]; `reasons` per image "" when kept, else the filter that rejected it; `targets` float64
    [N, classes], class probabilities to learn from instead of the class asked for, or None.
    """

    images: Images
    conditions: Codes
    condition_names: tuple[str, ...]
    classes: tuple[str, ...]
    seed: int
    indices: Codes
    synthesizer: str
    scores: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    latents: npt.NDArray[np.float32] | None = None
    targets: npt.NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labels(self) -> Codes:
        """int64 [N], the class asked for."""
        return self.conditions[:, 0]

    @property
    def kept(self) -> npt.NDArray[np.bool_]:
        """bool [N], True where no filter rejected the image."""
        return np.array([not reason for reason in self.reasons] or [True] * len(self), dtype=bool)

    def take(self, chosen: npt.NDArray[Any]) -> SyntheticImages:
        """The images at `chosen` (int or bool), in that order."""
        at = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        return replace(
            self,
            images=self.images[at],
            conditions=self.conditions[at],
            indices=self.indices[at],
            scores={name: values[at] for name, values in self.scores.items()},
            reasons=tuple(self.reasons[i] for i in at) if self.reasons else (),
            latents=None if self.latents is None else self.latents[at],
            targets=None if self.targets is None else self.targets[at],
        )
