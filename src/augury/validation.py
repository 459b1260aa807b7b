"""Validate settings against their models, and say in words what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from augury.errors import RunFolderError, SettingsError, shortened

Kind = TypeVar("Kind", bound=BaseModel)


class Settings(BaseModel):
    """Base of all settings: immutable, and a misspelt name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StrictSettings(Settings):
    """Settings whose values have the type of their field: a fraction is no whole number, and a text no number."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, validate_default=True)


class Versioned(BaseModel):
    """The version of a stored file, whatever else it holds."""

    format: Any = None


def validated(kind: type[Kind], values: Mapping[str, Any], source: str = "") -> Kind:
    """Build settings from plain values.

    Parameters
    ----------
    kind
        The model of the settings.
    values
        Plain values by name, or by section and name.
    source
        The file that they come from, for the message.

    Raises
    ------
    SettingsError
        With each wrong setting, its value and the rule.
    """
    try:
        return kind(**values)
    except (ValidationError, SettingsError) as error:
        refusal = error if isinstance(error, SettingsError) else refusal_of(kind, values, error)
        raise (SettingsError(f"{source}: {refusal}") if source else refusal) from error


def parsed(kind: type[Kind], content: bytes, where: str, remedy: str) -> Kind:
    """Check the content of a JSON file against its model.

    Parameters
    ----------
    kind
        The model.
    content
        The bytes of the file.
    where
        The file, for the message.
    remedy
        What to do when it is damaged, for the message.

    Raises
    ------
    RunFolderError
        With the first wrong value and its rule.
    """
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        name = ".".join(map(str, wrong["loc"]))
        value = "" if wrong["type"] == "missing" or not name else f" = {shortened(repr(wrong['input']))}"
        rule = wrong["msg"].removeprefix("Value error, ")
        raise RunFolderError(
            f"{where}: damaged, or written by another version ({f'{shortened(name)}{value}: ' if name else ''}{rule}); {remedy}"
        ) from error


def changed(owner: str, old: Kind, new: Mapping[str, Any]) -> Kind:
    """The settings `old` with the values `new`.

    Parameters
    ----------
    owner
        To whom the settings belong, for messages.
    old
        Settings of a network or recipe.
    new
        Values by name.

    Raises
    ------
    SettingsError
        For an unknown name, a value of another type than the field, and a number out of range.
    """
    known = type(old).model_fields
    for name in new:
        if name not in known:
            close = get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]}? Its" if close else "its"
            raise SettingsError(f"{owner} has no setting '{name}'; {hint} settings are: {', '.join(known)}")
    try:
        return type(old)(**{**old.model_dump(), **new})
    except ValidationError as error:
        wrong = error.errors()[0]
        name, bounds = str(wrong["loc"][0]), wrong.get("ctx", {})
        field, value, default = known[name], new.get(name), getattr(old, name)
        if wrong["type"] == "finite_number" or BOUNDS.keys() & bounds.keys():
            rule = f"{bounds_of(field) or _in_words(bounds) or 'a finite number'}; the default is {default!r}"
        elif field.annotation is int and isinstance(value, float):
            rule = f"a whole number, as its default {default!r} is"
        else:
            rule = f"of the kind of its default, {default!r}"
        raise SettingsError(f"{owner}: {name}={value!r}, but it must be {rule}") from error


BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
"""Kind of a bound -> its words."""


def bounds_of(field: FieldInfo) -> str:
    """The bounds of a number, or of each number of a pair, in words."""
    inner = get_args(field.annotation)[0] if get_origin(field.annotation) is tuple else None
    rules = FieldInfo.from_annotation(inner).metadata if inner is not None else field.metadata
    return _in_words({kind: getattr(rule, kind) for rule in rules for kind in BOUNDS if hasattr(rule, kind)})


def _in_words(bounds: Mapping[str, float]) -> str:
    return " and ".join(f"{BOUNDS[kind]} {bound:g}" for kind, bound in bounds.items() if kind in BOUNDS)


def refusal_of(kind: type[BaseModel], values: Mapping[str, Any], error: ValidationError) -> SettingsError:
    """The error in words, with a line for each wrong setting."""
    lines = dict.fromkeys(_error_line(kind, values, dict(each)) for each in error.errors())
    return SettingsError("these settings cannot be used:\n" + "\n".join(lines))


def _error_line(kind: type[BaseModel], values: Any, wrong: dict[str, Any]) -> str:
    """One line about one wrong setting. Where several types are allowed, it shows the description of the setting."""
    model, names = kind, [str(name) for name in wrong["loc"]]
    message = wrong["msg"].removeprefix("Value error, ")
    for at, name in enumerate(names):
        field = model.model_fields.get(name)
        if field is None:
            close = get_close_matches(name, model.model_fields, 1)
            meant = f"; did you mean {close[0]}?" if close else "."
            return f"  {'.'.join(names[: at + 1])}: there is no such setting{meant} There are: {', '.join(model.model_fields)}"
        values = values.get(name) if isinstance(values, Mapping) else getattr(values, name, None)
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            if at < len(names) - 1 and field.description:
                message = "; ".join(c for c in field.description.split("; ") if not c.startswith("null: "))
            return f"  {'.'.join(names[: at + 1])} = {values!r}: {message}"
        model = field.annotation
    if wrong["type"] == "model_type":
        message = f"must hold settings by name; there are: {', '.join(model.model_fields)}"
    return f"  {'.'.join(names)}: {message}"
