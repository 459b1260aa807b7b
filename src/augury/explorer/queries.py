"""Values in the address of a request, checked."""

from __future__ import annotations

from collections.abc import Mapping

from augury.errors import SettingsError

Query = Mapping[str, str]


def cell(query: Query, name: str) -> list[int]:
    """The codes of a class and of attribute values, written as 0,2."""
    try:
        return [int(code) for code in query.get(name, "").split(",")]
    except ValueError:
        raise SettingsError(
            f"{name} is {query.get(name)!r}; give the code of the class and of each attribute value, as 0,2"
        ) from None


def integer(query: Query, name: str, low: int, high: int) -> int:
    """A whole number from `low` to `high`; `low` where it is missing."""
    text = query.get(name, str(low))
    if not text.isdecimal() or not low <= int(text) <= high:
        raise SettingsError(f"{name} is {text!r}; give a whole number from {low} to {high:,}")
    return int(text)


def number(query: Query, name: str, default: float, low: float, high: float) -> float:
    """A number from `low` to `high`."""
    try:
        value = float(query.get(name, default))
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise SettingsError(f"{name} is {query.get(name)!r}; give a number from {low:g} to {high:g}")
    return value
