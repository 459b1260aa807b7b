"""What a run reports before it begins: the cost of its stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class StageCost:
    """The work of one stage in words, and its estimated seconds."""

    work: str
    seconds: float


@dataclass(frozen=True)
class RunCost:
    """What the stages of a run that are still to do cost.

    Attributes
    ----------
    stages
        Stage -> its cost, in order.
    trainings
        Number of networks that are trained.
    disk
        Bytes that the run folder needs at most, about.
    times
        Stage -> how often it is done, where not once: in a cross-validation, once in each fold.
    """

    stages: Mapping[str, StageCost]
    trainings: int
    disk: int
    times: Mapping[str, int] = field(default_factory=dict)

    def and_runs_like(self, other: RunCost, number: int) -> RunCost:
        """The cost of this run and of `number` further runs that each cost as much as `other`."""
        if not number:
            return self
        times = {name: number + (name in self.stages) for name in other.stages}
        stages = {
            name: StageCost(
                f"{times[name]} × {cost.work}",
                number * cost.seconds + (self.stages[name].seconds if name in self.stages else 0.0),
            )
            for name, cost in other.stages.items()
        }
        return RunCost(stages, self.trainings + number * other.trainings, self.disk + number * other.disk, times)

    @property
    def seconds(self) -> float:
        """Estimated seconds of all stages."""
        return sum(stage.seconds for stage in self.stages.values())

    def lines(self) -> list[str]:
        """The plan as a table in words."""
        rows = [(name, cost.work, spoken(cost.seconds)) for name, cost in self.stages.items()]
        total = f"{self.trainings:,} trainings, {max(1, round(self.disk / 1e6)):,} MB on disk"
        rows.append(("all", total, "about " + spoken(self.seconds)))
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        return [f"{name:<{widths[0]}}  {work:<{widths[1]}}  {time:>{widths[2]}}" for name, work, time in rows]


def spoken(seconds: float) -> str:
    """A time in one or two units: '45 s', '12 min', '3 h 20 min'."""
    if seconds < 0.5:
        return "< 1 s"
    if seconds < 90:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
