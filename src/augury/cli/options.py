"""Options that several commands share, and the functions that apply them."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
Size = Annotated[
    str | None,
    typer.Option(
        help="96, or height and width as 96x64; default: native size if all are alike and at most 64, else 64."
    ),
]
Fit = Annotated[str | None, typer.Option(help="crop (default: cover, centre crop) or pad (fit inside).")]
OnBad = Annotated[str | None, typer.Option(help="error (default) or skip: leave unreadable files out and list them.")]
ReadAs = Annotated[
    str | None,
    typer.Option(
        "--read-as", help="folder, imagefolder, csv, pixels, npz, tar, parquet, idx or cifar; default: detected."
    ),
]
Column = Annotated[
    list[str] | None,
    typer.Option("--column", help="label=diagnosis: which column is image, label, group or split; repeatable."),
]
Chosen = Annotated[
    str | None, typer.Option("--attributes", help="Columns that are attributes: stain,pose; default: chosen by rule.")
]
Group = Annotated[
    str | None,
    typer.Option(help="Column or array of groups (people, patients) whose images stay in one split; none: no groups."),
]
Split = Annotated[
    str | None, typer.Option(help="given (default: the splits that come with the data) or new (split again).")
]
Root = Annotated[
    Path | None, typer.Option(help="Folder that the paths in a .csv are relative to; default: that of the .csv.")
]
Window = Annotated[str | None, typer.Option(help="DICOM: file (default), percentile, or centre and width as 40,400.")]
Stretch = Annotated[str | None, typer.Option(help="FITS: asinh (default) or linear.")]
Bins = Annotated[
    list[str] | None,
    typer.Option(
        "--bins", help="age=3: divide a numeric attribute into three bins of about equally many images; repeatable."
    ),
]
Transparency = Annotated[
    str | None,
    typer.Option(help="white (default where a file declares opacity), black, or ignore: the colours alone."),
]
Seed = Annotated[int | None, typer.Option(help="Seed of all random numbers of the run; default: 0.", min=0)]
Device = Annotated[str | None, typer.Option(help="auto (default), cpu, cuda or mps.")]
Drawing = Annotated[
    str,
    typer.Option("--device", help="cpu (default: the same images on machines of the same kind), auto, cuda or mps."),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print results as JSON on standard output; progress goes to standard error.")
]
DataOptions = dict[str, Any] | None
"""The parameter that `reads` fills."""
RunFolder = Annotated[Path, typer.Argument(help="A run folder.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print results only, no progress.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Any other setting: prove.steps=600, train.batch=32; repeatable.")
]
Attributes = Annotated[
    list[str] | None,
    typer.Option("--attribute", help="pose=left: for a generator conditioned on attributes; repeatable."),
]


def _window(text: str) -> Any:
    if text in ("file", "percentile"):
        return text
    try:
        centre, width = (float(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(f"--window {text}: write file, percentile, or centre and width as 40,400") from None
    return centre, width


def sides(text: str | None) -> Any:
    """'96' or '96x64' in the form that settings and readers take."""
    if text is None:
        return None
    try:
        pixels = [int(side) for side in text.lower().split("x")]
    except ValueError:
        pixels = []
    if len(pixels) not in (1, 2):
        raise SettingsError(f"--size {text}: write one number of pixels, or height and width as 96x64")
    return pixels[0] if len(pixels) == 1 else tuple(pixels)


def pair(option: str, text: str) -> tuple[str, str]:
    """(name, value) of 'name=value'."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise SettingsError(f"{option} {text}: write it as name=value")
    return name, value


