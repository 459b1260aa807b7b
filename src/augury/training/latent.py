"""Interpolation between images and style mixing, in the noise of any generator and in the styles of a mapping network."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from augury.errors import SettingsError
from augury.images import Codes, Images
from augury.training.batches import as_uint8
from augury.training.fixed_batches import in_fixed_batches
from augury.training.protocols import Styled

Noise = npt.NDArray[np.float32]
LAYERS = {"coarse": (0, 8), "middle": (8, 32), "fine": (32, 2**31)}
"""Group of layers -> the sides of their grids, above the first and up to the second (Karras et al. 2019, figure 3)."""


def slerp(a: Noise, b: Noise, t: Noise) -> Noise:
    """Interpolate on the arc from a to b, at even angles.

    The formula is sin((1 − t)θ)/sin θ · a + sin(tθ)/sin θ · b (Shoemake 1985; for the noise of generators White 2016).
    Where a and b are parallel the path is a straight line.

    Parameters
    ----------
    a, b
        float32 [N, D].
    t
        float32 [N], from 0 (a) to 1 (b).

    Returns
    -------
    float32 [N, D].
    """
    p, q = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(p, axis=1) * np.linalg.norm(q, axis=1)
    angle = np.arccos(np.clip((p * q).sum(1) / np.maximum(lengths, 1e-300), -1, 1))
    sine, along = np.sin(angle), t.astype(np.float64)
    bent = sine > 1e-6
    divisor = np.where(bent, sine, 1.0)
    first = np.where(bent, np.sin((1 - along) * angle) / divisor, 1 - along)
    second = np.where(bent, np.sin(along * angle) / divisor, along)
    return (first[:, None] * p + second[:, None] * q).astype(np.float32)


def layers_of(chosen: str | Sequence[int], sides: Sequence[int]) -> list[int]:
    """The layers of a group, or those given by number. Layer i paints a grid with short side sides[i].

    Coarse layers have grids up to 8, middle layers up to 32, fine layers beyond (Karras et al. 2019, figure 3). Images up
    to 32 pixels have no layers beyond 32. Their groups are the first, second and last third of the layers.
    """
    if not isinstance(chosen, str):
        if any(not 0 <= layer < len(sides) for layer in chosen):
            raise SettingsError(f"layers are {list(chosen)}, but this generator's are 0 to {len(sides) - 1}")
        return sorted(set(chosen))
    if chosen not in LAYERS:
        raise SettingsError(f"there are no layers '{chosen}'; choose {', '.join(LAYERS)}, or numbers from 0 on")
    low, high = LAYERS[chosen]
    if max(sides) > LAYERS["fine"][0]:
        return [layer for layer, side in enumerate(sides) if low < side <= high]
    third = list(LAYERS).index(chosen)
    return [int(layer) for layer in np.array_split(np.arange(len(sides)), 3)[third]]


def walk(
    generator: nn.Module, noise: Noise, shares: Noise, indices: Codes, *, frames: int, space: str | None
) -> Images:
    """Interpolate from each image to the next: uint8 [(N − 1)(frames − 1) + 1, C, H, W].

    The inputs are noise [N, Z] and shares of conditions [N, V] (see `ConditionEmbedding`). Both ends of a leg are drawn at
    the batch position of their index. In space 'z' the noise follows an arc and the condition is blended; in 'w' styles
    follow a straight line. Noise per pixel stays that of the first image.
    """
    styled = isinstance(generator, Styled)
    space = space or ("w" if styled else "z")
    if space not in ("z", "w") or (space == "w" and not styled):
        raise SettingsError(
            f"space is '{space}', but must be z, or w for a mapping network (train with recipe stylegan)"
        )
    if frames < 2 or len(noise) < 2:
        raise SettingsError(f"{frames} frames through {len(noise)} images are not a walk; give at least 2 of each")
    device = next(generator.parameters()).device
    leg, step = np.divmod(np.arange((len(noise) - 1) * (frames - 1) + 1), frames - 1)
    after, t, positions = (
        np.minimum(leg + 1, len(noise) - 1),
        (step / (frames - 1)).astype(np.float32),
        indices[leg] + step,
    )
    weight = torch.from_numpy(t)[:, None].to(device)
    frozen = np.repeat(noise[:1], len(leg), axis=0)
    if isinstance(generator, Styled) and space == "w":
        w = first_styles(generator, indices, *_on(device, noise, shares))
        straight = torch.lerp(w[leg], w[after], weight)
        return as_uint8(in_fixed_batches(partial(painted, generator), positions, straight, *_on(device, frozen)))
    turning = generator.mapped if isinstance(generator, Styled) else noise.shape[1]
    frozen[:, :turning] = slerp(noise[leg, :turning], noise[after, :turning], t)
    turned, blends = _on(device, frozen, shares)
    return as_uint8(in_fixed_batches(generator, positions, turned, torch.lerp(blends[leg], blends[after], weight)))


def mixed(
    generator: nn.Module, noise: Noise, conditions: Codes, indices: Codes, *, rows: int, layers: str | Sequence[int]
) -> Images:
    """Mix styles: images uint8 [rows, N − rows, C, H, W].

    Each of the first `rows` images gets its styles in `layers` from each of the other images (Karras et al. 2019, section
    3.1). Noise per pixel stays that of the row.
    """
    if not isinstance(generator, Styled):
        raise SettingsError(
            "style mixing needs a mapping network, and this generator has none; train with recipe stylegan"
        )
    if not 0 < rows < len(noise):
        raise SettingsError(f"{rows} rows and {len(noise) - rows} columns are not a table; give at least 1 of each")
    chosen = layers_of(layers, generator.sides)
    pixels, codes = _on(next(generator.parameters()).device, noise, conditions)
    w = first_styles(generator, indices, pixels, codes)
    a, b = (cells.ravel() for cells in np.meshgrid(np.arange(rows), np.arange(rows, len(noise)), indexing="ij"))

    def paint(own: torch.Tensor, other: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        styles = [other if layer in chosen else own for layer in range(len(generator.sides))]
        return generator.synthesise(torch.stack(styles).transpose(0, 1), pixels)

    images = as_uint8(in_fixed_batches(paint, indices[a], w[a], w[b], pixels[a]))
    return images.reshape(rows, len(noise) - rows, *images.shape[1:])


def first_styles(generator: Styled, indices: Codes, noise: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
    """noise [N, Z], conditions [N, K] -> w [N, L], computed at the batch positions of `indices` as in drawing."""
    return in_fixed_batches(lambda *batch: generator.styles(*batch)[:, 0], indices, noise, conditions)


def painted(generator: Styled, w: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """w [N, L], the same for all layers; noise [N, Z] -> images [N, C, H, W]."""
    return generator.synthesise(w[:, None].expand(-1, len(generator.sides), -1), noise)


def _on(device: torch.device, *arrays: npt.NDArray[Any]) -> list[torch.Tensor]:
    return [torch.from_numpy(np.ascontiguousarray(values)).to(device) for values in arrays]
