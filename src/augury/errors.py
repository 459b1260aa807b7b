"""The errors that Augury raises; each message names the rule, the numbers and the next step.

AuguryError
├── DataError          the given images or labels cannot be used as requested
├── SettingsError      a setting is out of its range or contradicts another
├── RunFolderError     the run folder is busy, of another version, or cannot be written
├── MissingExtraError  an optional package is not installed
├── TrainingError      training failed in a way that continuing cannot repair
└── ScoreError         scores that must not be compared, or cannot be computed
"""

from __future__ import annotations


class AuguryError(Exception):
    """Base of all errors intended for the user; the command line prints them without a traceback."""


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


class ScoreError(AuguryError):
    """Scores that must not be compared, or that cannot be computed from the given inputs."""
