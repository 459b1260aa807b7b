"""Solvers of the ordinary differential equation dx/dt = field(x, t): plain functions with one signature.

Each takes the field, the state at times[0] and the times [T], and gives the state at times[-1]. Times may rise or fall.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch

Field = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""State [N, …] and time (scalar) -> its derivative [N, …]."""
Solver = Callable[[Field, torch.Tensor, torch.Tensor], torch.Tensor]


def euler(field: Field, x: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """Order 1, one evaluation of the field per step (Hairer, Nørsett & Wanner 1993, I.7)."""
    for now, after in itertools.pairwise(times):
        x = x + (after - now) * field(x, now)
    return x


def midpoint(field: Field, x: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """Order 2, two evaluations per step: the derivative in the middle of the step (Hairer et al. 1993, II.1)."""
    for now, after in itertools.pairwise(times):
        half = (after - now) / 2
        x = x + 2 * half * field(x + half * field(x, now), now + half)
    return x


def heun(field: Field, x: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """Order 2, two evaluations per step: the mean derivative of both ends (Karras et al. 2022, algorithm 1)."""
    for now, after in itertools.pairwise(times):
        first = field(x, now)
        second = field(x + (after - now) * first, after)
        x = x + (after - now) / 2 * (first + second)
    return x


def adams(field: Field, x: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """Order 2, one evaluation per step and one more: Adams-Bashforth with steps of any length after a step of Heun.

    The derivative is extrapolated along the line through its last two values (Hairer et al. 1993, III.5).
    """
    before = field(x, times[0])
    after = field(x + (times[1] - times[0]) * before, times[1])
    x = x + (times[1] - times[0]) / 2 * (before + after)
    for last, now, end in zip(times[:-2], times[1:-1], times[2:], strict=True):
        velocity = field(x, now)
        half = (end - now) / (now - last) / 2
        x = x + (end - now) * ((1 + half) * velocity - half * before)
        before = velocity
    return x


CALLS = {"euler": 1, "midpoint": 2, "heun": 2, "adams": 1}
"""Solver -> evaluations of the field per step; adams needs one more in all."""
SOLVERS: dict[str, Solver] = {f.__name__: f for f in (euler, midpoint, heun, adams)}
