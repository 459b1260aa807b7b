"""Options that several commands share, and the functions that apply them."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from augury.errors import SettingsError

if TYPE_CHECKING:
    from augury.pipeline.run_folder import Run
    from augury.settings import RunSettings
    from augury.training import Synthesizer

Trained = Annotated[Path, typer.Argument(help="A run folder, or the folder of a synthesizer.")]
Data = Annotated[
    Path | None,
    typer.Argument(help="Folder of class folders, .npz, .csv, .parquet, .tar, idx, …; default: the embedded sample."),
]


def setting(name: str, *flags: str, default: str = "", panel: str | None = None) -> Any:
    """The option of a setting, such as "train.steps".

    The settings model declares its help, limits and default. `SettingCommand` reads them when the command is used, so that
    `augury --help` does not import pydantic. `default` replaces the model's default in the help text. `panel` is the section of
    the help that lists the option: its heading, and after ": " a sentence.
    """

    def within_limits(value: Any) -> Any:
        if isinstance(value, int | float):
            from augury.settings import RunSettings
            from augury.validation import validated

            section, dot, key = name.partition(".")
            validated(RunSettings, {section: {key: value}} if dot else {name: value})
        return value

    text = f"{MARK}{name}|{default}"
    return typer.Option(*flags, help=text, show_default=False, callback=within_limits, rich_help_panel=panel)


def first_sentence(text: str | None) -> str:
    """The first sentence of a help text, on one line."""
    return " ".join((text or "").split()).partition(". ")[0].rstrip(".")


class VerbGroup(TyperGroup):
    """A group whose commands have their whole description in the list, in the order of `ORDER`."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the commands, in order; those that ORDER does not name come last."""
        return sorted(super().list_commands(ctx), key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))

    def get_short_help_str(self, limit: int = 0) -> str:
        """The first sentence of the help, in full."""
        return first_sentence(self.help)


ORDER = (
    "run", "inspect", "split", "augment", "train", "generate", "translate", "merge", "latent", "evaluate", "prove", "predict",
    "report", "checklist", "explore", "export", "compare", "tune", "track", "settings", "doctor",
)  # fmt: skip
"""Commands in the order in which a user needs them."""
KINDS = ("Arguments", "Options")
"""First sections of a help text."""
MARK = "setting:"
"""Start of the help text of an option whose setting has not been looked up yet."""


class SettingCommand(TyperCommand):
    """A command that takes the help texts of its settings from the settings model."""

    def get_short_help_str(self, limit: int = 0) -> str:
        """The first sentence of the help, in full."""
        return first_sentence(self.help)

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, with complete help texts."""
        for parameter in self.params:
            text = getattr(parameter, "help", None) or ""
            if text.startswith(MARK):
                name, _, default = text.removeprefix(MARK).partition("|")
                parameter.help = setting_help(name, default, parameter.multiple)  # type: ignore[attr-defined]
        return super().get_params(ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the help of arguments and options, in sections by the mode of the command that takes them."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
            if record := parameter.get_help_record(ctx):
                sections.setdefault(getattr(parameter, "rich_help_panel", None) or kind, []).append(record)
        for name in sorted(sections, key=lambda name: KINDS.index(name) if name in KINDS else len(KINDS)):
            heading, _, sentence = name.partition(": ")
            with formatter.section(heading):
                if sentence:
                    formatter.write_text(sentence)
                    formatter.write_paragraph()
                formatter.write_dl(sections[name])


def setting_help(name: str, default: str, repeatable: bool) -> str:
    """The help text of the option of a setting: what it does, examples as they are typed, limits and default."""
    from augury.settings_help import describe, sentence

    text = describe(name, null="default", written=partial(typed, name, repeatable), default=default or None)
    return sentence(f"{text}; repeatable" if repeatable else text)


def typed(name: str, repeatable: bool, example: Any) -> str:
    """The value of a setting as it is typed on the command line."""
    if repeatable:
        return " ".join(f"{key}={value}" for key, value in example.items())
    if isinstance(example, tuple):
        return ("x" if name.endswith("size") else ",").join(map(str, example))
    return example if isinstance(example, str) else json.dumps(example)


TrialClassifier = Annotated[str | None, setting("prove.classifier")]
JudgeSize = Annotated[str | None, setting("prove.judge_size")]
Seed = Annotated[int | None, setting("seed")]
Device = Annotated[str | None, setting("device")]
Sidecar = Annotated[
    bool, typer.Option("--sidecar", help="Also write an unsigned C2PA-style file (JSON) beside each synthetic image.")
]
Licence = Annotated[str | None, setting("data.licence", default="that of the settings of the run")]
Drawing = Annotated[
    str,
    typer.Option("--device", help="cpu (default: the same images on machines of the same kind), auto, cuda or mps."),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print results as JSON on standard output; progress goes to standard error.")
]
RunFolder = Annotated[Path, typer.Argument(help="A run folder.")]
QUIET = "Print results only, no progress."
Quiet = Annotated[bool, typer.Option("--quiet", help=QUIET)]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Any other setting: prove.steps=600, train.batch=32; repeatable.")
]
Config = Annotated[
    Path | None,
    typer.Option(
        help="YAML file of settings by section, such as the settings.yaml of a run. Replaces stored settings; options and --set "
        "replace those of the file."
    ),
]
Attributes = Annotated[
    list[str] | None,
    typer.Option("--attribute", help="pose=left: for a generator conditioned on attributes; repeatable."),
]


def sides(text: str | None, option: str = "--size") -> Any:
    """'96' or '96x64' in the form that settings and readers take."""
    if text is None:
        return None
    try:
        pixels = [int(side) for side in text.lower().split("x")]
    except ValueError:
        pixels = []
    if len(pixels) not in (1, 2):
        raise SettingsError(f"{option} {text}: write one number of pixels, or height and width as 96x64")
    return pixels[0] if len(pixels) == 1 else tuple(pixels)


def classifiers(classifier: str | None, judge_size: str | None) -> dict[str, Any]:
    """The settings of a trial that `--classifier` and `--judge-size` give."""
    return without_none(classifier=classifier, judge_size=sides(judge_size, "--judge-size"))


def pair(option: str, text: str) -> tuple[str, str]:
    """(name, value) of 'name=value'."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise SettingsError(f"{option} {text}: write it as name=value")
    return name, value


