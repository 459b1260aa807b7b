"""Every option and setting that a message names exists."""

from __future__ import annotations

import re

import typer.main

from augury.cli.commands import app
from augury.settings import RunSettings
from tests.helpers.texts import OPTION, texts

OTHER_PROGRAMS = {"--force-reinstall"}
"""Options of pip."""
SETTING = re.compile(r"\b(data|train|generate|score|prove|export)\.([a-z_]+)=")


def options() -> set[str]:
    """All options of all commands, and those of the program itself."""
    commands, names = [typer.main.get_command(app)], {"--help"}
    while commands:
        command = commands.pop()
        commands += getattr(command, "commands", {}).values()
        names |= {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return names


def test_every_option_that_a_text_names_is_one_of_a_command() -> None:
    known = options()
    assert {"--on-bad", "--group", "--transparency"} <= known
    option_names = {(origin, name) for origin, text in texts() for name in OPTION.findall(text)}
    assert len(option_names) > 100
    assert not sorted((origin, name) for origin, name in option_names if name not in known | OTHER_PROGRAMS)


def test_every_setting_that_a_text_names_exists() -> None:
    sections = {name: type(value).model_fields for name, value in RunSettings() if hasattr(value, "model_dump")}
    setting_names = {(origin, *match) for origin, text in texts() for match in SETTING.findall(text)}
    assert len(setting_names) > 10
    assert not sorted(item for item in setting_names if item[2] not in sections[item[1]])
