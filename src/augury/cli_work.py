"""From what was typed to settings, and with them to the pipeline; for the verbs of several files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from augury import console
from augury.errors import SettingsError

if TYPE_CHECKING:
    from augury.runfolder import Run
    from augury.settings import RunSettings


def value_of(text: str) -> Any:
    """JSON where it is, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def given(**values: Any) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def settings_of(
    stored: dict[str, Any], extra: list[str] | None, rooms: dict[str, dict[str, Any]], top: dict[str, Any]
) -> RunSettings:
    """The settings stored, then the options given, then every --set room.name=value."""
    from augury.settings import RunSettings, validated

    values = stored | top
    for room, options in rooms.items():
        values[room] = values.get(room, {}) | options
    for text in extra or []:
        name, equals, value = text.partition("=")
        room, dot, key = name.partition(".")
        if not (equals and dot):
            raise SettingsError(f"--set {text}: write it as room.name=value, for example --set prove.steps=600")
        values.setdefault(room, {})[key] = value_of(value)
    return validated(RunSettings, values)


def work(
    path: Path | None,
    folder: Path,
    until: str,
    quiet: bool,
    extra: list[str] | None,
    rooms: dict[str, dict[str, Any]],
    top: dict[str, Any],
) -> Run:
    """Run the pipeline up to a stage; the settings are those stored in the folder, if any, then the options given, then
    every --set room.name=value."""
    from augury.pipeline import run as pipeline
    from augury.runfolder import Run

    settings = settings_of(Run(folder).settings, extra, rooms, top)
    return pipeline(path, folder, settings=settings, until=until, watch=console.watcher(quiet))


def again(source: Path, until: str, quiet: bool, extra: list[str] | None, device: str | None) -> Run:
    """Take an existing run up, up to a stage."""
    from augury.runfolder import Run

    _ = Run(source).about  # a folder that is no run is refused, not made
    return work(None, source, until, quiet, extra, {}, given(device=device))
