"""Directions, inversions and smoothness of a run's generator: what they take from the run folder and from image files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from augury import generation, metrics, training
from augury.data import coloured, files_below, pictures, skipped_lines
from augury.data.decoding.codecs import HEAD, is_image
from augury.data.decoding.resize import Fit
from augury.data.decoding.safety import head
from augury.errors import DataError, SettingsError
from augury.generation import Directions, Projection
from augury.images import Codes, Images, LabelledImages
from augury.metrics import Extractor, Score
from augury.metrics.own import FILE, classifier_of_run
from augury.networks import lite0_installed
from augury.pipeline.run_folder import Run
from augury.randomness import rng
from augury.training import Synthesizer
from augury.training.card import Card

FOLDER = "directions"
"""Folder of the stored directions in a run folder."""
LABELLED = 256
"""Most labelled images that are inverted."""
MODES = {1: "grey", 3: "colour"}
Progress = Callable[[int, int], None]


def run_of(source: str | os.PathLike[str]) -> Path:
    """The run folder of a path: itself, or the run whose synthesizer it is; a synthesizer of its own stays as it is."""
    path = Path(source)
    return path.resolve().parent if (path.resolve().parent / "run.json").exists() else path


def store_directions(
    source: str | os.PathLike[str],
    *,
    methods: Sequence[str] | None = None,
    number: int | None = None,
    layers: str | Sequence[int] = "coarse",
    images: str | os.PathLike[str] | LabelledImages | None = None,
    steps: int = 100,
    limit: int = LABELLED,
    seed: int = 0,
    device: str = "cpu",
    on_progress: Progress = lambda done, total: None,
) -> Directions:
    """Find directions of a run's generator, and store them in the run folder, directions/.

    Parameters
    ----------
    source
        A run folder, or the folder of a synthesizer.
    methods, number, layers, seed
        As for `generation.find_directions`.
    images
        Labelled images, or their path. They are inverted, so that there are directions of labels that the generator was not
        conditioned on. None: drawn images with their conditions; those of an unconditional generator are labelled by the run's
        classifier.
    steps
        Updates of each inversion. 0 takes the code of the encoder, for vae and ae.
    limit
        Most images that are inverted, chosen at random.
    device
        "cpu", "cuda", "mps" or "auto".
    on_progress
        Called with (images inverted, all images).

    Returns
    -------
    The directions.

    Raises
    ------
    SettingsError, DataError
        As `generation.find_directions` and `generation.project` do.
    """
    synthesizer, base = _opened(source, device), run_of(source)
    labelled = None
    if images is not None:
        data = images if isinstance(images, LabelledImages) else labelled_images(images, synthesizer.card)
        labelled = _inverted(base, synthesizer, data, steps, limit, seed, on_progress)
    directions = generation.find_directions(
        synthesizer,
        methods=methods,
        number=number,
        layers=layers,
        labelled=labelled,
        labeller=_labeller(base, synthesizer),
        seed=seed,
    )
    if (base / "run.json").exists():
        with Run(base).held():
            directions.save(base / FOLDER)
    else:
        directions.save(base / FOLDER)
    return directions


def directions_of(source: str | os.PathLike[str], synthesizer: Synthesizer) -> Directions:
    """The stored directions of a run, or those that `generation.find_directions` finds with its defaults."""
    folder = run_of(source) / FOLDER
    if folder.exists():
        return Directions.load(folder, synthesizer)
    return generation.find_directions(synthesizer, labeller=_labeller(run_of(source), synthesizer))


def features_of(source: str | os.PathLike[str], name: str, card: Card, device: torch.device) -> Extractor:
    """The features of this name for the images of a run; "auto" is lite0 where it is installed, else the run's classifier."""
    run = run_of(source)
    if name == "auto":
        name = "lite0" if lite0_installed() else "classifier" if (run / FILE).exists() else "pixels"
    if name == "classifier":
        name = f"classifier={run}"
    return metrics.extractor(name, card.shape, device)


