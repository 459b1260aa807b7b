"""A trained generator with its card: on disk a folder of weights.safetensors, card.json and README.md."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save as to_bytes
from torch import nn

from augury.cards import README, Background
from augury.errors import DataError, RunFolderError, SettingsError
from augury.files import DAMAGE, atomic_folder, read_json, write_json, write_text
from augury.images import AnyImages, Codes, Images, SyntheticImages, as_images
from augury.networks import KEEP, build_generator, shares
from augury.notebook import SHOWN, panel, strip, table
from augury.randomness import image_noise
from augury.training.batches import as_float, as_uint8
from augury.training.card import Card, Labels
from augury.training.checkpoints import read as read_tensors
from augury.training.condition_codes import cell_codes_of, change_codes, changes_between
from augury.training.devices import placed
from augury.training.fixed_batches import in_fixed_batches, waves
from augury.training.latent import mixed, walk
from augury.training.protocols import Generator, Styled, Translator
from augury.training.readme import readme

WEIGHTS, SHA256 = "weights.safetensors", "weights_sha256"
"""The file of the weights, and the name of its checksum in card.json."""


def synthesizer_folder(path: str | os.PathLike[str]) -> Path:
    """Find the synthesizer's folder.

    Parameters
    ----------
    path
        A run folder, or the synthesizer's folder itself.

    Returns
    -------
    The folder; it need not exist.
    """
    inner = Path(path) / "synthesizer"
    return inner if inner.exists() else Path(path)


class Synthesizer:
    """A trained generator or translator; `translates` is True for a translator, `prompted` for a pretrained pipeline.

    A generator draws images with `sample(labels, seed=…)`. A translator changes images with `translate(images, changes)`.
    `fingerprint` identifies weights and card together. In a notebook it shows its first image of each class.

    Examples
    --------
    >>> synthesizer = augury.Synthesizer.load("runs/photos")
    >>> synthesizer.sample(["bag"] * 50, seed=7)
    SyntheticImages(50 images, 1×28×28, 50 accepted, 10 classes, seed 7, synthesizer 2f1c0e3b9d4a5f60)
    """

    def __init__(self, card: Card, generator: nn.Module) -> None:
        self.card = card
        self.latent = cast(Generator | Translator, generator).latent
        self.translates = bool(getattr(generator, "translates", False))
        self.prompted = bool(getattr(generator, "prompted", False))
        self.generator = generator.eval().requires_grad_(False).float()
        self.weights = to_bytes({k: v.cpu().contiguous() for k, v in sorted(generator.state_dict().items())})
        self.fingerprint = hashlib.sha256(self.weights + repr(sorted(asdict(card).items())).encode()).hexdigest()[:16]

    def __repr__(self) -> str:
        card = self.card
        facts = ["translator" if self.translates else "generator", card.recipe, "×".join(map(str, card.shape))]
        facts += [f"{len(card.classes):,} classes"]
        facts += [f"conditions {', '.join(card.condition_names)}"] if card.condition_names else []
        return (
            f"Synthesizer({', '.join(facts)}, {card.steps:,} steps, seed {card.seed}, fingerprint {self.fingerprint})"
        )

    def _repr_html_(self) -> str:
        rows = [[name, len(values), ", ".join(values[:SHOWN])] for name, values in self.card.columns]
        head = ["condition", "values", "first values"]
        if self.translates or self.prompted:  # a pipeline takes too long for a panel
            return panel(repr(self), table(rows, head))
        shown = np.zeros((min(SHOWN, len(self.card.classes)), len(rows)), np.int64)
        shown[:, 0] = np.arange(len(shown))
        pictures = strip(self.sample(shown).images, ", ".join(self.card.classes[: len(shown)]))
        return panel(repr(self), pictures, table(rows, head))

    def sample(
        self,
        labels: Labels,
        *,
        seed: int = 0,
        start: int = 0,
        indices: Codes | Sequence[int] | None = None,
        truncation: float = 1.0,
    ) -> SyntheticImages:
        """Draw one image for each label.

        Image i has its own noise from (seed, start + i), or from (seed, indices[i]). It has the same bytes whether drawn
        alone or with others.

        Parameters
        ----------
        labels
            Class names or codes [N], or conditions int64 [N, K] with attributes.
        seed
            Seed of the noise.
        start
            Index of the first image, where `indices` is None.
        indices
            int64 [N], the index of each image.
        truncation
            In (0, 1]; below 1 it shrinks the noise, which gives more typical and less varied images.

        Returns
        -------
        The images with their conditions and indices.

        Raises
        ------
        DataError
            For a class or attribute value that the generator was not trained on.
        SettingsError
            For a translator, a truncation out of range, or one below 1 for a pretrained pipeline.
        """
        conditions, indices = self._resolved(labels, start, indices)
        if not 0 < truncation <= 1:
            raise SettingsError(f"truncation is {truncation}, but must lie above 0 and at most at 1")
        if truncation != 1:
            self.need_latent_space("truncation")
        images = self._draw(conditions, indices, partial(self._noise, seed), truncation)
        return SyntheticImages(
            images, conditions, self.card.condition_names, self.card.classes, seed, indices, self.fingerprint
        )

    def translate(
        self,
        images: AnyImages,
        changes: Codes,
        *,
        seed: int = 0,
        indices: Codes | Sequence[int] | None = None,
    ) -> Images:
        """Change the class or an attribute of each image.

        Parameters
        ----------
        images
            uint8 [N, C, H, W] or a set of images, of the shape that the translator was trained on.
        changes
            int64 [N, K]: in each row the code of the class (column 0) or attribute value to reach, and KEEP (-1) in the
            columns to leave as they are. With KEEP everywhere the image passes through unchanged apart from traces
            of the network.
        seed, indices
            Image i takes its noise from (seed, indices[i]) where the translator uses noise. An image has the same
            bytes alone or among others.

        Returns
        -------
        uint8 [N, C, H, W].

        Raises
        ------
        SettingsError
            For a generator that draws from noise.
        DataError
            For images of another shape or number, and for codes out of range.
        """
        if not self.translates:
            raise SettingsError("this generator draws from noise and cannot translate images; use sample")
        images = as_images(images)
        conditions = np.asarray(changes, np.int64)
        sizes = np.array(self.card.cardinalities)
        if (
            conditions.ndim != 2
            or conditions.shape[1] != len(sizes)
            or ((conditions < KEEP) | (conditions >= sizes)).any()
        ):
            raise DataError(
                f"changes must be int64 [N, {len(sizes)}], each from {KEEP} (keep) to below {sizes.tolist()}, for the columns "
                f"{', '.join(('label', *self.card.condition_names))}"
            )
        if images.shape != (len(conditions), *self.card.shape):
            raise DataError(
                f"images have shape {list(images.shape)}, but {len(conditions)} changes of this translator need "
                f"{[len(conditions), *self.card.shape]}"
            )
        at = np.arange(len(conditions), dtype=np.int64) if indices is None else np.asarray(indices, np.int64)
        if len(at) != len(conditions):
            raise DataError(f"{len(conditions)} images but {len(at)} indices; give one index per image")
        device = next(self.generator.parameters()).device
        translated = np.empty_like(images)
        for rows in waves(at):
            inputs = [as_float(images[rows], device), torch.from_numpy(conditions[rows]).to(device)]
            if self.latent:
                inputs.append(torch.from_numpy(image_noise(seed, at[rows], self.latent)).to(device))
            if self.prompted:
                translated[rows] = as_uint8(self.generator(*inputs))
            else:
                translated[rows] = as_uint8(in_fixed_batches(self.generator, at[rows], *inputs))
        return translated

    def changes(self, sources: Codes, targets: Codes) -> Codes:
        """int64 [N, K] for `translate`, from the conditions int64 [N, K] of images and of their translations.

        KEEP where both agree. The prompt of a pretrained pipeline describes the result, so there the targets themselves.
        """
        return targets if self.prompted else changes_between(sources, targets)

    @property
    def chunk(self) -> int:
        """Images to draw between two reports of progress: few for a pretrained pipeline, which is slow."""
        return 8 if self.prompted else 1024

    def need_latent_space(self, what: str) -> None:
        """Raise SettingsError for a pretrained pipeline, whose noise is only a seed. `what` is what moves in that space."""
        if self.prompted:
            raise SettingsError(
                f"{what} moves in a latent space, but the recipe {self.card.recipe} draws each image from a seed; leave it out"
            )

    def decode(
        self,
        noise: npt.NDArray[np.float32],
        labels: Labels,
        *,
        indices: Codes | Sequence[int] | None = None,
        truncation: float = 1.0,
    ) -> Images:
        """The images uint8 [N, C, H, W] of `noise` float32 [N, Z].

        `labels` are as in `sample`, and so is the noise that it draws. With the same `indices` (0 … N - 1 by default) an
        image has the same bytes alone or with others. Raises DataError when noise and labels do not fit.
        """
        conditions, indices = self._resolved(labels, 0, indices)
        if noise.shape != (len(conditions), self.latent):
            raise DataError(
                f"noise has shape {list(noise.shape)}, but {len(conditions)} labels of this generator need "
                f"[{len(conditions)}, {self.latent}]"
            )
        return self._draw(conditions, indices, lambda rows, _: noise[rows], truncation)

    def interpolate(
        self,
        labels: Labels,
        *,
        seed: int | Sequence[int] = 0,
        start: int = 0,
        indices: Codes | Sequence[int] | None = None,
        frames: int = 8,
        space: str | None = None,
    ) -> Images:
        """Interpolate between the images that `sample` draws of these labels.

        Each leg has `frames` frames including both ends: uint8 [(N − 1)(frames − 1) + 1, C, H, W]. `seed` may be one number
        per image.

        In space 'w' (with a mapping network) styles follow a straight line. In space 'z' noise turns on a sphere and
        conditions are blended. A mapping network's noise per pixel stays that of the first image. Without a mapping
        network, the ends of each leg are the images that `sample` draws.
        """
        self.need_latent_space("interpolation")
        conditions, indices = self._resolved(labels, start, indices)
        seeds = [seed] * len(indices) if isinstance(seed, int | np.integer) else list(seed)
        if len(seeds) != len(indices):
            raise DataError(f"{len(indices)} labels but {len(seeds)} seeds; give one seed, or one per label")
        noise = [image_noise(s, indices[[i]], self.latent) for i, s in enumerate(seeds)]
        hot = shares(torch.from_numpy(conditions), self.card.cardinalities).numpy()
        together = np.concatenate(noise) if noise else np.empty((0, self.latent), np.float32)
        return walk(self.generator, together, hot, indices, frames=frames, space=space)

    def mix(
        self,
        rows: Labels,
        columns: Labels,
        *,
        layers: str | Sequence[int] = "coarse",
        seed: int = 0,
        start: int = 0,
        indices: Codes | Sequence[int] | None = None,
    ) -> Images:
        """Draw the style-mixing table (Karras et al. 2019, figure 3), uint8 [R, C, channels, H, W].

        Image r of `rows` gets its coarse, middle or fine `layers` (or those given by number) from image c of `columns`. It
        keeps its own pixel noise.

        Rows have indices from `start` and columns the following ones, or both have `indices` [R + C]. Coarse layers paint
        grids up to 8, middle up to 32, fine beyond. For images up to 32 pixels each group is a third of the layers. Raises
        SettingsError for a generator without mapping network.
        """
        self.need_latent_space("style mixing")
        conditions, indices = self._resolved([*rows, *columns], start, indices)
        noise = image_noise(seed, indices, self.latent)
        return mixed(self.generator, noise, conditions, indices, rows=len(rows), layers=layers)

    def truncate(
        self,
        labels: Labels,
        values: Sequence[float] = (0, 0.25, 0.5, 0.75, 1),
        *,
        seed: int = 0,
        start: int = 0,
        indices: Codes | Sequence[int] | None = None,
    ) -> Images:
        """Draw each image as `sample` does, under each truncation: uint8 [N, len(values), C, H, W].

        At 1 it is the image itself, at 0 the typical image of its class. Below 0 it is the opposite, above 1 an
        exaggeration.
        """
        self.need_latent_space("truncation")
        conditions, indices = self._resolved(labels, start, indices)
        if not len(values) or not all(-2 <= value <= 2 for value in values):
            raise SettingsError(f"truncation values are {list(values)}, but must be one or more from -2 to 2")
        noise = partial(self._noise, seed)
        return np.stack([self._draw(conditions, indices, noise, value) for value in values], axis=1)

    def _noise(self, seed: int, rows: npt.NDArray[np.intp], indices: Codes) -> npt.NDArray[np.float32]:
        return image_noise(seed, indices[rows], self.latent)

    def _draw(
        self,
        conditions: Codes,
        indices: Codes,
        noise_of: Callable[[npt.NDArray[np.intp], Codes], npt.NDArray[np.float32]],
        truncation: float,
    ) -> Images:
        """conditions [N, K], indices [N] -> uint8 [N, C, H, W]. `noise_of` (some rows, all indices) makes the noise of
        LANES images at a time.
        """
        images = np.empty((len(conditions), *self.card.shape), np.uint8)
        device = next(self.generator.parameters()).device
        for rows in waves(indices):
            noise = torch.from_numpy(np.ascontiguousarray(noise_of(rows, indices))).to(device)
            codes = torch.from_numpy(conditions[rows]).to(device)
            if self.prompted:
                drawn = self.generator(noise, codes)
            elif isinstance(self.generator, Styled):  # truncation pulls styles to their mean instead of noise to 0
                drawn = in_fixed_batches(
                    partial(self.generator.truncated, truncation=truncation), indices[rows], noise, codes
                )
            else:
                drawn = in_fixed_batches(self.generator, indices[rows], truncation * noise, codes)
            images[rows] = as_uint8(drawn)
        return images

    def _resolved(self, labels: Any, start: int, indices: Codes | Sequence[int] | None) -> tuple[Codes, Codes]:
        """(conditions int64 [N, K], indices int64 [N]). Raises SettingsError for a translator."""
        if self.translates:
            raise SettingsError(
                "this synthesizer is a translator and draws nothing from noise; translate images with: augury translate RUN "
                "images/ --change ATTRIBUTE=VALUE -o out/ (in Python: translate)"
            )
        conditions = self.card.conditions(labels)
        if indices is None:
            indices = np.arange(start, start + len(conditions), dtype=np.int64)
        if len(indices) != len(conditions):
            raise DataError(f"{len(conditions)} labels but {len(indices)} indices; give one index per label")
        return conditions, np.asarray(indices, np.int64)

    def cell(self, label: str, attributes: Mapping[str, str] | None = None) -> list[int]:
        """The condition int [K] of a class and a value of each attribute; repeat it for `sample`. Raises DataError for an
        unknown or missing name or value.
        """
        return cell_codes_of(self.card.columns, {"label": label, **(attributes or {})})

    def changes_of(self, changes: Mapping[str, str], number: int = 1) -> Codes:
        """int64 [number, K] for `translate`, from the names of the values to reach.

        For example {"young": "no"}, or {"label": "woman"} for the class. Raises DataError for an unknown name or value.
        """
        return np.tile(np.array(change_codes(self.card.columns, changes), np.int64), (number, 1))

    def readme(self, background: Background | None = None) -> str:
        """The card as Markdown. `background` adds what the generator does not know: the name of its data, scores, a verdict."""
        return readme(
            self.card,
            translates=self.translates,
            parameters=sum(weight.numel() for weight in self.generator.parameters()),
            fingerprint=self.fingerprint,
            background=background,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the folder, atomically: weights.safetensors, card.json and README.md."""
        with atomic_folder(Path(path)) as folder:
            (folder / WEIGHTS).write_bytes(self.weights)
            write_json(folder / "card.json", {**asdict(self.card), SHA256: hashlib.sha256(self.weights).hexdigest()})
            write_text(folder / README, self.readme())

    @classmethod
    def load(cls, path: str | os.PathLike[str], device: torch.device | str = "cpu") -> Synthesizer:
        """Read a folder written by `save`, or a run folder; no code in it is executed. Raises RunFolderError when it is
        neither.
        """
        folder = synthesizer_folder(path)
        if not (folder / "card.json").exists():
            raise RunFolderError(f"{folder}: no card.json, so this is not a synthesizer; train one with: augury train")
        stored = read_json(folder / "card.json")
        weights = folder / WEIGHTS
        tensors, _ = read_tensors(weights)
        if stored.pop(SHA256, None) not in (None, hashlib.sha256(weights.read_bytes()).hexdigest()):
            raise RunFolderError(
                f"{weights}: its SHA-256 is not that of the card, so one of them was changed or is damaged; restore it from a "
                "copy, or delete the folder and run the same command again"
            )
        try:
            card = Card.from_dict(stored)
            _check_shapes(card, tensors, weights)
            generator = build_generator(card.network, card.settings, card.shape, card.cardinalities)
            generator.load_state_dict(tensors)
        except (*DAMAGE, RuntimeError) as error:
            raise RunFolderError(
                f"{folder}: card and weights do not fit this version ({error}); train again"
            ) from error
        return cls(card, placed(generator, device))


def _check_shapes(card: Card, tensors: Mapping[str, torch.Tensor], file: Path) -> None:
    """Raises RunFolderError unless the network of the card has the tensors of the file. It is built without memory for this."""
    if not tensors:
        return
    with torch.device("meta"):
        sketch = build_generator(card.network, card.settings, card.shape, card.cardinalities)
    needed = {name: list(tensor.shape) for name, tensor in sketch.state_dict().items()}
    present = {name: list(tensor.shape) for name, tensor in tensors.items()}
    if needed != present:
        name = next(name for name in sorted(needed | present) if needed.get(name) != present.get(name))
        raise RunFolderError(
            f"{file}: card and weights are of different networks ({name}: {present.get(name, 'missing')}, but the card needs "
            f"{needed.get(name, 'none')}); restore both from one copy, or train again"
        )
