"""The latent space in which images are edited: w of a mapping network, codes of an autoencoder, else noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from augury.errors import RunFolderError, SettingsError
from augury.images import Codes, Images
from augury.networks import NETWORKS, build
from augury.randomness import image_noise, rng
from augury.training import checkpoints
from augury.training.batches import as_uint8
from augury.training.devices import placed
from augury.training.fixed_batches import in_fixed_batches
from augury.training.latent import first_styles, painted, slerp
from augury.training.protocols import Decoder, LinearEntry, Styled
from augury.training.synthesizer import Synthesizer

Vectors = npt.NDArray[np.float32]
PAIRS = 16
"""Pairs of images that `path_pairs` draws at a time."""


@dataclass(frozen=True)
class LatentImages:
    """Images as points of a latent space.

    `latents` are float32 [N, L], or [N, layers, L] with a style for each layer. `noise` float32 [N, Z] holds the noise per
    pixel of a generator with a mapping network. `conditions` are int64 [N, K] and `indices` int64 [N].
    """

    latents: Vectors
    noise: Vectors
    conditions: Codes
    indices: Codes

    def __len__(self) -> int:
        return len(self.latents)


class LatentSpace:
    """The latent space of a synthesizer: `name` is "w", "code" or "z", and a point has `size` numbers.

    Raises SettingsError for a translator and for a pretrained pipeline.
    """

    def __init__(self, synthesizer: Synthesizer) -> None:
        if synthesizer.translates:
            raise SettingsError(
                "this synthesizer is a translator, which has no latent space; train a generator, such as recipe stylegan"
            )
        synthesizer.need_latent_space("editing")
        self.synthesizer, self.generator = synthesizer, synthesizer.generator
        self.device = next(self.generator.parameters()).device
        self.decoder = cast(Decoder, self.generator) if isinstance(self.generator, Decoder) else None
        self.name = "w" if isinstance(self.generator, Styled) else "z" if self.decoder is None else "code"
        one = torch.zeros(1, synthesizer.latent, device=self.device)
        first = torch.zeros(1, len(synthesizer.card.cardinalities), dtype=torch.long, device=self.device)
        with torch.no_grad():
            self.size = int(self.of_noise(one, first).shape[1])

    @property
    def layers(self) -> int:
        """Number of style layers; 0 without a mapping network."""
        return len(self.generator.sides) if isinstance(self.generator, Styled) else 0

    @property
    def shaped(self) -> bool:
        """Whether training has shaped the distribution of drawn points: not where they are standard normal noise."""
        if self.name != "code":
            return self.name == "w"
        probe = torch.ones(1, self.size, device=self.device)
        codes = torch.zeros(1, len(self.synthesizer.card.cardinalities), dtype=torch.long, device=self.device)
        with torch.no_grad():
            return not torch.allclose(self.of_noise(probe, codes), probe, atol=1e-3)

    def of_noise(self, noise: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """noise [N, Z], or without the noise per pixel; conditions int64 [N, K] -> latents [N, L]."""
        if isinstance(self.generator, Styled):
            return self.generator.styles(noise, conditions)[:, 0]
        return noise if self.decoder is None else self.decoder.codes(noise, conditions)

    def render(self, latents: torch.Tensor, noise: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """Latents [N, L] or [N, layers, L], noise [N, Z], conditions [N, K] -> images float [N, C, H, W], with gradients."""
        if isinstance(self.generator, Styled):
            return (
                self.generator.synthesise(latents, noise)
                if latents.dim() == 3
                else painted(self.generator, latents, noise)
            )
        draw = self.generator if self.decoder is None else self.decoder.decode
        drawn: torch.Tensor = draw(latents, conditions)
        return drawn

    def sampled(self, number: int, seed: int, conditions: Codes | None = None) -> tuple[Vectors, Codes]:
        """Latents [number, L] of fresh noise and their conditions, which have all values equally often where not given."""
        if conditions is None:
            sizes = self.synthesizer.card.cardinalities
            random = rng(seed, "latents", "conditions")
            conditions = np.stack([random.permutation(np.arange(number) % n) for n in sizes], axis=1)
        width = self.generator.mapped if isinstance(self.generator, Styled) else self.synthesizer.latent
        noise = rng(seed, "latents", "noise").standard_normal((number, width), dtype=np.float32)
        with torch.inference_mode():
            codes = torch.from_numpy(conditions).to(self.device)
            latents = self.of_noise(torch.from_numpy(noise).to(self.device), codes)
        return latents.cpu().numpy(), conditions

    def drawn(self, conditions: Codes, indices: Codes, seed: int) -> LatentImages:
        """The points of the images that `Synthesizer.sample` draws of these conditions, indices and seed."""
        noise = image_noise(seed, indices, self.synthesizer.latent)
        inputs = torch.from_numpy(noise).to(self.device), torch.from_numpy(conditions).to(self.device)
        if isinstance(self.generator, Styled):
            latents = first_styles(self.generator, indices, *inputs)
        else:
            latents = in_fixed_batches(self.of_noise, indices, *inputs)
        return LatentImages(latents.cpu().numpy(), noise, conditions, indices)

    def truncated(self, points: LatentImages, truncation: float) -> LatentImages:
        """Move points to the centre of their condition, as `Synthesizer.truncate` does: centre + truncation · (point − centre).

        Raises SettingsError for a truncation out of range.
        """
        if not -2 <= truncation <= 2:
            raise SettingsError(f"truncation is {truncation:g}, but must lie from -2 to 2")
        if truncation == 1:
            return points
        codes = torch.from_numpy(points.conditions).to(self.device)
        with torch.inference_mode():
            if isinstance(self.generator, Styled):
                centres = self.generator.centres(codes)
            else:
                centres = self.of_noise(torch.zeros(len(codes), self.synthesizer.latent, device=self.device), codes)
            latents = torch.from_numpy(points.latents).to(self.device)
            centres = centres[:, None] if latents.dim() == 3 else centres
            moved = torch.lerp(centres.expand_as(latents), latents, truncation)
        return replace(points, latents=moved.cpu().numpy())

    def images(self, points: LatentImages, shift: Vectors | None = None) -> Images:
        """The images uint8 [N, C, H, W] of points, moved by `shift` [L] or [layers, L]."""
        latents = points.latents
        if shift is not None:
            latents = (latents[:, None] if latents.ndim == shift.ndim == 2 else latents) + shift
        moved, noise, codes = (
            torch.from_numpy(np.ascontiguousarray(values)).to(self.device)
            for values in (latents.astype(np.float32), points.noise, points.conditions)
        )
        return as_uint8(in_fixed_batches(self.render, points.indices, moved, noise, codes))

    def entry_weights(self, layers: Sequence[int]) -> Vectors:
        """Weights [D, L] by which a point enters the network: those of the style `layers`, or of the first layer.

        Raises SettingsError for a flow, whose noise is the image itself.
        """
        if isinstance(self.generator, Styled):
            weights = self.generator.style_weights(layers)
        elif isinstance(self.generator, LinearEntry):
            weights = self.generator.first_weights()
        else:
            raise SettingsError(
                f"factorisation needs a layer that is linear in the noise, and the recipe {self.synthesizer.card.recipe} has "
                "none; train with recipe stylegan, or with another GAN or autoencoder"
            )
        return np.ascontiguousarray(weights.detach().cpu().numpy(), np.float32)


class Encoder:
    """The encoder of an autoencoder's training: images float [N, C, H, W], conditions [N, K] -> codes [N, Z]."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network.eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, images: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """Codes [N, Z]; of a variational autoencoder, their means."""
        mean: torch.Tensor = self.network(images, conditions)[0]
        return mean


