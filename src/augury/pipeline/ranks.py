"""The processes of a run that torchrun has started: the first one runs the stages, and the others help when it calls them.

All processes read the same data and run folder, so that several machines need a shared file system.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from augury import proof, training
from augury.errors import AuguryError, TrainingError
from augury.images import LabelledImages
from augury.pipeline.final_classifier import trial_inputs
from augury.pipeline.inputs import SAMPLE, Callbacks, images_of
from augury.pipeline.run_folder import Run
from augury.pipeline.session import Session
from augury.settings import RunSettings
from augury.training import ALONE, World
from augury.training.distributed import start, watching
from augury.training.failure_watch import PeerError
from augury.training.micro_batches import refuse_processes
from augury.validation import validated

Data = LabelledImages | str | os.PathLike[str] | None

_leading: list[World] = []
"""The world of this process, while it is the first and runs stages."""
_watches = itertools.count()


@contextmanager
def only_first(data: Data = None) -> Iterator[bool]:
    """True in the process that runs the stages, which is the only one without torchrun.

    The other processes work here until the first one has left the context, and get False.

    Parameters
    ----------
    data
        The data of the run; those in memory are used as they are.

    Raises
    ------
    The error of a process that fails, in this one and in the first; the others end with status 1.
    """
    world = ALONE if _leading else start()
    if world.size == 1:
        yield True
        return
    with watching(world, next(_watches)) as watch:
        world = replace(world, watch=watch)
        try:
            if world.rank:
                help_first(world, data)
            else:
                _leading.append(world)
                yield True
                world.share(None)
        except PeerError:
            _end_others(world)
            raise
        except (Exception, KeyboardInterrupt) as error:
            reason = watch.report(f"{world}: {error or type(error).__name__}")
            if world.rank and isinstance(error, AuguryError):
                raise TrainingError(reason) from error
            if isinstance(error, KeyboardInterrupt):
                _end_others(world)
            raise
        finally:
            _leading.clear()
        world.meet()
    if world.rank:
        yield False


def _end_others(world: World) -> None:
    """End a process that has nothing to report: the first one does."""
    if world.rank:
        sys.exit(1)


def call(task: str, session: Session, **values: Any) -> World:
    """Ask the other processes to take part in a task of TASKS.

    Parameters
    ----------
    task
        Its name.
    session
        The session of the first process.
    values
        What the task needs, as JSON.

    Returns
    -------
    The processes that take part.
    """
    if not _leading:
        return ALONE
    (world,) = _leading
    settings = session.settings.model_copy(update={"device": session.device.type})
    inputs = {
        "run": str(session.run.path.resolve()),
        "source": session.source,
        "settings": settings.model_dump(mode="json"),
    }
    world.share({"task": task, "inputs": inputs, "values": values})
    return world


def check_batch(images: int | None) -> None:
    """Raise SettingsError when a batch of so many images is too small for the processes; None: not decided yet."""
    if _leading and images is not None:
        refuse_processes(images, _leading[0].size)


def help_first(world: World, data: Data) -> None:
    """Take part in what the first process asks for, until it has finished."""
    while (message := world.share(None)) is not None:
        TASKS[message["task"]](_session(data, **message["inputs"]), world, **message["values"])


def _session(data: Data, run: str, source: str, settings: dict[str, Any]) -> Session:
    """The session of the first process, to read from."""
    chosen = validated(RunSettings, settings)
    path = None if source == SAMPLE else Path(source)
    images = images_of(data if isinstance(data, LabelledImages) else path, chosen)
    return Session(Run(run), images, chosen, source, Callbacks())


def _train(session: Session, world: World, plan: dict[str, Any], apart: int) -> None:
    chosen = training.Plan.from_dict(plan)
    judges = session.column_classifiers if chosen.rule.semantic else ()
    training.train_plan(
        chosen, session.generator_images, None, assess=lambda generator: {}, apart=apart, judges=judges, world=world
    )


def _prove(session: Session, world: World, results: dict[str, Any]) -> None:
    proof.prove(**trial_inputs(session), results=results, world=world)


TASKS: dict[str, Callable[..., None]] = {"train": _train, "prove": _prove}
"""What the processes do together: (session, world, **values) -> None."""
