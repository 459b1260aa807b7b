"""Options about reading data: one for each setting of `DataSettings` about reading, for every command that reads images."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from copy import copy
from pathlib import Path
from typing import Annotated, Any, get_args

from augury.cli.options import as_command, pair, setting, sides, value
from augury.errors import SettingsError

Size = Annotated[str | None, setting("data.size")]
Fit = Annotated[str | None, setting("data.fit")]
OnBad = Annotated[str | None, setting("data.on_bad")]
ReadAs = Annotated[str | None, setting("data.format", "--read-as")]
Column = Annotated[list[str] | None, setting("data.columns", "--column")]
Chosen = Annotated[str | None, setting("data.attributes", "--attributes")]
Group = Annotated[str | None, setting("data.group")]
Split = Annotated[str | None, setting("data.split")]
Root = Annotated[Path | None, setting("data.root")]
ClassFolder = Annotated[int | None, setting("data.class_folder")]
FollowLinks = Annotated[Path | None, setting("data.follow_links")]
Window = Annotated[str | None, setting("data.window")]
Stretch = Annotated[str | None, setting("data.stretch")]
Bins = Annotated[list[str] | None, setting("data.bins", "--bins")]
Transparency = Annotated[str | None, setting("data.transparency")]
DataOptions = dict[str, Any] | None
"""The parameter that `reads` fills."""


def _window(text: str) -> Any:
    if text in ("file", "percentile"):
        return text
    try:
        centre, width = (float(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(f"--window {text}: write file, percentile, or centre and width as 40,400") from None
    return centre, width


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
    "class_folder": ("class_folder", ClassFolder, int),
    "follow_links": ("follow_links", FollowLinks, lambda path: str(path.resolve())),
    "window": ("window", Window, _window),
    "stretch": ("stretch", Stretch, str),
    "bins": ("bins", Bins, lambda texts: {name: value(n) for name, n in (pair("--bins", text) for text in texts)}),
    "transparency": ("transparency", Transparency, str),
}
"""Every option about reading data: parameter -> (setting of `DataSettings`, type, conversion of its value)."""


UNLABELLED = (
    "size", "fit", "on_bad", "read_as", "column", "root", "class_folder", "follow_links", "window", "stretch", "transparency",
)  # fmt: skip
"""The options of DATA for images that may have no labels, groups or splits."""


def reads(verb: Callable[..., None]) -> Callable[..., None]:
    """The command with all options of DATA in place of its parameter `data`, which receives the settings that were given."""
    return reads_with({name: kind for name, (_, kind, _) in DATA.items()})(verb)


def reads_with(options: Mapping[str, Any], panel: str | None = None) -> Callable[..., Callable[..., None]]:
    """As `reads`, with these options of DATA alone: parameter -> type. `panel` is the section of the help that lists them."""

    def with_their_options(verb: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(verb, eval_str=True)
        own = list(signature.parameters.values())
        at = next(i for i, parameter in enumerate(own) if parameter.name == "data")
        keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
        more = [
            inspect.Parameter(name, keyword, default=None, annotation=in_panel(kind, panel))
            for name, kind in options.items()
        ]

        def with_options(**values: Any) -> None:
            typed = {name: values.pop(name) for name in options}
            data = {DATA[name][0]: DATA[name][2](value) for name, value in typed.items() if value is not None}
            verb(**values, data=data)

        parameters = [*own[:at], *more, *own[at + 1 :]]
        return as_command(with_options, verb, signature.replace(parameters=parameters))

    return with_their_options


def reads_images(size: str, panel: str | None = None) -> Callable[..., Callable[..., None]]:
    """As `reads`, for images that may have no labels; `size` is the default of --size in words."""
    sized = Annotated[str | None, setting("data.size", default=size)]
    return reads_with({name: sized if name == "size" else DATA[name][1] for name in UNLABELLED}, panel)


def typed_names(data: Mapping[str, Any]) -> list[str]:
    """The options of DATA that set these settings, as they are typed."""
    names = {setting: name for name, (setting, *_) in DATA.items()}
    return [f"--{names[setting].replace('_', '-')}" for setting in data]


def in_panel(kind: Any, panel: str | None) -> Any:
    """The annotated type of an option, listed in a section of the help."""
    if panel is None:
        return kind
    value, option = get_args(kind)
    option = copy(option)
    option.rich_help_panel = panel
    return Annotated[value, option]


def reading(data: dict[str, Any]) -> dict[str, Any]:
    """The settings collected by `reads`, checked, as keyword arguments of `augury.load`."""
    from augury.settings import DataSettings
    from augury.validation import validated

    options = validated(DataSettings, data).reading()
    return {name: options[name] for name in data}
