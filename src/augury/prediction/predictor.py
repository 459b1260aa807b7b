"""A trained classifier with its preprocessing, calibration and novelty threshold."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save as to_bytes
from torch import nn
from torch.nn import functional as F

from augury.errors import RunFolderError, TrainingError
from augury.files import atomic_folder, write_json
from augury.images import AnyImages, Images, LabelledImages
from augury.notebook import panel, table
from augury.prediction.card import CARD, MODEL, README, WEIGHTS, ClassifierCard
from augury.prediction.deployed import Deployed, features_and_logits, has_features
from augury.prediction.measuring import detection, measured
from augury.prediction.networks import Build, load_weights, rebuild
from augury.prediction.novelty import FLAGGED, Novelty, loaded, novelty_of
from augury.prediction.onnx import EXTRA, export_onnx, onnx_installed
from augury.prediction.predictions import LIMIT, Predictions
from augury.prediction.reading import read_images
from augury.prediction.readme import readme
from augury.proof.calibration import expected_calibration_error, fit_temperature
from augury.proof.operating_point import OperatingPoint
from augury.randomness import rng
from augury.training import checkpoints, placed

Floats = npt.NDArray[np.float64]
MOST_REFERENCES = 2000
"""Most training images that are stored as references of the distance."""
ODD = 100
"""Images of noise, and of one colour each, with which the card says how well the threshold works."""
BATCH = 64
COMMAND = "python -c \"import augury; augury.classifier('RUN').export_onnx('model.onnx')\""
NETWORK, NOVELTY = "network.", "novelty."
"""Beginnings of the names of stored tensors."""


class Predictor:
    """A trained classifier; on disk a folder of weights.safetensors, card.json and README.md.

    Examples
    --------
    >>> classifier = augury.classifier("runs/photos")
    >>> classifier.predict("new-photos/")
    Predictions(120 images, 10 classes, 2 unlike the training images)
    """

    def __init__(self, card: ClassifierCard, deployed: Deployed) -> None:
        self.card, self.deployed = card, deployed.eval().requires_grad_(False)

    def __repr__(self) -> str:
        card = self.card
        value, low, high = card.test["balanced_accuracy"]
        return (
            f"Predictor({card.arm['name']}, {'×'.join(map(str, card.shape))}, {len(card.classes):,} classes, balanced accuracy "
            f"{value:.3f} ({low:.3f} to {high:.3f}) on {card.test['n']:,} test images)"
        )

    def _repr_html_(self) -> str:
        rows = [[row["class"], row["test"], row["recall"]] for row in self.card.test["per_class"]]
        return panel(repr(self), table(rows, ["class", "test images", "recall"]))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the probabilities."""
        return self.card.classes

    def predict(
        self,
        images: AnyImages | str | os.PathLike[str],
        *,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Predictions:
        """Predict the classes of images.

        Parameters
        ----------
        images
            uint8 [N, C, H, W] or a set of images; or the path of an image, of a folder with images anywhere below it, or of any
            file that `augury.load` reads, with labels or without. They are brought to the classifier's size and colour as
            in training; `notes` of the result says how.
        on_progress
            Called with (images done, all images).

        Returns
        -------
        Predictions. Unreadable files are left out and listed in `skipped`.

        Raises
        ------
        DataError
            When there is no readable image.
        """
        read = read_images(images, self.card)
        logits, distance = scores(self.deployed, read.images, on_progress)
        return Predictions(
            _softmax(logits / self.card.temperature),
            self.classes,
            distance,
            read.names,
            read.truth,
            read.notes,
            read.skipped,
        )

    def export_onnx(self, path: str | os.PathLike[str]) -> None:
        """Write the classifier as ONNX, with preprocessing, calibration and distance in the graph; see `augury.prediction.onnx`.

        Raises
        ------
        MissingExtraError
            Without the packages of the extra onnx.
        TrainingError
            When the network uses operations that ONNX cannot express.
        """
        export_onnx(self.deployed, self.card.shape, Path(path))

    def save(self, folder: str | os.PathLike[str]) -> Predictor:
        """Write the folder, replacing an existing one; model.onnx only where the extra onnx is installed.

        Returns the predictor with the checksum of its weights in the card.
        """
        named = ((NETWORK, self.deployed.network), (NOVELTY, self.deployed.novelty))
        tensors = {start + name: value for start, part in named for name, value in part.state_dict().items()}
        content = to_bytes({name: value.cpu().contiguous() for name, value in sorted(tensors.items())})
        card = replace(self.card, weights_sha256=hashlib.sha256(content).hexdigest())
        with atomic_folder(Path(folder)) as temporary:
            (temporary / WEIGHTS).write_bytes(content)
            write_json(temporary / CARD, card.as_dict())
            (temporary / README).write_text(readme(card, self._try_onnx(temporary / MODEL)), encoding="utf-8")
        return Predictor(card, self.deployed)

    def _try_onnx(self, path: Path) -> str:
        """Write the ONNX file, or return why there is none and how to get it."""
        if not onnx_installed():
            return f"there is no model.onnx, because the extra onnx is not installed. To add it: `{EXTRA}`, then `{COMMAND}`."
        try:
            self.export_onnx(path)
        except TrainingError as error:
            return f"there is no model.onnx: {error}."
        return ""

    @classmethod
    def load(
        cls, folder: str | os.PathLike[str], device: torch.device | str = "cpu", *, build: Build | None = None
    ) -> Predictor:
        """Load a stored classifier. Nothing is unpickled or imported by name.

        Parameters
        ----------
        folder
            A run folder, or its folder classifier/.
        device
            Where to compute.
        build
            (channels, classes) -> the untrained network, for a classifier of your own network.

        Raises
        ------
        RunFolderError
            When a file is missing, damaged, or does not fit the others.
        """
        at = folder_of(folder)
        card = ClassifierCard.read(at / CARD)
        weights = _weights(at / WEIGHTS, card)
        if len(card.classes) not in {tensor.shape[0] for tensor in weights.values() if tensor.ndim}:
            raise RunFolderError(
                f"{at / CARD}: has {len(card.classes):,} classes, but the weights are of another number; use the weights and the card of "
                "one run"
            )
        where, limits = str(at / WEIGHTS), card.novelty["limits"]
        novelty = loaded(
            _of(NOVELTY, weights), (limits["features"], limits["appearance"]), int(card.novelty["neighbours"]), where
        )
        network = load_weights(
            rebuild(card.blueprint, card.shape, len(card.classes), build), _of(NETWORK, weights), where
        )
        return cls(card, placed(Deployed(network, card.temperature, novelty), device))


def _of(start: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors whose names begin like this, without it."""
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}


def folder_of(path: str | os.PathLike[str]) -> Path:
    """The folder of a classifier: `path` itself, or classifier/ in a run folder. Raises RunFolderError without one."""
    requested = Path(path)
    for folder in (requested, requested / "classifier"):
        if (folder / CARD).exists() and (folder / WEIGHTS).exists():
            return folder
    where = f"{requested}: no classifier is stored here"
    if (requested / "run.json").exists():
        note = requested / "classifier" / README
        if note.exists():
            raise RunFolderError(f"{where}: {note.read_text(encoding='utf-8').strip()}")
        raise RunFolderError(f"{where} yet; the run writes it after its trial: augury run -o {requested}")
    raise RunFolderError(f"{where}; give a run folder, or its folder classifier/ with {CARD} and {WEIGHTS}")


def finished(
    network: nn.Module,
    card: dict[str, Any],
    train: LabelledImages,
    validation: LabelledImages,
    test: LabelledImages,
    *,
    seed: int,
    point: OperatingPoint | None = None,
) -> Predictor:
    """Calibrate a trained network on validation, choose its novelty threshold there, and measure it once on the test split.

    Parameters
    ----------
    network
        Images [N, C, H, W] in [-1, 1] -> logits [N, K].
    card
        The other fields of `ClassifierCard`.
    train, validation, test
        The splits of real images.
    seed
        Determines which training images are references of the distance.
    point
        Class and specificity whose threshold the card gives; None for no threshold.
    """
    network.eval()
    rows = _references(train, seed)
    novelty = novelty_of(_outputs(network, train.images[rows])[0], torch.from_numpy(np.array(train.images[rows])))
    deployed = Deployed(network, 1.0, placed(novelty, _device(network)))
    _, logits, (cosine, look) = _outputs(network, validation.images, deployed.novelty)
    temperature = fit_temperature(validation.labels, logits)
    deployed.novelty = deployed.novelty.with_limits(cosine, look)
    test_logits, distance = scores(deployed, test.images)
    if not np.isfinite(test_logits).all():
        raise TrainingError(
            "the classifier gives no number for some test images; lower its learning rate (--set prove.learning_rates=0.001)"
        )
    before, after = _softmax(test_logits), _softmax(test_logits / temperature)

    def flagged(images: Images) -> float:
        return float((scores(deployed, images)[1] > LIMIT).mean())

    facts = {
        "neighbours": novelty.neighbours,
        "limits": dict(zip(("features", "appearance"), deployed.novelty.limits, strict=True)),
        "share": FLAGGED,
        "references": len(rows),
        "validation": len(validation),
        "features": "inputs of the last layer" if has_features(network) else "logits",
        "flagged": {
            "test": float((distance > LIMIT).mean()),
            "noise": flagged(rng(0, "novelty noise").integers(0, 256, (ODD, *train.shape), dtype=np.uint8)),
            "plain": flagged(_plain(train.shape)),
        },
    }
    calibration = {
        "validation": len(validation),
        "before": expected_calibration_error(test.labels, before),
        "after": expected_calibration_error(test.labels, after),
    }
    values: dict[str, Any] = {
        "shape": train.shape,
        "classes": train.classes,
        "temperature": temperature,
        "novelty": facts,
        "test": measured(test, after),
        "calibration": calibration,
    }
    if point is not None:
        values["operating_point"] = detection(validation, _softmax(logits / temperature), test, after, point)
    deployed.temperature = temperature
    return Predictor(ClassifierCard(**card, **values), deployed)


def _plain(shape: tuple[int, int, int]) -> Images:
    """ODD images of one colour each, uint8 [ODD, C, H, W]."""
    colours = rng(0, "novelty colours").integers(0, 256, (ODD, shape[0], 1, 1), dtype=np.uint8)
    return np.ascontiguousarray(np.broadcast_to(colours, (ODD, *shape)))


def _references(train: LabelledImages, seed: int) -> npt.NDArray[np.int64]:
    """At most MOST_REFERENCES rows of the train split; classes with few images keep all of theirs."""
    order = rng(seed, "novelty references").permutation(len(train))
    labels = train.labels[order]
    rank = np.empty(len(order), np.int64)
    for label in np.unique(labels):
        here = labels == label
        rank[here] = np.arange(here.sum())
    return np.sort(order[np.argsort(rank, kind="stable")][:MOST_REFERENCES])


@torch.inference_mode()
def scores(
    deployed: Deployed, images: Images, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[Floats, Floats]:
    """(logits float64 [N, K] before calibration, distance float64 [N]) of uint8 images [N, C, H, W] of the classifier's size."""
    parts = []
    for done, pixels in _batches(images, deployed.network):
        features, logits = features_and_logits(deployed.network, pixels)
        parts.append((logits.double().cpu(), deployed.novelty(features, pixels).double().cpu()))
        on_progress(done, len(images))
    return torch.cat([z for z, _ in parts]).numpy(), torch.cat([d for _, d in parts]).numpy()


def _batches(images: Images, network: nn.Module) -> Iterator[tuple[int, torch.Tensor]]:
    """(number of images so far, pixels of a batch on the device of the network)."""
    for start in range(0, len(images), BATCH):
        batch = np.array(images[start : start + BATCH])  # a copy, because files are mapped read-only
        yield start + len(batch), torch.from_numpy(batch).to(_device(network))


@torch.inference_mode()
def _outputs(network: nn.Module, images: Images, novelty: Novelty | None = None) -> tuple[torch.Tensor, Floats, Floats]:
    """(features [N, D] of length 1 on the CPU, logits float64 [N, K], the two distances of `novelty` float64 [2, N])."""
    none = torch.empty(2, 0)
    parts = []
    for _, pixels in _batches(images, network):
        features, logits = features_and_logits(network, pixels)
        away = none if novelty is None else torch.stack(novelty.distances(features, pixels))
        parts.append((features.cpu(), logits.double().cpu(), away.double().cpu()))
    distances = torch.cat([away for _, _, away in parts], dim=1)
    return torch.cat([f for f, _, _ in parts]), torch.cat([z for _, z, _ in parts]).numpy(), distances.numpy()


def _softmax(logits: Floats) -> Floats:
    return np.asarray(F.softmax(torch.from_numpy(logits), dim=1).numpy(), np.float64)


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


def _weights(path: Path, card: ClassifierCard) -> dict[str, torch.Tensor]:
    """The stored tensors. Raises RunFolderError for another file format, a damaged file, and one of another card."""
    if path.read_bytes()[:2] in (b"PK", b"\x80\x02", b"\x80\x04", b"\x80\x05"):
        raise RunFolderError(
            f"{path}: this is a pickle (as torch.save writes it), which can run any code when it is loaded, so it is refused; give "
            "weights in the format safetensors"
        )
    weights = checkpoints.read(path)[0]
    if hashlib.sha256(path.read_bytes()).hexdigest() != card.weights_sha256:
        raise RunFolderError(
            f"{path}: its SHA-256 is not that of the card, so one of them was changed; write both again with: augury run -o RUN"
        )
    return weights
