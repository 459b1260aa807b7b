"""Failures and stragglers: closed forms, and a simulation of events where there is none.

Failures are a Poisson process: the time to the next one is exponential, with the mean `mtbf` (mean time between failures). A
shard that fails is drawn again from its first image, since a shard is complete or absent. So a shard is to a worker what the
time between two checkpoints is to a training, and one formula covers both. All times are in seconds.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from scipy.integrate import trapezoid
from scipy.special import lambertw, ndtr

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(101)
"""Quadrature over a standard normal variable; the weights sum to sqrt(2 pi)."""


@dataclass(frozen=True)
class Fleet:
    """Workers that take shards from one queue.

    `restart` is the time from a failure until the worker takes a shard again, `fixed` what each attempt costs before its
    first image (start of the process, loading of the model), and `spread` the standard deviation of the logarithm of the time
    of an attempt, whose mean is 1 times the work.
    """

    workers: int
    mtbf: float = math.inf
    restart: float = 0.0
    fixed: float = 0.0
    spread: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What a simulated fleet needed: the time until its last shard, and worker-seconds by use."""

    seconds: float
    useful: float
    fixed: float
    lost: float
    restarting: float
    attempts: int
    workers: int

    @property
    def idle(self) -> float:
        """Worker-seconds without a shard, mostly while the last shards are finished elsewhere."""
        return self.workers * self.seconds - self.useful - self.fixed - self.lost - self.restarting


def expected_seconds(duration: float, mtbf: float, restart: float = 0.0) -> float:
    """Expected time until an attempt of this duration succeeds: (MTBF + restart) (exp(duration / MTBF) - 1).

    As in Daly (2006), for a restart that does not fail itself.
    """
    return duration if math.isinf(mtbf) else (mtbf + restart) * math.expm1(duration / mtbf)


def expected_shard(fleet: Fleet, work: float) -> float:
    """Expected time of a worker for one shard of this work: (MTBF + restart) (1 - p) / p, where p is the chance that an
    attempt succeeds, which is the Laplace transform of its random duration.
    """
    if math.isinf(fleet.mtbf):
        return fleet.fixed + work
    durations = fleet.fixed + work * np.exp(fleet.spread * NODES - fleet.spread**2 / 2)
    succeeds = float(np.exp(-durations / fleet.mtbf) @ WEIGHTS) / math.sqrt(2 * math.pi)
    return (fleet.mtbf + fleet.restart) * (1 - succeeds) / succeeds


def simulate(fleet: Fleet, shards: int, work: float, random: np.random.Generator) -> Outcome:
    """Let the fleet finish `shards` shards of `work` seconds each. A worker that is free takes the next shard of the queue; a
    shard that failed returns to the queue at once.
    """
    draws = _Draws(fleet, work, random)
    free = [0.0] * fleet.workers
    failed: list[float] = []  # when each failed shard returned to the queue
    waiting, done, attempts = shards, 0, 0
    end = useful = fixed = lost = restarting = 0.0
    while done < shards:
        at = heapq.heappop(free)
        if waiting:
            waiting -= 1
        else:
            at = max(at, heapq.heappop(failed))
        attempts += 1
        duration, failure = draws.next()
        if failure < duration:
            lost, restarting = lost + failure, restarting + fleet.restart
            heapq.heappush(failed, at + failure)
            heapq.heappush(free, at + failure + fleet.restart)
            continue
        done, end = done + 1, max(end, at + duration)
        useful, fixed = useful + duration - fleet.fixed, fixed + fleet.fixed
        heapq.heappush(free, at + duration)
    return Outcome(end, useful, fixed, lost, restarting, attempts, fleet.workers)


class _Draws:
    """(duration, time to the next failure) of one attempt after the other, drawn many at once."""

    def __init__(self, fleet: Fleet, work: float, random: np.random.Generator) -> None:
        self.fleet, self.work, self.random = fleet, work, random
        self.pairs: deque[tuple[float, float]] = deque()

    def next(self) -> tuple[float, float]:
        if not self.pairs:
            fleet, number = self.fleet, 4096
            factors = np.exp(fleet.spread * self.random.standard_normal(number) - fleet.spread**2 / 2)
            failures = (
                np.full(number, math.inf) if math.isinf(fleet.mtbf) else self.random.exponential(fleet.mtbf, number)
            )
            durations = fleet.fixed + self.work * factors
            self.pairs.extend(zip(durations.tolist(), failures.tolist(), strict=True))
        return self.pairs.popleft()


def young(cost: float, mtbf: float) -> float:
    """Time between two checkpoints, sqrt(2 cost MTBF): Young (1974). `cost` is the time to write one."""
    return math.sqrt(2 * cost * mtbf)


def daly(cost: float, mtbf: float) -> float:
    """Daly (2006), equation 37: Young's interval with two more terms, for cost < 2 MTBF."""
    part = cost / (2 * mtbf)
    return young(cost, mtbf) * (1 + math.sqrt(part) / 3 + part / 9) - cost


def best_interval(cost: float, mtbf: float) -> float:
    """The interval of least expected time, exactly: MTBF (1 + W(-exp(-1 - cost / MTBF))), W being Lambert's function."""
    return mtbf * (1 + float(lambertw(-math.exp(-1 - cost / mtbf)).real))


def expected_training(work: float, interval: float, cost: float, mtbf: float, restart: float) -> float:
    """Expected time of a training of `work` seconds with a checkpoint after each `interval`."""
    return work / interval * expected_seconds(interval + cost, mtbf, restart)


def simulate_training(
    segments: int, interval: float, cost: float, mtbf: float, restart: float, random: np.random.Generator
) -> float:
    """Time of a training of so many intervals, each with a checkpoint at its end; a failure returns to the last one."""
    step, seconds = interval + cost, 0.0
    while segments:
        until_failure = random.exponential(mtbf)
        if segments * step <= until_failure:
            return seconds + segments * step
        segments -= int(until_failure // step)
        seconds += until_failure + restart
    return seconds


def slowest(workers: int, spread: float) -> float:
    """Expected largest of so many independent lognormal times of mean 1: what a step costs that waits for all of them."""
    if not spread:
        return 1.0
    z = np.linspace(-8.0, 9.0, 20001)
    below = ndtr(z) ** workers
    values = np.exp(spread * z - spread**2 / 2)
    return float(values[0] + trapezoid(1 - below, values))
