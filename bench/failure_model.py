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

    `restart` is the time from a failure until the worker takes a shard again, with the start of its process, and `fixed` what
    each attempt costs besides its images. `spread` is the standard deviation of the logarithm of the time of an attempt, and
    `slow` that of the time of a worker, which is the same in all its attempts; both have the mean 1.
    """

    workers: int
    mtbf: float = math.inf
    restart: float = 0.0
    fixed: float = 0.0
    spread: float = 0.0
    slow: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What a simulated fleet needed: the time until its last shard, and worker-seconds by use. `capacity` is the number of
    workers of usual speed that these workers are worth.
    """

    seconds: float
    useful: float
    fixed: float
    lost: float
    restarting: float
    attempts: int
    workers: int
    capacity: float

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


def simulate(fleet: Fleet, shards: int, work: float, random: np.random.Generator, *, queue: bool = True) -> Outcome:
    """Let the fleet finish `shards` shards of `work` seconds each.

    With a `queue`, a worker that is free takes the next shard, and a shard that failed returns to the queue at once. Without one,
    worker i makes every shard i, i + workers, i + 2 workers, … itself, and again after a failure.
    """
    draws = _Draws(fleet, random, min(4096, 2 * shards + 8))
    speeds = np.exp(fleet.slow * random.standard_normal(fleet.workers) - fleet.slow**2 / 2).tolist()
    count, capacity = _Count(), sum(1 / speed for speed in speeds)
    if not queue:
        ends = []
        for worker, speed in enumerate(speeds):
            at, left = 0.0, len(range(worker, shards, fleet.workers))
            while left:
                took, complete = count.attempt(fleet, work * speed, draws)
                at += took if complete else took + fleet.restart
                left -= complete
            ends.append(at)
        return count.outcome(fleet, max(ends), capacity)
    free = [(0.0, worker) for worker in range(fleet.workers)]
    failed: list[float] = []  # when each failed shard returned to the queue
    waiting, done, end = shards, 0, 0.0
    while done < shards:
        at, worker = heapq.heappop(free)
        if waiting:
            waiting -= 1
        else:
            at = max(at, heapq.heappop(failed))
        took, complete = count.attempt(fleet, work * speeds[worker], draws)
        if complete:
            done, end = done + 1, max(end, at + took)
        else:
            heapq.heappush(failed, at + took)
        heapq.heappush(free, (at + took + (0.0 if complete else fleet.restart), worker))
    return count.outcome(fleet, end, capacity)


@dataclass
class _Count:
    """Worker-seconds by use, so far."""

    useful: float = 0.0
    fixed: float = 0.0
    lost: float = 0.0
    restarting: float = 0.0
    attempts: int = 0

    def attempt(self, fleet: Fleet, work: float, draws: _Draws) -> tuple[float, bool]:
        """(seconds, whether the shard is complete) of one attempt."""
        factor, failure = draws.next()
        duration = fleet.fixed + work * factor
        self.attempts += 1
        if failure < duration:
            self.lost, self.restarting = self.lost + failure, self.restarting + fleet.restart
            return failure, False
        self.useful, self.fixed = self.useful + duration - fleet.fixed, self.fixed + fleet.fixed
        return duration, True

    def outcome(self, fleet: Fleet, seconds: float, capacity: float) -> Outcome:
        spent = self.useful, self.fixed, self.lost, self.restarting
        return Outcome(seconds, *spent, self.attempts, fleet.workers, capacity)


class _Draws:
    """(factor on the work, time to the next failure) of one attempt after the other, drawn many at once."""

    def __init__(self, fleet: Fleet, random: np.random.Generator, at_once: int) -> None:
        self.fleet, self.random, self.at_once = fleet, random, at_once
        self.pairs: deque[tuple[float, float]] = deque()

    def next(self) -> tuple[float, float]:
        if not self.pairs:
            fleet, number = self.fleet, self.at_once
            factors = np.exp(fleet.spread * self.random.standard_normal(number) - fleet.spread**2 / 2)
            failures = np.full(number, math.inf)
            if math.isfinite(fleet.mtbf):
                failures = self.random.exponential(fleet.mtbf, number)
            self.pairs.extend(zip(factors.tolist(), failures.tolist(), strict=True))
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
