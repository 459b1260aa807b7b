"""Settings that change during training, as functions of progress in [0, 1]."""

from __future__ import annotations

from math import cos, pi


def cosine(progress: float, final: float) -> float:
    """1 at the start, `final` at the end, along half a cosine (Loshchilov & Hutter 2017, eq. 5, without restarts)."""
    return final + (1 - final) * (1 + cos(pi * min(max(progress, 0.0), 1.0))) / 2


def linear(progress: float, final: float) -> float:
    """1 at the start, `final` at the end, along a line."""
    return 1 + (final - 1) * min(max(progress, 0.0), 1.0)


def constant(progress: float, final: float) -> float:
    """1 throughout."""
    return 1.0


def warmed(progress: float, share: float) -> float:
    """Linear from 0 to 1 over the first `share` of the training, then 1; always 1 for a share of 0."""
    return min(1.0, progress / share) if share else 1.0


SCHEDULES = {f.__name__: f for f in (constant, linear, cosine)}


def between(schedule: str, progress: float, start: float, final: float) -> float:
    """From `start` to `final` along the schedule of this name; always `start` when it is constant."""
    share = SCHEDULES[schedule](progress, 0.0)
    return start * share + final * (1 - share)
