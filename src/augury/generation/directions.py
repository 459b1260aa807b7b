"""Directions of the latent space: found by factorisation, by principal components and from labels, and stored in a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from augury.errors import RunFolderError, SettingsError
from augury.files import atomic_folder, write_json
from augury.images import Codes, Images
from augury.training import LatentImages, LatentSpace, Synthesizer, checkpoints
from augury.training.latent import layers_of
from augury.validation import StrictSettings, Versioned, parsed

Vectors = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Columns = Sequence[tuple[str, tuple[str, ...]]]
"""Name and values of each column of labels."""

FORMAT = 1
"""Version of directions.json."""
METHODS = ("sefa", "pca", "labels")
"""sefa: factorisation of the first layer. pca: principal components. labels: effects of classes and attributes."""
USUAL = 8
"""Directions of sefa and of pca where their number is not given."""
SAMPLED = 4096
"""Latents from which principal components and the effects of labels are found."""
LEAST_LEFT = 0.1
"""Share of its length that a direction must keep when it is made orthogonal to the other attributes."""


@dataclass(frozen=True)
class Direction:
    """A direction of the latent space.

    `vector` float32 [L] has length 1, and a step of 1 moves by `scale`: one standard deviation of the latents along it.
    `layers` are the style layers that it moves, () for all. `share` is its share of the variance: of A for sefa, else of the
    latents. `gap` is the distance in steps between the means of its value and of the others, for labels. `values` are the
    two values that it leads from and to, for an attribute with two.
    """

    name: str
    source: str
    vector: Vectors
    scale: Annotated[float, Field(ge=0, le=1e30)]  # within float32, also after many steps
    share: float
    layers: tuple[int, ...] = ()
    gap: float | None = None
    values: tuple[str, ...] = ()


class _StoredDirection(StrictSettings):
    """A row of directions.json."""

    name: str
    source: str
    scale: float
    share: float
    layers: tuple[Annotated[int, Field(ge=0)], ...]
    gap: float | None
    values: tuple[str, str] | tuple[()]


class _StoredDirections(StrictSettings):
    """directions.json."""

    format: int
    space: Literal["w", "code", "z"]
    synthesizer: str
    skipped: dict[str, str]
    directions: tuple[_StoredDirection, ...]


@dataclass(frozen=True)
class Directions:
    """The directions of one generator. `space` is "w", "code" or "z"; `skipped` says which could not be found, and why.

    Examples
    --------
    >>> directions = augury.generation.find_directions(synthesizer)
    >>> directions["pca0"].share
    0.21
    """

    space: str
    synthesizer: str
    entries: tuple[Direction, ...]
    skipped: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, name: str) -> Direction:
        """The direction called `name`; raises SettingsError with the names that there are."""
        return self.resolve(name)[0]

    def resolve(self, name: str) -> tuple[Direction, int]:
        """(direction, sign). `eyes.open` is -1 times `eyes` where that leads from open to another value."""
        by_name = {direction.name: direction for direction in self.entries}
        if name in by_name:
            return by_name[name], 1
        column, _, value = name.partition(".")
        if column in by_name and value in by_name[column].values:
            return by_name[column], 2 * by_name[column].values.index(value) - 1
        values = [f"{d.name}.{value}" for d in self.entries for value in d.values]
        close = get_close_matches(name, [*by_name, *values], 1)
        several = [other for other in by_name if other.startswith(f"{name}.")]
        if several:
            meant = f"it has several values; name one of {', '.join(several)}"
        elif reason := self._reason(name):
            meant = reason
        else:
            meant = f"{f'did you mean {close[0]!r}? ' if close else ''}There are: {', '.join(by_name) or 'none'}"
        raise SettingsError(f"there is no direction '{name}': {meant}")

    def _reason(self, name: str) -> str:
        """Why a direction of this name could not be found; "" where that is unknown."""
        method = name.rstrip("0123456789")
        return self.skipped.get(name) or self.skipped.get(method if method in METHODS else "labels", "")

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary for each direction, without its vector."""
        return [{k: v for k, v in asdict(direction).items() if k != "vector"} for direction in self.entries]

    def save(self, folder: Path) -> None:
        """Write directions.safetensors and directions.json into a new or replaced `folder`, atomically."""
        vectors = {str(i): torch.from_numpy(d.vector.copy()) for i, d in enumerate(self.entries)}
        facts = {"format": FORMAT, "space": self.space, "synthesizer": self.synthesizer}
        with atomic_folder(folder) as temporary:
            checkpoints.save(temporary / "directions.safetensors", vectors, {})
            rest = {"skipped": dict(self.skipped), "directions": self.rows()}
            write_json(temporary / "directions.json", facts | rest)

    @classmethod
    def load(cls, folder: Path, synthesizer: Synthesizer) -> Directions:
        """Read a folder written by `save`. Raises RunFolderError when it is damaged or of another generator."""
        remedy = "find them again with: augury latent directions RUN"
        file = folder / "directions.json"
        try:
            content = file.read_bytes()
        except OSError as error:
            raise RunFolderError(f"{file}: cannot be read ({error.strerror}); {remedy}") from error
        version = parsed(Versioned, content, str(file), remedy).format
        if version != FORMAT:
            raise RunFolderError(f"{folder}: directions of format {version}, not {FORMAT}; {remedy}")
        stored = parsed(_StoredDirections, content, str(file), remedy)
        if stored.synthesizer != synthesizer.fingerprint:
            raise RunFolderError(
                f"{folder}: directions of the generator {stored.synthesizer}, but this one is "
                f"{synthesizer.fingerprint}; {remedy}"
            )
        vectors = checkpoints.load(folder / "directions.safetensors")[0]
        space = LatentSpace(synthesizer)
        layers = {layer for row in stored.directions for layer in row.layers}
        shapes = {name: list(vector.shape) for name, vector in vectors.items()}
        if (
            stored.space != space.name
            or max(layers, default=-1) >= space.layers
            or shapes != {str(i): [space.size] for i in range(len(stored.directions))}
        ):
            raise RunFolderError(
                f"{folder}: damaged (its directions are not of the latent space of this generator); {remedy}"
            )
        entries = tuple(
            Direction(vector=vectors[str(i)].numpy(), **row.model_dump()) for i, row in enumerate(stored.directions)
        )
        return cls(stored.space, stored.synthesizer, entries, stored.skipped)