def encoder(synthesizer: Synthesizer, folder: Path) -> Encoder | None:
    """Load the encoder in the newest readable checkpoint of the training `folder` of a VAE or AE.

    It is the encoder of the last step, even where the decoder is an earlier, better one.

    Parameters
    ----------
    synthesizer
        The decoder.
    folder
        The training folder of its run.

    Returns
    -------
    The encoder; None where the network has none, and where no checkpoint can be read.
    """
    card = synthesizer.card
    if card.network not in NETWORKS or NETWORKS[card.network].encoder is None:
        return None
    try:
        stored = checkpoints.newest(folder)
    except RunFolderError:
        return None
    if stored is None:
        return None
    prefix = "encoder."
    state = {k.removeprefix(prefix): v for k, v in stored[0].items() if k.startswith(prefix)}
    network = build(card.network, card.settings, card.shape, card.cardinalities)[1]
    network.load_state_dict(state)
    return Encoder(placed(network, next(synthesizer.generator.parameters()).device))


def path_pairs(
    synthesizer: Synthesizer,
    conditions: Codes,
    *,
    epsilon: float = 1e-4,
    sampling: str = "full",
    space: str | None = None,
    seed: int = 0,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Draw pairs of images that lie `epsilon` apart on a path between two points (Karras et al. 2019, section 4.1).

    Both ends of a path have the same condition and the same noise per pixel.

    Parameters
    ----------
    synthesizer
        The generator.
    conditions
        int64 [N, K], one path for each row.
    epsilon
        Distance of the two images, as a share of the path.
    sampling
        "full": anywhere on the path. "end": at its start.
    space
        "w" (straight paths; the default with a mapping network) or "z" (arcs of noise).
    seed
        Seed of paths and positions.

    Yields
    ------
    Two batches float [n, C, H, W], about [-1, 1]. Together they have N pairs.

    Raises
    ------
    SettingsError
        For an unknown sampling or space, and for w without a mapping network.
    """
    of_latents = LatentSpace(synthesizer)
    styled = isinstance(synthesizer.generator, Styled)
    space = space or ("w" if styled else "z")
    if space not in ("w", "z") or (space == "w" and not styled):
        raise SettingsError(
            f"space is '{space}', but must be z, or w for a mapping network (train with recipe stylegan)"
        )
    if sampling not in ("full", "end"):
        raise SettingsError(f"sampling is '{sampling}', but must be full or end")
    if not 0 < epsilon <= 0.1:
        raise SettingsError(f"epsilon is {epsilon:g}, but must lie above 0 and at most at 0.1")
    numbers = np.arange(len(conditions), dtype=np.int64)
    t = rng(seed, "path", "positions").random(len(conditions)).astype(np.float32)
    t = t * (sampling == "full")
    for rows in np.array_split(numbers, max(1, -(-len(numbers) // PAIRS))):
        first, second = (image_noise(seed, 2 * rows + end, synthesizer.latent) for end in range(2))
        codes = torch.from_numpy(conditions[rows]).to(of_latents.device)
        ends = t[rows], t[rows] + np.float32(epsilon)
        yield _pair(of_latents, first, second, codes, ends, space)


@torch.inference_mode()
def _pair(
    space: LatentSpace,
    first: Vectors,
    second: Vectors,
    codes: torch.Tensor,
    ends: tuple[Vectors, Vectors],
    name: str,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The images at two positions of each path."""
    noise = torch.from_numpy(first).to(space.device)
    a, b = (space.of_noise(torch.from_numpy(x).to(space.device), codes) for x in (first, second))
    images = []
    for at in ends:
        if name == "w":
            latents = torch.lerp(a, b, torch.from_numpy(at)[:, None].to(space.device))
        else:
            turning = space.generator.mapped if isinstance(space.generator, Styled) else first.shape[1]
            arc = torch.from_numpy(slerp(first[:, :turning], second[:, :turning], at)).to(space.device)
            latents = space.of_noise(arc, codes)
        images.append(space.render(latents, noise, codes))
    return images[0], images[1]
