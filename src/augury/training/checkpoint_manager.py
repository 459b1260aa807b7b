"""The stored state of a training: log, last states and best generator, which is all that resuming needs."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from augury.files import append_line, write_lines
from augury.training import checkpoints
from augury.training.plan import Plan, Trainer

RETAINED = 2
"""Number of last checkpoints kept. A damaged newest one then costs one checkpoint interval, not the training."""

State = dict[str, torch.Tensor]


@dataclass
class CheckpointManager:
    """Keeps the log's `rows`, the last `good` state for a rollback, and the `best` generator.

    Of several processes each keeps them, and the first one alone has a folder. A checkpoint does not depend on their number.

    The best generator is the latest whose kernel distance is within a standard error of the `lowest` (value, error) so far.
    A later one is preferred, since variety keeps growing while the distance fluctuates.

    `seconds` is the time spent before this process resumed the training. `events` have been reported but are not in a row
    yet.
    """

    trainer: Trainer
    plan: Plan
    folder: Path | None
    key: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    good: tuple[int, State] = (0, {})
    best: tuple[int, State] | None = None
    lowest: tuple[float, float] = (math.inf, 0.0)
    events: dict[str, str] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    saved: float = field(default_factory=time.monotonic)

    def resume(self) -> int:
        """Restore the newest readable checkpoint and return its step; 0 without a checkpoint of this plan and data.

        All processes get the checkpoint or the initial state of the first one, since random initial weights may differ in
        their last bits between machines.
        """
        state = self.trainer.state
        stored = None if self.folder is None else checkpoints.newest(self.folder, self.key)
        stored = state.world.share_stored(stored)
        if stored is None:
            state.share()
            self._drop(0)  # unusable or of another plan: they would count as newer ones
            self.good = (0, self._state())
            self._write_log()
            return 0
        tensors, facts = stored
        best = {k.removeprefix("best."): tensors.pop(k) for k in list(tensors) if k.startswith("best.")}
        state.restore(tensors)
        self.rows, self.seconds = json.loads(facts["rows"]), float(facts["seconds"])
        self.events = json.loads(facts.get("events", "{}"))
        if best:
            self.best = (int(facts["best_step"]), best)
            self.lowest = (float(facts["lowest"]), float(facts["lowest_error"]))
        self.good = (int(facts["step"]), self._state())
        self._write_log()  # without the rows after this checkpoint, whose steps are repeated
        return self.good[0]

    def _drop(self, after: int) -> None:
        """Delete the checkpoints after this step: the training does not continue from them."""
        for file in [] if self.folder is None else checkpoints.files(self.folder):
            if int(file.stem.rpartition("-")[2]) > after:
                file.unlink()

    def _write_log(self) -> None:
        if self.folder is not None:
            write_lines(self.folder / "log.jsonl", self.rows)

    def _state(self) -> State:
        return {k: v.clone() for k, v in self.trainer.state.tensors().items()}

    def elapsed(self) -> float:
        """Seconds of training in all."""
        return self.seconds + time.monotonic() - self.started

    def note(self, step: int, row: dict[str, Any]) -> None:
        """Add a row to the log, with the events since the last row, and remember this state as good. A kernel distance in
        the row updates the best generator. The file of the log gets the row at once, for those who watch the training.
        """
        warnings = {**self.events, **row.get("warnings", {})}
        self.rows.append(row | ({"warnings": warnings} if warnings else {}))
        if self.folder is not None:
            append_line(self.folder / "log.jsonl", self.rows[-1])
        self.events = {}
        self.good = (step, self._state())
        if "kid" not in row:
            return
        self.lowest = min(self.lowest, (row["kid"], row.get("kid_error", 0.0)))
        if row["kid"] <= sum(self.lowest):
            average = self.trainer.state.average.module.state_dict()
            self.best = (step, {k: v.detach().clone() for k, v in average.items()})

    def warn(self, name: str, step: int, text: str) -> str:
        """Add `text` to the warnings of the next row, where the report looks for it, and return it."""
        self.events[f"{name} {step}"] = text
        return text

    def end(self, step: int) -> str:
        """Note in the last row that training stopped early; returns the message."""
        best = self.best[0] if self.best else 0
        text = f"ended at step {step} of {self.plan.steps}: no better generator since step {best}"
        if self.rows and "ended" not in self.rows[-1].get("warnings", {}):
            self.rows[-1]["warnings"] = {**self.rows[-1].get("warnings", {}), "ended": text}
            self.save(step)
        return text

    def stale(self, step: int) -> bool:
        """Whether the plan's patience is over: no generator has come near the lowest distance for that long."""
        if self.best is None or self.plan.patience >= 1:
            return False
        return step - self.best[0] >= max(1, self.plan.patience * self.plan.steps)

    def save(self, step: int) -> None:
        """Write the log and a checkpoint, and delete the oldest; does nothing without a folder."""
        self.saved = time.monotonic()
        if self.folder is None:
            return
        tensors, facts = (
            self.trainer.state.tensors(),
            {"step": str(step), "key": self.key, "seconds": str(self.elapsed())},
        )
        if self.best is not None:
            tensors |= {f"best.{k}": v for k, v in self.best[1].items()}
            facts |= {"best_step": str(self.best[0])}
            facts |= {"lowest": repr(self.lowest[0]), "lowest_error": repr(self.lowest[1])}
        facts |= {"events": json.dumps(self.events)}
        self._write_log()
        checkpoints.save(
            self.folder / f"checkpoint-{step:07d}.safetensors", tensors, facts | {"rows": json.dumps(self.rows)}
        )
        for file in checkpoints.files(self.folder)[:-RETAINED]:
            file.unlink()
        self.saved = time.monotonic()  # the time of writing does not count

    def restore_good(self, name: str, value: float) -> None:
        """Return to the last good state, with this value of an entry of `TrainState.extra`, and store it."""
        self.trainer.state.restore(self.good[1])
        self.trainer.state.extra[name].fill_(value)
        self.good[1][f"extra.{name}"] = self.trainer.state.extra[name].clone()
        self.rows = [row for row in self.rows if row["step"] <= self.good[0]]
        self._drop(self.good[0])
        self.save(self.good[0])
