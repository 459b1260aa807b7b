"""Exports the augmented data set to other tools: real images and kept synthetic ones, each with its provenance."""

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
"""Every format that can be written; all functions have the same signature."""
FILES = ("npz", "tar", "parquet")
"""Formats of one file, whose name ends in the format's name; the others are folders."""
_OTHER_ENDINGS = "csv tsv json jsonl txt xlsx zip gz tgz bz2 xz zst 7z rar npy h5 hdf5 mat pt pth pkl arrow feather png jpg jpeg webp tif tiff"
FILE_ENDINGS = frozenset((*FILES, *_OTHER_ENDINGS.split()))
"""Endings that a user expects of a file, so that no folder is given such a name."""

ARRAYS = ("npz",)
"""Formats whose images are arrays of one size, so that original files cannot be included unchanged."""


def writer(name: str) -> Callable[..., dict[str, Any]]:
    """The export function of this name.

    Parameters
    ----------
    name : str
        A name of EXPORTS.

    Returns
    -------
    callable
        Writes the format.

    Raises
    ------
    SettingsError
        For an unknown format.
    MissingExtraError
        For a format that needs a package that is not installed.
    """
    if name not in EXPORTS:
        raise SettingsError(f"there is no format '{name}' to write; choose one of: {', '.join(EXPORTS)}")
    if name == "parquet":
        pyarrow()
    return EXPORTS[name]


def format_of(path: Path, requested: str | None, default: str) -> str:
    """The format to write at `path`: `requested`, else the one that the file name implies, else `default`.

    Raises SettingsError where a folder would get the name of a file, such as photos.csv.
    """
    ending = path.suffix.lower().removeprefix(".")
    name = requested or (ending if ending in FILES else default)
    if name not in FILES:
        check_folder_name(path, name)
    return name


def check_folder_name(path: Path, name: str = "") -> None:
    """Raises SettingsError for the path of a folder, to be written in the format `name`, that ends as a file does."""
    ending = path.suffix.lower().removeprefix(".")
    if ending not in FILE_ENDINGS:
        return
    folder = path
    while folder.suffix.lower().removeprefix(".") in FILE_ENDINGS:
        folder = folder.with_suffix("")
    if ending in EXPORTS and ending not in FILES:
        raise SettingsError(
            f"{path}: the format {ending} is a folder of images with a table; give the folder's name: --format {ending} -o {folder}"
        )
    files = f", or one of the formats of one file ({', '.join(FILES)})" if name else ""
    raise SettingsError(
        f"{path}: this would be a folder, but its name ends as that of a file; choose a name without ending, as -o {folder}{files}"
    )


def place(run: Path, name: str) -> Path:
    """The path of the data set of this format in a run folder."""
    return run / (f"dataset.{name}" if name in FILES else "dataset")


__all__ = [
    "ARRAYS",
    "EXPORTS",
    "FILES",
    "check_folder_name",
    "export_csv",
    "export_folder",
    "export_imagefolder",
    "export_npz",
    "export_parquet",
    "export_tar",
    "format_of",
    "place",
    "writer",
]
