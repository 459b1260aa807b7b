"""Inference in batches of one size, each image at its own position, so that its bytes do not depend on the other images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from augury.images import Codes

LANES = 32
"""Batch size of all drawing. Image i is at position i mod LANES, so its bytes do not depend on the other images: kernels
may round differently for other batch sizes and positions."""


@torch.inference_mode()
def in_fixed_batches(call: Callable[..., torch.Tensor], indices: Codes, *inputs: torch.Tensor) -> torch.Tensor:
    """Call a network in batches of LANES rows.

    Parameters
    ----------
    call
        Takes the inputs and gives one output row per input row.
    indices
        int64 [N], N at least 1. Row n is at position indices[n] mod LANES of its batch; unused positions are zero.
    inputs
        Tensors [N, …].

    Returns
    -------
    The outputs [N, …], in the order of the inputs.
    """
    outputs: list[torch.Tensor] = []
    order = waves(indices)
    for rows in order:
        at, positions = torch.from_numpy(rows), torch.from_numpy(indices[rows] % LANES)
        batch = [values.new_zeros((LANES, *values.shape[1:])) for values in inputs]
        for full, values in zip(batch, inputs, strict=True):
            full[positions] = values[at]
        outputs.append(call(*batch)[positions])
    return torch.cat(outputs)[torch.from_numpy(np.argsort(np.concatenate(order)))]


def waves(indices: Codes) -> list[npt.NDArray[np.intp]]:
    """Row numbers grouped into batches in which no two indices share a position."""
    groups: list[list[int]] = []
    depth = [0] * LANES
    for row, position in enumerate((indices % LANES).tolist()):
        if depth[position] == len(groups):
            groups.append([])
        groups[depth[position]].append(row)
        depth[position] += 1
    return [np.array(wave) for wave in groups]
