"""The card of a classifier: all that is needed to rebuild and to audit it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from augury.errors import RunFolderError
from augury.files import read_json, readable

FORMAT = 2
"""Version of the card. A card of another version is refused."""
CARD, WEIGHTS, README, MODEL = "card.json", "weights.safetensors", "README.md", "model.onnx"
"""Files of a stored classifier."""
LICENCE = "The classifier is subject to the licence and consent terms of its training images."
TUPLES = ("shape", "classes", "remarks")


@dataclass(frozen=True)
class ClassifierCard:
    """Plain JSON without times, so that the same run gives the same card.

    Attributes
    ----------
    blueprint
        What an untrained network is built from; see `augury.prediction.networks.rebuild`.
    shape, classes
        C, H, W of the images, and the names of the classes in the order of the probabilities.
    temperature
        Divides the logits (Guo et al. 2017).
    novelty
        {neighbours, limits: {features, appearance}, share, references, validation, features, flagged: {test, noise, plain}}: the
        two distances to the training images from which an image counts as unlike them. `share` of the validation images do.
    arm
        {name, note, ratio, by: "validation" or "verdict", why, scores: {arm: value by which it was chosen}, metric: its name}.
    training
        {images, synthetic, steps, batch, rate, decay, seed, device, precision}.
    data
        {source, fingerprint, counts: {split: one number per class}, reading: {fit, window, stretch, transparency},
        notes: {resizing, colour, …}}.
    test
        What `measured` says about the test split.
    calibration
        {validation: number of images, before, after: expected calibration error on the test split}.
    operating_point
        What `detection` says about the threshold of a run whose metric is sensitivity; empty for others.
    outcome
        The outcome of the trial, for readers of the card.
    remarks
        Sentences about the choice of the arm and the limits of the numbers.
    """

    blueprint: dict[str, Any]
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    temperature: float
    novelty: dict[str, Any]
    arm: dict[str, Any]
    training: dict[str, Any]
    data: dict[str, Any]
    test: dict[str, Any]
    calibration: dict[str, Any]
    operating_point: dict[str, Any] = field(default_factory=dict)
    outcome: str = ""
    remarks: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    weights_sha256: str = ""
    preprocessing: str = "uint8 images [N, C, H, W]; value / 127.5 - 1"
    licence_note: str = LICENCE
    format: int = FORMAT

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {name: list(value) if name in TUPLES else value for name, value in asdict(self).items()}

    @classmethod
    def read(cls, path: Path) -> ClassifierCard:
        """Read a card. Raises RunFolderError when it is damaged, incomplete or of another version."""
        stored = read_json(path)
        if not isinstance(stored, dict) or "temperature" not in stored:
            raise RunFolderError(
                f"{path}: this is no card of a classifier; give a run folder, or its folder classifier/"
            )
        if stored.get("format") != FORMAT:
            raise RunFolderError(
                f"{path}: a card of format {stored.get('format')}, but this version of Augury reads format {FORMAT}; write it again "
                "with: augury run -o RUN"
            )
        names = {each.name for each in fields(cls)}
        lacking = sorted(names - stored.keys())
        if lacking:
            raise RunFolderError(f"{path}: {', '.join(lacking)} missing; write it again with: augury run -o RUN")
        with readable(path):
            values: dict[str, Any] = {
                name: tuple(value) if name in TUPLES else value for name, value in stored.items() if name in names
            }
            card = cls(**values)
            card.check(path)
        return card

    def check(self, path: Path) -> None:
        """Raise RunFolderError when values are not of their kind, which a predictor would stumble over."""
        limits = self.novelty.get("limits", {})
        numbers = (self.temperature, self.novelty.get("neighbours"), limits.get("features"), limits.get("appearance"))
        sides = len(self.shape) == 3 and all(isinstance(side, int) and side > 0 for side in self.shape)
        named = len(self.classes) > 1 and all(isinstance(name, str) for name in self.classes)
        described = isinstance(self.blueprint, dict)
        if not (
            described
            and sides
            and named
            and all(isinstance(n, int | float) and n >= 0 for n in numbers)
            and self.temperature > 0
        ):
            raise RunFolderError(
                f"{path}: shape, classes, temperature or novelty do not describe a classifier, so the card was changed; write it "
                "again with: augury run -o RUN"
            )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.shape[1], self.shape[2]
