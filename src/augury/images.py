"""The two sets of images that packages exchange, always uint8 [N, C, H, W]."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from augury.errors import DataError
from augury.notebook import class_table, over_classes, panel, strip
from augury.stored import Stored

Images = npt.NDArray[np.uint8]
Codes = npt.NDArray[np.int64]
UNNEEDED = "not needed"
"""The reason of surplus synthetic images, which no filter rejected."""
SPLITS = ("train", "validation", "test")


IN_MEMORY = 256 * 2**20
"""Most bytes of images that `LabelledImages.take` reads into memory; larger selections stay in the file."""


def _selected(images: Images | Stored, chosen: npt.NDArray[Any]) -> Any:
    """Select images [N, C, H, W]; a selection of more than IN_MEMORY bytes of stored images stays in its file."""
    if isinstance(images, Stored) and len(chosen) * math.prod(images.shape[1:]) > IN_MEMORY:
        return images.taken(chosen)
    return np.ascontiguousarray(images[chosen])


@dataclass(frozen=True)
class Attribute:
    """A second label of each image (pose, stain, telescope): codes int64 [N] into `values`."""

    codes: Codes
    values: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Attribute({len(self.codes):,} codes, {_listed(self.values)})"


@dataclass(frozen=True)
class LabelledImages:
    """A labelled image set.

    In a notebook it shows itself as a table of counts and a strip of images.

    Parameters
    ----------
    images : array or Stored
        uint8 [N, C, H, W], C 1 or 3, possibly memory-mapped. Index them instead of computing with all at once.
    labels : array of int64 [N]
        Indices into `classes`.
    classes : tuple of str
        Class names.
    attributes : mapping of str to Attribute
        Further labels.
    groups : array of int64 [N], optional
        Patient, person or track.
    split : array of int8 [N], optional
        Indices into `SPLITS`, as the user gave them.
    names : tuple of str
        The origin of each image (relative path or "index 12").
    fingerprint : str
        Identifies the content.
    notes : mapping
        Changes made while loading (resize policy, skipped files).
    previews : array or Stored, optional
        uint8 [N, 1, h, w]: the images in grey as they were before they were resized, with at most 64 pixels on the
        shorter side. The search for near-duplicates compares them. None: it compares `images`.

    Raises
    ------
    DataError
        When lengths disagree, a label has no class, or the array is not uint8 [N, 1|3, H, W].

    Examples
    --------
    >>> augury.load()
    LabelledImages(3,901 images, 1×28×28, 10 classes, 1,401 train, 0 validation, 2,500 test)
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
    previews: Images | None = None

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.shape[1] not in (1, 3) or self.images.dtype != np.uint8:
            raise DataError(
                f"images must be uint8 [N, 1 or 3, H, W], but are {self.images.dtype} {list(self.images.shape)}; "
                "convert them, or read them with augury.load"
            )
        n = len(self.images)
        if self.previews is not None and len(self.previews) != n:
            raise DataError(f"there are {len(self.previews)} previews for {n} images; give one an image, or None")
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

    def __repr__(self) -> str:
        facts = [f"{len(self):,} images", _pixels(self.images), f"{len(self.classes):,} classes"]
        facts += [f"attributes {_listed(tuple(self.attributes))}"] if self.attributes else []
        facts += [] if self.groups is None else [f"{len(np.unique(self.groups)):,} groups"]
        facts += [f"{n.sum():,} {name}" for name, n in self._split_counts().items()]
        return f"LabelledImages({', '.join(facts)})"

    def _repr_html_(self) -> str:
        counts = {name: n for name, n in self._split_counts().items() if n.any()} or {"images": self.counts}
        chosen = over_classes(self.labels)
        alt = ", ".join(self.classes[c] for c in self.labels[chosen])
        pictures = strip(np.asarray(self.images[chosen]), alt)
        return panel(repr(self), pictures, class_table(self.classes, counts))

    def _split_counts(self) -> dict[str, Codes]:
        """Images per class of each split; empty without splits."""
        if self.split is None:
            return {}
        size = len(self.classes)
        return {name: np.bincount(self.labels[self.split == i], minlength=size) for i, name in enumerate(SPLITS)}

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of every image."""
        c, h, w = self.images.shape[1:]
        return int(c), int(h), int(w)

    @property
    def counts(self) -> Codes:
        """Images per class, int64 [len(classes)]."""
        return np.bincount(self.labels, minlength=len(self.classes)).astype(np.int64)

    def flips(self, asked: bool | None = None) -> bool:
        """Whether images may be mirrored left and right: `asked` if it is not None, otherwise as the notes say."""
        return bool(self.notes.get("flips", False)) if asked is None else asked

    def take(self, indices: npt.NDArray[Any]) -> LabelledImages:
        """The images at `indices` (int or bool), in that order. A selection of up to IN_MEMORY bytes is read into
        memory.
        """
        chosen = np.flatnonzero(indices) if indices.dtype == bool else indices
        return replace(
            self,
            images=_selected(self.images, chosen),
            labels=self.labels[chosen],
            attributes={k: Attribute(a.codes[chosen], a.values) for k, a in self.attributes.items()},
            groups=None if self.groups is None else self.groups[chosen],
            split=None if self.split is None else self.split[chosen],
            names=tuple(self.names[i] for i in chosen) if self.names else (),
            previews=None if self.previews is None else _selected(self.previews, chosen),
        )

    def conditions(self, names: tuple[str, ...] = ()) -> Codes:
        """int64 [N, 1 + len(names)]: the label, then the named attributes, as input of a conditional network."""
        self._check(names)
        return np.stack([self.labels, *(self.attributes[name].codes for name in names)], axis=1)

    def cardinalities(self, names: tuple[str, ...] = ()) -> tuple[int, ...]:
        """The number of values of each column of `conditions(names)`."""
        self._check(names)
        return (len(self.classes), *(len(self.attributes[name].values) for name in names))

    def _check(self, names: tuple[str, ...]) -> None:
        for name in names:
            if name not in self.attributes:
                available = ", ".join(self.attributes) or "none"
                raise DataError(f"there is no attribute '{name}' to condition on; the data have: {available}")


@dataclass(frozen=True)
class SyntheticImages:
    """Generated images, each redrawable from (synthesizer, condition, seed, index).

    With `latents`, noise that was found by search and not drawn, an image is redrawable from (synthesizer, condition,
    latent, index). A translated image is redrawable from (synthesizer, source image, condition, seed, index).

    Parameters
    ----------
    images : array
        uint8 [N, C, H, W].
    conditions : array of int64 [N, K]
        Column 0 is the class.
    condition_names : tuple of str
        Names of the columns.
    classes : tuple of str
        Class names.
    seed : int
        Seed of the noise.
    indices : array of int64 [N]
        Address of the noise of each image.
    synthesizer : str
        Identifies the synthesizer.
    scores : mapping of str to array of float64 [N]
        Filter name -> scores.
    reasons : tuple of str
        For each image "" if kept, otherwise the filter that rejected it.
    latents : array of float32 [N, Z], optional
        Noise found by search.
    targets : array of float64 [N, classes], optional
        Class probabilities to train on instead of the requested class.
    sources : array of int64 [N], optional
        Rows of the train split that the images were translated from; None for images drawn from noise.

    Examples
    --------
    >>> synthesizer.sample(["bag"] * 50, seed=7)
    SyntheticImages(50 images, 1×28×28, 50 accepted, 10 classes, seed 7, synthesizer 2f1c0e3b9d4a5f60)
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
    sources: Codes | None = None

    @classmethod
    def of(cls, labelled: LabelledImages) -> SyntheticImages:
        """Labelled images of any origin in the place of generated ones, all of them accepted."""
        number = np.arange(len(labelled), dtype=np.int64)
        reasons = ("",) * len(labelled)
        return cls(
            labelled.images,
            labelled.labels[:, None],
            (),
            labelled.classes,
            0,
            number,
            labelled.fingerprint,
            reasons=reasons,
        )

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        facts = [f"{len(self):,} images", _pixels(self.images), f"{int(self.accepted.sum()):,} accepted"]
        facts += [f"{len(self.classes):,} classes", f"seed {self.seed}", f"synthesizer {self.synthesizer}"]
        return f"SyntheticImages({', '.join(facts)})"

    def _repr_html_(self) -> str:
        size, accepted = len(self.classes), np.flatnonzero(self.accepted)
        columns = {
            "images": np.bincount(self.labels, minlength=size),
            "accepted": np.bincount(self.labels[accepted], minlength=size),
        }
        shown = accepted if len(accepted) else np.arange(len(self))
        chosen = shown[over_classes(self.labels[shown])]
        alt = ", ".join(self.classes[c] for c in self.labels[chosen])
        pictures = strip(np.asarray(self.images[chosen]), alt)
        return panel(repr(self), pictures, class_table(self.classes, columns))

    @property
    def labels(self) -> Codes:
        """int64 [N], the requested class."""
        return self.conditions[:, 0]

    @property
    def accepted(self) -> npt.NDArray[np.bool_]:
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
            sources=None if self.sources is None else self.sources[at],
        )


