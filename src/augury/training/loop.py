"""The training loop: draw, step, log, save. A resumed training continues from the last checkpoint to the same bytes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from augury.data import draw_contact_sheet
from augury.errors import SettingsError
from augury.files import atomic_path, digest
from augury.images import LabelledImages
from augury.interruption import held_back
from augury.networks import build_generator, passes
from augury.provenance import tagged_png
from augury.training import checkpoints
from augury.training.card import Card, data_facts
from augury.training.checkpoint_manager import CheckpointManager
from augury.training.devices import out_of_memory, placed, prepare
from augury.training.distributed import ALONE, World
from augury.training.health import check_used, findings
from augury.training.micro_batches import refuse_processes
from augury.training.plan import Plan, Sampler, drop_labels, set_up, trains_nothing
from augury.training.pretrained import pretrained
from augury.training.recovery import Recovery
from augury.training.source_sampler import SourceSampler, sampler
from augury.training.synthesizer import Synthesizer
from augury.training.translation import Judges

SAMPLE_SEED_COLUMNS = 8
LEAST_ROWS, MOST_BETWEEN_ROWS = 20, 100
"""Fewest rows in the log of a training of as many steps, and most steps between two rows."""
CHECKPOINT_ROWS = 4
"""Rows of the log between two regular checkpoints, so at most 400 steps and a fifth of the training. Between them, there is one
whenever `checkpoint_every` seconds are over.
"""

Judgement = Mapping[str, float | str]
Assess = Callable[[Any], Judgement]
"""The current generator -> "kid" against held-out images, and further measures that `health` reads."""


@dataclass(frozen=True)
class Progress:
    """Where training stands: `step` of `steps`, the latest losses, images a second, seconds left."""

    step: int
    steps: int
    losses: dict[str, float]
    images_per_second: float
    seconds_left: float


def train_plan(
    plan: Plan,
    data: LabelledImages,
    folder: Path | None = None,
    *,
    checkpoint_every: float = 20.0,
    assess: Assess | None = None,
    apart: int = 0,
    judges: Judges = (),
    world: World = ALONE,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_event: Callable[[str], None] = lambda text: None,
) -> Synthesizer:
    """Train according to a plan. With a pretrained pipeline, nothing is trained, and one image is drawn as a check.

    About twenty times in all, `assess` evaluates the generator. The latest generator within "kid_error" of the lowest "kid"
    is returned. Training ends early when no generator has come that near for the plan's patience. Each finding of `health`
    is reported once by `on_event` and noted in the log.

    When losses or weights are not finite, training returns to the last good state at half the learning rates. When memory
    does not suffice, batches are split into micro-batches. Ctrl-C and SIGTERM end the training after the current step, with a
    checkpoint; a second one ends it at once.

    Parameters
    ----------
    plan
        The training plan.
    data
        The train split only.
    folder
        Stores log.jsonl, samples/ and checkpoints; an interrupted training resumes from the last one. None stores nothing.
    checkpoint_every
        Most seconds between two checkpoints. There is also one at least every 400 steps and every fifth of the training.
    assess
        Evaluates a generator; None returns the last generator.
    apart
        At least this number of images is trained on between two evaluations, times the passes through the network that
        drawing an image takes.
    judges
        Classifiers for a translator's semantic loss.
    world
        The processes that train together, each of which makes this call. The first one alone gets a folder and callbacks; the
        others get any `assess` where it has one, and do not call it.
    on_progress, on_event
        Called with the progress, and with messages about the training.

    Returns
    -------
    The best generator, or the last one.

    Raises
    ------
    SettingsError
        For a semantic loss without `judges`.
    KeyboardInterrupt
        After Ctrl-C.
    TrainingError
        When numbers are not finite after three rollbacks, or memory does not suffice for the smallest micro-batch.
    """
    _check_judges(plan, judges)
    if trains_nothing(plan.rule):
        return pretrained(plan, data, _card(plan, data, 0), folder)
    device = torch.device(plan.device)
    prepare(device)
    world = replace(world, device=device)
    refuse_processes(plan.batch, world.size)
    data = drop_labels(plan, data)
    key = digest([plan.key, data.fingerprint])
    trainer, batches = set_up(plan, data, folder is None or checkpoints.newest(folder, key) is None, judges, world)
    manager = CheckpointManager(trainer, plan, folder, key)
    intervals = _intervals(plan, checkpoint_every, apart)
    step = _Loop(manager, data, batches, world, intervals, assess, on_progress, on_event).run()
    if step < plan.steps:
        on_event(manager.end(step))
    _check_used(manager, step, on_event)
    return _chosen(manager, data)


def _check_judges(plan: Plan, judges: Judges) -> None:
    """Raise SettingsError for a semantic loss without its classifiers."""
    if plan.rule.semantic and not judges:
        raise SettingsError(
            f"semantic={plan.rule.semantic:g} needs classifiers of the class and the attributes, which augury.run trains first; give "
            "them as judges (augury.proof.column_classifiers), or leave semantic out"
        )


@dataclass(frozen=True)
class _Intervals:
    """Steps between two rows of the log, two checkpoints and two evaluations; and seconds between two checkpoints, at most."""

    row: int
    checkpoint: int
    evaluation: int
    seconds: float


def _intervals(plan: Plan, checkpoint_every: float, apart: int) -> _Intervals:
    """The intervals of a plan; checkpoints and evaluations are made at rows of the log. `apart` is that of `train_plan`."""
    row = max(1, min(MOST_BETWEEN_ROWS, plan.steps // LEAST_ROWS))
    images_apart = apart * passes(plan.rule.network, plan.rule.settings)
    evaluation = row * math.ceil(max(plan.steps / LEAST_ROWS, images_apart / plan.batch) / row)
    return _Intervals(row, CHECKPOINT_ROWS * row, evaluation, checkpoint_every)


@dataclass(frozen=True)
class _Loop:
    """The steps of a training, from its newest checkpoint on, and what they share."""

    manager: CheckpointManager
    data: LabelledImages
    batches: Sampler
    world: World
    intervals: _Intervals
    assess: Assess | None
    on_progress: Callable[[Progress], None]
    on_event: Callable[[str], None]

    def run(self) -> int:
        """Train until the last step, or until the plan's patience is over; returns the step that the training ended at."""
        manager, plan, world = self.manager, self.manager.plan, self.world
        recovery = Recovery(manager, self.on_event)
        step, steps_done = manager.resume(), 0
        with held_back() as interrupted:  # a signal ends the training after a step, with a checkpoint
            while step < plan.steps and not manager.stale(step):
                numbers = recovery.train_step(step, step / plan.steps, self._draw)
                if numbers is None:
                    step = manager.good[0]
                    continue
                step, steps_done = step + 1, steps_done + 1
                due = self._due(step, interrupted)
                if step % self.intervals.row == 0 or due or steps_done == 1:
                    losses = {k: round(float(v), 5) for k, v in numbers.items()}
                    if not recovery.accept(step, losses):
                        step = manager.good[0]
                        continue
                    self._report(step, steps_done, losses)
                if due or self._regular(step):
                    self._save(step)
                if due and not world.every(not interrupted()):
                    break
        return step

    def _draw(self, number: int) -> Any:
        """The batch of a step."""
        return self.batches.draw(number, self.world.device, self.world, self.manager.trainer.state.parts)

    def _due(self, step: int, interrupted: Callable[[], bool]) -> bool:
        """Whether a checkpoint is due after this step: the last one, too long since the last checkpoint, or a signal."""
        last = step == self.manager.plan.steps
        late = time.monotonic() - self.manager.saved > self.intervals.seconds
        return last or self.manager.stale(step) or self.world.first(late or interrupted())

    def _regular(self, step: int) -> bool:
        """Whether this step has a checkpoint however long ago the last one was."""
        return step % self.intervals.checkpoint == 0 or step == self.intervals.row

    def _report(self, step: int, steps_done: int, losses: dict[str, float]) -> None:
        """Report the progress; at a row of the log and at the end, evaluate and add the row first."""
        plan = self.manager.plan
        rate = steps_done * plan.batch / max(time.monotonic() - self.manager.started, 1e-9)
        if step % self.intervals.row == 0 or step == plan.steps:
            judged = self._evaluated(step)
            losses = losses | {k: v for k, v in judged.items() if not isinstance(v, str)}
            _noted(self.manager, step, {**losses, **judged}, rate, self.on_event)
        self.on_progress(Progress(step, plan.steps, losses, rate, (plan.steps - step) * plan.batch / rate))

    def _evaluated(self, step: int) -> Judgement:
        """What `assess` measures at this step in the first process; empty where no evaluation is due."""
        if self.assess is None or (step % self.intervals.evaluation and step < self.manager.plan.steps):
            return {}
        first = self.world.rank == 0
        own = _judged(self.assess, self.manager, self.data, step, self.on_event) if first else None
        judged: Judgement = self.world.share(own)
        return judged

    def _save(self, step: int) -> None:
        """Write a checkpoint, and a sheet of samples beside a regular one and the last."""
        manager = self.manager
        manager.save(step)
        if manager.folder is not None and (self._regular(step) or step == manager.plan.steps):
            _sample_sheet(_drawing(manager, self.data, step), self.data, manager.folder)


