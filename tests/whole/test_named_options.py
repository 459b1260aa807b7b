"""Every option and setting that a message names exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import typer.main

import augury
from augury.cli.commands import app
from augury.settings import RunSettings

SOURCE = Path(augury.__file__).parent
OTHER_PROGRAMS = {"--force-reinstall"}
"""Options of pip."""
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")
SETTING = re.compile(r"\b(data|train|generate|score|prove|export)\.([a-z_]+)=")


def texts() -> Iterator[tuple[str, str]]:
    """(where, text) of every text in the package, docstrings and pieces of formatted texts included."""
    for file in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield f"{file.relative_to(SOURCE)}:{node.lineno}", node.value
    for file in sorted(SOURCE.rglob("*.j2")):
        yield str(file.relative_to(SOURCE)), file.read_text(encoding="utf-8")


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
    named = {(where, name) for where, text in texts() for name in OPTION.findall(text)}
    assert len(named) > 100
    assert not sorted((where, name) for where, name in named if name not in known | OTHER_PROGRAMS)


def test_every_setting_that_a_text_names_exists() -> None:
    sections = {name: type(value).model_fields for name, value in RunSettings() if hasattr(value, "model_dump")}
    named = {(where, *found) for where, text in texts() for found in SETTING.findall(text)}
    assert len(named) > 10
    assert not sorted(item for item in named if item[2] not in sections[item[1]])