def smoothness(
    source: str | os.PathLike[str],
    *,
    features: str = "auto",
    number: int = 500,
    epsilon: float = 1e-4,
    sampling: str = "full",
    space: str | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> Score:
    """Measure the perceptual path length of a run's generator.

    Parameters
    ----------
    source
        A run folder, or the folder of a synthesizer.
    features
        "lite0", "classifier" (that of the run), "pixels", or "auto": lite0 where it is installed, else the classifier.
    number
        Paths, spread over classes and attribute values.
    epsilon, sampling, space, seed
        As for `training.path_pairs`.
    device
        "cpu", "cuda", "mps" or "auto".

    Returns
    -------
    The score; lower is smoother.
    """
    synthesizer = _opened(source, device)
    extractor = features_of(source, features, synthesizer.card, training.choose_device(device))
    _, conditions = training.LatentSpace(synthesizer).sampled(number, seed)
    pairs = training.path_pairs(synthesizer, conditions, epsilon=epsilon, sampling=sampling, space=space, seed=seed)
    shown = space or ("w" if training.LatentSpace(synthesizer).name == "w" else "z")
    settings = f"sampling={sampling}, space={shown}"
    return metrics.perceptual_path_length(pairs, extractor, epsilon=epsilon, settings=settings, seed=seed)


@dataclass(frozen=True)
class Photos:
    """Photos uint8 [N, C, H, W] as a generator draws images, their names, and what was done to them."""

    images: Images
    names: tuple[str, ...]
    notes: tuple[str, ...]


def read_photos(paths: Sequence[str | os.PathLike[str]], card: Card, fit: Fit = "crop") -> Photos:
    """Read image files and bring them to the size and mode of a generator; every change is in the notes."""
    arrays, names, notes = [], [], []
    for path in map(Path, paths):
        data = _read(path, card, fit)
        notes += [f"{path}: {line}" for line in _changes(data, card)]
        arrays.append(coloured(data.images, card.shape[0]))
        names += list(data.names or [f"{path.name} {i}" for i in range(len(data))])
    return Photos(np.concatenate(arrays), tuple(names), tuple(notes))


def invert_photos(
    source: str | os.PathLike[str],
    synthesizer: Synthesizer,
    photos: Photos,
    *,
    label: str | None = None,
    attributes: Mapping[str, str] | None = None,
    space: str | None = None,
    features: str = "auto",
    steps: int = 300,
    seed: int = 0,
    pace: Callable[[float], float] = lambda share: share,
) -> Projection:
    """Invert photos with the features, and the encoder of a vae or ae, of a run; see `generation.project`.

    Parameters
    ----------
    source, synthesizer
        The run folder, or folder of a synthesizer, and its generator.
    photos
        From `read_photos`.
    label, attributes
        Class and attribute values of all photos; not needed with a mapping network.
    space, steps, seed, pace
        As for `generation.project`.
    features
        As for `smoothness`; "pixels" compares pixels alone.

    Returns
    -------
    The inverted photos.
    """
    device = next(synthesizer.generator.parameters()).device
    conditions = None
    if label is not None or attributes:
        cell = synthesizer.cell(label if label is not None else synthesizer.card.classes[0], attributes)
        conditions = np.array([cell] * len(photos.images), np.int64)
    extractor = features_of(source, features, synthesizer.card, device)
    return generation.project(
        synthesizer,
        photos.images,
        conditions,
        space=space,
        features=None if extractor.name == "pixels" else metrics.feature_map(extractor),
        encoder=training.encoder(synthesizer, run_of(source) / "train"),
        steps=steps,
        seed=seed,
        pace=pace,
    )


def labelled_images(path: str | os.PathLike[str], card: Card) -> LabelledImages:
    """Labelled images of any format, in the size and mode of a generator."""
    from augury.data import load

    data = load(path, size=card.shape[1:])
    images = coloured(np.asarray(data.images), card.shape[0])
    return LabelledImages(images, data.labels, data.classes, data.attributes, data.groups, fingerprint=data.fingerprint)


def _opened(source: str | os.PathLike[str], device: str) -> Synthesizer:
    return Synthesizer.load(training.synthesizer_folder(source), training.choose_device(device))


def _inverted(
    base: Path,
    synthesizer: Synthesizer,
    data: LabelledImages,
    steps: int,
    limit: int,
    seed: int,
    on_progress: Progress,
) -> tuple[generation.directions.Vectors, Codes, generation.directions.Columns]:
    """Latents of labelled images, their labels and the columns of these."""
    chosen = data.take(np.sort(rng(seed, "labelled").permutation(len(data))[:limit]))
    names = tuple(chosen.attributes)
    conditions = None
    if training.LatentSpace(synthesizer).name != "w":
        conditions = _conditions(chosen, synthesizer.card)
    encoder = training.encoder(synthesizer, base / "train")
    if steps == 0 and encoder is None:
        raise SettingsError(
            "an inversion without steps needs the encoder of a vae or ae, which is in the checkpoints of its run; give the run "
            "folder, or steps above 0"
        )
    projection = generation.project(
        synthesizer, chosen.images, conditions, encoder=encoder, steps=steps, seed=seed, on_progress=on_progress
    )
    columns = [("label", chosen.classes), *((name, chosen.attributes[name].values) for name in names)]
    return projection.points.latents, chosen.conditions(names), columns


def _conditions(data: LabelledImages, card: Card) -> Codes:
    """The conditions of images as a generator codes them, by the names of their values."""
    if lacking := [name for name in card.condition_names if name not in data.attributes]:
        raise DataError(
            f"the images have no attribute '{lacking[0]}', but the generator is conditioned on it; give images with that column"
        )
    own = {"label": (data.labels, data.classes)}
    own |= {name: (data.attributes[name].codes, data.attributes[name].values) for name in card.condition_names}
    columns = []
    for name, values in card.columns:
        codes, names = own[name]
        if max(len(values), 1) == 1:  # unconditional
            columns.append(np.zeros(len(data), np.int64))
            continue
        if unknown := sorted({names[c] for c in np.unique(codes)} - set(values)):
            raise DataError(f"the generator has no {name} {unknown[0]!r}; it has: {', '.join(values)}")
        columns.append(np.array([values.index(n) if n in values else -1 for n in names], np.int64)[codes])
    return np.stack(columns, axis=1)


def _labeller(
    base: Path, synthesizer: Synthesizer
) -> tuple[Callable[[Images], Codes], generation.directions.Columns] | None:
    """The run's classifier as a labeller, for a generator that is unconditional."""
    if len(synthesizer.card.cardinalities) > 1 or synthesizer.card.cardinalities[0] > 1 or not (base / FILE).exists():
        return None
    opinions = metrics.opinions(classifier_of_run(base, synthesizer.card.shape[0]))
    classes = tuple(Run(base).metadata["data"]["classes"])
    return lambda images: opinions(images).argmax(1).astype(np.int64)[:, None], [("label", classes)]


def _read(path: Path, card: Card, fit: Fit) -> LabelledImages:
    """The images of a file or folder in the size of a generator."""
    if path.is_dir() or (path.is_file() and is_image(path.name, lambda: head(path, HEAD))):
        return files_below(path, card.shape[1:], fit=fit, least=1)
    return pictures(path, size=card.shape[1:], fit=fit)


def _changes(data: LabelledImages, card: Card) -> list[str]:
    """What was done to images to fit a generator."""
    height, width = card.shape[1:]
    sizes = [name for name in data.notes.get("original_sizes", {}) if name != f"{height}x{width}"]
    notes = list(skipped_lines(data))
    if sizes:
        notes.append(
            f"{', '.join(sizes[:3])} (height x width) was brought to {height}x{width}, as the generator draws: {data.notes['resizing']}"
        )
    own, needed = data.images.shape[1], card.shape[0]
    if own != needed:
        notes.append(f"the image is {MODES[own]}, and the generator draws {MODES[needed]}: it was converted")
    return notes