def without(verb: Callable[..., None], *names: str) -> Callable[..., None]:
    """The command without these options, which have their defaults."""
    signature = inspect.signature(verb, eval_str=True)
    parameters = [parameter for name, parameter in signature.parameters.items() if name not in names]

    def with_fewer(**values: Any) -> None:
        verb(**values)

    return as_command(with_fewer, verb, signature.replace(parameters=parameters))


def registers(app: typer.Typer) -> Callable[..., Callable[[Callable[..., None]], Callable[..., None]]]:
    """The decorator that registers a command with `app`.

    The options of settings take their help from the settings. Each command has the option --quiet; those that show no progress
    take it without effect.
    """

    def command(name: str | None = None, **more: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
        def register(verb: Callable[..., None]) -> Callable[..., None]:
            app.command(name, cls=SettingCommand, **more)(_quietable(verb))
            return verb

        return register

    return command


def _quietable(verb: Callable[..., None]) -> Callable[..., None]:
    """The command with the option --quiet."""
    signature = inspect.signature(verb, eval_str=True)
    if "quiet" in signature.parameters:
        return verb
    keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [*signature.parameters.values(), inspect.Parameter("quiet", keyword, default=False, annotation=Quiet)]

    def with_quiet(quiet: bool = False, **values: Any) -> None:
        verb(**values)

    return as_command(with_quiet, verb, signature.replace(parameters=parameters))


def as_command(
    function: Callable[..., None], verb: Callable[..., None], signature: inspect.Signature
) -> Callable[..., None]:
    """The function with the name and help of `verb` and these parameters, as typer reads them."""
    function.__name__, function.__doc__ = verb.__name__, verb.__doc__
    function.__signature__ = signature  # type: ignore[attr-defined]
    function.__annotations__ = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    return function


def value(text: str) -> Any:
    """The value of a setting as typed: JSON, else text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def without_none(**values: Any) -> dict[str, Any]:
    """The keyword arguments that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def settled(
    stored: dict[str, Any],
    extra: list[str] | None,
    sections: dict[str, dict[str, Any]],
    top: dict[str, Any],
    config: Path | None = None,
) -> RunSettings:
    """The stored settings, replaced by those of --config, by the options given, then by each --set section.name=value.

    The file's train.overrides replace the stored ones. Those of options and --set are merged into them, name by name; null
    removes one. Overrides that came with a recipe hold for that recipe only.
    """
    from augury.pipeline.run_settings import merged
    from augury.settings import RunSettings, refuse_without_unit
    from augury.validation import validated

    file = read_config(config)
    values = merged(stored, file) | top
    before = values.get("train", {})
    overrides = [before.get("overrides", {})]
    for section, own in sections.items():
        values[section] = values.get(section, {}) | own
    overrides.append(sections.get("train", {}).get("overrides", {}))
    for text in extra or []:
        name, equals, typed = text.partition("=")
        section, dot, key = name.partition(".")
        if not (equals and dot):
            raise SettingsError(f"--set {text}: write it as section.name=value, for example --set prove.steps=600")
        refuse_without_unit({section: {key: value(typed)}}, f"--set {text}")
        values[section] = {**values.get(section, {}), key: value(typed)}
        if (section, key) == ("train", "overrides"):
            overrides.append(values[section][key])
    if any(overrides) and all(isinstance(mapping, dict) for mapping in overrides):
        recipe = values["train"].get("recipe", "auto")
        own = file.get("train", {})
        same = recipe == before.get("recipe", recipe) or ("overrides" in own and "recipe" not in own)
        together = {k: v for mapping in overrides[0 if same else 1 :] for k, v in mapping.items()}
        values["train"] = {**values["train"], "overrides": {k: v for k, v in together.items() if v is not None}}
    return validated(RunSettings, values)


def with_set(sections: dict[str, dict[str, Any]], extra: list[str] | None) -> dict[str, dict[str, Any]]:
    """The settings that options and --set name, by section; those of --set as they are typed."""
    named = {section: dict(own) for section, own in sections.items()}
    for text in extra or []:
        name, _, typed = text.partition("=")
        section, _, key = name.partition(".")
        named.setdefault(section, {})[key] = typed
    return named


def read_config(path: Path | None) -> dict[str, Any]:
    """The settings in the file of --config, by section."""
    if path is None:
        return {}
    from augury.pipeline.settings_file import read_settings

    return read_settings(path)


def refuse_unread(extra: list[str] | None, sections: tuple[str, ...], where: str, config: Path | None = None) -> None:
    """Raises SettingsError for settings (--set, --config) of a section that is not among the `sections` that the command uses."""
    for name in read_config(config):
        if name not in (*sections, "seed", "device"):
            raise SettingsError(
                f"{config}: {name} has no effect {where}: only the settings of {' and '.join(sections)} apply; leave it out"
            )
    for text in extra or []:
        name = text.partition("=")[0]
        if name.partition(".")[0] not in sections:
            raise SettingsError(
                f"--set {name} has no effect {where}: only the settings of {' and '.join(sections)} apply; leave it out"
            )


def work(
    path: Path | None,
    folder: Path,
    until: str,
    quiet: bool,
    extra: list[str] | None,
    sections: dict[str, dict[str, Any]],
    top: dict[str, Any],
    config: Path | None,
    time: float | None = None,
    quick: bool = False,
) -> Run:
    """Run the pipeline up to a stage. The settings are those stored in the folder, if any, replaced by those given."""
    from augury.cli import console
    from augury.pipeline.run_folder import Run

    settings, callbacks = settled(Run(folder).settings, extra, sections, top, config), console.callbacks(quiet)
    if quick and time is not None:
        from augury.pipeline.first_look import first_look

        return first_look(path, folder, settings=settings, time=time, until=until, callbacks=callbacks)
    from augury.pipeline.stages import run as pipeline

    return pipeline(path, folder, settings=settings, until=until, time=time, callbacks=callbacks)


def processes() -> int:
    """The number of processes that torchrun has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def first_process() -> AbstractContextManager[bool]:
    """A context that gives True in the process that does the work, and False in those that have helped it."""
    if processes() == 1:
        return nullcontext(True)
    from augury.pipeline.ranks import only_first

    return only_first()


def again(
    source: Path,
    until: str,
    quiet: bool,
    extra: list[str] | None,
    device: str | None,
    sections: dict[str, dict[str, Any]] | None = None,
    config: Path | None = None,
) -> Run:
    """Resume an existing run, up to a stage."""
    from augury.pipeline.run_folder import Run

    _ = Run(source).metadata  # refuse a folder that is no run instead of creating it
    return work(None, source, until, quiet, extra, sections or {}, without_none(device=device), config)


def opened(source: Path, device: str | None) -> Synthesizer:
    """The synthesizer of a run, or in a folder of its own."""
    from augury.training import Synthesizer, choose_device, synthesizer_folder

    return Synthesizer.load(synthesizer_folder(source), choose_device(device or "auto"))
