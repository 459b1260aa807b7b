"""Send the rows of a training log to trackers: each row once, and never at the cost of the training."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from augury.errors import MissingExtraError
from augury.files import read_json, read_lines, write_json
from augury.tracking.trackers import TRACKERS, Tracker

FORMAT = 1
"""Version of tracking.json."""
PATIENCE = 3
"""Failures after which a tracker is left alone in this process."""


def check(names: Sequence[str]) -> None:
    """Raise MissingExtraError for a tracker whose package is not installed."""
    for name in names:
        if find_spec(name) is None:
            raise MissingExtraError(
                f"train.track={name} needs the package {name}; install it with: pip install {name}, or all trackers with: pip install "
                "'augury[track]'"
            )


class Feed:
    """Sends what is new in the log and in the sample images of a training folder.

    tracking.json in that folder says what was sent, so a resumed training sends no row twice. It is written before the rows are
    sent: a row may be lost where the process is killed within that moment.

    Parameters
    ----------
    folder
        Training folder with log.jsonl and samples/.
    names
        Names in TRACKERS.
    title
        Name of the run in the trackers.
    settings
        Settings by name, shown with the run.
    key
        Identifies the training. Another key in the same folder begins a new run.
    note
        Called with a message when a tracker fails for the first time.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        title: str,
        settings: Mapping[str, Any],
        key: str,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.folder, self.title, self.settings, self.note = folder, title, settings, note
        self.names, self.trackers = tuple(names), dict[str, Tracker]()
        self.failures = dict.fromkeys(self.names, 0)
        self._seen = 0.0
        file = folder / "tracking.json"
        stored = read_json(file) if file.exists() else {}
        same = (stored.get("format"), stored.get("key")) == (FORMAT, key)
        self.state: dict[str, Any] = stored if same else {"format": FORMAT, "key": key, "sent": {}}

    def update(self) -> None:
        """Send the rows and pictures that are new since the last call."""
        log = self.folder / "log.jsonl"
        changed = log.stat().st_mtime if log.exists() else 0.0
        if changed == self._seen:
            return
        self._seen = changed
        rows = read_lines(log)
        pictures = {int(path.stem.removeprefix("step-")): path for path in (self.folder / "samples").glob("step-*.png")}
        for name in self.names:
            if self.failures[name] < PATIENCE:
                self._send(name, rows, pictures)

    def close(self) -> None:
        """Send the rest, and end."""
        self._guarded("", self.update)
        for name, tracker in self.trackers.items():
            self._guarded(name, tracker.close)

    def _send(self, name: str, rows: Sequence[Mapping[str, Any]], pictures: Mapping[int, Path]) -> None:
        """Send to one tracker, in order of steps."""
        sent = self.state["sent"].setdefault(name, {"run": "", "row": 0, "picture": 0, "failures": 0})
        new_rows = {row["step"]: row for row in rows if row["step"] > sent["row"]}
        new_pictures = {step: path for step, path in pictures.items() if step > sent["picture"]}
        steps = sorted(new_rows.keys() | new_pictures.keys())
        if not steps:
            return
        before = dict(sent)

        def send() -> None:
            if name not in self.trackers:
                self.folder.mkdir(parents=True, exist_ok=True)
                self.trackers[name] = TRACKERS[name](self.folder, self.title, self.settings, sent["run"])
                sent["run"] = self.trackers[name].identity
            tracker = self.trackers[name]
            sent.update(row=max([sent["row"], *new_rows]), picture=max([sent["picture"], *new_pictures]))
            self._store()
            for step in steps:
                if step in new_rows:
                    tracker.row(step, numbers(new_rows[step]))
                    before["row"] = step
                if step in new_pictures:
                    tracker.image(step, new_pictures[step])
                    before["picture"] = step
            tracker.flush()

        if not self._guarded(name, send):
            sent.update(row=before["row"], picture=before["picture"], failures=sent["failures"] + 1)
            self._guarded("", self._store)

    def _guarded(self, name: str, work: Callable[[], None]) -> bool:
        """Whether the work was done. An error is counted, and the first one of a tracker reported."""
        try:
            work()
        except Exception as error:  # nothing that a tracker raises may end a training
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            if name and not self.failures[name]:
                self.note(
                    f"The tracker {name} failed ({first}). The training continues; send the rest later with: augury track RUN --to {name}"
                )
            if name:
                self.failures[name] += 1
            return False
        return True

    def _store(self) -> None:
        write_json(self.folder / "tracking.json", self.state)


def numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers of a row, without its step."""
    return {
        name: float(value)
        for name, value in row.items()
        if name != "step" and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


@contextmanager
def tracked(
    folder: Path,
    names: Sequence[str],
    title: str,
    settings: Mapping[str, Any],
    note: Callable[[str], None],
    key: str = "",
) -> Iterator[Callable[[], None]]:
    """A function that sends what is new, to be called as the training advances; parameters as of `Feed`."""
    if (
        not names or os.environ.get("RANK", "0") != "0"
    ):  # of several processes of one training, the first writes the log
        yield lambda: None
        return
    feed = Feed(folder, names, title, settings, key, note)

    def update() -> None:
        feed._guarded("", feed.update)

    try:
        yield update
    finally:
        feed.close()