DATA: dict[str, tuple[str, Any, Callable[[Any], Any]]] = {
    "size": ("size", Size, sides),
    "fit": ("fit", Fit, str),
    "on_bad": ("on_bad", OnBad, str),
    "read_as": ("format", ReadAs, str),
    "column": ("columns", Column, lambda texts: dict(pair("--column", text) for text in texts)),
    "attributes": ("attributes", Chosen, lambda text: tuple(name.strip() for name in text.split(",") if name.strip())),
    "group": ("group", Group, str),
    "split": ("split", Split, str),
    "root": ("root", Root, lambda path: str(path.resolve())),
    "window": ("window", Window, _window),
    "stretch": ("stretch", Stretch, str),
    "bins": ("bins", Bins, lambda texts: {name: value(n) for name, n in (pair("--bins", text) for text in texts)}),
    "transparency": ("transparency", Transparency, str),
}
"""Every option about reading data: parameter -> (setting of `DataSettings`, type, conversion of its value)."""


def reads(verb: Callable[..., None]) -> Callable[..., None]:
    """The command with all options of DATA in place of its parameter `data`, which receives the settings that were given."""
    signature = inspect.signature(verb, eval_str=True)
    own = list(signature.parameters.values())
    at = next(i for i, parameter in enumerate(own) if parameter.name == "data")
    keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
    more = [inspect.Parameter(name, keyword, default=None, annotation=kind) for name, (_, kind, _) in DATA.items()]

    def with_options(**values: Any) -> None:
        options = {name: values.pop(name) for name in DATA}
        data = {DATA[name][0]: DATA[name][2](value) for name, value in options.items() if value is not None}
        verb(**values, data=data)

    parameters = [*own[:at], *more, *own[at + 1 :]]
    with_options.__name__, with_options.__doc__ = verb.__name__, verb.__doc__
    with_options.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_options


def reading(data: dict[str, Any]) -> dict[str, Any]:
    """The settings collected by `reads`, checked, as keyword arguments of `augury.load`."""
    from augury.settings import DataSettings, validated

    options = validated(DataSettings, data).reading()
    return {name: options[name] for name in data}


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
    stored: dict[str, Any], extra: list[str] | None, sections: dict[str, dict[str, Any]], top: dict[str, Any]
) -> RunSettings:
    """The stored settings, replaced by the options given, then by each --set section.name=value.

    train.overrides are merged from all three, name by name. Stored overrides hold only for the stored recipe; null removes one.
    """
    from augury.settings import RunSettings, validated

    values = stored | top
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
        values[section] = {**values.get(section, {}), key: value(typed)}
        if (section, key) == ("train", "overrides"):
            overrides.append(values[section][key])
    if any(overrides) and all(isinstance(mapping, dict) for mapping in overrides):
        same = values["train"].get("recipe", "auto") == before.get("recipe", "auto")
        together = {k: v for mapping in overrides[0 if same else 1 :] for k, v in mapping.items()}
        values["train"] = {**values["train"], "overrides": {k: v for k, v in together.items() if v is not None}}
    return validated(RunSettings, values)


def refuse_unread(extra: list[str] | None, sections: tuple[str, ...], where: str) -> None:
    """Raises SettingsError for a --set of a section that is not among the `sections` that the command uses."""
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
) -> Run:
    """Run the pipeline up to a stage. The settings are those stored in the folder, if any, replaced by those given."""
    from augury.cli import console
    from augury.pipeline.run_folder import Run
    from augury.pipeline.stages import run as pipeline

    settings = settled(Run(folder).settings, extra, sections, top)
    return pipeline(path, folder, settings=settings, until=until, callbacks=console.callbacks(quiet))


def again(
    source: Path,
    until: str,
    quiet: bool,
    extra: list[str] | None,
    device: str | None,
    sections: dict[str, dict[str, Any]] | None = None,
) -> Run:
    """Resume an existing run, up to a stage."""
    from augury.pipeline.run_folder import Run

    _ = Run(source).metadata  # refuse a folder that is no run instead of creating it
    return work(None, source, until, quiet, extra, sections or {}, without_none(device=device))


def opened(source: Path, device: str | None) -> Synthesizer:
    """The synthesizer of a run, or in a folder of its own."""
    from augury.training import Synthesizer, choose_device, synthesizer_folder

    return Synthesizer.load(synthesizer_folder(source), choose_device(device or "auto"))