def sefa(weights: Vectors, number: int) -> tuple[Vectors, Floats]:
    """Find the directions that change the output of a linear layer most (Shen & Zhou 2021, eq. 7).

    They are the eigenvectors of AᵀA with the largest eigenvalues.

    Parameters
    ----------
    weights
        A, float32 [D, L].
    number
        Number of directions, at most L.

    Returns
    -------
    Unit vectors float32 [number, L], and their shares of the sum of all eigenvalues, float64 [number].
    """
    a = weights.astype(np.float64)
    return _leading(a.T @ a, number)


def principal_components(latents: Vectors, number: int) -> tuple[Vectors, Floats]:
    """Find the principal components of latents (Härkönen et al. 2020, section 2.1).

    Parameters
    ----------
    latents
        float32 [N, L].
    number
        Number of components, at most L.

    Returns
    -------
    Unit vectors float32 [number, L], and their shares of the variance, float64 [number].
    """
    return _leading(np.cov(latents.astype(np.float64), rowvar=False).reshape(2 * latents.shape[1:]), number)


def _leading(symmetric: Floats, number: int) -> tuple[Vectors, Floats]:
    """The leading eigenvectors; the largest entry of each is positive, so that the sign does not depend on the solver."""
    values, vectors = np.linalg.eigh(symmetric)
    rows = vectors[:, ::-1].T[:number]
    rows = rows * np.sign(np.take_along_axis(rows, np.abs(rows).argmax(1)[:, None], axis=1))
    return rows.astype(np.float32), values[::-1][:number] / max(values.sum(), 1e-300)


@dataclass(frozen=True)
class Effects:
    """Directions from labels: a unit row of `vectors` float64 [V, L] for each value, and the difference of means along it.

    `reasons` say why a value has no direction, "" where it has one.
    """

    vectors: Floats
    gaps: Floats
    reasons: tuple[str, ...]


