"""The loop: draw, play, log, keep; interrupted anywhere it goes on at the last checkpoint to the same bytes."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from augury.errors import TrainingError
from augury.files import atomic_path, digest, write_lines
from augury.images import LabelledImages
from augury.training import checkpoints
from augury.training.devices import keep_memory
from augury.training.plan import Game, Plan, set_up
from augury.training.synthesizer import Card, Synthesizer

SAMPLE_SEED_COLUMNS = 8
MOST_RESCUES = 3
RESCUE = "losses were no longer numbers: back to step {step}, learning rates halved (rescue {times} of {most})"


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
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_event: Callable[[str], None] = lambda text: None,
) -> Synthesizer:
    """Train as planned on `data` (the train part alone). With a `folder` it keeps log.jsonl, samples/ and a checkpoint
    every `checkpoint_every` seconds there, and goes on from the last one. When losses are no longer numbers it goes back
    to the last good state at half the rates and says so by `on_event`, three times at most; then it raises TrainingError."""
    keep_memory()
    game, batches = set_up(plan, data)
    key = digest([plan.as_dict(), data.fingerprint])
    device = torch.device(plan.device)
    step, spent, rows = _resume(game, folder, key)
    every = max(1, min(100, plan.steps // 20))
    begun, saved, first = time.monotonic(), time.monotonic(), step
    good, rescued = (step, _copied(game)), round(-math.log2(float(game.players.extra["slower"])))

    while step < plan.steps:
        numbers = game.play(step, step / plan.steps, lambda number: batches.draw(number, device))
        step += 1
        last = step == plan.steps
        due = last or time.monotonic() - saved > checkpoint_every
        if step % every == 0 or due or step == first + 1:
            losses = {k: round(float(v), 5) for k, v in numbers.items()}
            if not all(map(math.isfinite, losses.values())):
                rescued += 1
                step = _rescue(game, good, rescued, losses, step, plan)
                rows = [row for row in rows if row["step"] <= step]
                on_event(RESCUE.format(step=step, times=rescued, most=MOST_RESCUES))
                continue
            good = (step, _copied(game)) if step % every == 0 else good
            elapsed = time.monotonic() - begun
            rate = (step - first) * plan.batch / max(elapsed, 1e-9)
            on_progress(Progress(step, plan.steps, losses, rate, (plan.steps - step) * plan.batch / rate))
            if step % every == 0 or last:
                seconds = round(spent + elapsed, 2)
                row = {"step": step, "images": step * plan.batch, **losses}
                rows.append({**row, "images_per_second": round(rate, 1), "seconds": seconds})
        if folder is not None and (due or step % (4 * every) == 0 or step == every):
            write_lines(folder / "log.jsonl", rows)
            if step % (4 * every) == 0 or last or step == every:
                _sample_sheet(game, plan, data, folder / "samples" / f"step-{step:06d}.png")
            if due:
                facts = {"step": str(step), "key": key, "seconds": str(spent + time.monotonic() - begun)}
                checkpoints.save(
                    folder / "checkpoint.safetensors", game.players.tensors(), facts | {"rows": json.dumps(rows)}
                )
                saved = time.monotonic()
    return Synthesizer(_card(plan, data), game.players.average.module)


def _resume(game: Game, folder: Path | None, key: str) -> tuple[int, float, list[dict[str, float]]]:
    """(step, seconds spent before, log rows up to it) of the checkpoint in `folder`, restored into `game`; zeros if none."""
    file = None if folder is None else folder / "checkpoint.safetensors"
    if file is None or not file.exists():
        return 0, 0.0, []
    tensors, facts = checkpoints.load(file)
    if facts.get("key") != key:
        return 0, 0.0, []
    game.players.restore(tensors)
    return int(facts["step"]), float(facts["seconds"]), json.loads(facts["rows"])


def _copied(game: Game) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in game.players.tensors().items()}


def _rescue(
    game: Game, good: tuple[int, dict[str, torch.Tensor]], times: int, losses: dict[str, float], step: int, plan: Plan
) -> int:
    """Back to the last good state, at rates halved `times` times; the step it was at."""
    if times > MOST_RESCUES:
        rule = plan.rule
        raise TrainingError(
            f"the losses of step {step} are no longer numbers ({losses}), also at {0.5**MOST_RESCUES:g} of the rates; lower "
            f"generator_rate ({rule.generator_rate}) and discriminator_rate ({rule.discriminator_rate}), or add --penalty r1=1"
        )
    game.players.restore(good[1])
    game.players.extra["slower"].fill_(0.5**times)
    good[1]["extra.slower"] = game.players.extra["slower"].clone()
    return good[0]


def _card(plan: Plan, data: LabelledImages) -> Card:
    return Card(
        network=plan.rule.network,
        settings=plan.rule.settings,
        shape=data.shape,
        classes=data.classes,
        condition_names=plan.condition,
        condition_values=tuple(data.attributes[name].values for name in plan.condition),
        data_fingerprint=data.fingerprint,
        recipe=plan.recipe,
        seed=plan.seed,
        steps=plan.steps,
        batch=plan.batch,
        precision=plan.precision,
        versions={"torch": torch.__version__, "numpy": np.__version__},
    )


def _sample_sheet(game: Game, plan: Plan, data: LabelledImages, path: Path) -> None:
    """A PNG with a row for each of the first 20 classes, the same noise at every step."""
    classes = min(len(data.classes), 20)
    first = np.array([int(np.argmax(data.labels == c)) for c in range(classes)])
    conditions = np.repeat(data.conditions(plan.condition)[first], SAMPLE_SEED_COLUMNS, axis=0)
    synthesizer = Synthesizer(_card(plan, data), game.players.average.module)
    images = synthesizer.sample(conditions, seed=plan.seed).images
    _n, c, h, w = images.shape
    grid = images.reshape(classes, SAMPLE_SEED_COLUMNS, c, h, w).transpose(0, 3, 1, 4, 2)
    sheet = Image.fromarray(grid.reshape(classes * h, SAMPLE_SEED_COLUMNS * w, c).squeeze())
    scale = max(1, 64 // h)
    sheet = sheet.resize((sheet.width * scale, sheet.height * scale), Image.Resampling.NEAREST)
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")
