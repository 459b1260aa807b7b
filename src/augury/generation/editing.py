"""Edit images along directions of the latent space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from augury.errors import SettingsError
from augury.generation.directions import Directions
from augury.images import Images
from augury.training import LatentImages, LatentSpace, Synthesizer
from augury.training.card import Labels

FARTHEST = 20.0
"""Largest edit in steps; a step is one standard deviation."""


def edit(
    synthesizer: Synthesizer,
    directions: Directions,
    edits: Mapping[str, float | tuple[float, float]],
    source: Labels | LatentImages,
    *,
    frames: int = 5,
    seed: int = 0,
    start: int = 0,
    truncation: float = 1.0,
) -> Images:
    """Move images along directions of the latent space, all edits together.

    Parameters
    ----------
    synthesizer
        The generator.
    directions
        Its directions, as `find_directions` finds them.
    edits
        Name of a direction -> steps to move, where a step is one standard deviation; or (from, to). A single number leads
        from the image itself, so the first frame is that image.
    source
        Labels of images to draw, as for `Synthesizer.sample`; or points of the latent space, such as `Projection.points`.
    frames
        Images of each row, at even distances and including both ends.
    seed, start
        Seed and first index of drawn images.
    truncation
        From -2 to 2, as for `Synthesizer.truncate`. It moves the points towards the centre of their condition before the edits.

    Returns
    -------
    uint8 [N, frames, C, H, W].

    Raises
    ------
    SettingsError
        For an unknown direction, an edit out of range, and directions of another generator.

    Examples
    --------
    >>> edit(synthesizer, directions, {"pose": 2, "pca0": -1.5}, ["face"] * 4, seed=7).shape
    (4, 5, 1, 64, 64)
    """
    if directions.synthesizer != synthesizer.fingerprint:
        raise SettingsError(
            f"the directions are those of the generator {directions.synthesizer}, but this one is "
            f"{synthesizer.fingerprint}; find them again with find_directions"
        )
    if frames < 2:
        raise SettingsError(f"{frames} frames requested, but an edit needs at least 2: its start and its end")
    space = LatentSpace(synthesizer)
    if isinstance(source, LatentImages):
        points = source
    else:
        conditions = synthesizer.card.conditions(source)
        points = space.drawn(conditions, np.arange(start, start + len(conditions), dtype=np.int64), seed)
    points = space.truncated(points, truncation)
    each = shifts(directions, edits, frames, space.layers, space.size)
    return np.stack([space.images(points, shift) for shift in each], axis=1)


def shifts(
    directions: Directions,
    edits: Mapping[str, float | tuple[float, float]],
    frames: int,
    layers: int,
    size: int,
) -> npt.NDArray[np.float32]:
    """The displacement of every frame, float32 [frames, L], or [frames, layers, L] where some edits move some layers only."""
    if not edits:
        raise SettingsError("nothing to edit; give at least one direction and its steps, such as --edit pca0=2")
    chosen = {name: directions.resolve(name) for name in edits}
    some = any(direction.layers for direction, _ in chosen.values())
    total = np.zeros((frames, layers, size) if some else (frames, size), np.float32)
    for name, amount in edits.items():
        direction, sign = chosen[name]
        low, high = amount if isinstance(amount, tuple) else (0.0, amount)
        if not all(-FARTHEST <= value <= FARTHEST for value in (low, high)):
            raise SettingsError(
                f"the edit {name} goes from {low:g} to {high:g} steps, but must lie from {-FARTHEST:g} to {FARTHEST:g}; "
                "a step is one standard deviation"
            )
        steps = np.linspace(low, high, frames, dtype=np.float64) * sign * direction.scale
        moved = (steps[:, None] * direction.vector).astype(np.float32)
        if not some:
            total += moved
        else:
            at: Sequence[int] = direction.layers or range(layers)
            total[:, list(at)] += moved[:, None]
    return total