def label_effects(latents: Vectors, codes: Codes, cardinalities: Sequence[int]) -> list[Effects]:
    """Find the direction in which latents change with each value of each column of labels.

    A linear regression of the latents on all columns gives the effect of each value beside those of the other columns. Each
    direction is then made orthogonal to the effects of the other columns, so that an edit of one attribute leaves the
    others (Shen et al. 2020, section 3.2).

    Parameters
    ----------
    latents
        float32 [N, L].
    codes
        int64 [N, K], the labels of each latent.
    cardinalities
        Number of values of each of the K columns.

    Returns
    -------
    For each column the directions of its values against the others. A value that does not occur has none.
    """
    y = latents.astype(np.float64)
    y = y - y.mean(0)
    hot = [np.eye(n)[codes[:, k]] for k, n in enumerate(cardinalities)]
    design = np.concatenate([part - part.mean(0) for part in hot], axis=1)
    coefficients = np.linalg.lstsq(design, y, rcond=1e-8)[0]
    unexplained = np.cov(y - design @ coefficients, rowvar=False).reshape(2 * y.shape[1:])
    columns = np.split(coefficients, np.cumsum(cardinalities)[:-1])
    effects: list[Effects] = []
    for k, own in enumerate(columns):
        present = hot[k].any(0)
        contrast = np.stack([row - own[present & (np.arange(len(own)) != i)].mean(0) for i, row in enumerate(own)])
        basis = _span([c[h.any(0)] for i, (c, h) in enumerate(zip(columns, hot, strict=True)) if i != k], y.shape[1])
        left = contrast - contrast @ basis @ basis.T
        length, before = np.linalg.norm(left, axis=1), np.linalg.norm(contrast, axis=1)
        vectors = left / np.maximum(length, 1e-300)[:, None]
        along = y @ vectors.T
        gaps = np.array([_gap(along[:, i], hot[k][:, i] > 0) for i in range(len(own))])
        counts = hot[k].sum(0)
        reasons = []
        for i in range(len(own)):
            reason = ""
            if not 0 < counts[i] < len(y):
                reason = "its value does not occur, or no other does"
            elif before[i] ** 2 <= _by_chance(unexplained, counts[i], len(y)):
                reason = "the latents do not change with it by more than chance"
            elif length[i] < LEAST_LEFT * before[i]:
                reason = "it cannot be separated from the other attributes"
            reasons.append(reason)
        effects.append(Effects(vectors, gaps, tuple(reasons)))
    return effects


def _by_chance(covariance: Floats, count: float, total: int) -> float:
    """A bound on the squared difference of two group means whose groups do not differ.

    It is four standard deviations above the mean of that difference; these are those of a scaled χ² distribution with the
    effective rank of the covariance as its degrees of freedom (Satterthwaite 1946).
    """
    trace, squares = float(np.trace(covariance)), float((covariance**2).sum())
    rank = trace**2 / max(squares, 1e-300)
    return float(trace * (1 / count + 1 / (total - count)) * (1 + 4 * (2 / max(rank, 1)) ** 0.5) + 1e-12)


def _span(effects: list[Floats], size: int) -> Floats:
    """An orthonormal basis [L, R] of the differences between the values of each column."""
    differences = [values - values.mean(0) for values in effects]
    if not differences:
        return np.zeros((size, 0))
    _, weights, basis = np.linalg.svd(np.concatenate(differences), full_matrices=False)
    return np.asarray(basis[weights > 1e-6 * max(weights.max(initial=0), 1e-300)].T)


def _gap(along: Floats, chosen: npt.NDArray[np.bool_]) -> float:
    if not chosen.any() or chosen.all():
        return 0.0
    return float(along[chosen].mean() - along[~chosen].mean())


def find_directions(
    synthesizer: Synthesizer,
    *,
    methods: Sequence[str] | None = None,
    number: int | None = None,
    layers: str | Sequence[int] = "coarse",
    labelled: tuple[Vectors, Codes, Columns] | None = None,
    labeller: tuple[Callable[[Images], Codes], Columns] | None = None,
    seed: int = 0,
) -> Directions:
    """Find directions of a generator's latent space.

    The space is w for recipe stylegan, the code for vae and ae, else the noise z. In z, only factorisation applies: z is
    Gaussian whatever the class, so it has neither principal components nor directions of labels.

    Parameters
    ----------
    synthesizer
        The generator.
    methods
        Some of METHODS; None: all that apply to this generator.
    number
        Directions of sefa and of pca, each; None: 8, or all where the space has fewer.
    layers
        Style layers that sefa factorises and that its directions move: coarse, middle, fine, or numbers.
    labelled
        Latents float32 [N, L] of labelled real images, as `project` finds them, with labels int64 [N, K] and the columns of
        these. They replace drawn latents.
    labeller
        A function from images uint8 [N, C, H, W] to labels int64 [N, K], such as a classifier's, and their columns. It labels
        drawn images. Without both, the labels are the conditions that the images are drawn with.
    seed
        Seed of the drawn latents.

    Returns
    -------
    The directions, and the reasons where one could not be found.

    Raises
    ------
    SettingsError
        For an unknown method, one that does not apply, and a synthesizer without a latent space.
    """
    space = LatentSpace(synthesizer)
    if unknown := [name for name in methods or () if name not in METHODS]:
        raise SettingsError(f"there is no method '{unknown[0]}'; choose among: {', '.join(METHODS)}")
    number = min(USUAL, space.size) if number is None else number
    if not 1 <= number <= space.size:
        raise SettingsError(
            f"{number} directions requested, but this latent space has {space.size}; give 1 to {space.size}"
        )
    reasons = {
        name: why for name in METHODS if (why := _why_not(space, name, labelled is not None, labeller is not None))
    }
    for name in methods or ():
        if name in reasons:
            raise SettingsError(reasons[name])
    chosen = [name for name in methods or METHODS if name not in reasons]
    if not chosen:
        raise SettingsError(f"no direction can be found: {'; '.join(reasons.values())}")
    latents, codes = space.sampled(SAMPLED, seed) if labelled is None else labelled[:2]
    entries: list[Direction] = []
    skipped = {} if methods else dict(reasons)
    if "sefa" in chosen:
        at = tuple(layers_of(layers, cast(Any, space.generator).sides)) if space.layers else ()
        vectors, shares = sefa(space.entry_weights(at), number)
        entries += _named("sefa", vectors, shares, latents, at)
    if "pca" in chosen:
        within = latents - (_means(latents, codes) if labelled is None else latents.mean(0))
        entries += _named("pca", *principal_components(within, number), within)
    if "labels" in chosen:
        columns: Columns = synthesizer.card.columns
        source = "condition"
        if labelled is not None:
            columns, source = labelled[2], "images"
        elif labeller is not None:
            codes, columns, source = _labels(space, latents, codes, labeller[0], seed), labeller[1], "classifier"
        more, lost = _of_labels(latents, codes, columns, source)
        entries += more
        skipped |= lost
    return Directions(space.name, synthesizer.fingerprint, tuple(entries), skipped)


