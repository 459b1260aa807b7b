"""The result of a search, and how settings differ from others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augury.pipeline.run_folder import Run
from augury.settings import RunSettings

FORMAT = 1
"""Version of tune.json."""


@dataclass(frozen=True)
class Tuned:
    """The result of a search.

    Attributes
    ----------
    folder
        The folder of the search.
    settings
        The winner's settings, as in winner.yaml.
    objective
        Name of the objective.
    search, fresh
        Value of the winner in the search, and trained again from a fresh seed; None where there was no time.
    default_search, default_fresh
        The same of the default configuration.
    number
        Number of the winning trial; 0 is usually the default configuration.
    trials
        All trials as plain JSON.
    run
        The run folder of the final training, None where there was no time for it.
    """

    folder: Path
    settings: RunSettings
    objective: str
    search: float
    fresh: float | None
    default_search: float | None
    default_fresh: float | None
    number: int
    trials: tuple[dict[str, Any], ...]
    run: Run | None

    @property
    def config(self) -> Path:
        """The winner's settings file."""
        return self.folder / "winner.yaml"

    @property
    def report(self) -> Path:
        """The page with all trials."""
        return self.folder / "report.html"

    def facts(self) -> dict[str, Any]:
        """The result as plain JSON, for tune.json."""
        return {
            "format": FORMAT,
            "objective": self.objective,
            "winner": self.number,
            "search": self.search,
            "fresh": self.fresh,
            "default_search": self.default_search,
            "default_fresh": self.default_fresh,
            "trials": list(self.trials),
        }


def changes_of(settings: RunSettings, base: RunSettings) -> dict[str, Any]:
    """Settings that differ from the base, by their names without section; those of the recipe one by one."""
    new, old = settings.model_dump(mode="json"), base.model_dump(mode="json")
    changed: dict[str, Any] = {}
    for section, values in new.items():
        if not isinstance(values, dict):
            continue
        for name, value in values.items():
            if name == "overrides":
                changed |= {k: v for k, v in value.items() if old[section][name].get(k) != v}
            elif value != old[section][name]:
                changed[name] = value
    return changed
