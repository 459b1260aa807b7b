"""Drawing in batches of one size, each image at its own place, so that its bytes do not depend on its company."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from augury.images import Codes

LANES = 32
"""Images are always drawn in batches of this many, image i at place i mod LANES, so that its bytes do not depend on what
is drawn beside it: kernels may round differently for other batch sizes and places."""


@torch.inference_mode()
def in_fixed_batches(call: Callable[..., torch.Tensor], indices: Codes, *inputs: torch.Tensor) -> torch.Tensor:
    """`call` of inputs [N, …], which gives one row for each row, in batches of LANES with row n at place
    indices[n] mod LANES and zeros where nothing is asked; N at least 1."""
    made: list[torch.Tensor] = []
    order = waves(indices)
    for rows in order:
        at, places = torch.from_numpy(rows), torch.from_numpy(indices[rows] % LANES)
        batch = [values.new_zeros((LANES, *values.shape[1:])) for values in inputs]
        for full, values in zip(batch, inputs, strict=True):
            full[places] = values[at]
        made.append(call(*batch)[places])
    return torch.cat(made)[torch.from_numpy(np.argsort(np.concatenate(order)))]


def waves(indices: Codes) -> list[npt.NDArray[np.intp]]:
    """Row numbers grouped into draws in which no two indices share a place."""
    found: list[list[int]] = []
    depth = [0] * LANES
    for row, place in enumerate((indices % LANES).tolist()):
        if depth[place] == len(found):
            found.append([])
        found[depth[place]].append(row)
        depth[place] += 1
    return [np.array(wave) for wave in found]