def _why_not(space: LatentSpace, method: str, labelled: bool, labeller: bool) -> str:
    """Why a method does not apply; "" where it does."""
    recipe = space.synthesizer.card.recipe
    if method == "sefa":
        try:
            space.entry_weights((0,))
        except SettingsError as error:
            return str(error)
        return ""
    what = "principal components" if method == "pca" else "directions of labels"
    if space.name == "z":
        return (
            f"{what} need a space that training has shaped, but the noise z of recipe {recipe} is Gaussian and independent of "
            "the class; use sefa, or train with recipe stylegan"
        )
    if not space.shaped and not labelled:
        return (
            f"{what} of the codes of recipe {recipe} are found from images, as drawn codes are standard normal noise; give "
            "labelled images with --images"
        )
    if method == "labels" and not (labelled or labeller) and max(space.synthesizer.card.cardinalities) < 2:
        return "this generator is unconditional, so its images have no labels; give labelled images with --images"
    return ""


def _means(latents: Vectors, codes: Codes) -> Vectors:
    """The mean latent of each row's condition: components within conditions do not repeat the classes."""
    _, which = np.unique(codes, axis=0, return_inverse=True)
    which = which.reshape(-1)
    sums = np.zeros((which.max() + 1, latents.shape[1]))
    np.add.at(sums, which, latents)
    return (sums / np.bincount(which)[:, None])[which].astype(np.float32)


def _named(
    source: str, vectors: Vectors, shares: Floats, latents: Vectors, layers: tuple[int, ...] = ()
) -> list[Direction]:
    scales = (latents @ vectors.T).std(0)
    rows = enumerate(zip(vectors, scales.tolist(), shares.tolist(), strict=True))
    return [Direction(f"{source}{i}", source, v, max(scale, 1e-6), share, layers) for i, (v, scale, share) in rows]


def _labels(
    space: LatentSpace, latents: Vectors, conditions: Codes, labeller: Callable[[Images], Codes], seed: int
) -> Codes:
    """The labels of the images of latents, without noise per pixel."""
    noise = np.zeros((len(latents), space.synthesizer.latent), np.float32)
    return labeller(space.images(LatentImages(latents, noise, conditions, np.arange(len(latents), dtype=np.int64))))


def _of_labels(latents: Vectors, codes: Codes, columns: Columns, source: str) -> tuple[list[Direction], dict[str, str]]:
    """Directions of the values of each column, and the reasons where there is none."""
    total = float(latents.var(0).sum())
    used = [k for k, (_, values) in enumerate(columns) if len(values) > 1]
    effects = label_effects(latents, codes[:, used], [len(columns[k][1]) for k in used])
    entries: list[Direction] = []
    skipped: dict[str, str] = {}
    for k, effect in zip(used, effects, strict=True):
        name, values = columns[k]
        two = len(values) == 2
        for i in (1,) if two else range(len(values)):
            full = name if two else f"{name}.{values[i]}"
            if effect.reasons[i]:
                skipped[full] = effect.reasons[i]
                continue
            vector = effect.vectors[i].astype(np.float32)
            scale = float((latents @ vector).std())
            share, gap = scale**2 / max(total, 1e-300), effect.gaps[i] / max(scale, 1e-12)
            entries.append(Direction(full, source, vector, scale, share, (), float(gap), values if two else ()))
    return entries, skipped