def _noted(
    manager: CheckpointManager, step: int, measures: Judgement, rate: float, on_event: Callable[[str], None]
) -> None:
    """Add a row to the log, and report new findings."""
    plan = manager.plan
    row: dict[str, Any] = {"step": step, "images": step * plan.batch, **measures}
    row |= {"images_per_second": round(rate, 1), "seconds": round(manager.elapsed(), 2)}
    wrong = findings([*manager.rows, row], plan.rule, step / plan.steps)
    for text in wrong.values():
        on_event(text)
    manager.note(step, row | ({"warnings": wrong} if wrong else {}))


def _check_used(manager: CheckpointManager, step: int, on_event: Callable[[str], None]) -> None:
    """Report what is wrong with the generator that is returned, and store it in the row of the log that evaluated it."""
    rows = [row for row in manager.rows if "spread" in row]
    row = next(
        (row for row in rows if manager.best is not None and row["step"] == manager.best[0]), rows[-1] if rows else {}
    )
    if not row or "used" in row:
        return
    wrong = check_used(row, manager.plan.rule, manager.plan.steps)
    if wrong:
        row["used"] = wrong
        manager.save(step)
        for text in wrong.values():
            on_event(f"the generator in use (step {row['step']}): {text}")


def _judged(
    assess: Assess, manager: CheckpointManager, data: LabelledImages, step: int, on_event: Callable[[str], None]
) -> Judgement:
    """The result of `assess`; empty where memory does not suffice for it. A smaller batch would not help, since the memory
    of training is already free then.
    """
    try:
        return assess(_drawing(manager, data, step))
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        on_event(
            manager.warn(
                "unjudged", step, f"out of memory while evaluating the generator of step {step}: evaluation skipped"
            )
        )
        return {}


