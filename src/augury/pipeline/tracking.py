"""The trackers of a run: what they are fed with, while it trains or afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from augury import tracking, training
from augury.errors import RunFolderError
from augury.files import read_json
from augury.pipeline.run_folder import Run
from augury.pipeline.session import Session
from augury.settings import RunSettings
from augury.validation import validated


@contextmanager
def track(session: Session, plan: training.Plan) -> Iterator[Callable[[training.Progress], None]]:
    """What receives the progress of a training: the callbacks, and the trackers that are fed from its log.

    Parameters
    ----------
    session
        The run.
    plan
        Its training plan.
    """
    names, title = session.settings.train.track, session.run.path.resolve().name
    shown, note = shown_settings(session.settings), session.callbacks.note
    with tracking.tracked(session.run / "train", names, title, shown, note, plan.key) as update:

        def on_progress(progress: training.Progress) -> None:
            session.callbacks.training(progress)
            update()

        yield on_progress


def shown_settings(settings: RunSettings) -> dict[str, Any]:
    """Settings that differ from their defaults, by full name.

    Parameters
    ----------
    settings
        The settings of a run.
    """
    changed = settings.model_dump(mode="json", exclude_defaults=True)
    sections = {name: value if isinstance(value, dict) else {"": value} for name, value in changed.items()}
    return {f"{section}.{name}".rstrip("."): value for section, own in sections.items() for name, value in own.items()}


def send(folder: Path, names: str, note: Callable[[str], None]) -> dict[str, Any]:
    """Send the log and the sample images of a run's training to trackers; what was sent before is left out.

    Parameters
    ----------
    folder
        The run folder.
    names
        Names of trackers, comma-separated.
    note
        Called with a message when a tracker fails.

    Returns
    -------
    Name -> {run, row, picture, failures}: the run in the tracker, the last steps sent, and the number of failures.

    Raises
    ------
    RunFolderError
        For a folder without a training log.
    SettingsError, MissingExtraError
        For an unknown tracker, and for one whose package is not installed.
    """
    run = Run(folder)
    settings = validated(RunSettings, run.metadata["settings"])
    chosen = validated(RunSettings, {"train": {"track": names}}).train.track
    tracking.check(chosen)
    if not (run / "train" / "log.jsonl").exists():
        raise RunFolderError(f"{folder}: no training log yet; train with: augury train -o {folder}")
    plan = training.Plan.from_dict(read_json(run / "train" / "plan.json")["plan"])
    feed = tracking.Feed(run / "train", chosen, folder.resolve().name, shown_settings(settings), plan.key, note)
    feed.close()
    return {name: feed.state["sent"].get(name, {"run": "", "row": 0, "picture": 0, "failures": 0}) for name in chosen}