def source_facts(synthetic: SyntheticImages, train: LabelledImages) -> list[dict[str, Any]]:
    """The name and SHA-256 of the source image of each translation, to audit and redraw it."""
    assert synthetic.sources is not None, "images drawn from noise have no source"
    return [
        {
            "source": int(row),
            "source_name": train.names[row] if train.names else f"index {row}",
            "source_sha256": hashlib.sha256(np.ascontiguousarray(train.images[row]).tobytes()).hexdigest(),
        }
        for row in synthetic.sources
    ]


class HasImages(Protocol):
    """A set of images: LabelledImages, SyntheticImages, TargetImages."""

    @property
    def images(self) -> Any:
        """uint8 [N, C, H, W]."""


AnyImages = Images | HasImages
"""What functions of images accept: an array uint8 [N, C, H, W] or a set that has one."""


def as_images(images: AnyImages) -> Images:
    """The pixels of an array or of a set of images; every function that takes images of any kind calls this.

    Parameters
    ----------
    images : array, LabelledImages, SyntheticImages or TargetImages
        Of synthetic images, rejected ones count too, so that results keep their order.

    Returns
    -------
    array
        uint8 [N, C, H, W], not copied; possibly `Stored`.

    Raises
    ------
    DataError
        For anything else.

    Examples
    --------
    >>> as_images(train).shape
    (1401, 1, 28, 28)
    """
    pixels: Any = getattr(images, "images", images)
    if getattr(pixels, "ndim", 0) != 4 or getattr(pixels, "dtype", None) != np.uint8:
        details = f" of {pixels.dtype} {list(pixels.shape)}" if hasattr(pixels, "dtype") else ""
        raise DataError(
            "images are a NumPy array uint8 [N, C, H, W], LabelledImages or SyntheticImages, but this is a "
            f"{type(pixels).__name__}{details}; convert it, or read files with augury.load"
        )
    return pixels  # type: ignore[no-any-return]