def _drawing(manager: CheckpointManager, data: LabelledImages, step: int) -> Synthesizer | SourceSampler:
    """A synthesizer with the current averaged weights."""
    plan = manager.plan
    synthesizer = Synthesizer(_card(plan, data, step), manager.trainer.state.average.module)
    return sampler(synthesizer, data, plan.rule.class_moves)


def _chosen(manager: CheckpointManager, data: LabelledImages) -> Synthesizer:
    """The best generator, or the last one where none was evaluated."""
    plan = manager.plan
    if manager.best is None:
        return Synthesizer(_card(plan, data, plan.steps), manager.trainer.state.average.module)
    step, weights = manager.best
    cardinalities = data.cardinalities(plan.condition)
    generator = build_generator(plan.rule.network, plan.rule.settings, data.shape, cardinalities)
    generator.load_state_dict(weights)
    return Synthesizer(_card(plan, data, step), placed(generator, plan.device))


def _card(plan: Plan, data: LabelledImages, step: int) -> Card:
    return Card(
        network=plan.rule.network,
        settings=plan.rule.settings,
        recipe=plan.recipe,
        seed=plan.seed,
        steps=step,
        batch=plan.batch,
        precision=plan.precision,
        versions={"torch": torch.__version__, "numpy": np.__version__},
        **data_facts(data, plan.condition),
    )


def _sample_sheet(synthesizer: Synthesizer | SourceSampler, data: LabelledImages, folder: Path) -> None:
    """Write a PNG with a row for each of the first 20 classes, with the same noise at every step."""
    card, classes = synthesizer.card, min(len(data.classes), 20)
    first = np.array([int(np.argmax(data.labels == c)) for c in range(classes)])
    conditions = np.repeat(data.conditions(card.condition_names)[first], SAMPLE_SEED_COLUMNS, axis=0)
    images = synthesizer.sample(conditions, seed=card.seed).images
    rows = np.split(images, classes)
    sheet = draw_contact_sheet(dict(zip(data.classes, rows, strict=False)))
    with atomic_path(folder / "samples" / f"step-{card.steps:06d}.png") as temporary:
        temporary.write_bytes(tagged_png(sheet, {"recipe": card.recipe, "steps": card.steps, "seed": card.seed}))
