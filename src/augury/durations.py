"""Times as users write them: 90s, 5m, 1h30m."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer

from augury.errors import SettingsError


def seconds(value: Any) -> Any:
    """'90s', '5m' or '1h30m' -> seconds. A number in Python is one of seconds; text without a unit is refused."""
    if not isinstance(value, str):
        return value
    parts = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", value.strip())
    if parts is None or not any(parts.groups()):
        raise ValueError(f"'{value}' is not a time with its unit; write 90s, 5m or 1h30m")
    h, m, s = (float(p) if p else 0.0 for p in parts.groups())
    return 3600 * h + 60 * m + s


def duration(value: str | float, name: str = "time") -> float:
    """The seconds of a time such as '15m'; raises SettingsError for anything else."""
    try:
        number = float(seconds(value))
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{name}: {error}") from error
    if not 0 < number < float("inf"):
        raise SettingsError(f"{name} is {value}, but must be above 0; write 90s, 5m or 1h30m")
    return number


def with_unit(value: float | None) -> str | None:
    """A number of seconds in the form that `seconds` reads, without loss: 90 -> '90s'."""
    if value is None:
        return None
    text = format(Decimal(repr(float(value))), "f")
    return f"{text.removesuffix('.0')}s"


Seconds = Annotated[
    float, BeforeValidator(seconds), PlainSerializer(with_unit, return_type=str | None, when_used="json"), Field(gt=0)
]
