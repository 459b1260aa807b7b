"""Every failure Augury expects is one of these; each message names the rule, the numbers and the next step.

AuguryError
├── DataError          the images or labels given cannot be used as asked
├── SettingsError      a setting is out of its range or contradicts another
├── RunFolderError     the run folder is busy, of another version, or cannot be written
├── MissingExtraError  an optional package is not installed
├── TrainingError      training went wrong in a way that going on cannot mend
└── ScoreError         scores that must not be compared, or cannot be computed
"""

from __future__ import annotations


class AuguryError(Exception):
    """Base of all errors that are for the user to read; the command line prints them without a traceback."""


class DataError(AuguryError):
    """The images or labels given cannot be used as asked."""


class SettingsError(AuguryError):
    """A setting is out of its range or contradicts another."""


class RunFolderError(AuguryError):
    """The run folder is busy, was written by another version, or cannot be written."""


class MissingExtraError(AuguryError):
    """An optional package is not installed; the message carries the pip command."""


class TrainingError(AuguryError):
    """Training went wrong in a way that going on cannot mend."""


class ScoreError(AuguryError):
    """Scores that must not be compared, or that cannot be computed from what was given."""
