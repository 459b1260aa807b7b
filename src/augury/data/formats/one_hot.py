"""Labels in one column for each class, of which every row sets one (ISIC): they become one column of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from shlex import quote

import numpy as np
import numpy.typing as npt

from augury.data.decoding.load_options import LoadOptions
from augury.data.formats.column_names import NAMES, candidates, is_called
from augury.errors import DataError, SettingsError, shortened

Columns = dict[str, list[str | None]]
_VALUES = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
_MOST_CLASSES = 200
"""Most columns that are tried as classes."""


def joined(
    columns: Columns, options: LoadOptions, bad: dict[int, str], *, search: bool = True
) -> tuple[Columns, LoadOptions, dict[int, str]]:
    """Replace columns of 0 and 1 by one column of labels, where no column is called the label.

    They are the columns that `options.columns["label"]` lists, separated by commas. Otherwise they are the longest run of
    neighbouring columns of which every row sets exactly one, in a table without other columns that might be the label.

    Parameters
    ----------
    columns
        The columns [N] of the table.
    options
    bad
        Why rows cannot be used.
    search
        Whether the columns are searched for where the options list none.

    Returns
    -------
    (columns, options, bad)
        The options name the new column as the label. A row that sets none or several of the listed columns is bad.

    Raises
    ------
    DataError
        When it is unclear which columns are the label. The message has no file name.
    SettingsError
        When only some of the listed columns exist.
    """
    named = options.columns.get("label")
    if named is not None:
        classes = _listed(named, columns)
    elif search and options.labelled and not candidates("label", list(columns)):
        classes = _present_columns(columns, [i for i in range(_length(columns)) if i not in bad])
    else:
        classes = []
    if not classes:
        return columns, options, bad
    values = np.stack([_numbers(columns[name]) for name in classes], axis=1)
    wrong = dict(bad)
    for i in np.flatnonzero((values < 0).any(axis=1) | (values.sum(axis=1) != 1)):
        chosen = [name for name, value in zip(classes, values[i], strict=True) if value > 0]
        wrong.setdefault(int(i), f"has {len(chosen)} of the labels {_shown(classes)}; give it exactly one")
    label = f"{_shown(classes)} (one column each)"
    rest: Columns = {name: column for name, column in columns.items() if name not in classes}
    rest[label] = [classes[k] if i not in wrong else "" for i, k in enumerate(values.argmax(axis=1).tolist())]
    return rest, replace(options, columns={**options.columns, "label": label}), wrong


def _listed(named: str, columns: Columns) -> list[str]:
    pieces = [piece.strip() for piece in named.split(",")]
    if named in columns or len(pieces) < 2:
        return []
    absent = [piece for piece in pieces if piece not in columns]
    if absent:
        raise SettingsError(f"there is no column '{shortened(absent[0])}' among the columns of the label")
    return pieces


def _present_columns(columns: Columns, rows: Sequence[int]) -> list[str]:
    """Return the columns that hold the label; none where no column holds 0 and 1. Raises DataError where that is unclear."""
    runs = _runs(columns)
    if not runs:
        return []
    fitting: list[list[str]] = []
    for run in runs:
        values = np.stack([_numbers(columns[name])[list(rows)] for name in run], axis=1)
        longest = _longest(values)
        if longest is not None:
            fitting.append(run[slice(*longest)])
    if len(fitting) == 1:
        others = [
            name for name in columns if name not in fitting[0] and not any(is_called(role, name) for role in NAMES)
        ]
        if not others:
            return fitting[0]
        raise DataError(
            f"no column is called the label. Every row sets one of the columns {_shown(fitting[0])}, which {_option(fitting[0])} reads "
            f"as the label; or name another column, such as {_option(others[:1])}"
        )
    if fitting:
        raise DataError(
            f"the columns {_shown(fitting[0])} and the columns {_shown(fitting[1])} could both be the label; choose with "
            f"{_option(fitting[0])}"
        )
    widest = max(runs, key=len)
    raise DataError(
        f"no column is called the label; name it with --column label=…. Rows set none or several of the columns {_shown(widest)}, but "
        f"Augury learns one class an image: {_option(widest)} reads those as classes, and --on-bad skip leaves other rows out"
    )


def _option(names: Sequence[str]) -> str:
    return f"--column {quote('label=' + ','.join(names))}"


def _runs(columns: Columns) -> list[list[str]]:
    """Return the runs of at least two neighbouring columns that hold 0 and 1."""
    runs: list[list[str]] = [[]]
    for name, column in columns.items():
        if {str(value).casefold() for value in set(column)} <= _VALUES.keys() and len(runs[-1]) < _MOST_CLASSES:
            runs[-1].append(name)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if len(run) > 1]


def _longest(values: npt.NDArray[np.int8]) -> tuple[int, int] | None:
    """Return the longest range of columns [N, K] of which every row sets exactly one and each is set at least once."""
    if not len(values):
        return None
    sums = np.concatenate([np.zeros((len(values), 1), np.int64), np.cumsum(values, axis=1)], axis=1)
    width = values.shape[1]
    for length in range(width, 1, -1):
        for start in range(width - length + 1):
            if sums[0, start + length] - sums[0, start] == 1 and (sums[:, start + length] - sums[:, start] == 1).all():
                return start, start + length
    return None


def _numbers(column: Sequence[str | None]) -> npt.NDArray[np.int8]:
    """Return 0 or 1, and -1 for any other value, int8 [N]."""
    return np.array([_VALUES.get(str(value).casefold(), -1) for value in column], np.int8)


def _length(columns: Mapping[str, Sequence[str | None]]) -> int:
    return len(next(iter(columns.values()), ()))


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) < 5 else f"{names[0]}, {names[1]}, … {names[-1]}"
