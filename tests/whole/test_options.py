"""Each option of the command line that is a setting takes its help, limits and default from the settings model."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import typer
from typer.testing import CliRunner

from augury.cli.commands import app
from augury.cli.options import typed
from augury.cli.reading import DATA, UNLABELLED, reading
from augury.data import FORMATS, load
from augury.data.loading import pictures
from augury.errors import SettingsError
from augury.exports import EXPORTS
from augury.pipeline.run_settings import OPTIONS
from augury.settings import READING, DataSettings
from augury.settings_help import describe, field_of
from augury.training.recipes import RECIPES
from augury.validation import validated

SETTINGS = {
    **{name: f"{section}.{name}" if section else name for name, section in OPTIONS.items()},
    "seed": "seed",
    "read_as": "data.format",
    "column": "data.columns",
    "precision": "train.precision",
    "truncation": "generate.truncation",
    "features": "score.features",
    "limit": "score.limit",
    "licence": "data.licence",
    "written": "export.format",
}
"""Parameter -> setting of that option."""
OF_COMMANDS = {("export", "originals"): "export.originals", ("export", "size"): "export.size"}
"""(command, parameter) -> setting, where the same parameter of other commands is another setting."""
LATENT = ("directions", "edit", "interpolate", "invert", "mix", "smoothness", "truncate")
"""Commands of `augury latent`."""
OTHERS = {
    ("latent mix", "columns"): "is the number of pictures side by side",
    ("latent directions", "limit"): "is the number of images to invert",
    ("latent directions", "steps"): "is the number of updates of an inversion",
    ("latent invert", "steps"): "is the number of updates of an inversion",
    ("latent invert", "fit"): "is about photos",
    ("latent invert", "features"): "is what an inversion matches",
    ("latent smoothness", "features"): "is one extractor with a network",
    ("settings", "recipe"): "chooses what is listed",
    ("inspect", "flips"): "searches for mirrored copies",
    ("inspect", "condition"): "chooses the table that is shown",
    ("augment", "flips"): "depends on the policy",
    ("evaluate", "precision"): "is that of the feature extractor",
    **{(command, "device"): "is the CPU by default" for command in ("generate", "translate", "merge", "explore")},
    **{(f"latent {command}", "device"): "is the CPU by default" for command in LATENT},
}
"""(command, parameter) that is no setting of a run, and why."""


def options(group: Any = None, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(command, option) of every command."""
    for name, command in (group or typer.main.get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from options(command, f"{name} ")
            continue
        for parameter in command.get_params(typer.Context(command)):
            if parameter.param_type_name == "option":
                yield prefix + name, parameter


def test_every_option_that_is_a_setting_has_the_help_of_the_setting() -> None:
    checked = set()
    for command, option in options():
        name = OF_COMMANDS.get((command, option.name), SETTINGS.get(option.name))
        if name is None or (command, option.name) in OTHERS:
            assert not (option.help or "").startswith("setting:")
            continue
        checked.add(name)
        for clause in (field_of(name).description or "").split("; "):
            assert clause.startswith("null: ") or clause.lower() in option.help.lower(), (command, option.name)
    assert checked >= {f"data.{name}" for name in READING} | {
        "seed",
        "device",
        "train.steps",
        "prove.flips",
        "score.limit",
    }


def test_help_states_default_limits_and_how_a_value_is_typed() -> None:
    texts = {(command, option.name): option.help for command, option in options()}
    assert texts["run", "steps"].endswith("at least 1; default: those of the recipe, or what the budget allows.")
    assert "such as 96 or 96x64; default: native size if all" in texts["run", "size"]
    assert texts["evaluate", "size"].endswith("default: the smaller native size of the two sets.")
    assert texts["inspect", "column"].endswith("such as label=diagnosis; repeatable.")
    assert texts["run", "seed"] == "Seed of all random numbers; at least 0; default: 0."
    assert not any("null" in text for text in texts.values() if text)


def test_examples_are_values_that_the_option_takes_as_it_shows_them() -> None:
    for option in DATA.values():
        for example in field_of(f"data.{option[0]}").examples or []:
            repeatable = isinstance(example, dict)
            text = typed(f"data.{option[0]}", repeatable, example)
            assert option[2]([text] if repeatable else text) == example
            validated(DataSettings, {option[0]: example})
    assert describe("data.size", null="None", default="").endswith(
        "None: native size if all are alike and at most 64, else 64"
    )


def test_names_in_the_descriptions_are_those_of_the_tables() -> None:
    for name, table in (
        ("data.format", [entry.name for entry in FORMATS]),
        ("train.recipe", RECIPES),
        ("export.format", EXPORTS),
    ):
        assert all(entry in (field_of(name).description or "") for entry in table), name


def test_a_number_out_of_range_is_refused_by_the_setting() -> None:
    for words, rule in (
        ("generate x -o y --label a --seed -1", "seed = -1: .*greater than or equal to 0"),
        ("run --steps 0 -o y", r"train\.steps = 0: .*greater than or equal to 1"),
    ):
        with pytest.raises(SettingsError, match=rule):
            CliRunner().invoke(app, words.split(), catch_exceptions=False)


@pytest.mark.parametrize("words", ["--help", "report --help"])
def test_help_imports_neither_torch_nor_settings_that_it_does_not_show(words: str) -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from augury.cli.commands import app;"
        f"assert CliRunner().invoke(app, {words.split()}).exit_code == 0;"
        "sys.exit('torch' in sys.modules or 'augury.settings' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_load_takes_the_reading_settings_with_their_defaults() -> None:
    parameters = {name: p for name, p in inspect.signature(load).parameters.items() if name not in ("path", "cache")}
    assert tuple(parameters) == READING
    hints = get_type_hints(load)
    for name, parameter in parameters.items():
        field = DataSettings.model_fields[name]
        assert parameter.default == (field.get_default(call_default_factory=True) or None), name
        if isinstance(parameter.default, str) and name != "window":
            assert hints[name] == field.annotation, name
    shared = inspect.signature(pictures).parameters.keys() & parameters.keys()
    assert all(inspect.signature(pictures).parameters[name].default == parameters[name].default for name in shared)


def test_commands_on_images_without_labels_take_the_options_of_pictures() -> None:
    taken = [DATA[name][0] for name in UNLABELLED]
    assert sorted(taken) == sorted(inspect.signature(pictures).parameters.keys() - {"path", "cache"})
    for verb in ("evaluate", "translate"):
        names = {option.name for command, option in options() if command == verb}
        assert names >= set(UNLABELLED) and not names & (DATA.keys() - set(UNLABELLED)), verb


VALUES = {"size": "9", "class_folder": "1", "column": "label=a", "bins": "age=2", "window": "file", "seed": "1"}
MODES = {"prove": 17, "evaluate": 19}
"""Command -> number of its options that a run refuses."""


@pytest.mark.parametrize("verb", MODES)
def test_options_of_one_mode_have_a_section_of_their_own_and_a_run_refuses_them(verb: str, tmp_path: Path) -> None:
    sections: dict[str, list[Any]] = {}
    for command, option in options():
        if command == verb and option.rich_help_panel:
            sections.setdefault(option.rich_help_panel, []).append(option)
    others = next(iter(sections))
    assert len(sections[others]) == MODES[verb]
    for option in sections[others]:
        word = max(option.opts, key=len)
        with pytest.raises(SettingsError, match=rf"{word} (needs --with|is for two sets)"):
            CliRunner().invoke(app, [verb, str(tmp_path), word, VALUES.get(option.name, "x")], catch_exceptions=False)
    printed = " ".join(CliRunner().invoke(app, [verb, "--help"]).output.split())
    for section in sections:
        heading, _, text = section.partition(": ")
        assert f"{heading}: {text} -" in printed


def test_load_documents_its_parameters_with_the_descriptions() -> None:
    text = " ".join((load.__doc__ or "").split()).lower()
    for name in READING:
        clauses = (DataSettings.model_fields[name].description or "").lower().split("; ")
        assert all(clause.replace("null: ", "none: ") in text for clause in clauses), name
    assert "{data." not in text and "null" not in text


@pytest.mark.parametrize(
    "values", [{"size": 0}, {"stretch": "log"}, {"columns": {"colour": "x"}}, {"bins": {"age": 1}}]
)
def test_load_refuses_a_value_in_the_words_of_the_command_line(tmp_path: Path, values: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as by_load:
        load(tmp_path, **values)
    with pytest.raises(SettingsError) as by_options:
        reading(values)
    assert str(by_load.value) == str(by_options.value)
