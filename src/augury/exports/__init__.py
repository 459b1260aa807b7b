"""Hands the augmented data set to other tools: real images and kept synthetic ones, each with where it came from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from augury.errors import SettingsError
from augury.exports.folder import export_folder
from augury.exports.npz import export_npz
from augury.exports.parquet import export_parquet, pyarrow
from augury.exports.table import export_csv, export_imagefolder
from augury.exports.tar import export_tar

EXPORTS = {
    "folder": export_folder,
    "imagefolder": export_imagefolder,
    "csv": export_csv,
    "npz": export_npz,
    "tar": export_tar,
    "parquet": export_parquet,
}
"""Every format that is written, all by functions of one signature."""
FILES = ("npz", "tar", "parquet")
"""Those that are one file, whose name ends in theirs; the others are folders."""

ARRAYS = ("npz",)
"""Those whose images are arrays of one size, so that no file goes in as it is."""


def writer(name: str) -> Callable[..., dict[str, Any]]:
    """The export of this name. Raises SettingsError for a format that is not written, MissingExtraError for one that needs a
    package that is not there."""
    if name not in EXPORTS:
        raise SettingsError(f"there is no format '{name}' to write; choose one of: {', '.join(EXPORTS)}")
    if name == "parquet":
        pyarrow()
    return EXPORTS[name]


def named(path: Path, otherwise: str) -> str:
    """The format that a name asks for: photos.npz, .tar and .parquet theirs, any other `otherwise`."""
    ending = path.suffix.lower().removeprefix(".")
    return ending if ending in FILES else otherwise


def place(run: Path, name: str) -> Path:
    """Where in a run folder the data set of this format lies."""
    return run / (f"dataset.{name}" if name in FILES else "dataset")


__all__ = [
    "ARRAYS",
    "EXPORTS",
    "FILES",
    "export_csv",
    "export_folder",
    "export_imagefolder",
    "export_npz",
    "export_parquet",
    "export_tar",
    "named",
    "place",
    "writer",
]