def as_labelled(images: LabelledImages | SyntheticImages) -> LabelledImages:
    """Synthetic images as labelled images: the accepted ones, with their classes. LabelledImages are returned unchanged.

    Parameters
    ----------
    images : LabelledImages or SyntheticImages

    Returns
    -------
    LabelledImages
        Without attributes, because synthetic images do not know the names of their values.

    Raises
    ------
    DataError
        For an array, because it has no labels.

    Examples
    --------
    >>> as_labelled(synthetic)
    LabelledImages(46 images, 1×28×28, 10 classes)
    """
    if isinstance(images, LabelledImages):
        return images
    if not isinstance(images, SyntheticImages):
        raise DataError(
            f"images with labels are LabelledImages or SyntheticImages, but this is a {type(images).__name__}; combine "
            "arrays with augury.data.from_arrays(images, labels)"
        )
    accepted = images.take(images.accepted)
    content = hashlib.sha256(repr((images.synthesizer, accepted.labels.tolist())).encode())
    content.update(np.ascontiguousarray(accepted.images).data)
    return LabelledImages(accepted.images, accepted.labels, images.classes, fingerprint=content.hexdigest()[:16])


def _pixels(images: Images) -> str:
    """The shape of one image: 3×64×64."""
    return "×".join(str(side) for side in images.shape[1:])


def _listed(names: tuple[str, ...], most: int = 3) -> str:
    """The first names: "pose, stain, age and 4 more"."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
