"""Settings that change while training, as functions of progress in [0, 1]."""

from __future__ import annotations

from math import cos, pi


def cosine(progress: float, final: float) -> float:
    """1 at the start, `final` at the end, along half a cosine (Loshchilov & Hutter 2017, eq. 5, without restarts)."""
    return final + (1 - final) * (1 + cos(pi * min(max(progress, 0.0), 1.0))) / 2
