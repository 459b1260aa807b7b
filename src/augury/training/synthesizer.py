"""A trained generator with its card: on disk a folder of weights.safetensors and card.json."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save as to_bytes
from torch import nn

from augury.errors import DataError, RunFolderError, SettingsError
from augury.files import atomic_folder, read_json, write_json
from augury.images import Codes, Images, SyntheticImages
from augury.networks import build_generator
from augury.randomness import image_noise
from augury.training.batches import as_uint8
from augury.training.checkpoints import load as load_tensors
from augury.training.devices import placed

LANES = 32
"""Images are always drawn in batches of this many, image i at place i mod LANES, so that its bytes do not depend on what
is drawn beside it: kernels may round differently for other batch sizes and places."""


@dataclass(frozen=True)
class Card:
    """Enough to rebuild a generator and to audit it; plain JSON, and free of times so that the same run gives the same card."""

    network: str
    settings: dict[str, Any]
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    condition_names: tuple[str, ...]
    condition_values: tuple[tuple[str, ...], ...]
    data_fingerprint: str
    recipe: str
    seed: int
    steps: int
    batch: int
    precision: str
    versions: dict[str, str] = field(default_factory=dict)
    licence_note: str = "The images drawn inherit whatever limits the training images' licence and consent set."


class Synthesizer:
    """Draws images: `sample(labels, seed=…)`. `fingerprint` names weights and card together."""

    def __init__(self, card: Card, generator: nn.Module) -> None:
        self.card = card
        self.latent = int(generator.latent)  # type: ignore[arg-type]
        self.generator = generator.eval().requires_grad_(False).float()
        self.weights = to_bytes({k: v.cpu().contiguous() for k, v in sorted(generator.state_dict().items())})
        self.fingerprint = hashlib.sha256(self.weights + repr(sorted(asdict(card).items())).encode()).hexdigest()[:16]

    def sample(
        self,
        labels: npt.NDArray[np.int64] | list[int] | list[str] | list[list[int]],
        *,
        seed: int = 0,
        start: int = 0,
        indices: Codes | None = None,
        truncation: float = 1.0,
    ) -> SyntheticImages:
        """Draw one image for each label: class names or codes [N], or conditions int64 [N, K] with attributes.

        Image i has its own noise from (seed, start + i), or from (seed, indices[i]): drawing it alone or among others
        gives the same bytes. `truncation` below 1 shrinks the noise: more typical, less varied.
        Raises DataError for a class or attribute value that the generator was not trained on.
        """
        conditions = self._conditions(labels)
        if indices is None:
            indices = np.arange(start, start + len(conditions), dtype=np.int64)
        if len(indices) != len(conditions):
            raise DataError(f"{len(conditions)} labels but {len(indices)} indices; give one index a label")
        if not 0 < truncation <= 1:
            raise SettingsError(f"truncation is {truncation}, but must lie above 0 and at most at 1")
        images = np.empty((len(conditions), *self.card.shape), np.uint8)
        for rows in _lanes(indices):
            images[rows] = self._draw(conditions[rows], indices[rows], seed, truncation)
        return SyntheticImages(
            images, conditions, self.card.condition_names, self.card.classes, seed, indices, self.fingerprint
        )

    @torch.inference_mode()
    def _draw(self, conditions: Codes, indices: Codes, seed: int, truncation: float) -> Images:
        device = next(self.generator.parameters()).device
        noise = np.zeros((LANES, self.latent), np.float32)
        asked = np.zeros((LANES, conditions.shape[1]), np.int64)
        places = indices % LANES
        noise[places] = image_noise(seed, indices, self.latent)
        asked[places] = conditions
        given = torch.from_numpy(noise).to(device), torch.from_numpy(asked).to(device)
        if hasattr(self.generator, "truncated"):  # a mapping network pulls its styles toward their average instead
            images = self.generator.truncated(*given, truncation)  # type: ignore[operator]
        else:
            images = self.generator(truncation * given[0], given[1])
        return as_uint8(images)[places]

    def _conditions(self, labels: Any) -> Codes:
        values = np.asarray(labels)
        if values.dtype.kind in "US":
            unknown = sorted(set(values.tolist()) - set(self.card.classes))
            if unknown:
                raise DataError(f"the generator has no class {unknown[0]!r}; it has: {', '.join(self.card.classes)}")
            values = np.array([self.card.classes.index(str(v)) for v in values])
        if values.ndim == 1:
            values = values[:, None]
        sizes = [len(self.card.classes), *map(len, self.card.condition_values)]
        if values.ndim != 2 or values.shape[1] != len(sizes) or values.dtype.kind not in "iu":
            names = ("label", *self.card.condition_names)
            raise DataError(
                f"labels of shape {list(np.shape(labels))} do not fit: this generator wants ({', '.join(names)}) as int [N, {len(names)}]"
            )
        if len(values) and ((values < 0).any() or (values >= np.array(sizes)).any()):
            raise DataError(
                f"conditions up to {values.max(0).tolist()} asked, but the generator knows only {sizes} values a column"
            )
        return values.astype(np.int64)

    def cell(self, label: str, attributes: Mapping[str, str] | None = None) -> list[int]:
        """The condition int [K] of a class and a value of each attribute that the generator was conditioned on, to be
        repeated for `sample`. Raises DataError for an unknown or missing name or value."""
        given = {"label": label, **(attributes or {})}
        names = ("label", *self.card.condition_names)
        if set(given) != set(names):
            raise DataError(
                f"given are {', '.join(given)}, but this generator wants one value each of: {', '.join(names)}"
            )
        codes = []
        for name, values in zip(names, (self.card.classes, *self.card.condition_values), strict=True):
            if given[name] not in values:
                raise DataError(f"the generator has no {name} {given[name]!r}; it has: {', '.join(values)}")
            codes.append(values.index(given[name]))
        return codes

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the folder, atomically."""
        with atomic_folder(Path(path)) as folder:
            (folder / "weights.safetensors").write_bytes(self.weights)
            write_json(folder / "card.json", asdict(self.card))

    @classmethod
    def load(cls, path: str | os.PathLike[str], device: torch.device | str = "cpu") -> Synthesizer:
        """Read a folder written by `save`; nothing in it is executed. Raises RunFolderError when it is not one."""
        folder = Path(path)
        if not (folder / "card.json").exists():
            raise RunFolderError(f"{folder}: no card.json, so this is no synthesizer; train one with: augury train")
        stored = read_json(folder / "card.json")
        try:
            tuples = {k: tuple(stored[k]) for k in ("shape", "classes", "condition_names")}
            card = Card(**{**stored, **tuples, "condition_values": tuple(map(tuple, stored["condition_values"]))})
            sizes = (len(card.classes), *map(len, card.condition_values))
            generator = build_generator(card.network, card.settings, card.shape, sizes)
            generator.load_state_dict(load_tensors(folder / "weights.safetensors")[0])
        except (KeyError, TypeError, RuntimeError) as error:
            raise RunFolderError(
                f"{folder}: card and weights do not fit this version ({error}); train again"
            ) from error
        return cls(card, placed(generator, device))


def _lanes(indices: Codes) -> list[npt.NDArray[np.intp]]:
    """Row numbers grouped into draws in which no two indices share a place."""
    waves: list[list[int]] = []
    depth = [0] * LANES
    for row, place in enumerate((indices % LANES).tolist()):
        if depth[place] == len(waves):
            waves.append([])
        waves[depth[place]].append(row)
        depth[place] += 1
    return [np.array(wave) for wave in waves]
