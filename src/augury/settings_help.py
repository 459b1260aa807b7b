"""Describe settings for help texts, docstrings and pages, from the descriptions in their models."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import PlainSerializer
from pydantic.fields import FieldInfo

from augury.durations import with_unit
from augury.settings import RunSettings
from augury.validation import bounds_of

Function = TypeVar("Function", bound=Callable[..., Any])


def describe(
    setting: str | FieldInfo,
    *,
    null: str = "null",
    written: Callable[[Any], str] = json.dumps,
    default: str | None = None,
) -> str:
    """What a setting does: description, examples, limits, and the default where the description does not state it.

    Parameters
    ----------
    setting
        The field, or its full name, such as "train.steps".
    null
        What the reader writes for the value null.
    written
        An example as the reader writes it.
    default
        Replaces the default of the setting; "" omits it.
    """
    field = field_of(setting) if isinstance(setting, str) else setting
    clauses = (field.description or "").split("; ")
    without = [clause.replace("null: ", f"{null}: ") for clause in clauses if clause.startswith("null: ")]
    clauses = [clause for clause in clauses if not clause.startswith("null: ")]
    if field.examples:
        clauses.append(f"such as {' or '.join(map(written, field.examples))}")
    clauses += [limits] if (limits := bounds_of(field)) else []
    value = field.get_default(call_default_factory=True)
    if default is None and value not in (None, (), {}):
        timed = any(isinstance(rule, PlainSerializer) for rule in field.metadata)
        default = ",".join(value) if isinstance(value, tuple) else str(with_unit(value) if timed else value)
    return "; ".join(clauses + ([f"default: {default}"] if default else without))


def with_descriptions(function: Function) -> Function:
    """Replace each {section.name} in a docstring by the description of that setting."""

    def described(match: re.Match[str]) -> str:
        text = describe(match[2], null="None", written=repr, default="")
        lines = textwrap.wrap(sentence(text), 100)
        return "".join(f"{match[1]}{line}\n" for line in lines)

    function.__doc__ = re.sub(r"(?m)^( +)\{([a-z_]+\.[a-z_]+)\}\n", described, function.__doc__ or "")
    return function


def sentence(text: str) -> str:
    """The text with a full stop and a capital letter, except where it begins with the name of a value."""
    return f"{text if re.match(r'[a-z_]+[:,]', text) else text[0].upper() + text[1:]}."


def field_of(name: str) -> FieldInfo:
    """The field of a setting by its full name, such as "train.steps" or "seed"."""
    section, dot, key = name.partition(".")
    field: FieldInfo = RunSettings.model_fields[section]
    return field.annotation.model_fields[key] if dot else field  # type: ignore[union-attr]
