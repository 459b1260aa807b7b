"""The settings of a run from sections, options and changes."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel

from augury.errors import SettingsError
from augury.settings import READING, RunSettings
from augury.validation import validated

OPTIONS: dict[str, str] = {
    "device": "",
    **dict.fromkeys((*READING, "target"), "data"),
    **dict.fromkeys(
        ("recipe", "steps", "budget", "batch", "condition", "augment", "start_from", "unlabelled", "track"), "train"
    ),
    **dict.fromkeys(("sampling_strategy", "filters"), "generate"),
    **dict.fromkeys(("seeds", "max_seeds", "max_class_loss", "arms", "flips", "classifier", "judge_size"), "prove"),
}
"""Settings that `augury.run` takes as keyword arguments, with their section; "" for those of the run itself."""


def run_settings(values: RunSettings | Mapping[str, Any] | None, options: Mapping[str, Any]) -> RunSettings:
    """Build the settings of a run.

    Parameters
    ----------
    values
        Settings, or plain values by section: {"train": {"steps": 500}}.
    options
        Names of `OPTIONS` and their values; they replace those of `values`.

    Raises
    ------
    SettingsError
        For an unknown option, and for every value that a setting does not take.
    """
    plain = values.model_dump() if isinstance(values, RunSettings) else _plain(values or {})
    return validated(RunSettings, merged(plain, by_section(options)))


def by_section(options: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that are given by name alone, by section. Raises SettingsError for a name that is not in OPTIONS."""
    sections: dict[str, Any] = {}
    for name, value in options.items():
        if name not in OPTIONS:
            close = get_close_matches(name, OPTIONS, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise SettingsError(
                f"there is no option '{name}'{hint} Options are: {', '.join(OPTIONS)}; others go into settings={{section: {{name: value}}}}"
            )
        if section := OPTIONS[name]:
            sections.setdefault(section, {})[name] = value
        else:
            sections[name] = value
    return sections


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with each section as a mapping, where it is a model."""
    return {name: value.model_dump() if isinstance(value, BaseModel) else value for name, value in values.items()}


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Plain settings by section, with changes.

    Steps replace a budget, and a budget replaces steps. Overrides hold only for the recipe that they came with: another recipe
    without overrides has none.
    """
    result = dict(values)
    for name, change in changes.items():
        old = result.get(name, {})
        if not isinstance(change, Mapping):
            result[name] = change
        elif isinstance(old, Mapping):  # else the check of all settings refuses it
            result[name] = {**old, **change}
    old, change = values.get("train", {}), changes.get("train", {})
    if isinstance(old, Mapping) and isinstance(change, Mapping):
        lengths = {name: change[name] for name in ("steps", "budget") if name in change}
        if len(lengths) == 1:
            result["train"] |= {"steps": None, "budget": None} | lengths
        recipe = old.get("recipe")
        if recipe is not None and change.get("recipe", recipe) != recipe and "overrides" not in change:
            result["train"] |= {"overrides": {}}
    return result
