"""The errors that Augury raises; each message names the rule, the numbers and the next step.

AuguryError
├── DataError          the given images or labels cannot be used as requested
├── SettingsError      a setting is out of its range or contradicts another
├── RunFolderError     the run folder is busy, of another version, or cannot be written
├── MissingExtraError  an optional package is not installed
├── TrainingError      training failed in a way that continuing cannot repair
├── WeightsError       a file of pretrained weights cannot be used
└── ScoreError         scores that must not be compared, or cannot be computed
"""

from __future__ import annotations

LONGEST = 2000
"""Most characters of a message. A cell of a table or a name can have any length."""


def shortened(text: str, most: int = 80) -> str:
    """Return a text of at most `most` characters, with its middle left out where it is longer."""
    if len(text) <= most:
        return text
    before = (most - 3) * 2 // 3
    return f"{text[:before]} … {text[len(text) - (most - 3 - before) :]}"


class AuguryError(Exception):
    """Base of all errors intended for the user; the command line prints them without a traceback.

    A longer message than LONGEST loses its middle: the rule stands at its beginning and the next step at its end.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(shortened(str(message), LONGEST))


class DataError(AuguryError):
    """The given images or labels cannot be used as requested."""


class SettingsError(AuguryError):
    """A setting is out of its range or contradicts another."""


class RunFolderError(AuguryError):
    """The run folder is busy, was written by another version, or cannot be written."""


class MissingExtraError(AuguryError):
    """An optional package is not installed; the message carries the pip command."""


class TrainingError(AuguryError):
    """Training failed in a way that continuing cannot repair."""


class WeightsError(AuguryError):
    """A file of pretrained weights is missing, damaged, or of another network."""


class ScoreError(AuguryError):
    """Scores that must not be compared, or that cannot be computed from the given inputs."""
